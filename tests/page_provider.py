"""An OpenID provider for the page's sign-in: a real one on loopback, whose answers a test can spoil."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode

from fastapi import FastAPI, Request, Response
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey
from starlette.responses import JSONResponse, RedirectResponse

from basecamp.access.oidc.settings import OidcSettings
from served_app import served

CLIENT = "basecamp-page"
SECRET = "marked-client-secret"


@dataclass
class Grant:
    """What a code or a refresh token stands for."""

    subject: str
    query: Mapping[str, str]


@dataclass
class Provider:
    """The provider; its user is signed in there already, and agrees to everything."""

    issuer: str = ""
    subject: str = "u-1"
    users: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Claims by subject."""
    secret: str | None = SECRET
    """The client's secret; None for a public client."""
    metadata: dict[str, Any] = field(default_factory=dict)
    """Changes to the discovery document; None removes a key."""
    spoiled: dict[str, Any] = field(default_factory=dict)
    """Changes to the claims of ID tokens; None removes one."""
    issues_refresh_tokens: bool = True
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    """The provider's clock."""
    token_error: tuple[int, Any] | None = None
    """A status and a body with which the token endpoint refuses everything."""
    sends_issuer: str | None = "own"
    """The ``iss`` of an authorization response (RFC 9207)."""
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    """The path and the fields of each request."""

    def __post_init__(self) -> None:
        self._codes: dict[str, Grant] = {}
        self._refresh_tokens: dict[str, Grant] = {}
        self._keys: list[RSAKey] = []
        self.rotate_key()

    def rotate_key(self) -> None:
        """Sign with a new key, and forget the old ones."""
        self._keys = [RSAKey.generate_key(2048, {"kid": secrets.token_hex(4), "use": "sig", "alg": "RS256"})]

    def disable(self, subject: str) -> None:
        """Let a user's refresh tokens end."""
        self._refresh_tokens = {
            token: grant for token, grant in self._refresh_tokens.items() if grant.subject != subject
        }

    def app(self) -> FastAPI:
        """Return the provider's application."""
        app = FastAPI()
        app.get("/.well-known/openid-configuration")(self._discover)
        app.get("/keys")(self._show_keys)
        app.get("/authorize")(self._authorize)
        app.post("/token")(self._token)
        app.get("/end-session")(self._end_session)
        return app

    async def _discover(self) -> Response:
        document = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "end_session_endpoint": f"{self.issuer}/end-session",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": self.sends_issuer is not None,
        } | self.metadata
        return JSONResponse({key: value for key, value in document.items() if value is not None})

    async def _show_keys(self) -> Response:
        return JSONResponse(KeySet(list(self._keys)).as_dict(private=False))

    async def _authorize(self, request: Request) -> Response:
        query = dict(request.query_params)
        self.requests.append(("/authorize", query))
        code = secrets.token_urlsafe(12)
        self._codes[code] = Grant(self.subject, query)
        answer = {"code": code, "state": query["state"]}
        if self.sends_issuer is not None:
            answer["iss"] = self.issuer if self.sends_issuer == "own" else self.sends_issuer
        return RedirectResponse(f"{query['redirect_uri']}?{urlencode(answer)}", 302)

    async def _token(self, request: Request) -> Response:
        fields = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        self.requests.append(("/token", fields))
        if self.token_error is not None:
            return JSONResponse(self.token_error[1], self.token_error[0])
        if not self._is_client(request, fields):
            return JSONResponse({"error": "invalid_client"}, 401)
        grant = self._redeem(fields)
        if grant is None:
            return JSONResponse({"error": "invalid_grant"}, 400)
        nonce = grant.query.get("nonce") if fields["grant_type"] == "authorization_code" else None
        answer = {"access_token": secrets.token_urlsafe(12), "token_type": "Bearer", "expires_in": 300}
        if self.issues_refresh_tokens:
            answer["refresh_token"] = secrets.token_urlsafe(12)
            self._refresh_tokens[str(answer["refresh_token"])] = grant
        return JSONResponse(answer | {"id_token": self.id_token(grant.subject, nonce=nonce)})

    def _is_client(self, request: Request, fields: Mapping[str, str]) -> bool:
        if self.secret is None:
            return fields.get("client_id") == CLIENT and "authorization" not in request.headers
        given = request.headers.get("authorization", "").removeprefix("Basic ")
        name, _, secret = base64.b64decode(given).decode().partition(":")
        return (unquote(name), unquote(secret)) == (CLIENT, self.secret)

    def _redeem(self, fields: Mapping[str, str]) -> Grant | None:
        """Take a code or a refresh token: each one is good for one use."""
        if fields["grant_type"] == "refresh_token":
            return self._refresh_tokens.pop(fields["refresh_token"], None)
        grant = self._codes.pop(fields["code"], None)
        digest = (
            base64.urlsafe_b64encode(sha256(fields["code_verifier"].encode()).digest()).decode().rstrip("=")
        )
        if grant is None or grant.query["code_challenge"] != digest:
            return None
        return grant if grant.query["redirect_uri"] == fields["redirect_uri"] else None

    def id_token(self, subject: str, **claims: Any) -> str:
        """Return a signed ID token."""
        now = self.now().timestamp()
        content = (
            {"iss": self.issuer, "sub": subject, "aud": CLIENT, "iat": int(now), "exp": int(now + 300)}
            | self.users.get(subject, {})
            | claims
            | self.spoiled
        )
        content = {name: value for name, value in content.items() if value is not None}
        key = self._keys[-1]
        return jwt.encode({"alg": "RS256", "kid": key.kid or ""}, content, key)

    async def _end_session(self, request: Request) -> Response:
        self.requests.append(("/end-session", dict(request.query_params)))
        return RedirectResponse(request.query_params["post_logout_redirect_uri"], 302)


@contextmanager
def serving(provider: Provider) -> Iterator[Provider]:
    """Serve a provider on a free port of this machine."""
    with served(provider.app()) as address:
        provider.issuer = address
        yield provider


AUDIENCE = "basecamp-api"


def settings(
    provider: Provider, *rules: tuple[str, dict[str, Any]], secret: str | None = SECRET
) -> OidcSettings:
    """Return the settings of a server whose page signs in at a provider.

    Args:
        provider: The provider.
        rules: Roles, and the claims that give them.
        secret: The client's secret.
    """
    return OidcSettings.parse(file(provider, *rules).encode(), "oidc.yaml", client_secret=secret)


def file(provider: Provider, *rules: tuple[str, dict[str, Any]]) -> str:
    """Return the file of ``BASECAMP_OIDC`` for a provider, with roles and the claims that give them."""
    page = {"client_id": CLIENT}
    content = {
        "issuers": [{"issuer": provider.issuer, "audience": AUDIENCE, "page": page}],
        "rules": [{"issuer": provider.issuer, "claims": claims, "role": role} for role, claims in rules],
    }
    return json.dumps(content)
