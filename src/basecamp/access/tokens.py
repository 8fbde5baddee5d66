"""API tokens: made, listed and revoked (``docs/access.md``, "Tokens").

The store has an object for each token, under the token's SHA-256, and never its text. A token counts while its object
exists, until its expiry; :mod:`basecamp.access.token_lookup` finds the caller of a request by it.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from basecamp.access.principal import Grant, Principal, StoredGrant, printable
from basecamp.access.stored_credentials import listed_credentials
from basecamp.shared.clock import Clock
from dataspec.errors import InvalidUsage, NotFound, Refused, Unauthorized, UnreadableObject
from dataspec.store import Store
from dataspec.store.base import MISSING, ObjectInfo, try_delete
from dataspec.stored_document import Moment, StoredDocument

PREFIX = "basecamp/access/tokens/"
MAX_LIFETIME = timedelta(days=366)
LOGIN_LIFETIME = timedelta(days=30)
"""The lifetime of the token of ``dli login``."""
ENDED_STAY = timedelta(days=30)
"""How long an expired token is still listed."""

_TOKEN = re.compile(r"dli_[A-Za-z0-9_-]{43}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,99}")
_OWN = "token "
_BYTES = 32
_TRIES = 5


class TokenRecord(StoredDocument):
    """A token in the store."""

    id: str
    """A short public name, to tell two tokens apart."""
    name: str
    grants: tuple[StoredGrant, ...]
    user: str | None = None
    """The person that ``dli login`` made the token for."""
    identity: str | None = None
    """That person's identity at the provider."""
    created_at: Moment
    created_by: str
    expires_at: Moment
    last_used_at: Moment | None = None
    """At most an hour before the last use."""

    def principal(self) -> Principal:
        """Return the caller who has the token."""
        return Principal(
            name=self.user or self.name,
            grants=tuple(grant.grant() for grant in self.grants),
            method="token",
            identity=self.identity or self.own_identity,
            expires_at=self.expires_at,
        )

    @property
    def own_identity(self) -> str:
        """The identity of a caller who is known by this token alone."""
        return f"{_OWN}{self.id}"

    def is_living(self, now: datetime) -> bool:
        """Return whether the token has not expired."""
        return now < self.expires_at

    @property
    def is_login(self) -> bool:
        """Whether ``dli login`` made the token."""
        return self.user is not None

    @property
    def highest(self) -> Grant:
        """The highest role, of the most teams."""
        grants = (grant.grant() for grant in self.grants)
        return max(grants, key=lambda grant: (grant.role, grant.teams is None, len(grant.teams or ())))


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token that was just made. Its text is known here alone."""

    text: str = field(repr=False)
    record: TokenRecord


@dataclass(frozen=True, slots=True)
class TokenList:
    """All tokens, and why others can't be read, by key."""

    records: Sequence[TokenRecord]
    unreadable: Sequence[UnreadableObject]


class Tokens:
    """Makes, lists and revokes tokens. Safe to share between threads.

    Args:
        store: The store.
        clock: The clock.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def create(self, name: str, grant: Grant, *, lifetime: timedelta, created_by: str) -> NewToken:
        """Make a token for a program or a person.

        Args:
            name: Its name, unique among the tokens that have not expired.
            grant: What it may do.
            lifetime: How long it counts.
            created_by: Who made it, for the list.

        Raises:
            InvalidUsage: When the name or the lifetime is not valid.
            Refused: When a living token has the name.
            StoreUnreachable: When the store does not answer.
        """
        if _NAME.fullmatch(name) is None:
            raise InvalidUsage(
                f"'{printable(name)}' can't name a token: use 1 to 100 ASCII letters, digits and '._@-', "
                "and begin with a letter or digit."
            )
        if not timedelta(0) < lifetime <= MAX_LIFETIME:
            raise InvalidUsage(f"A token lives 1 to {MAX_LIFETIME.days} days.")
        self._check_free(name)
        new = self._mint(name, (grant,), lifetime, created_by)
        try:
            self._check_free(name, but=new)
        except Refused:
            self.revoke_text(new.text)
            raise
        return new

    def mint_login(self, person: Principal, machine: str) -> NewToken:
        """Make the token of ``dli login``, with what the person may do now.

        A person who signed in with a token gets one that ends with that token.

        Args:
            person: The person, who has signed in.
            machine: The name of the person's machine.

        Raises:
            Unauthorized: When the token that the person signed in with has ended.
            StoreUnreachable: When the store does not answer.
        """
        name = f"login:{person.name}@{printable(machine)}"
        return self._mint(name, person.grants, self._login_lifetime(person), person.name, person)

    def _login_lifetime(self, person: Principal) -> timedelta:
        if not person.identity.startswith(_OWN):
            return LOGIN_LIFETIME
        now = self._clock.now().replace(microsecond=0)
        for record in self.all().records:
            if record.own_identity == person.identity and record.is_living(now):
                return min(LOGIN_LIFETIME, record.expires_at - now)
        raise Unauthorized("The token that approved this login has ended.", detail="Try again: dli login")

    def _mint(
        self,
        name: str,
        grants: Sequence[Grant],
        lifetime: timedelta,
        created_by: str,
        person: Principal | None = None,
    ) -> NewToken:
        now = self._clock.now().replace(microsecond=0)
        text = f"dli_{secrets.token_urlsafe(_BYTES)}"
        record = TokenRecord(
            id=secrets.token_hex(4),
            name=name,
            grants=tuple(map(StoredGrant.of, grants)),
            user=person.name if person else None,
            identity=person.identity if person else None,
            created_at=now,
            created_by=created_by,
            expires_at=now + lifetime,
        )
        self._store.put(key_of(digest_of(text)), record.body(), expected=MISSING)
        return NewToken(text, record)

    def _check_free(self, name: str, *, but: NewToken | None = None) -> None:
        """Refuse a name that another living token has; repeated after the write, since two may be made at once."""
        now = self._clock.now()
        for record in self.all().records:
            if record.name == name and record.is_living(now) and not (but and record.id == but.record.id):
                raise Refused(
                    f"A token is named '{name}' already; it expires on {record.expires_at:%Y-%m-%d}.",
                    detail=f"Choose another name, or revoke that one: basecamp token revoke {name}",
                )

    def all(self) -> TokenList:
        """Return all tokens by name, expired ones as well.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        records, unreadable = [], []
        for _, found in self._read(list(listed_credentials(self._store, PREFIX).values())):
            if isinstance(found, TokenRecord):
                records.append(found)
            else:
                unreadable.append(found)
        return TokenList(sorted(records, key=lambda record: (record.name, record.created_at)), unreadable)

    def _read(
        self, infos: Sequence[ObjectInfo]
    ) -> Iterator[tuple[ObjectInfo, TokenRecord | UnreadableObject]]:
        found = self._store.get_many([info.key for info in infos])
        for info in infos:
            if (stored := found.get(info.key)) is None:
                continue
            try:
                yield info, TokenRecord.read(stored)
            except UnreadableObject as error:
                yield info, error

    def revoke(self, name: str) -> Sequence[TokenRecord]:
        """Revoke the tokens with a name or an id, with those of logins that they approved, and return them.

        Raises:
            NotFound: When there is none.
            StoreUnreachable: When the store does not answer.
        """
        listed = self._read(list(listed_credentials(self._store, PREFIX).values()))
        known = {info.key: found for info, found in listed if isinstance(found, TokenRecord)}
        named = {found.own_identity for found in known.values() if name in {found.name, found.id}}
        revoked = []
        for key, found in known.items():
            if found.own_identity in named or found.identity in named:
                self._remove(key)
                revoked.append(found)
        if not revoked:
            raise NotFound(
                f"No token has the name or id '{printable(name)}'.", detail="See: basecamp token list"
            )
        return revoked

    def revoke_text(self, text: str) -> bool:
        """Revoke a token that its owner gives back; return False for text that is no API token.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        if not is_token(text):
            return False
        self._remove(key_of(digest_of(text)))
        return True

    def _remove(self, key: str) -> None:
        """Remove a token's object, whose last use may be written at the same time."""
        for _ in range(_TRIES):
            stored = self._store.get(key)
            if stored is None or try_delete(self._store, key, expected=stored.etag):
                return
        raise Refused("The token was changed again and again; revoke it once more.")

    def ended(self) -> Sequence[ObjectInfo]:
        """Return the objects of the tokens that expired long ago.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        before = self._clock.now() - ENDED_STAY
        listed = list(listed_credentials(self._store, PREFIX).values())
        return [
            info
            for info, found in self._read(listed)
            if isinstance(found, TokenRecord) and found.expires_at < before
        ]


def is_token(text: str) -> bool:
    """Return whether a text has the form of a token."""
    return _TOKEN.fullmatch(text) is not None


def digest_of(text: str) -> str:
    """Return the SHA-256 of a token, which names its object."""
    return hashlib.sha256(text.encode()).hexdigest()


def key_of(digest: str) -> str:
    """Return the key of a token's object."""
    return f"{PREFIX}{digest}.json"
