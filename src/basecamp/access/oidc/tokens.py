"""Find the caller of a request by an access token of an OIDC provider (``docs/access.md``, "OIDC").

A token counts if an issuer of the list signed it for this API, and a rule matches its claims. An ID token does not:
it says to the page who has signed in there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Lock
from typing import Any

from cachetools import LRUCache
from joserfc.errors import ClaimError, ExpiredTokenError, InvalidClaimError, JoseError, MissingClaimError
from joserfc.jws import CompactSignature, extract_compact, validate_compact
from joserfc.jwt import JWTClaimsRegistry

from basecamp.access.oidc.provider import SIGNATURES, Provider, ProviderState
from basecamp.access.oidc.settings import IssuerSettings, OidcSettings
from basecamp.access.principal import Principal, printable
from basecamp.access.refusals import invalid_token
from basecamp.shared.clock import Clock
from dataspec.errors import Forbidden, Unauthorized

MAX_BYTES = 16 * 1024
MAX_VERIFIED = 10_000
"""Maximum number of verified tokens that are remembered."""
SKEW_SECONDS = 60
"""How far the clocks of this server and of the issuer may differ."""

_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
_ACCESS_TYPES = frozenset({"at+jwt", "application/at+jwt"})
_ID_CLAIMS = frozenset({"nonce", "at_hash", "c_hash", "s_hash"})
_LABELS = ("preferred_username", "name", "sub")


@dataclass(frozen=True, slots=True)
class _Unverified:
    """A token as it was sent: nothing in it is true yet."""

    signature: CompactSignature
    headers: Mapping[str, Any]
    claims: Mapping[str, Any]

    @property
    def type(self) -> str:
        """The header ``typ`` in lower case."""
        return str(self.headers.get("typ", "jwt")).lower()


@dataclass(frozen=True, slots=True)
class _Verified:
    """A token that was verified."""

    principal: Principal
    issuer: str
    state: ProviderState
    """The keys of that time: with other ones, the token is verified again."""
    until: float


class OidcTokens:
    """Verifies tokens of the issuers in the settings. Safe to share between threads.

    Args:
        settings: The issuers and rules.
        clock: The clock.
    """

    def __init__(self, settings: OidcSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._issuers = {issuer.issuer: issuer for issuer in settings.issuers}
        self._lock = Lock()
        self._verified_tokens: LRUCache[bytes, _Verified] = LRUCache(MAX_VERIFIED)
        self.providers = {issuer: Provider(issuer, clock) for issuer in self._issuers}

    def takes(self, token: str) -> bool:
        """Return whether a bearer token has the form of a signed one."""
        return token.count(".") == 2  # noqa: PLR2004 - header, claims and signature

    def known(self, secret: str) -> Principal | None:
        """Return the caller of a token that was verified with the keys that its issuer has now; waits for nothing.

        Raises:
            Unauthorized: When it has expired.
        """
        with self._lock:
            verified = self._verified_tokens.get(_digest(secret))
        if verified is None or self.providers[verified.issuer].known() is not verified.state:
            return None
        if verified.until <= self._now():
            raise _expired()
        return verified.principal

    def verify(self, secret: str) -> Principal:
        """Return the caller who has an access token.

        Raises:
            Unauthorized: When the token is not valid, for this API and now.
            Forbidden: When it is valid, and no rule gives it a role.
            Unavailable: When its issuer does not answer, and the issuer's keys are not known.
        """
        token = _read(secret)
        issuer = self._issuer_of(token)
        state = self.providers[issuer.issuer].known()
        claims = self._verified(token, issuer, issuer.audience)
        if (reason := _why_no_access_token(token, issuer)) is not None:
            raise invalid_token(f"{reason} Send an access token for the audience '{issuer.audience}'.")
        principal = self.principal(issuer.issuer, claims)
        if state is not None:
            verified = _Verified(principal, issuer.issuer, state, claims["exp"] + SKEW_SECONDS)
            with self._lock:
                self._verified_tokens[_digest(secret)] = verified
        return principal

    def id_claims(self, text: str, issuer: IssuerSettings) -> Mapping[str, Any]:
        """Return the claims of an ID token for the page's client; the caller compares its nonce.

        Raises:
            Unauthorized: When it is not valid, for this client and now.
            Unavailable: When the issuer does not answer, and its keys are not known.
        """
        token = _read(text)
        if issuer.page is None or self._issuer_of(token) != issuer:
            raise _unknown_issuer()
        claims = self._verified(token, issuer, issuer.page.client_id)
        client, has_others = issuer.page.client_id, len(_audiences(claims)) > 1
        if claims.get("azp", None if has_others else client) != client:
            raise invalid_token("It was issued to another client.")
        return claims

    def principal(self, issuer: str, claims: Mapping[str, Any]) -> Principal:
        """Return the caller with verified claims. The name is a label; issuer and subject are the identity.

        Raises:
            Forbidden: When no rule gives a role.
        """
        grants = self._settings.grants(issuer, claims)
        if not grants:
            raise self._without_role(issuer, claims)
        labels = (printable(claims[key]) for key in _LABELS if isinstance(claims.get(key), str))
        return Principal(
            name=next(filter(None, labels), "unnamed"),
            grants=grants,
            method="oidc",
            identity=f"{issuer} {claims['sub']}",
            expires_at=_moment(claims["exp"]),
        )

    def _issuer_of(self, token: _Unverified) -> IssuerSettings:
        name = token.claims.get("iss")
        issuer = self._issuers.get(name) if isinstance(name, str) else None
        if issuer is None:
            raise _unknown_issuer()
        return issuer

    def _verified(self, token: _Unverified, issuer: IssuerSettings, audience: str) -> Mapping[str, Any]:
        _check_headers(token, issuer)
        self._check_signature(token, issuer)
        checks = JWTClaimsRegistry(
            now=int(self._now()),
            leeway=SKEW_SECONDS,
            iss={"essential": True, "value": issuer.issuer},
            aud={"essential": True, "value": audience},
            exp={"essential": True},
            sub={"essential": True},
        )
        try:
            checks.validate(dict(token.claims))
        except ClaimError as error:
            raise _refusal(error, audience) from None
        return token.claims

    def _check_signature(self, token: _Unverified, issuer: IssuerSettings) -> None:
        kid = token.headers.get("kid")
        keys = self.providers[issuer.issuer].candidates(kid, token.headers["alg"])
        if not keys:
            raise invalid_token("It is signed with a key that its issuer does not publish.")
        for key in keys:
            try:
                if validate_compact(token.signature, key, registry=SIGNATURES):
                    return
            except (JoseError, ValueError):
                continue
        raise invalid_token("Its signature is wrong.")

    def _now(self) -> float:
        return self._clock.now().timestamp()

    def _without_role(self, issuer: str, claims: Mapping[str, Any]) -> Forbidden:
        compared = self._settings.compared(issuer)
        missing = [claim for claim in compared if claim not in claims]
        detail = f"The rules for its issuer compare: {', '.join(compared) or 'nothing'}."
        if missing:
            detail += f" The token lacks: {', '.join(missing)}."
        return Forbidden("The token is valid, but no rule gives it a role.", detail=detail)


def _read(text: str) -> _Unverified:
    """Read a token, without believing it."""
    if len(text) > MAX_BYTES:
        raise invalid_token(f"It is too long: at most {MAX_BYTES // 1024} KiB are accepted.")
    try:
        signature = extract_compact(text.encode("ascii"), registry=SIGNATURES)
        claims = json.loads(signature.payload)
    except (JoseError, ValueError, TypeError, AttributeError, RecursionError):
        raise _unreadable() from None
    headers = signature.headers()
    if not isinstance(headers, dict) or not isinstance(claims, dict):
        raise _unreadable()
    return _Unverified(signature, headers, claims)


def _check_headers(token: _Unverified, issuer: IssuerSettings) -> None:
    """Refuse what a token can't be verified by: other algorithms, extensions, tokens within tokens."""
    headers = token.headers
    if headers.get("alg") not in issuer.algorithms:
        allowed = ", ".join(issuer.algorithms)
        raise invalid_token(f"Its algorithm is not allowed: its issuer signs with {allowed}.")
    if {"crit", "b64", "cty", "zip", "enc"} & headers.keys():
        raise invalid_token("It has headers with a meaning that this server does not know.")
    if not isinstance(headers.get("kid", ""), str) or token.type not in _TYPES:
        raise _unreadable()


def _why_no_access_token(token: _Unverified, issuer: IssuerSettings) -> str | None:
    """Return why a valid token must not open the API.

    Providers mark an access token in the header (RFC 9068), or by a claim ``typ`` (Keycloak), or not at all. A token
    without a mark is an ID token if it has a claim of one, or is for the page's client as well.
    """
    claims = token.claims
    if claims.get("typ", "Bearer") != "Bearer":
        return "It is not an access token."
    is_marked = token.type in _ACCESS_TYPES or "typ" in claims
    if (issuer.page and issuer.page.client_id in _audiences(claims)) or (
        not is_marked and _ID_CLAIMS & claims.keys()
    ):
        return "It is an ID token, which does not open the API."
    if "cnf" in claims:
        return "It is bound to a key, which this server does not check."
    return None


def _audiences(claims: Mapping[str, Any]) -> list[Any]:
    audience = claims["aud"]
    return audience if isinstance(audience, list) else [audience]


def _refusal(error: ClaimError, audience: str) -> Unauthorized:
    """Return the refusal of a token whose claims are not valid."""
    if isinstance(error, ExpiredTokenError):
        return _expired()
    if isinstance(error, MissingClaimError):
        return invalid_token(f"It lacks the claim '{error.claim}'.")
    if isinstance(error, InvalidClaimError) and error.claim == "aud":
        return invalid_token(f"It is for another audience; this API is '{audience}'.")
    if error.claim in {"nbf", "iat"}:
        return invalid_token("It is not valid yet: compare the clocks of this server and of the issuer.")
    return invalid_token(f"Its claim '{error.claim}' is not valid.")


def _moment(seconds: float) -> datetime | None:
    """Return a time; None for one that is too far away for a calendar."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _expired() -> Unauthorized:
    return invalid_token("It has expired.")


def _unreadable() -> Unauthorized:
    return invalid_token("It can't be read.")


def _unknown_issuer() -> Unauthorized:
    return invalid_token("This server does not accept tokens of its issuer.")


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()
