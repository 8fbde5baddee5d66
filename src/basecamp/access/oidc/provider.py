"""A provider's addresses and public keys, by OpenID Connect discovery (``docs/access.md``, "OIDC").

One fetch serves all requests, and none begins within :data:`MIN_SECONDS` of the last one, also for unknown key ids.
What was fetched is kept while the provider does not answer.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from threading import BoundedSemaphore
from typing import Any

import httpx
from cryptography.exceptions import UnsupportedAlgorithm
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, RSAKey
from joserfc.jws import JWSRegistry
from pydantic import BaseModel, ConfigDict, ValidationError

from basecamp.access.oidc.settings import ALGORITHMS, why_no_address
from basecamp.airflow.deadline import deadline, keep_deadlines
from basecamp.shared.clock import Clock
from basecamp.shared.public_address import is_loopback
from basecamp.shared.refresh_cache import RefreshCache
from dataspec.errors import Unavailable

log = logging.getLogger(__name__)

MIN_SECONDS = 30.0
"""Shortest time between two fetches."""
MAX_AGE_SECONDS = 300.0
"""Age after which a request waits for a new fetch: a key that the provider removed counts no longer than this."""
KEPT_SECONDS = 6 * 3600.0
"""How long keys count while the provider does not answer."""
FETCH_SECONDS = 5.0
MAX_UNKNOWN_AT_ONCE = 8
"""Maximum number of requests that wait for a fetch because their token's key is not known."""
MAX_BYTES = 512 * 1024
MAX_KEYS = 100
MAX_TRIED = 10
"""Maximum number of keys that are tried for a token without a key id."""
MIN_RSA_BITS = 2048

_PUBLIC_MEMBERS = ("kty", "kid", "use", "alg", "key_ops", "n", "e", "crv", "x", "y")
_DISCOVERY = "/.well-known/openid-configuration"

_ANSWERS = (httpx.codes.OK, httpx.codes.BAD_REQUEST, httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN)
"""The statuses with which a token endpoint answers (RFC 6749, 5.1 and 5.2)."""

PublicKey = RSAKey | ECKey


class _Registry(JWSRegistry):
    """Headers may be longer than joserfc's 512 bytes: some providers put certificates into them."""

    max_header_length = 8 * 1024


SIGNATURES = _Registry(algorithms=ALGORITHMS, strict_check_header=False)
"""How signatures are checked."""


class ProviderDocument(BaseModel):
    """The provider's addresses, from its discovery document."""

    model_config = ConfigDict(frozen=True)

    issuer: str
    jwks_uri: str
    authorization_endpoint: str | None = None
    token_endpoint: str | None = None
    userinfo_endpoint: str | None = None
    end_session_endpoint: str | None = None
    authorization_response_iss_parameter_supported: bool = False


@dataclass(frozen=True, slots=True)
class ProviderState:
    """What a provider published."""

    document: ProviderDocument
    keys: Sequence[PublicKey]
    fetched_at: float
    """When its fetch began, by the monotonic clock."""

    def candidates(self, kid: str | None, algorithm: str) -> list[PublicKey]:
        """Return the keys that may have signed a token: of its key id, and for its algorithm."""
        named = (key for key in self.keys if kid is None or key.kid == kid)
        return list(islice((key for key in named if _fits(key, algorithm)), MAX_TRIED))


class Provider:
    """A provider, asked over HTTP. Safe to share between threads.

    Args:
        issuer: The issuer, as its discovery document names it.
        clock: The clock.
    """

    def __init__(self, issuer: str, clock: Clock) -> None:
        self.issuer = issuer
        self._clock = clock
        self._waiting = BoundedSemaphore(MAX_UNKNOWN_AT_ONCE)
        self._failure: tuple[float, Unavailable] | None = None
        self._state: RefreshCache[ProviderState] = RefreshCache(
            "oidc-provider",
            self._fetch,
            clock,
            unanswered=lambda: _silent(issuer, "no answer in time"),
            min_age=MAX_AGE_SECONDS,
            max_age=MAX_AGE_SECONDS,
        )
        self._client = httpx.Client(
            timeout=FETCH_SECONDS,
            limits=httpx.Limits(max_keepalive_connections=0),
            follow_redirects=False,
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
            trust_env=not is_loopback(httpx.URL(issuer).host),
        )
        keep_deadlines(self._client)

    def state(self) -> ProviderState:
        """Return what the provider published, at most :data:`MAX_AGE_SECONDS` ago while it answers.

        Raises:
            Unavailable: When it does not answer, and did not for :data:`KEPT_SECONDS`.
        """
        last = self._state.last
        if last is None or (age := self._age(last)) > KEPT_SECONDS:
            return self._fetched()
        if self._must_wait(age):
            with suppress(Unavailable):
                return self._fetched()
        self._refresh(age)
        return last

    def _must_wait(self, age: float) -> bool:
        """Return whether a request waits for a fetch: not for one that failed before."""
        return age > MAX_AGE_SECONDS and self._failure is None

    def _refresh(self, age: float) -> None:
        """Begin a fetch in the background, if it is time."""
        if age > MAX_AGE_SECONDS / 2 and not self._failed_lately():
            self._state.refresh()

    def known(self) -> ProviderState | None:
        """Return what is in memory, unless a request has to wait for a fetch; waits for nothing."""
        last = self._state.last
        if last is None or (age := self._age(last)) > KEPT_SECONDS or self._must_wait(age):
            return None
        self._refresh(age)
        return last

    def candidates(self, kid: str | None, algorithm: str) -> list[PublicKey]:
        """Return the keys that may have signed a token; fetch them again for a key id that is not known.

        Raises:
            Unavailable: When the provider does not answer, and its keys are not known.
        """
        state = self.state()
        found = state.candidates(kid, algorithm)
        if found or self._age(state) < MIN_SECONDS:
            return found
        if not self._waiting.acquire(blocking=False):
            raise Unavailable("Too many unknown tokens are being checked.", detail="Ask again in a second.")
        try:
            return self._fetched().candidates(kid, algorithm)
        finally:
            self._waiting.release()

    def _fetched(self) -> ProviderState:
        """Return the result of the fetch that runs, or of a new one if the last one is long enough ago."""
        if (failure := self._failed_lately()) is not None:
            raise failure
        return self._state.next()

    def _failed_lately(self) -> Unavailable | None:
        if self._failure is None or self._clock.monotonic() - self._failure[0] >= MIN_SECONDS:
            return None
        return self._failure[1]

    def _fetch(self) -> ProviderState:
        last = self._state.last
        if last is not None and self._age(last) < MIN_SECONDS:
            return last  # another request was first
        if (failure := self._failed_lately()) is not None:
            raise failure
        began = self._clock.monotonic()
        try:
            with deadline(FETCH_SECONDS):
                state = self._read(began)
        except Unavailable as error:
            log.warning("%s %s", error.title, error.detail)
            self._failure = began, error
            raise
        self._failure = None
        return state

    def _age(self, state: ProviderState) -> float:
        return self._clock.monotonic() - state.fetched_at

    def _read(self, began: float) -> ProviderState:
        url = self.issuer.rstrip("/") + _DISCOVERY
        try:
            document = ProviderDocument.model_validate(self._json(url))
        except ValidationError:
            raise _silent(self.issuer, f"{url} has not the issuer and the address of its keys") from None
        if document.issuer != self.issuer:
            raise _silent(
                self.issuer, f"{url} is of another issuer; BASECAMP_OIDC must name it to the letter"
            )
        if (reason := self.why_not(document.jwks_uri)) is not None:
            raise _silent(self.issuer, f"its keys are at an address that is not allowed: {reason}")
        return ProviderState(document, list(_public_keys(self._json(document.jwks_uri))), began)

    def why_not(self, url: str) -> str | None:
        """Return why an address of the document must not be asked: one on this machine is for a provider here."""
        if url.startswith("http:") and not self.issuer.startswith("http:"):
            return "it must begin with https://"
        return why_no_address(url)

    def post(self, url: str, fields: Mapping[str, str], auth: httpx.Auth | None) -> Any:
        """Send a form to an address of the provider; return the JSON of its answer, or of its refusal.

        Raises:
            Unavailable: When the provider does not answer.
        """
        with deadline(FETCH_SECONDS):
            return self._json(url, "POST", fields, auth, accepted=_ANSWERS)

    def _json(
        self,
        url: str,
        method: str = "GET",
        fields: Mapping[str, str] | None = None,
        auth: httpx.Auth | None = None,
        *,
        accepted: Collection[int] = (httpx.codes.OK,),
    ) -> Any:
        try:
            with self._client.stream(method, url, data=fields, auth=auth) as response:
                if response.status_code not in accepted:
                    raise _silent(self.issuer, f"{url} answered {response.status_code}")
                body = bytearray()
                for chunk in response.iter_raw():
                    body += chunk
                    if len(body) > MAX_BYTES:
                        raise _silent(self.issuer, f"{url} sends more than {MAX_BYTES // 1024} KiB")
            return json.loads(body)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _silent(self.issuer, f"{url}: {error or type(error).__name__}") from None
        except (ValueError, RecursionError):
            raise _silent(self.issuer, f"{url} is not JSON") from None


def _public_keys(data: Any) -> Iterator[PublicKey]:
    """Yield the public keys for signatures; keys for other purposes, or of kinds that are not known, are left out."""
    listed = data.get("keys") if isinstance(data, Mapping) else None
    for entry in listed[:MAX_KEYS] if isinstance(listed, list) else ():
        if not isinstance(entry, Mapping) or str(entry.get("kty")) not in {"RSA", "EC"}:
            continue
        try:
            key = JWKRegistry.import_key({name: entry[name] for name in _PUBLIC_MEMBERS if name in entry})
        except (JoseError, UnsupportedAlgorithm, ValueError, TypeError, KeyError):
            continue
        if isinstance(key, ECKey) or (isinstance(key, RSAKey) and key.public_key.key_size >= MIN_RSA_BITS):
            yield key


def _fits(key: PublicKey, algorithm: str) -> bool:
    """Return whether a key is for an algorithm, by its kind, curve, ``use``, ``key_ops`` and ``alg``."""
    try:
        SIGNATURES.get_alg(algorithm).check_key(key)
        key.check_key_op("verify")
    except JoseError:
        return False
    return True


def _silent(issuer: str, what: str) -> Unavailable:
    return Unavailable("The sign-in provider does not answer.", detail=f"{issuer}: {what}.")
