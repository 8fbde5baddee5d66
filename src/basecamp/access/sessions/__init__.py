"""The page's sign-in: the flow at a provider, and sessions (``docs/access.md``, "The page")."""

from __future__ import annotations

from dataclasses import dataclass

from basecamp.access.oidc.settings import OidcSettings
from basecamp.access.oidc.tokens import OidcTokens
from basecamp.access.sessions.provider import PageProvider
from basecamp.access.sessions.sessions import Sessions
from basecamp.access.token_lookup import TokenLookup
from basecamp.shared.clock import Clock
from basecamp.shared.object_reader import ObjectReader
from basecamp.shared.public_address import PublicAddress
from dataspec.store import Store


@dataclass(frozen=True, slots=True)
class PageSignIn:
    """How people sign in on the page of a server."""

    sessions: Sessions
    provider: PageProvider | None
    """The provider at which people sign in; None if there is none."""
    takes_tokens: bool
    """Whether an API token can be pasted."""
    public: PublicAddress | None = None
    """The address at which people open the pages; None on a server for this machine alone."""

    @classmethod
    def of(
        cls,
        store: Store,
        objects: ObjectReader,
        clock: Clock,
        *,
        tokens: TokenLookup | None,
        oidc: tuple[OidcSettings, OidcTokens] | None,
        public: PublicAddress | None,
    ) -> PageSignIn | None:
        """Return how people sign in; None if they can't.

        Args:
            store: The store.
            objects: Notes sessions that this replica can't read.
            clock: The clock.
            tokens: Looks up API tokens; None if they are off.
            oidc: The settings of OIDC, and what verifies its tokens; None if it is off.
            public: The address at which people open the pages.
        """
        page = oidc[0].page if oidc else None
        provider = PageProvider(*oidc, clock) if oidc and page else None
        if tokens is None and provider is None:
            return None
        sessions = Sessions(store, objects, clock, tokens=tokens, provider=provider)
        return cls(sessions, provider, tokens is not None, public)
