"""Turn on the sign-in of the settings."""

from __future__ import annotations

from collections.abc import Collection

from basecamp.access.credentials import Credentials, TokenSource
from basecamp.server.settings import SignIn
from basecamp.services import Services


def credentials_of(kinds: Collection[SignIn], services: Services) -> Credentials | None:
    """Return the sign-in of these kinds; None without any, for a server whose callers may do everything."""
    if not kinds:
        return None
    tokens: list[TokenSource] = [services.token_lookup]  # also without "tokens": those of `dli login`
    if services.oidc is not None:
        tokens.append(services.oidc)
    page = services.page_sign_in
    return Credentials(tokens, page.sessions if page else None)
