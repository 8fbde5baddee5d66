"""The page's sessions: each one is an object in the store, found by the SHA-256 of its cookie.

A session counts on every replica, and ends on all of them when its object is removed. It has the rights of the API
token that was signed in with, or the roles that the provider gave, which are read again every 15 minutes with the
provider's refresh token.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from basecamp.access.principal import Principal, StoredGrant
from basecamp.access.refusals import not_signed_in
from basecamp.access.sessions.cookie_keys import is_cookie, new_cookie, opened, sealed, stored_id
from basecamp.access.sessions.provider import PageProvider, SignedIn
from basecamp.access.sessions.records import (
    LIFETIME,
    PREFIX,
    ROLES_AGE,
    ROLES_DUE,
    USE_NOTED,
    ProviderLogin,
    SessionRecord,
    key_of,
)
from basecamp.access.stored_credentials import StoredCredentials
from basecamp.access.token_lookup import TokenLookup
from basecamp.shared.clock import Clock
from basecamp.shared.object_reader import ObjectReader
from dataspec.errors import StoreUnreachable, Unauthorized, Unavailable, UnreadableObject
from dataspec.store import Store, StoredObject
from dataspec.store.base import MISSING, try_delete, try_put

WAIT_SECONDS = 0.25
"""Seconds between two looks at a session that another request renews."""
MAX_WAIT_SECONDS = 5.0

_REFRESH_TOKEN = "refresh token"  # noqa: S105 - the purpose of a key


@dataclass(frozen=True, slots=True)
class _Session:
    """A session as it was read from the store, or written to it."""

    name: str
    """The SHA-256 of its cookie."""
    etag: str
    record: SessionRecord

    @property
    def login(self) -> ProviderLogin:
        """The sign-in at the provider."""
        assert self.record.provider is not None  # noqa: S101 - asked before
        return self.record.provider


class Sessions:
    """Begins, finds and ends sessions. Safe to share between threads.

    Args:
        store: The store.
        objects: Notes records that this replica can't read.
        clock: The clock.
        tokens: Looks up API tokens; None if nobody can sign in with one.
        provider: Reads roles from the provider; None if nobody can sign in at one.
    """

    def __init__(
        self,
        store: Store,
        objects: ObjectReader,
        clock: Clock,
        *,
        tokens: TokenLookup | None,
        provider: PageProvider | None,
    ) -> None:
        self._store = store
        self._objects = objects
        self._clock = clock
        self._tokens = tokens
        self._provider = provider
        self._sessions = StoredCredentials(store, clock, objects, prefix=PREFIX, reader=SessionRecord.read)

    def begin(self, user: SignedIn) -> str:
        """Begin the session of a user whom a provider has identified; return its cookie.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        cookie = new_cookie()
        return self._create(cookie, provider=self._login(user, cookie))

    def begin_with_token(self, token: str) -> str:
        """Begin a session with the rights of an API token; return its cookie.

        Raises:
            Unauthorized: When the token is unknown, expired or revoked, or tokens are off.
            Unavailable: While that can't be known.
        """
        digest = stored_id(token)
        self._verify_token(digest)
        return self._create(new_cookie(), token_sha256=digest)

    def end(self, cookie: str) -> SessionRecord | None:
        """End a session on every replica; return it if there was one.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        return self._end(stored_id(cookie)) if is_cookie(cookie) else None

    def known(self, secret: str) -> Principal | None:
        """Return the caller of a cookie if this replica has the session in memory; waits for nothing."""
        found = self._sessions.known(stored_id(secret))
        if found is None or found.record.needs_work(self._clock.now()):
            return None
        record = found.record
        if record.provider is not None:
            return _of_provider(record, record.provider) if self._signs_in(record.provider) else None
        owner = self._tokens.known_digest(record.token_sha256 or "") if self._tokens else None
        return _of_token(record, owner) if owner else None

    def verify(self, secret: str) -> Principal:
        """Return the caller of a cookie.

        Raises:
            Unauthorized: When there is no such session, or it has ended, or the user must sign in again.
            Unavailable: While that can't be known.
        """
        session = self._live(stored_id(secret)) if is_cookie(secret) else None
        if session is None:
            raise not_signed_in()
        if session.record.provider is None:
            caller = self._token_owner(session)
        elif self._signs_in(session.login):
            session = self._with_current_roles(session, secret)
            caller = _of_provider(session.record, session.login)
        else:
            raise not_signed_in()
        self._note_use(session)
        return caller

    def _signs_in(self, login: ProviderLogin) -> bool:
        """Return whether people still sign in at the provider of a session."""
        return self._provider is not None and login.issuer == self._provider.issuer

    def _token_owner(self, session: _Session) -> Principal:
        try:
            owner = self._verify_token(session.record.token_sha256 or "")
        except Unauthorized:
            self._end(session.name)
            raise not_signed_in() from None
        return _of_token(session.record, owner)

    def _verify_token(self, digest: str) -> Principal:
        if self._tokens is None:
            raise not_signed_in()
        return self._tokens.lookup_digest(digest)

    def _with_current_roles(self, session: _Session, cookie: str) -> _Session:
        """Return a session whose roles are not too old, reading them from the provider when they are due.

        One request at a time does so, at whichever replica: a refresh token may be good for one use alone.
        """
        deadline = self._clock.monotonic() + MAX_WAIT_SECONDS
        while True:
            now, login = self._clock.now(), session.login
            age = now - login.read_at
            can_wait = age < ROLES_AGE and (login.refresh_token is None or login.is_being_renewed(now))
            if age < ROLES_DUE or can_wait:
                return session
            if not login.is_being_renewed(now):
                claimed = self._replace(session, provider=login.changed(renewing_since=now))
                if claimed is not None:
                    return self._renewed(claimed, cookie)
            if self._clock.monotonic() >= deadline:
                raise Unavailable("Your roles are being read again.", detail="Try again in a few seconds.")
            self._clock.wait(WAIT_SECONDS)
            self._sessions.forget(session.name)
            session = self._live(session.name)

    def _renewed(self, session: _Session, cookie: str) -> _Session:
        """Return a session with the roles that the provider gives now; end it if the user must sign in again."""
        login, now = session.login, self._clock.now()
        token = opened(cookie, _REFRESH_TOKEN, login.refresh_token or "", now)
        try:
            user = (
                self._provider.renew(login.issuer, login.subject, token) if self._provider and token else None
            )
        except Unavailable:
            if now - login.read_at < ROLES_AGE:
                return session
            raise
        renewed = self._replace(session, provider=self._login(user, cookie), used_at=now) if user else None
        if renewed is None:
            self._end(session.name)
            raise not_signed_in()
        return renewed

    def _login(self, user: SignedIn, cookie: str) -> ProviderLogin:
        now = self._clock.now()
        token = sealed(cookie, _REFRESH_TOKEN, user.refresh_token, now) if user.refresh_token else None
        return ProviderLogin(
            issuer=user.issuer,
            subject=user.subject,
            name=user.principal.name,
            identity=user.principal.identity,
            grants=tuple(map(StoredGrant.of, user.principal.grants)),
            read_at=now,
            refresh_token=token,
        )

    def _note_use(self, session: _Session) -> None:
        now = self._clock.now()
        if now - session.record.used_at >= USE_NOTED:
            with suppress(StoreUnreachable):  # noted by a later use
                self._replace(session, used_at=now)

    def _create(self, cookie: str, **sign_in: Any) -> str:
        now = self._clock.now()
        self._put(stored_id(cookie), SessionRecord(created_at=now, used_at=now, **sign_in), expected=MISSING)
        return cookie

    def _live(self, name: str) -> _Session:
        """Return a session that has not ended."""
        found = self._sessions.find(name)
        if found is None:
            raise not_signed_in()
        if found.record.is_over(self._clock.now()):
            self._end(name)
            raise not_signed_in()
        return _Session(name, found.stored.etag, found.record)

    def _replace(self, session: _Session, **changes: Any) -> _Session | None:
        """Write a session; return None if another request has changed or ended it."""
        record = session.record.changed(**changes)
        return self._put(session.name, record, expected=session.etag)

    def _put(self, name: str, record: SessionRecord, *, expected: str) -> _Session | None:
        body = record.body()
        etag = try_put(self._store, key_of(name), body, expected=expected)
        if etag is None:
            self._sessions.forget(name)
            return None
        self._sessions.put(name, StoredObject(key_of(name), etag, body), record)
        return _Session(name, etag, record)

    def _end(self, name: str) -> SessionRecord | None:
        while (stored := self._store.get(key_of(name))) is not None:
            if try_delete(self._store, stored.key, expected=stored.etag):
                break
        self._sessions.forget(name)
        try:
            return SessionRecord.read(stored) if stored else None
        except UnreadableObject:
            return None


def _of_provider(record: SessionRecord, login: ProviderLogin) -> Principal:
    grants = tuple(grant.grant() for grant in login.grants)
    return Principal(login.name, grants, "session", login.identity, record.created_at + LIFETIME)


def _of_token(record: SessionRecord, owner: Principal) -> Principal:
    ends = record.created_at + LIFETIME
    return replace(owner, method="session", expires_at=min(ends, owner.expires_at or ends))
