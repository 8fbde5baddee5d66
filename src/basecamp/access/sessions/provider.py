"""The provider at which the page signs users in: the authorization code flow of OpenID Connect."""

from __future__ import annotations

import hmac
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import httpx

from basecamp.access.oidc.provider import ProviderDocument
from basecamp.access.oidc.settings import OidcSettings
from basecamp.access.oidc.tokens import OidcTokens
from basecamp.access.principal import Principal
from basecamp.access.refusals import NEXT_STEP
from basecamp.access.sessions.attempt import Attempt
from basecamp.shared.clock import Clock
from dataspec.errors import Forbidden, Unauthorized, Unavailable

log = logging.getLogger(__name__)

_CODE = re.compile(r"[a-z_]{1,60}")


class NotSignedIn(Unauthorized):
    """A sign-in that did not succeed."""

    def __init__(self, detail: str) -> None:
        super().__init__("The sign-in was not completed.", detail=detail)


class NoRole(Forbidden):
    """A user whom the provider knows, but no rule gives a role."""

    def __init__(self, issuer: str, subject: str, reason: str | None) -> None:
        self.issuer, self.subject = issuer, subject
        super().__init__(
            "You have no role on this server.",
            detail="The provider knows you, but no rule of this server gives you a role. An admin can add one to the "
            f"file of BASECAMP_OIDC. {reason or ''}".rstrip(),
        )


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A user whom the provider has just identified."""

    issuer: str
    subject: str
    principal: Principal
    refresh_token: str | None = field(default=None, repr=False)


class PageProvider:
    """Signs users in. Safe to share between threads.

    Args:
        settings: The provider, this server as its client, and the client's secret.
        tokens: Knows the provider's addresses, and verifies its ID tokens.
        clock: The clock.
    """

    def __init__(self, settings: OidcSettings, tokens: OidcTokens, clock: Clock) -> None:
        issuer = settings.page
        assert issuer is not None  # noqa: S101 - asked before
        assert issuer.page is not None  # noqa: S101 - asked before
        self.issuer = issuer.issuer
        self._settings = issuer
        self._client = issuer.page
        self._secret = settings.client_secret
        self._tokens = tokens
        self._provider = tokens.providers[issuer.issuer]
        self._clock = clock

    @property
    def name(self) -> str:
        """The name that the page shows."""
        return urlsplit(self.issuer).netloc

    def begin(self, cookie: str, target: str, redirect_uri: str) -> str:
        """Return the address to which a browser goes to sign in.

        Args:
            cookie: The browser's cookie of sign-ins.
            target: The page at which the user ends up.
            redirect_uri: The address to which the provider sends the browser back.

        Raises:
            Unavailable: When the provider does not answer.
        """
        attempt = Attempt.begin(cookie, target, self._clock)
        query = {
            "response_type": "code",
            "client_id": self._client.client_id,
            "redirect_uri": redirect_uri,
            "scope": " ".join(self._client.scopes),
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": attempt.challenge,
            "code_challenge_method": "S256",
        }
        return _with_query(self._endpoint("authorization_endpoint"), query)

    def finish(self, cookie: str, answer: Mapping[str, str], redirect_uri: str) -> tuple[SignedIn, str]:
        """Return the user who comes back from the provider, and the page at which they end up.

        Args:
            cookie: The browser's cookie of sign-ins.
            answer: The query that the browser brings.
            redirect_uri: The address to which the provider was asked to send it.

        Raises:
            NotSignedIn: When the provider refuses, or what it sends is not for this sign-in.
            NoRole: When no rule gives the user a role.
            Unavailable: When the provider does not answer.
        """
        attempt = Attempt.read(cookie, answer.get("state", ""), self._clock)
        if attempt is None:
            raise NotSignedIn(
                "It was begun in another browser, or more than ten minutes ago, or it was completed already. A "
                "browser keeps the cookies of this server for https addresses, and on this machine."
            )
        self._check_sender(answer.get("iss"))
        if "code" not in answer:
            raise NotSignedIn(_refusal(answer.get("error", "")))
        tokens = self._ask_for_tokens(
            grant_type="authorization_code",
            code=answer["code"],
            redirect_uri=redirect_uri,
            code_verifier=attempt.verifier,
        )
        if tokens is None:
            raise NotSignedIn("The provider does not accept the code: it was used already, or it is too old.")
        return self._user(tokens, nonce=attempt.nonce), attempt.target

    def renew(self, issuer: str, subject: str, refresh_token: str) -> SignedIn | None:
        """Return a user with the roles that the provider's claims give now; None if they must sign in again.

        Raises:
            Unavailable: When the provider does not answer.
        """
        if issuer != self.issuer:
            return None
        try:
            tokens = self._ask_for_tokens(grant_type="refresh_token", refresh_token=refresh_token)
            user = self._user({"refresh_token": refresh_token, **tokens}) if tokens else None
        except (NotSignedIn, NoRole) as error:
            log.warning("Session ended: %s %s", error.title, error.detail)
            return None
        return user if user and user.subject == subject else None

    def end_session(self, issuer: str, return_uri: str) -> str | None:
        """Return the address at which a user signs out of the provider; None if there is none.

        Raises:
            Unavailable: When the provider does not answer.
        """
        if issuer != self.issuer or self._document.end_session_endpoint is None:
            return None
        query = {"client_id": self._client.client_id, "post_logout_redirect_uri": return_uri}
        return _with_query(self._endpoint("end_session_endpoint"), query)

    @property
    def _document(self) -> ProviderDocument:
        return self._provider.state().document

    def _endpoint(self, name: str) -> str:
        """Return an address of the provider.

        Raises:
            Unavailable: When it has none that may be used.
        """
        address: str | None = getattr(self._document, name)
        if address is None:
            raise self._silent(f"it names no {name}")
        if (reason := self._provider.why_not(address)) is not None:
            raise self._silent(f"its {name} is not allowed: {reason}")
        return address

    def _check_sender(self, issuer: str | None) -> None:
        """Refuse an answer of another provider (RFC 9207)."""
        is_always_sent = self._document.authorization_response_iss_parameter_supported
        if issuer != self.issuer and (issuer is not None or is_always_sent):
            raise NotSignedIn("The answer is not from the provider at which you began to sign in.")

    def _ask_for_tokens(self, **fields: str) -> Mapping[str, Any] | None:
        """Ask for tokens; return None if the provider does not accept the code or the refresh token."""
        client_id, auth = self._client.client_id, None
        if self._secret is None:
            fields["client_id"] = client_id
        else:
            auth = httpx.BasicAuth(quote(client_id, safe=""), quote(self._secret, safe=""))
        body = self._provider.post(self._endpoint("token_endpoint"), fields, auth)
        if not isinstance(body, dict):
            raise self._silent("its answer is not a JSON object")
        if "error" not in body:
            return body
        if body.get("error") == "invalid_grant":
            return None
        log.error("%s refuses this server as its client: %s", self.issuer, _shown(body.get("error")))
        raise NotSignedIn(
            "The provider does not accept this server as its client. The server's log has the reason."
        )

    def _user(self, tokens: Mapping[str, Any], *, nonce: str | None = None) -> SignedIn:
        """Return the user of an ID token.

        Args:
            tokens: The answer of the token endpoint.
            nonce: The nonce that the ID token must have; None if it was renewed.
        """
        try:
            claims = self._tokens.id_claims(str(tokens.get("id_token", "")), self._settings)
        except Unauthorized as error:
            reason = (error.detail or "").removesuffix(NEXT_STEP).rstrip()
            raise NotSignedIn(f"The provider's ID token is not valid. {reason}") from None
        if nonce is not None and not _is(claims.get("nonce"), nonce):
            raise NotSignedIn("The provider's ID token is for another sign-in.")
        subject, token = str(claims["sub"]), tokens.get("refresh_token")
        try:
            principal = self._tokens.principal(self.issuer, claims)
        except Forbidden as error:
            raise NoRole(self.issuer, subject, error.detail) from None
        return SignedIn(self.issuer, subject, principal, token if isinstance(token, str) else None)

    def _silent(self, reason: str) -> Unavailable:
        return Unavailable("The sign-in provider does not answer.", detail=f"{self.name}: {reason}")


def _with_query(endpoint: str, query: Mapping[str, str]) -> str:
    return f"{endpoint}{'&' if urlsplit(endpoint).query else '?'}{urlencode(query)}"


def _is(given: object, wanted: str) -> bool:
    return isinstance(given, str) and hmac.compare_digest(given.encode(), wanted.encode())


def _refusal(code: str) -> str:
    if code == "access_denied":
        return "You, or the provider, refused it."
    return f"The provider refused it{f' ({shown})' if (shown := _shown(code)) else ''}."


def _shown(code: object) -> str:
    """Return an error code of a provider if it is one; its texts are not for our page."""
    return code if isinstance(code, str) and _CODE.fullmatch(code) else ""
