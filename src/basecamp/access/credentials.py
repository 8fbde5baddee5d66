"""From the credentials of a request to its caller (specification 26.21)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from basecamp.access.principal import Principal
from basecamp.access.refusals import invalid_token, not_signed_in


class CredentialSource(Protocol):
    """Knows the callers of one kind of credential. Safe to share between threads."""

    def known(self, secret: str) -> Principal | None:
        """Return the caller of a credential that this replica has in memory; waits for nothing."""

    def verify(self, secret: str) -> Principal:
        """Return the caller of a credential, asking the store or the provider.

        Raises:
            Unauthorized: When it is unknown, expired or revoked.
            Unavailable: While that can't be known.
        """


class TokenSource(CredentialSource, Protocol):
    """Knows the callers of one kind of bearer token."""

    def takes(self, token: str) -> bool:
        """Return whether a token has the form of this kind."""


@dataclass(frozen=True, slots=True)
class Presented:
    """The credentials in a request; a bearer token counts before a cookie."""

    bearer: str | None = field(default=None, repr=False)
    cookie: str | None = field(default=None, repr=False)


class Credentials:
    """Finds the caller of a request by the sources of the sign-in that is on.

    Args:
        tokens: The kinds of bearer tokens; the first one that takes a token decides.
        sessions: The page's sessions, by their cookie; none if pages have no sign-in.
    """

    def __init__(self, tokens: Sequence[TokenSource], sessions: CredentialSource | None = None) -> None:
        self._tokens = tuple(tokens)
        self._sessions = sessions

    def known(self, presented: Presented) -> Principal | None:
        """Return the caller if this replica has the credential in memory; waits for nothing.

        Raises:
            Unauthorized: When there is no credential, or a token that no source takes.
        """
        source, secret = self._source_of(presented)
        return source.known(secret)

    def verify(self, presented: Presented) -> Principal:
        """Return the caller, asking the store or the provider.

        Raises:
            Unauthorized: When the credential is missing, unknown, expired or revoked.
            Unavailable: While that can't be known.
        """
        source, secret = self._source_of(presented)
        return source.verify(secret)

    def _source_of(self, presented: Presented) -> tuple[CredentialSource, str]:
        if presented.bearer is not None:
            source = next((source for source in self._tokens if source.takes(presented.bearer)), None)
            if source is None:
                raise invalid_token()
            return source, presented.bearer
        if presented.cookie is not None and self._sessions is not None:
            return self._sessions, presented.cookie
        raise not_signed_in()
