"""A server on which people sign in on the page: with API tokens, at a provider, or both."""

from __future__ import annotations

from datetime import timedelta

from fastapi import FastAPI

from basecamp.access.oidc.settings import OidcSettings
from basecamp.access.principal import Grant, Role
from basecamp.access.sessions import PageSignIn
from basecamp.access.sessions.cookie_keys import SESSION_COOKIE, stored_id
from basecamp.access.sessions.records import SessionRecord, key_of
from basecamp.access.tokens import Tokens
from basecamp.api.authorization import Gate
from basecamp.notifications.settings import NotificationSettings
from basecamp.server.settings import SignIn
from basecamp.server.sign_in import credentials_of
from basecamp.server.wiring import build_services
from basecamp.services import Services
from browser import ORIGIN, Browser
from unit.basecamp.web.conftest import World


class SignedWorld(World):
    """A world in which people sign in.

    Attributes:
        app: The application.
        sign_in: How people sign in on it.
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
        self._kinds: tuple[SignIn, ...] = (*(("tokens",) if tokens else ()), *(("oidc",) if oidc else ()))
        self._public = public
        self.services = self._replica()
        self.sign_in = self._sign_in(self.services)
        app.state.services = self.services
        app.state.gate = Gate(credentials_of(self._kinds, self.services))

    def _replica(self) -> Services:
        return build_services(
            self.store,
            self.airflow,
            self.clock,
            notifications=NotificationSettings(public_url=self._public),
            sign_in=self._kinds,
            oidc=self._oidc,
        )

    @staticmethod
    def _sign_in(services: Services) -> PageSignIn:
        assert services.page_sign_in is not None
        return services.page_sign_in

    def replica(self) -> PageSignIn:
        """Return the sign-in of another replica on the same store."""
        return self._sign_in(self._replica())

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
