"""What the store has of a session."""

from __future__ import annotations

from datetime import datetime, timedelta

from basecamp.access.principal import StoredGrant
from dataspec.stored_document import Moment, StoredDocument, StoredPart

PREFIX = "basecamp/access/sessions/"

IDLE_TIME = timedelta(hours=12)
"""After how long without use a session ends."""
LIFETIME = timedelta(days=7)
"""How long after the sign-in a session ends, however much it is used."""
ROLES_DUE = timedelta(minutes=14)
"""The age at which roles are read again; up to ROLES_AGE the known ones count meanwhile."""
ROLES_AGE = timedelta(minutes=15)
"""The age up to which roles count."""
USE_NOTED = timedelta(minutes=15)
"""How far the stored time of the last use may lag behind."""
RENEWAL_TIME = timedelta(seconds=30)
"""After how long a renewal that has not ended is tried again."""


class ProviderLogin(StoredPart):
    """A sign-in at a provider, with the roles that its claims gave."""

    issuer: str
    subject: str
    name: str
    identity: str
    grants: tuple[StoredGrant, ...]
    read_at: Moment
    """When the roles were read."""
    refresh_token: str | None = None
    """Encrypted with a key that is derived from the cookie."""
    renewing_since: Moment | None = None
    """When a replica began to read the roles again."""

    def is_being_renewed(self, now: datetime) -> bool:
        """Return whether a replica reads the roles again."""
        return self.renewing_since is not None and now - self.renewing_since < RENEWAL_TIME


class SessionRecord(StoredDocument):
    """A session; one object in the store."""

    created_at: Moment
    used_at: Moment
    """The last use, or up to 15 minutes before it."""
    provider: ProviderLogin | None = None
    """The sign-in at a provider; None for one with an API token."""
    token_sha256: str | None = None
    """The API token that was signed in with."""

    def is_over(self, now: datetime) -> bool:
        """Return whether the session has reached its end."""
        return now - self.created_at >= LIFETIME or now - self.used_at >= IDLE_TIME

    def needs_work(self, now: datetime) -> bool:
        """Return whether its next use must be noted, or its roles be read again."""
        read_at = self.provider.read_at if self.provider else now
        return self.is_over(now) or now - self.used_at >= USE_NOTED or now - read_at >= ROLES_DUE


def key_of(name: str) -> str:
    """Return the key of a session's object; a session is named by the SHA-256 of its cookie."""
    return f"{PREFIX}{name}.json"
