"""Find the caller of a request by an API token, on every replica (``docs/access.md``, "Tokens").

One listing of the tokens tells which exist and which have changed; it is used for at most :data:`TRUSTED_SECONDS`, so
that a revocation counts everywhere by then. A token's object is read when the token is first used, and again when the
listing shows a change. So guessing costs one listing at a time, and no memory.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from cachetools import LRUCache, TTLCache

from basecamp.access.principal import Principal
from basecamp.access.tokens import TokenRecord, digest_of, is_token, key_of, tokens_in
from basecamp.outages.shared_calls import SharedCalls
from basecamp.shared.background import BackgroundLoop
from basecamp.shared.clock import Clock
from basecamp.shared.object_reader import ObjectReader
from basecamp.shared.refresh_cache import RefreshCache
from dataspec.errors import StoreUnreachable, Unauthorized, Unavailable, UnreadableObject
from dataspec.store import Store, StoredObject
from dataspec.store.base import ObjectInfo, StoreDown, try_put
from dataspec.store.call_budget import CallBudgetExceeded

REFRESH_SECONDS = 10.0
"""Age of the listing after which a request makes a new one in the background."""
TRUSTED_SECONDS = 25.0
"""Age of the listing after which a request waits for a new one."""
PATIENCE_SECONDS = 4.0
"""How long it waits before the store counts as silent."""
OUTAGE_SECONDS = 3600.0
"""How long tokens that were known count while the store does not answer."""
UNKNOWN_SECONDS = 30.0
"""How long a token that does not exist is remembered."""
MAX_REMEMBERED = 10_000
MAX_UNKNOWN_AT_ONCE = 8
"""Maximum number of requests that wait for a new listing because their token is not in the last one."""
NOTED_EVERY = timedelta(hours=1)
"""How often a token's last use is written."""
RETRY_SECONDS = 60.0
IDLE_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class _Known:
    """A token's object as it was read."""

    listed: str
    """The ETag for which it was read; the object's own may be newer."""
    stored: StoredObject | None
    """None when it was removed meanwhile."""
    record: TokenRecord | None = None
    """None when it can't be read."""
    principal: Principal | None = None


class TokenLookup:
    """Finds callers by their tokens. Safe to share between threads.

    Args:
        store: The store.
        clock: The clock.
        objects: Notes a token's object that this replica can't read; that token alone is refused.
    """

    def __init__(self, store: Store, clock: Clock, objects: ObjectReader) -> None:
        self._store = store
        self._clock = clock
        self._objects = objects
        self._listing: RefreshCache[Mapping[str, ObjectInfo]] = RefreshCache(
            "tokens",
            lambda: tokens_in(store),
            clock,
            unanswered=lambda: _unanswered(store),
            min_age=TRUSTED_SECONDS,
            max_age=TRUSTED_SECONDS,
        )
        self._reads: SharedCalls[_Known] = SharedCalls()
        self._lock = threading.Lock()
        self._known: LRUCache[str, _Known] = LRUCache(MAX_REMEMBERED)
        self._unknown: TTLCache[str, bool] = TTLCache(MAX_REMEMBERED, UNKNOWN_SECONDS, clock.monotonic)
        self._waiting = threading.BoundedSemaphore(MAX_UNKNOWN_AT_ONCE)
        self._uses = _LastUses(store, clock)
        self.loop = self._uses.loop

    def lookup(self, text: str) -> Principal:
        """Return the caller who has a token.

        Raises:
            Unauthorized: When the token is unknown, revoked or expired, or its object can't be read.
            StoreUnreachable: When the store does not answer, and the token was not known before.
            Unavailable: When too many unknown tokens are sent at once.
        """
        if not is_token(text):
            raise _refused()
        digest = digest_of(text)
        known = self._read(digest, self._listed(digest))
        record, principal = known.record, known.principal
        if record is None or principal is None:
            raise _refused()
        now = self._clock.now()
        if not record.is_living(now):
            raise Unauthorized(
                f"The token expired on {record.expires_at:%Y-%m-%d} at {record.expires_at:%H:%M} UTC.",
                detail="Sign in again: dli login",
            )
        self._uses.note(digest, record, now)
        return principal

    def _listed(self, digest: str) -> ObjectInfo:
        """Return the entry of a token in the listing, after a new listing if the last one does not have it."""
        if (info := self._listing_now().get(digest)) is not None:
            return info
        with self._lock:
            if digest in self._unknown:
                raise _refused()
        if not self._waiting.acquire(blocking=False):
            raise Unavailable("Too many unknown tokens are being checked.", detail="Ask again in a second.")
        try:
            info = self._listing.fresh().get(digest)
        finally:
            self._waiting.release()
        if info is None:
            with self._lock:
                self._unknown[digest] = True
            raise _refused()
        return info

    def _listing_now(self) -> Mapping[str, ObjectInfo]:
        last, age = self._listing.last, self._listing.age()
        if last is None or age is None or age > TRUSTED_SECONDS:
            listed = self._listing.refreshed(PATIENCE_SECONDS).value
            if (age := self._listing.age()) is not None and age > OUTAGE_SECONDS:
                raise _unanswered(self._store)
            return listed
        if age > REFRESH_SECONDS:
            self._listing.refresh()
        return last

    def _read(self, digest: str, info: ObjectInfo) -> _Known:
        with self._lock:
            known = self._known.get(digest)
        if known is not None and info.etag in {known.listed, known.stored.etag if known.stored else None}:
            return known
        try:
            found = self._reads.call(digest, lambda: self._fetch(digest, info, known))
        except CallBudgetExceeded:
            raise _unanswered(self._store) from None
        except StoreUnreachable:
            if known is None:
                raise
            return known  # it is listed, so it was not revoked
        with self._lock:
            self._known[digest] = found
        return found

    def _fetch(self, digest: str, info: ObjectInfo, known: _Known | None) -> _Known:
        key = key_of(digest)
        try:
            stored = self._store.get(key, known=known.stored if known else None)
            if stored is None:
                return _Known(info.etag, None)
            record = self._objects.read(TokenRecord.read, stored)
        except UnreadableObject as error:
            self._objects.note(key, error)
            return _Known(info.etag, None)
        return _Known(info.etag, stored, record, record.principal())


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


def _refused() -> Unauthorized:
    return Unauthorized(
        "The token is not known: it is wrong, or it was revoked.",
        detail="Sign in again: dli login. A program needs a new token: basecamp token create",
    )


def _unanswered(store: Store) -> StoreUnreachable:
    return StoreDown(
        "The store does not answer.", detail=f"{store.url}: whether the token is valid is not known."
    )
