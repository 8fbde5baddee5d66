"""Find the caller of a request by an API token, on every replica (``docs/access.md``, "Tokens")."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta

from cachetools import TTLCache

from basecamp.access.principal import Principal
from basecamp.access.refusals import invalid_token
from basecamp.access.stored_credentials import MAX_REMEMBERED, Found, StoredCredentials
from basecamp.access.tokens import PREFIX, TokenRecord, digest_of, is_token, key_of
from basecamp.shared.background import BackgroundLoop
from basecamp.shared.clock import Clock
from basecamp.shared.object_reader import ObjectReader
from dataspec.errors import UnreadableObject
from dataspec.store import Store, StoredObject
from dataspec.store.base import try_put

NOTED_EVERY = timedelta(hours=1)
"""How often a token's last use is written."""
UNKNOWN = "It is unknown here, or was revoked."
RETRY_SECONDS = 60.0
IDLE_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class _Token:
    """A token, and the caller who has it."""

    record: TokenRecord
    principal: Principal

    @classmethod
    def read(cls, stored: StoredObject) -> _Token:
        record = TokenRecord.read(stored)
        return cls(record, record.principal())


class TokenLookup:
    """Finds callers by their tokens. Safe to share between threads.

    Args:
        store: The store.
        clock: The clock.
        objects: Notes a token's object that this replica can't read; that token alone is refused.
        logins_only: Whether the tokens of ``dli login`` count alone, on a server without API tokens.
    """

    def __init__(
        self, store: Store, clock: Clock, objects: ObjectReader, *, logins_only: bool = False
    ) -> None:
        self._clock = clock
        self._logins_only = logins_only
        self._tokens = StoredCredentials(store, clock, objects, prefix=PREFIX, reader=_Token.read)
        self._uses = _LastUses(store, clock)
        self.loop = self._uses.loop

    def takes(self, token: str) -> bool:
        """Return whether a bearer token is meant to be an API token."""
        return token.startswith("dli_")

    def known(self, secret: str) -> Principal | None:
        """Return the caller who has a token, if this replica has it in memory; waits for nothing.

        Raises:
            Unauthorized: When it has not the form of a token, or has expired.
        """
        return self.known_digest(_digest(secret))

    def verify(self, secret: str) -> Principal:
        """Return the caller who has a token.

        Raises:
            Unauthorized: When the token is unknown, revoked or expired, or its object can't be read.
            StoreUnreachable: When the store does not answer, and the token was not known before.
            Unavailable: When too many unknown tokens are sent at once.
        """
        return self.lookup_digest(_digest(secret))

    def lookup_digest(self, digest: str) -> Principal:
        """Return the caller who has the token of a SHA-256. Raises what :meth:`verify` raises."""
        found = self._tokens.find(digest)
        if found is None:
            raise invalid_token(UNKNOWN)
        return self._caller(digest, found)

    def known_digest(self, digest: str) -> Principal | None:
        """Return the caller who has the token of a SHA-256 if this replica has it in memory; waits for nothing.

        Raises:
            Unauthorized: When the token has expired.
        """
        found = self._tokens.known(digest)
        return self._caller(digest, found) if found else None

    def _caller(self, digest: str, found: Found[_Token]) -> Principal:
        record, now = found.record.record, self._clock.now()
        if self._logins_only and not record.is_login:
            raise invalid_token("API tokens are not accepted here, only those of dli login.")
        if not record.is_living(now):
            raise invalid_token(
                f"It expired on {record.expires_at:%Y-%m-%d} at {record.expires_at:%H:%M} UTC."
            )
        self._uses.note(digest, record, now)
        return found.record.principal


class _LastUses:
    """Writes when tokens were last used, in the background: no request waits for it, or fails with it."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._noted: TTLCache[str, bool] = TTLCache(
            MAX_REMEMBERED, NOTED_EVERY.total_seconds(), clock.monotonic
        )
        self._unwritten: dict[str, datetime] = {}
        self.loop = BackgroundLoop("note of tokens' last use", self.turn, retry_seconds=RETRY_SECONDS)

    def note(self, digest: str, record: TokenRecord, now: datetime) -> None:
        """Note a use, unless one was noted within the hour."""
        if record.last_used_at is not None and now - record.last_used_at < NOTED_EVERY:
            return
        with self._lock:
            if digest in self._noted:
                return
            self._noted[digest] = True
            self._unwritten[digest] = now
        self.loop.wake()

    def turn(self) -> float:
        """Write what was noted; return the seconds until the next turn, unless a use is noted first.

        Raises:
            StoreUnreachable: When the store does not answer; the rest is written later.
        """
        for digest, used_at in list(self._unwritten.items()):
            self._write(digest, used_at)
            with self._lock:
                del self._unwritten[digest]
        return IDLE_SECONDS

    def _write(self, digest: str, used_at: datetime) -> None:
        key = key_of(digest)
        try:
            stored = self._store.get(key)
            record = TokenRecord.read(stored) if stored else None
        except UnreadableObject:
            return
        if stored is None or record is None:
            return
        if record.last_used_at is None or used_at - record.last_used_at >= NOTED_EVERY:
            body = record.changed(last_used_at=used_at.replace(microsecond=0)).body()
            try_put(self._store, key, body, expected=stored.etag)


def _digest(secret: str) -> str:
    if not is_token(secret):
        raise invalid_token(UNKNOWN)
    return digest_of(secret)
