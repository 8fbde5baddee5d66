"""Access tokens of a provider on loopback: which count, and the one line that refuses each other one."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import ECKey, RSAKey

from access_doubles import refused
from basecamp.access.oidc import provider as provider_module
from basecamp.access.oidc.provider import MAX_AGE_SECONDS, MAX_UNKNOWN_AT_ONCE, MIN_SECONDS
from basecamp.access.oidc.settings import OidcSettings
from basecamp.access.oidc.tokens import OidcTokens
from basecamp.access.principal import Grant, Role
from basecamp.shared.clock import ManualClock
from dataspec.errors import Forbidden, Unauthorized, Unavailable
from oidc_provider import AUDIENCE, OidcProvider, oidc_provider

CLIENT = "basecamp-page"


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[OidcProvider]:
    """A provider that is waited for, however busy the machine is."""
    monkeypatch.setattr(provider_module, "FETCH_SECONDS", 120.0)
    with oidc_provider() as provider:
        yield provider


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime.now(UTC))


@pytest.fixture
def tokens_of(provider: OidcProvider, clock: ManualClock) -> Callable[..., OidcTokens]:
    """Return a function that sets a server up for the provider, with changes of its entry."""

    def tokens_of(**entry: Any) -> OidcTokens:
        page = {"client_id": CLIENT}
        issuer = {"issuer": provider.url, "audience": AUDIENCE, "page": page} | entry
        rules = [
            {
                "issuer": provider.url,
                "claims": {"repository": "acme/datasets", "ref": "refs/heads/main"},
                "role": "editor",
                "teams": ["@ops"],
            },
            {"issuer": provider.url, "claims": {"groups": "all"}, "role": "viewer"},
        ]
        return OidcTokens(
            OidcSettings.parse(json.dumps({"issuers": [issuer], "rules": rules}).encode(), "oidc.yaml"), clock
        )

    return tokens_of


@pytest.fixture
def tokens(tokens_of: Callable[..., OidcTokens]) -> OidcTokens:
    return tokens_of()


def encoded(part: Any) -> str:
    body = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(body).rstrip(b"=").decode()


@pytest.mark.rule("26.40")
def test_token_of_a_ci_system_has_the_grants_of_the_rules_that_match(
    tokens: OidcTokens, provider: OidcProvider
) -> None:
    found = tokens.verify(provider.token(groups=["all"], preferred_username="build\x1b[2K er"))
    assert found.grants == (Grant(Role.EDITOR, frozenset({"@ops"})), Grant(Role.VIEWER))
    assert (found.method, found.identity) == ("oidc", f"{provider.url} 17")
    assert found.name == "build[2K er"


@pytest.mark.rule("26.42")
def test_identity_is_issuer_and_subject_whatever_the_labels_say(
    tokens: OidcTokens, provider: OidcProvider
) -> None:
    labels: dict[str, Any] = {"preferred_username": "admin", "name": "Root", "email": "root@example.com"}
    first = tokens.verify(provider.token(sub="17", **labels))
    second = tokens.verify(provider.token(sub="18", **labels))
    assert first.identity != second.identity
    assert tokens.verify(provider.token(sub="17", preferred_username="x" * 5000)).identity == first.identity
    assert len(tokens.verify(provider.token(preferred_username="x" * 5000)).name) == 100
    assert tokens.verify(provider.token(sub="17")).name == "17"


@pytest.mark.rule("26.41")
def test_valid_token_without_a_rule_is_forbidden_and_told_what_is_compared(
    tokens: OidcTokens, provider: OidcProvider
) -> None:
    with pytest.raises(Forbidden) as forbidden:
        tokens.verify(provider.token(ref="refs/heads/evil"))
    assert forbidden.value.title == "The token is valid, but no rule gives it a role."
    assert forbidden.value.detail == (
        "The rules for its issuer compare: groups, ref, repository. The token lacks: groups."
    )
    with pytest.raises(Forbidden):
        tokens.verify(provider.token(repository=None))


@pytest.mark.rule("26.43")
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"aud": "another-api"}, "It is for another audience; this API is 'basecamp-api'."),
        ({"aud": ["a", "b"]}, "It is for another audience"),
        ({"aud": None}, "It lacks the claim 'aud'."),
        ({"aud": {"basecamp-api": 1}}, "It is for another audience"),
        ({"exp": None}, "It lacks the claim 'exp'."),
        ({"exp": "tomorrow"}, "Its claim 'exp' is not valid."),
        ({"exp": True}, "Its claim 'exp' is not valid."),
        ({"exp": float("nan")}, "Its claim 'exp' is not valid."),
        ({"exp": float("inf")}, "Its claim 'exp' is not valid."),
        ({"sub": None}, "It lacks the claim 'sub'."),
        ({"sub": ""}, "Its claim 'sub' is not valid."),
        ({"sub": 17}, "Its claim 'sub' is not valid."),
        ({"iss": "https://evil.example.com"}, "does not accept tokens of its issuer"),
        ({"iss": None}, "does not accept tokens of its issuer"),
        ({"iss": ["x"]}, "does not accept tokens of its issuer"),
        ({"nonce": "n"}, "It is an ID token"),
        ({"at_hash": "h"}, "It is an ID token"),
        ({"typ": "ID"}, "It is not an access token."),
        ({"typ": "Refresh"}, "It is not an access token."),
        ({"aud": [AUDIENCE, CLIENT]}, "It is an ID token"),
        ({"cnf": {"jkt": "x"}}, "It is bound to a key"),
    ],
)
def test_token_with_wrong_claims_is_refused(
    tokens: OidcTokens, provider: OidcProvider, changes: dict[str, Any], reason: str
) -> None:
    with refused(reason):
        tokens.verify(provider.token(**changes))


@pytest.mark.rule("26.43")
def test_access_token_that_is_marked_as_one_may_repeat_the_nonce_of_its_sign_in(
    tokens: OidcTokens, provider: OidcProvider
) -> None:
    assert tokens.verify(provider.token(typ="Bearer", nonce="n"))
    assert tokens.verify(provider.token(header={"typ": "at+jwt"}, nonce="n"))
    assert tokens.verify(provider.token(header={"typ": "application/AT+JWT"}))
    assert tokens.verify(provider.token(aud=["account", AUDIENCE]))


@pytest.mark.rule("26.43")
@pytest.mark.parametrize(
    ("claim", "seconds", "reason"),
    [
        ("exp", -59, None),
        ("exp", -61, "It has expired."),
        ("nbf", 60, None),
        ("nbf", 62, "It is not valid yet: compare the clocks"),
        ("iat", 60, None),
        ("iat", 62, "It is not valid yet: compare the clocks"),
    ],
)
def test_clocks_may_differ_by_a_minute(
    tokens: OidcTokens,
    provider: OidcProvider,
    clock: ManualClock,
    claim: str,
    seconds: int,
    reason: str | None,
) -> None:
    changes: dict[str, Any] = {claim: int(clock.now().timestamp()) + seconds}
    token = provider.token(**changes)
    if reason is None:
        assert tokens.verify(token)
        return
    with refused(reason):
        tokens.verify(token)


@pytest.mark.rule("26.44")
def test_unsigned_token_is_refused(tokens: OidcTokens, provider: OidcProvider) -> None:
    for algorithm in ("none", "None", "NONE", "nOnE", "", None, ["RS256"], 1, {"a": 1}):
        head = encoded({"alg": algorithm, "kid": "first"})
        for signature in ("", encoded(b"x" * 64)):
            with refused(""):
                tokens.verify(f"{head}.{encoded(provider.claims())}.{signature}")


@pytest.mark.rule("26.44")
def test_public_key_is_no_shared_secret(tokens_of: Callable[..., OidcTokens], provider: OidcProvider) -> None:
    """Who signs with HMAC and the public RSA key as the secret is refused, whatever form the key has."""
    key = provider.rotate("rsa", kind="RSA")
    assert isinstance(key, RSAKey)
    tokens = tokens_of()
    signed = f"{encoded({'alg': 'HS256', 'kid': 'rsa'})}.{encoded(provider.claims())}"
    for secret in (key.as_pem(private=False), key.as_der(private=False), str(key.as_dict()["n"]).encode()):
        forged = f"{signed}.{encoded(hmac.digest(secret, signed.encode(), 'sha256'))}"
        with refused("Its algorithm is not allowed: its issuer signs with RS256, ES256."):
            tokens.verify(forged)


@pytest.mark.rule("26.44")
def test_algorithm_that_the_issuer_is_not_listed_with_is_refused(
    tokens_of: Callable[..., OidcTokens], provider: OidcProvider
) -> None:
    with refused("Its algorithm is not allowed: its issuer signs with RS256."):
        tokens_of(algorithms=["RS256"]).verify(provider.token())


@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
@pytest.mark.rule("26.44")
def test_key_of_another_kind_or_use_or_algorithm_does_not_count(
    tokens: OidcTokens, provider: OidcProvider, clock: ManualClock
) -> None:
    [published] = provider.keys
    rsa = RSAKey.generate_key(2048, parameters={"kid": "first"}).as_dict(private=False)
    small = RSAKey.generate_key(1024, parameters={"kid": "first"})
    for key in (
        published | {"use": "enc"},
        published | {"key_ops": ["sign"]},
        published | {"alg": "ES384"},
        rsa,
        small.as_dict(private=False),
        {"kty": "oct", "kid": "first", "k": encoded(b"x" * 32)},
        published | {"crv": "P-384"},
        {"kty": "EC", "kid": "first"},
        published | {"kty": ["EC"]},
        published | {"kid": ["first"]},
        published | {"use": {}},
        "a key",
        None,
    ):
        provider.keys = [key]
        clock.advance(MAX_AGE_SECONDS + 1)
        with refused("It is signed with a key that its issuer does not publish."):
            tokens.verify(provider.token(exp=2**40))
    provider.keys = [small.as_dict(private=False)]
    clock.advance(MAX_AGE_SECONDS + 1)
    with refused("It is signed with a key that its issuer does not publish."):
        tokens.verify(provider.token(key=small, exp=2**40))


@pytest.mark.rule("26.44")
def test_signature_of_another_key_with_the_same_id_is_refused(
    tokens: OidcTokens, provider: OidcProvider
) -> None:
    foreign = ECKey.generate_key("P-256", parameters={"kid": "first"})
    with refused("Its signature is wrong."):
        tokens.verify(provider.token(key=foreign))


@pytest.mark.rule("26.44")
def test_changed_claims_and_cut_signatures_are_refused(tokens: OidcTokens, provider: OidcProvider) -> None:
    head, claims, signature = provider.token().split(".")
    changed = encoded(provider.claims(ref="refs/heads/main", groups="all"))
    for forged in (
        f"{head}.{changed}.{signature}",
        f"{head}.{claims}.{signature[:-4]}",
        f"{head}.{claims}.",
        f"{head}.{claims}.{signature}{signature}",
        f"{encoded({'alg': 'ES256', 'kid': 'first', 'x': 1})}.{claims}.{signature}",
    ):
        with refused(""):
            tokens.verify(forged)


@pytest.mark.rule("26.44")
@pytest.mark.parametrize(
    "header",
    [
        {"crit": ["exp"], "exp": 1},
        {"crit": ["b64"], "b64": True},
        {"crit": []},
        {"b64": False},
        {"cty": "JWT"},
        {"zip": "DEF"},
        {"enc": "A128GCM"},
        {"typ": "logout+jwt"},
        {"typ": "dpop+jwt"},
        {"kid": 1},
        {"kid": {"a": 1}},
    ],
)
def test_header_with_a_meaning_that_is_not_known_is_refused(
    tokens: OidcTokens, provider: OidcProvider, header: dict[str, Any]
) -> None:
    """The signature is right: the header alone is the reason."""

    def signed(head: dict[str, Any]) -> str:
        text = f"{encoded(head)}.{encoded(provider.claims())}"
        return f"{text}.{encoded(jws.JWSRegistry.algorithms['ES256'].sign(text.encode(), provider.key))}"

    assert tokens.verify(signed({"alg": "ES256", "kid": "first"}))
    with refused("It ") as found:
        tokens.verify(signed({"alg": "ES256", "kid": "first"} | header))
    assert "signature" not in str(found.value.detail)


@pytest.mark.rule("26.44")
def test_keys_and_addresses_in_a_token_are_ignored(tokens: OidcTokens, provider: OidcProvider) -> None:
    """A token that brings its own key, or says where it is, is verified with the issuer's keys alone."""
    own = ECKey.generate_key("P-256", parameters={"kid": "first"})
    for header in (
        {"jwk": own.as_dict(private=False)},
        {"jku": f"{provider.url}/evil"},
        {"x5u": f"{provider.url}/evil"},
    ):
        head = {"alg": "ES256", "kid": "first", "typ": "JWT"} | header
        registry = jws.JWSRegistry(algorithms=["ES256"])
        registry.max_header_length = 4096
        forged = jws.serialize_compact(head, json.dumps(provider.claims()), own, registry=registry)
        with refused("Its signature is wrong."):
            tokens.verify(forged)
    assert "/evil" not in provider.requests


@pytest.mark.rule("26.44")
@pytest.mark.parametrize(
    "text",
    [
        "",
        "..",
        "a.b.c",
        "a.b.c.d.e",
        "\x00.\x00.\x00",
        "é.é.é",
        f"{encoded([])}.{encoded({})}.x",
        f"{encoded(['alg'])}.{encoded({})}.x",
        f"{encoded('alg')}.{encoded({})}.x",
        f"{encoded({'alg': 'ES256'})}.{encoded([])}.x",
        f"{encoded({'alg': 'ES256'})}.{encoded(b'[' * 9000)}.x",
        f"{encoded(b'[' * 5000)}.{encoded({})}.x",
        f"{encoded({'alg': 'ES256'})}.{encoded(b'not json')}.x",
        f"{encoded({'alg': 'ES256'})}..x",
        "x" * 20_000,
        f"{'x' * 20_000}.{'x' * 20_000}.x",
    ],
)
def test_text_that_is_no_token_is_refused_without_a_request(
    tokens: OidcTokens, provider: OidcProvider, text: str
) -> None:
    with refused(""):
        tokens.verify(text)
    assert not provider.requests


def test_token_of_a_provider_with_long_headers_and_rsa_keys_counts(
    tokens: OidcTokens, provider: OidcProvider
) -> None:
    """Some providers repeat a certificate in each token."""
    provider.rotate("rsa", kind="RSA")
    registry = jws.JWSRegistry(algorithms=["RS256"])
    registry.max_header_length = 4096
    head = {"alg": "RS256", "kid": "rsa", "typ": "JWT", "x5c": [base64.b64encode(b"c" * 900).decode()]}
    token = jws.serialize_compact(head, json.dumps(provider.claims()), provider.key, registry=registry)
    assert tokens.verify(token)


@pytest.mark.rule("26.45")
def test_token_without_a_key_id_is_tried_with_the_keys_of_its_algorithm(
    tokens: OidcTokens, provider: OidcProvider
) -> None:
    provider.rotate("rsa", kind="RSA", keep=True)
    provider.rotate(None, keep=True)
    assert "kid" not in jws.extract_compact(provider.token().encode()).headers()
    assert tokens.verify(provider.token())


@pytest.mark.rule("26.45")
def test_rotated_key_counts_with_one_more_fetch_and_the_removed_one_no_longer(
    tokens: OidcTokens, provider: OidcProvider, clock: ManualClock
) -> None:
    old = provider.token()
    tokens.verify(old)
    tokens.verify(old)
    assert tokens.known(old) is not None
    provider.rotate("second")
    new = provider.token()
    clock.advance(MIN_SECONDS)
    assert tokens.verify(new)
    assert provider.requests["/keys"] == 2
    assert tokens.known(old) is None
    with refused("It is signed with a key that its issuer does not publish."):
        tokens.verify(old)


@pytest.mark.rule("26.45")
def test_removed_key_stops_counting_within_five_minutes_of_its_last_fetch(
    tokens: OidcTokens, provider: OidcProvider, clock: ManualClock
) -> None:
    token = provider.token()
    for _ in range(2):
        tokens.verify(token)
    provider.rotate("second")
    clock.advance(MAX_AGE_SECONDS + 1)
    assert tokens.known(token) is None
    with refused("does not publish"):
        tokens.verify(token)


@pytest.mark.rule("26.45")
def test_unknown_key_ids_cost_one_fetch_in_30_seconds(
    tokens: OidcTokens, provider: OidcProvider, clock: ManualClock
) -> None:
    tokens.verify(provider.token())
    foreign = [ECKey.generate_key("P-256", parameters={"kid": f"k{number}"}) for number in range(20)]
    for key in foreign:
        with refused("does not publish"):
            tokens.verify(provider.token(key=key))
    with ThreadPoolExecutor(20) as pool:
        asked = [pool.submit(tokens.verify, provider.token(key=key)) for key in foreign]
        assert {type(one.exception()) for one in asked} == {Unauthorized}
    assert provider.requests["/keys"] == 1
    clock.advance(MIN_SECONDS)
    for key in foreign:
        with refused("does not publish"):
            tokens.verify(provider.token(key=key))
    assert provider.requests["/keys"] == 2


@pytest.mark.rule("26.45")
def test_many_first_requests_share_one_fetch(tokens: OidcTokens, provider: OidcProvider) -> None:
    provider.may_answer.clear()
    token = provider.token()
    with ThreadPoolExecutor(20) as pool:
        asked = [pool.submit(tokens.verify, token) for _ in range(20)]
        while not provider.requests:
            time.sleep(0.005)
        provider.may_answer.set()
        assert {one.result().name for one in asked} == {"17"}
    assert provider.requests == {"/.well-known/openid-configuration": 1, "/keys": 1}


@pytest.mark.rule("26.45")
def test_forged_key_ids_hold_few_threads_while_the_provider_is_slow(
    tokens: OidcTokens, provider: OidcProvider, clock: ManualClock
) -> None:
    good = provider.token()
    tokens.verify(good)
    clock.advance(MIN_SECONDS)
    provider.may_answer.clear()
    keys = [ECKey.generate_key("P-256", parameters={"kid": f"k{number}"}) for number in range(20)]
    with ThreadPoolExecutor(20) as pool:
        forged = [pool.submit(tokens.verify, provider.token(key=key)) for key in keys]
        while sum(one.done() for one in forged) < 20 - MAX_UNKNOWN_AT_ONCE:
            time.sleep(0.005)
        assert tokens.verify(good)
        provider.may_answer.set()
        errors = [type(one.exception()) for one in forged]
    assert errors.count(Unavailable) == 20 - MAX_UNKNOWN_AT_ONCE
    assert errors.count(Unauthorized) == MAX_UNKNOWN_AT_ONCE


@pytest.mark.rule("26.45")
def test_silent_provider_keeps_its_keys_for_six_hours_and_is_asked_every_30_seconds(
    tokens: OidcTokens, provider: OidcProvider, clock: ManualClock
) -> None:
    token = provider.token(exp=2**40)
    tokens.verify(token)
    provider.status = 500
    clock.advance(MAX_AGE_SECONDS + 1)
    for _ in range(10):
        assert tokens.verify(token)
    assert provider.requests["/.well-known/openid-configuration"] == 2
    clock.advance(6 * 3600 - MAX_AGE_SECONDS - 1)
    assert tokens.verify(token)
    tokens.providers[provider.url]._state.refresh()
    clock.advance(1)
    for _ in range(3):
        with pytest.raises(Unavailable, match="The sign-in provider does not answer"):
            tokens.verify(token)
    provider.status = 200
    clock.advance(MIN_SECONDS)
    assert tokens.verify(token)


@pytest.mark.rule("26.45")
def test_provider_that_is_silent_from_the_start_is_503_and_asked_every_30_seconds(
    tokens: OidcTokens, provider: OidcProvider, clock: ManualClock
) -> None:
    provider.status = 503
    for _ in range(5):
        with pytest.raises(Unavailable) as silent:
            tokens.verify(provider.token())
    assert silent.value.http_status == 503
    assert provider.requests["/.well-known/openid-configuration"] == 1
    provider.status = 200
    clock.advance(MIN_SECONDS)
    assert tokens.verify(provider.token())


@pytest.mark.rule("26.46")
def test_redirect_is_not_followed(tokens: OidcTokens, provider: OidcProvider) -> None:
    provider.location = f"{provider.url}/elsewhere"
    with pytest.raises(Unavailable) as silent:
        tokens.verify(provider.token())
    assert "answered 302" in str(silent.value.detail)
    assert "/elsewhere" not in provider.requests


@pytest.mark.rule("26.46")
@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"issuer": "https://evil.example.com"}, "is of another issuer"),
        ({"issuer": "slash"}, "is of another issuer"),
        ({"jwks_uri": "http://192.0.2.1/keys"}, "it must begin with https://"),
        ({"jwks_uri": "file:///etc/passwd"}, "that is not allowed"),
        ({"jwks_uri": "//x"}, "that is not allowed"),
        ({"jwks_uri": 1}, "has not the issuer and the address of its keys"),
        ({"jwks_uri": None}, "has not the issuer and the address of its keys"),
    ],
)
def test_discovery_document_that_leads_elsewhere_is_refused(
    tokens: OidcTokens, provider: OidcProvider, change: dict[str, Any], problem: str
) -> None:
    if change == {"issuer": "slash"}:
        change = {"issuer": f"{provider.url}/"}
    provider.document |= change
    with pytest.raises(Unavailable) as silent:
        tokens.verify(provider.token())
    assert problem in str(silent.value.detail)
    assert "/keys" not in provider.requests


@pytest.mark.rule("26.46")
@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"[" * 100_000, b"\xff", b'{"keys": ' + b" " * 600_000 + b"[]}"]
)
def test_answer_that_is_no_document_is_refused(
    tokens: OidcTokens, provider: OidcProvider, body: bytes
) -> None:
    provider.body = body
    with pytest.raises(Unavailable):
        tokens.verify(provider.token())


@pytest.mark.rule("26.46")
def test_answer_that_never_ends_is_given_up(
    tokens: OidcTokens, provider: OidcProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider_module, "FETCH_SECONDS", 1.0)
    provider.drips = True
    began = time.monotonic()
    with pytest.raises(Unavailable):
        tokens.verify(provider.token())
    assert time.monotonic() - began < 120, "a byte comes now and then, for ever"
    provider.drips = False


@pytest.mark.rule("26.47")
def test_verified_token_is_known_without_its_provider_until_it_expires(
    tokens: OidcTokens, provider: OidcProvider, clock: ManualClock
) -> None:
    token = provider.token(exp=int(clock.now().timestamp()) + 10)
    assert tokens.known(token) is None
    tokens.verify(token)
    tokens.verify(token)
    found = tokens.known(token)
    assert found is not None
    assert found.identity == f"{provider.url} 17"
    assert tokens.known(token[:-2] + "xx") is None
    clock.advance(71)
    with refused("It has expired."):
        tokens.known(token)


def test_id_token_names_the_person_to_the_page_alone(
    tokens: OidcTokens, provider: OidcProvider, tokens_of: Callable[..., OidcTokens]
) -> None:
    issuer = tokens._issuers[provider.url]
    id_token = provider.token(aud=CLIENT, nonce="n")
    assert tokens.id_claims(id_token, issuer)["nonce"] == "n"
    with refused("It is for another audience"):
        tokens.verify(id_token)
    with refused("It is for another audience"):
        tokens.id_claims(provider.token(), issuer)
    for others in (
        {"aud": [CLIENT, "other"], "azp": "other"},
        {"aud": [CLIENT, "other"]},
        {"aud": CLIENT, "azp": "x"},
    ):
        changes: dict[str, Any] = others
        with refused("It was issued to another client"):
            tokens.id_claims(provider.token(**changes), issuer)
    assert tokens.id_claims(provider.token(aud=[CLIENT, "other"], azp=CLIENT), issuer)


def test_tokens_of_two_issuers_never_mix(clock: ManualClock) -> None:
    """Both use the same key ids; a token is verified with the keys of the issuer that it names."""
    with oidc_provider() as one, oidc_provider() as other:
        rules = [
            {"issuer": it.url, "claims": {"ref": "refs/heads/main"}, "role": "viewer"} for it in (one, other)
        ]
        issuers = [{"issuer": it.url, "audience": AUDIENCE} for it in (one, other)]
        tokens = OidcTokens(
            OidcSettings.parse(json.dumps({"issuers": issuers, "rules": rules}).encode(), "oidc.yaml"), clock
        )
        assert tokens.verify(one.token()).identity == f"{one.url} 17"
        with refused("Its signature is wrong."):
            tokens.verify(one.token(iss=other.url))
