"""Device grants: a command line without a browser gets a token that a person approves on the page (specification 26.60).

One object in the store for each, under the SHA-256 of its user code. It holds no secret: of the device code its
SHA-256 alone, and the token is made when the command line fetches it.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Literal

from basecamp.access.attempts import AttemptLimit
from basecamp.access.principal import Principal, StoredGrant
from basecamp.shared.clock import Clock
from basecamp.shared.object_reader import ObjectReader
from dataspec.errors import TooManyRequests
from dataspec.store import Store, StoredObject
from dataspec.store.base import MISSING, ObjectInfo, try_delete, try_put, usable
from dataspec.stored_document import Moment, StoredDocument, StoredPart

PREFIX = "basecamp/access/logins/"
LIFETIME = timedelta(minutes=10)
POLL_SECONDS = 2
MAX_PENDING = 100
"""Maximum number of device grants in the store: a listing of them is one page."""
MAX_PER_ADDRESS = 10
"""Maximum number of device grants that an address starts at one replica within their lifetime."""
MAX_WRONG_CODES = 10
"""Maximum number of unknown user codes that a person enters at one replica within the lifetime of a code."""
MAX_WRONG_DEVICES = 60
"""Maximum number of unknown device codes that an address sends to one replica within that time."""

_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
"""Of a user code: without vowels, so that it spells no word (RFC 8628, 6.1)."""
_CODE_LENGTH = 8

State = Literal["pending", "approved", "denied", "used"]
Unredeemed = Literal["pending", "denied", "expired"]


@dataclass(frozen=True, slots=True)
class StartedLogin:
    """A device grant that was started."""

    device_code: str = field(repr=False)
    """The secret by which the command line fetches the token."""
    user_code: str
    """What the person compares on the page, as ``BCDF-GHJK``."""


@dataclass(frozen=True, slots=True)
class PendingLogin:
    """What the page shows of a device grant before a person approves it."""

    machine: str
    """The name that the machine gave itself."""
    address: str
    """The address that it was started from."""
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ApprovedLogin:
    """The person who approved a device grant, and the machine that gets a token for them."""

    principal: Principal
    machine: str


class _Approval(StoredPart):
    name: str
    identity: str
    grants: tuple[StoredGrant, ...]


class LoginRecord(StoredDocument):
    """A device grant; one object in the store."""

    device_sha256: str
    machine: str
    address: str
    created_at: Moment
    state: State = "pending"
    approval: _Approval | None = None


class Logins:
    """Starts, shows, approves and redeems device grants; any replica continues what another one began.

    Every method raises StoreUnreachable when the store does not answer.

    Args:
        store: The store.
        clock: The clock.
        objects: Notes the records that this replica can't read.
    """

    def __init__(self, store: Store, clock: Clock, objects: ObjectReader) -> None:
        self._store = store
        self._clock = clock
        self._objects = objects
        self._started = _limit(MAX_PER_ADDRESS, clock)
        self._wrong_codes = _limit(MAX_WRONG_CODES, clock)
        self._wrong_devices = _limit(MAX_WRONG_DEVICES, clock)

    def start(self, machine: str, address: str) -> StartedLogin:
        """Start a device grant.

        Args:
            machine: The name that the machine gives itself, shown on the page.
            address: The address of the request.

        Raises:
            TooManyRequests: When this address, or all together, started too many.
        """
        self._started.count(address)
        if len(self._sweep()) >= MAX_PENDING:
            raise TooManyRequests(f"{MAX_PENDING} sign-ins of command lines are under way.")
        secret = secrets.token_urlsafe(32)
        while True:
            code = "".join(secrets.choice(_LETTERS) for _ in range(_CODE_LENGTH))
            record = LoginRecord(
                device_sha256=_digest(secret), machine=machine, address=address, created_at=self._clock.now()
            )
            if try_put(self._store, _key(code), record.body(), expected=MISSING) is not None:
                return StartedLogin(f"{code}.{secret}", f"{code[:4]}-{code[4:]}")

    def find(self, user_code: str, asked_by: Principal) -> PendingLogin | None:
        """Return the pending device grant of a user code, as a person has entered it; None without one.

        Raises:
            TooManyRequests: When the person entered too many unknown codes.
        """
        self._wrong_codes.check(asked_by.identity)
        found = self._pending(user_code)
        if found is None:
            self._wrong_codes.count(asked_by.identity)
            return None
        record, _ = found
        return PendingLogin(record.machine, record.address, record.created_at)

    def approve(self, user_code: str, principal: Principal) -> bool:
        """Let the device grant of a user code get a token with a person's rights; False if it has ended.

        Raises:
            TooManyRequests: When the person entered too many unknown codes.
        """
        grants = tuple(map(StoredGrant.of, principal.grants))
        approval = _Approval(name=principal.name, identity=principal.identity, grants=grants)
        return self._settle(user_code, principal, state="approved", approval=approval)

    def deny(self, user_code: str, principal: Principal) -> bool:
        """Refuse the device grant of a user code; False if it has ended.

        Raises:
            TooManyRequests: When the person entered too many unknown codes.
        """
        return self._settle(user_code, principal, state="denied", approval=None)

    def redeem(self, device_code: str, address: str) -> ApprovedLogin | Unredeemed:
        """Return the approval of a device grant, once, or its state; ``expired`` also for an unknown one.

        Raises:
            TooManyRequests: When the address sent too many unknown codes.
        """
        self._wrong_devices.check(address)
        code, _, secret = device_code.partition(".")
        found = self._live(code)
        if found is None or not hmac.compare_digest(found[0].device_sha256, _digest(secret)):
            self._wrong_devices.count(address)
            return "expired"
        record, stored = found
        if record.approval is None:
            return "denied" if record.state == "denied" else "pending"
        # The request that marks it as used gets the token: a second one, at any replica, gets none.
        if not self._replace(stored, record.changed(state="used", approval=None)):
            return "expired"
        return ApprovedLogin(_principal(record.approval), record.machine)

    def _settle(
        self, user_code: str, principal: Principal, *, state: State, approval: _Approval | None
    ) -> bool:
        self._wrong_codes.check(principal.identity)
        found = self._pending(user_code)
        if found is None:
            self._wrong_codes.count(principal.identity)
            return False
        record, stored = found
        return self._replace(stored, record.changed(state=state, approval=approval))

    def _pending(self, user_code: str) -> tuple[LoginRecord, StoredObject] | None:
        found = self._live("".join(filter(str.isalnum, user_code)).upper())
        return found if found and found[0].state == "pending" else None

    def _live(self, code: str) -> tuple[LoginRecord, StoredObject] | None:
        """Return the record of a user code that has not ended."""
        stored = self._store.get(_key(code))
        record = self._objects.read_or_remove(LoginRecord.read, stored) if stored else None
        if stored is None or record is None or record.state == "used":
            return None
        return None if self._clock.now() - record.created_at > LIFETIME else (record, stored)

    def _replace(self, stored: StoredObject, record: LoginRecord) -> bool:
        return try_put(self._store, stored.key, record.body(), expected=stored.etag) is not None

    def _sweep(self) -> list[ObjectInfo]:
        """Remove the device grants that have ended; return the others."""
        before, kept = self._store.now() - LIFETIME, []
        for info in usable(self._store.list(PREFIX)):
            # The last write is the approval at the latest, so no grant that is waited for is removed.
            if info.last_modified >= before:
                kept.append(info)
            else:
                try_delete(self._store, info.key, expected=info.etag)
        return kept


def _limit(attempts: int, clock: Clock) -> AttemptLimit:
    return AttemptLimit(attempts, LIFETIME.total_seconds(), clock.monotonic)


def _key(code: str) -> str:
    return f"{PREFIX}{_digest(code)}.json"


def _digest(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()


def _principal(approval: _Approval) -> Principal:
    grants = tuple(stored.grant() for stored in approval.grants)
    return Principal(approval.name, grants, "session", approval.identity)
