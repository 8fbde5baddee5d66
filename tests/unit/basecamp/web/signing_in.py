"""A server on which people sign in on the page: with API tokens, at a provider, or both."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from fastapi import FastAPI

from basecamp.access.credentials import Credentials
from basecamp.access.oidc.settings import OidcSettings
from basecamp.access.oidc.tokens import OidcTokens
from basecamp.access.principal import Grant, Role
from basecamp.access.sessions import PageSignIn
from basecamp.access.sessions.cookie_keys import SESSION_COOKIE, stored_id
from basecamp.access.sessions.records import SessionRecord, key_of
from basecamp.access.token_lookup import TokenLookup
from basecamp.access.tokens import Tokens
from basecamp.api.authorization import Gate
from basecamp.shared.object_reader import ObjectReader
from basecamp.shared.public_address import PublicAddress
from browser import ORIGIN, Browser
from unit.basecamp.web.conftest import World


class SignedWorld(World):
    """A world in which people sign in.

    Attributes:
        app: The application.
        replicas: The sessions of this replica, and of others on the same store.
    """

    def __init__(
        self,
        app: FastAPI,
        *,
        tokens: bool = True,
        oidc: OidcSettings | None = None,
        public: str | None = ORIGIN,
    ) -> None:
        super().__init__(app)
        self.app = app
        self._oidc = oidc
        self._takes_tokens = tokens
        self._public = PublicAddress.parse(public) if public else None
        self.sign_in = self.replica()
        self.services = replace(self.services, page_sign_in=self.sign_in)
        app.state.services = self.services
        app.state.gate = Gate(Credentials([], self.sign_in.sessions))

    def replica(self) -> PageSignIn:
        """Return the sign-in of a replica on the same store."""
        objects = ObjectReader(self.store, self.clock)
        lookup = TokenLookup(self.store, self.clock, objects) if self._takes_tokens else None
        oidc = (self._oidc, OidcTokens(self._oidc, self.clock)) if self._oidc else None
        sign_in = PageSignIn.of(
            self.store, objects, self.clock, tokens=lookup, oidc=oidc, public=self._public
        )
        assert sign_in is not None
        return sign_in

    def token(self, role: Role, *teams: str, name: str = "dana") -> str:
        """Make an API token."""
        grant = Grant(role, frozenset(teams) or None)
        tokens = Tokens(self.store, self.clock)
        return tokens.create(name, grant, lifetime=timedelta(days=30), created_by="root@host").text

    def browser(self, token: str | None = None) -> Browser:
        """Return a browser, signed in with an API token if one is given."""
        browser = Browser(self.app)
        if token is not None:
            browser.open("/sign-in")
            assert browser.submit("/sign-in/token", {"token": token}).status_code == 200
        return browser

    def session_of(self, browser: Browser) -> SessionRecord | None:
        """Return what the store has of a browser's session."""
        stored = self.store.get(key_of(stored_id(browser.cookies.get(SESSION_COOKIE) or "")))
        return SessionRecord.read(stored) if stored else None
