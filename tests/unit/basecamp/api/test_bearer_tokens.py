"""Bearer tokens over HTTP: who is let in, and that every other one is refused in one line, with nothing done."""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from httpx import Client

from basecamp.access.oidc.provider import MAX_AGE_SECONDS
from basecamp.access.oidc.settings import OidcSettings
from basecamp.access.principal import Grant, Role
from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.api.app import create_app
from basecamp.server.sign_in import credentials_of
from basecamp.server.wiring import build_services
from basecamp.services import Services
from basecamp.shared.clock import ManualClock
from dataspec.store import MemoryStore
from dataspec.store.base import MISSING
from oidc_provider import AUDIENCE, OidcProvider, oidc_provider

DAY = timedelta(days=1)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime.now(UTC))


@pytest.fixture
def provider() -> Iterator[OidcProvider]:
    with oidc_provider() as provider:
        yield provider


@pytest.fixture
def services(
    store: MemoryStore, airflow: MemoryAirflow, clock: ManualClock, provider: OidcProvider
) -> Services:
    settings = {
        "issuers": [{"issuer": provider.url, "audience": AUDIENCE}],
        "rules": [
            {
                "issuer": provider.url,
                "claims": {"repository": "acme/datasets", "ref": "refs/heads/main"},
                "role": "editor",
            }
        ],
    }
    oidc = OidcSettings.parse(json.dumps(settings).encode(), "oidc.yaml")
    return build_services(store, airflow, clock, oidc=oidc)


@pytest.fixture
def client(client_of: Callable[[Any], Client], services: Services) -> Client:
    return client_of(create_app(services, credentials=credentials_of({"tokens", "oidc"}, services)))


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.rule("26.30", "26.40")
def test_callers_with_a_token_of_either_kind_are_known_by_it(
    client: Client, services: Services, provider: OidcProvider
) -> None:
    made = services.tokens.create("ci", Grant(Role.VIEWER), lifetime=DAY, created_by="root@host")
    assert client.get("/whoami", headers=bearer(made.text)).json()["name"] == "ci"
    for _ in range(3):
        answer = client.get("/whoami", headers=bearer(provider.token(preferred_username="builder")))
        assert answer.json()["name"] == "builder"
    assert client.get("/whoami", headers={"authorization": f"bearer   {made.text} "}).json()["name"] == "ci"


def bad(
    services: Services, provider: OidcProvider, clock: ManualClock
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield headers that open nothing."""
    expired = services.tokens.create("old", Grant(Role.ADMIN), lifetime=DAY, created_by="root@host").text
    clock.advance(DAY.total_seconds())
    revoked = services.tokens.create("gone", Grant(Role.ADMIN), lifetime=DAY, created_by="root@host").text
    services.tokens.revoke("gone")
    live = services.tokens.create("live", Grant(Role.ADMIN), lifetime=DAY, created_by="root@host").text
    now = int(clock.now().timestamp())
    good = provider.token(exp=now + 7200, iat=now, nbf=now)
    head, claims, signature = good.split(".")
    yield "wrong", bearer(f"dli_{secrets.token_urlsafe(32)}")
    yield "expired", bearer(expired)
    yield "revoked", bearer(revoked)
    yield "cut", bearer(live[:-1])
    yield "longer", bearer(f"{live}x")
    yield "in other letters", bearer(live.swapcase())
    yield "of another server", bearer("ghp_" + secrets.token_hex(18))
    yield "oversized", bearer("dli_" + "x" * 60_000)
    yield "Basic", {"Authorization": f"Basic {live}"}
    yield "Token", {"Authorization": f"Token {live}"}
    yield "no scheme", {"Authorization": live}
    yield "no token", {"Authorization": "Bearer"}
    yield "two in one header", bearer(f"{live}, Bearer {live}")
    yield "a cookie", {"Cookie": f"__Host-basecamp={live}"}
    yield "another header", {"X-Api-Key": live, "Dli-User": "admin", "X-Forwarded-User": "admin"}
    yield "unknown issuer", bearer(provider.token(iss="https://evil.example.com"))
    yield "expired JWT", bearer(provider.token(exp=now - 61))
    yield "future JWT", bearer(provider.token(nbf=now + 3600, exp=now + 7200))
    yield "unsigned", bearer(f"{head}.{claims}.")
    yield "changed", bearer(f"{head}.{claims[:-4]}AAAA.{signature}")
    provider.rotate("next")
    clock.advance(MAX_AGE_SECONDS)
    yield "rotated", bearer(good)


@pytest.mark.rule("26.35", "26.43", "26.44")
def test_every_bad_credential_is_one_line_with_nothing_done_and_nothing_secret(
    client: Client,
    services: Services,
    provider: OidcProvider,
    clock: ManualClock,
    store: MemoryStore,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    spec = {"yaml": "name: a.b\ntype: Dataset\nowner: a@example.com\nquery_statement: select 1\n"}
    for what, headers in bad(services, provider, clock):
        clock.advance(31)
        answer = client.put("/datasets/a.b", headers=headers, json=spec)
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (401, "unauthorized"), what
        assert "\n" not in problem["title"] + problem["detail"], what
        assert answer.headers["www-authenticate"].startswith("Bearer"), what
        sent = max(" ".join(headers.values()).replace(",", " ").split(), key=len)
        if len(sent) > 20:
            assert sent not in answer.text + caplog.text, what
    assert not list(store.list("manual/"))


def test_token_in_a_query_is_not_accepted(client: Client, services: Services) -> None:
    live = services.tokens.create("live", Grant(Role.ADMIN), lifetime=DAY, created_by="root@host").text
    for name in ("token", "access_token", "DLI_TOKEN"):
        assert client.get("/whoami", params={name: live}).status_code in {400, 401}


def test_two_authorization_headers_are_refused_whichever_is_first(client: Client, services: Services) -> None:
    live = services.tokens.create("live", Grant(Role.ADMIN), lifetime=DAY, created_by="root@host").text
    for first, second in ((live, "dli_x"), ("dli_x", live), (live, live)):
        headers = [("Authorization", f"Bearer {first}"), ("Authorization", f"Bearer {second}")]
        assert client.get("/whoami", headers=headers).status_code == 401


@pytest.mark.rule("26.41")
def test_valid_token_without_a_role_is_403_and_says_what_is_compared(
    client: Client, provider: OidcProvider
) -> None:
    answer = client.get("/whoami", headers=bearer(provider.token(ref="refs/pull/1/merge")))
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert "The rules for its issuer compare: ref, repository." in answer.json()["detail"]


@pytest.mark.rule("26.45")
def test_provider_that_does_not_answer_is_503_for_its_tokens_alone(
    client: Client, services: Services, provider: OidcProvider
) -> None:
    provider.status = 500
    live = services.tokens.create("live", Grant(Role.ADMIN), lifetime=DAY, created_by="root@host").text
    answer = client.get("/whoami", headers=bearer(provider.token()))
    assert (answer.status_code, answer.json()["title"]) == (503, "The sign-in provider does not answer.")
    assert client.get("/whoami", headers=bearer(live)).status_code == 200


@pytest.mark.rule("26.37")
def test_damaged_token_does_not_make_the_others_fail(
    client: Client, services: Services, store: MemoryStore
) -> None:
    store.put(f"basecamp/access/tokens/{'0' * 64}.json", b"{", expected=MISSING)
    live = services.tokens.create("live", Grant(Role.ADMIN), lifetime=DAY, created_by="root@host").text
    assert client.get("/whoami", headers=bearer(live)).status_code == 200


@pytest.mark.rule("26.33")
def test_logout_revokes_an_api_token_and_says_that_it_can_revoke_no_token_of_a_provider(
    client: Client, services: Services, provider: OidcProvider, clock: ManualClock
) -> None:
    live = services.tokens.create("live", Grant(Role.VIEWER), lifetime=DAY, created_by="root@host").text
    assert client.post("/logout", headers=bearer(live)).json() == {"revoked": True}
    assert client.post("/logout", headers=bearer(provider.token())).json() == {"revoked": False}
    clock.advance(30)
    assert client.get("/whoami", headers=bearer(live)).status_code == 401
