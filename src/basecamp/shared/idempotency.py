"""Idempotency keys: a repeated request has one effect, on whichever replica it arrives.

A key is looked up before anything is checked against today's state. The first request with a key writes its plan,
create-only, under ``basecamp/idempotency/<day>/``, acts, and adds its answer. A repeated request gets this answer;
where there is none, because the first request failed or its replica died, it does what the plan says.
A key counts until an hour after midnight UTC.
"""

from __future__ import annotations

import hashlib
import json
import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from basecamp.shared.clock import Clock
from basecamp.shared.object_reader import ObjectReader
from basecamp.shared.request_facts import note_facts
from basecamp.shared.waiting import Steps
from dataspec.errors import Conflict, CorruptObject, InvalidUsage, StoreUnreachable, Unavailable
from dataspec.store import Store
from dataspec.store.base import MISSING, try_put
from dataspec.stored_document import StoredDocument

log = logging.getLogger(__name__)
T = TypeVar("T")

PREFIX = "basecamp/idempotency/"
MAX_KEY_LENGTH = 255
NEARBY = timedelta(hours=1)
"""How long before and after midnight the keys of the other day count as well: replicas' clocks may differ."""


class ReservationRecord(StoredDocument):
    """A reservation in the store."""

    request: str
    """The digest of the request's values."""
    plan: dict[str, str | int | None]
    answer: Any = None
    """The first request's answer; not written while there is none."""

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON values."""
        data = super().to_json()
        return data if self.answer is not None else {key: data[key] for key in data if key != "answer"}


@dataclass(frozen=True, slots=True)
class RequestPlan:
    """What the first request with a key was going to do. A value that is missing or unreadable is a Conflict."""

    key: str
    """The record's key in the store; empty for a request without a key."""
    values: Mapping[str, Any]

    def text(self, name: str) -> str:
        """Return a text."""
        return self._read(name, _text)

    def number(self, name: str) -> int:
        """Return a whole number."""
        return self._read(name, int)

    def moment(self, name: str) -> datetime:
        """Return a time, in UTC."""
        return self._read(name, lambda value: datetime.fromisoformat(value).astimezone(UTC))

    def _read(self, name: str, read: Callable[[Any], T]) -> T:
        try:
            return read(self.values[name])
        except (LookupError, TypeError, ValueError, OverflowError):
            raise _damaged(self.key) from None


@dataclass(frozen=True, slots=True)
class Reservation:
    """What the first request with a key has written."""

    key: str
    etag: str
    record: ReservationRecord
    is_new: bool

    @property
    def plan(self) -> RequestPlan:
        """What the first request was going to do."""
        return RequestPlan(self.key, self.record.plan)


class KeyedRequest:
    """A request with its idempotency key.

    Attributes:
        key: The key; a new one for a request without a key.
    """

    def __init__(self, reservations: Reservations, key: str | None, request: Sequence[Any]) -> None:
        self.key = key or uuid.uuid4().hex
        self._reservations = reservations
        self._request = None if key is None else request
        self.reservation = None if key is None else reservations.find(key, request)

    @property
    def plan(self) -> RequestPlan | None:
        """What the first request with this key was going to do; None for the first one."""
        return self.reservation.plan if self.reservation else None

    def reserve(self, plan: Mapping[str, Any]) -> RequestPlan:
        """Store the plan before its effect; return it, or the one of the first request.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        if self._request is None:
            return RequestPlan("", plan)
        if self.reservation is None:
            self.reservation = self._reservations.reserve(self.key, self._request, plan)
        return self.reservation.plan

    def change(self, plan: Mapping[str, Any]) -> RequestPlan:
        """Replace a plan that can't be carried out; return it, or another request's replacement.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        if self.reservation is None:
            return RequestPlan("", plan)
        self.reservation = self._reservations.change(self.reservation, plan)
        return self.reservation.plan

    def mark_done(self) -> None:
        """Add to the plan that it was carried out, so that a repeated request does not carry it out again."""
        if self.reservation is None:
            return
        with suppress(StoreUnreachable):  # a repeated request then compares what it finds with the plan
            self.change({**self.reservation.record.plan, "done": True})

    @property
    def is_done(self) -> bool:
        """Whether the plan was carried out, though there is no answer yet."""
        return bool(self.reservation and self.reservation.record.plan.get("done"))


class Reservations:
    """The plans and answers of requests, by their idempotency keys.

    Args:
        store: The store.
        clock: The clock.
        objects: Notes the reservations that this replica can't read.

    Every method raises NewerFormat when a newer version of Basecamp wrote the reservation, and Conflict when it is
    damaged: whether the first request was carried out is unknown then, so the key is not used again.
    """

    def __init__(self, store: Store, clock: Clock, objects: ObjectReader) -> None:
        self._store = store
        self._clock = clock
        self._objects = objects

    def once(
        self,
        key: str | None,
        request: Sequence[Any],
        answer: type[T],
        act: Callable[[KeyedRequest], T],
        *,
        refresh: Callable[[T], T] = lambda first: first,
    ) -> T:
        """Act on a request, or return the answer to the first one with its key.

        Args:
            key: The request's idempotency key, if it has one.
            request: The request's values; a second request with the key must have the same.
            answer: The type of the answer.
            act: Acts on the request. An error is no answer: the request may be repeated.
            refresh: Returns the first answer with its present state. While that can't be looked up, the first
                answer is returned as it was.

        Raises:
            InvalidUsage: When the key was used for another request.
            StoreUnreachable: When the store does not answer.
        """
        keyed = KeyedRequest(self, key, request)
        first = _first_answer(keyed, answer, refresh)
        return self._keep(keyed, answer, act(keyed)) if first is None else first

    def once_in_steps(
        self,
        key: str | None,
        request: Sequence[Any],
        answer: type[T],
        act: Callable[[KeyedRequest], Steps[T]],
        *,
        refresh: Callable[[T], T] = lambda first: first,
    ) -> Steps[T]:
        """Do as :meth:`once` for an action that waits."""
        keyed = KeyedRequest(self, key, request)
        first = _first_answer(keyed, answer, refresh)
        return self._keep(keyed, answer, (yield from act(keyed))) if first is None else first

    def _keep(self, keyed: KeyedRequest, kind: Any, made: T) -> T:
        if keyed.reservation is not None:
            self._add_answer(keyed.reservation, _adapter(kind).dump_python(made, mode="json"))
        return made

    def _add_answer(self, reservation: Reservation, answer: Any) -> None:
        """Add the answer; without it, a repeated request does what the plan says."""
        body = reservation.record.changed(answer=answer).body()
        try:
            try_put(self._store, reservation.key, body, expected=reservation.etag)
        except StoreUnreachable as error:
            log.warning("An answer could not be kept for a repeated request: %s", error.detail)

    def reserve(self, key: str, request: Sequence[Any], plan: Mapping[str, Any]) -> Reservation:
        """Write a request's plan, or return the one of the first request with its key.

        Args:
            key: The request's idempotency key.
            request: The request's values; a second request with the key must have the same.
            plan: The plan of a first request.

        Raises:
            InvalidUsage: When the key was used for another request.
            StoreUnreachable: When the store does not answer.
        """
        digest, (today, *_) = _digest(request), self._paths(key)
        while True:
            if found := self.find(key, request):
                return found
            record = ReservationRecord(request=digest, plan=dict(plan))
            etag = try_put(self._store, today, record.body(), expected=MISSING)
            if etag is not None:
                return Reservation(today, etag, record, is_new=True)

    def find(self, key: str, request: Sequence[Any]) -> Reservation | None:
        """Return the plan of the first request with this key, if any.

        Raises:
            InvalidUsage: When the key was used for another request.
            StoreUnreachable: When the store does not answer.
        """
        digest = _digest(request)
        found = (self._read(path, digest) for path in self._paths(key))
        return next((reservation for reservation in found if reservation), None)

    def change(self, reservation: Reservation, plan: Mapping[str, Any]) -> Reservation:
        """Replace a plan that can't be carried out, or return another request's replacement.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        record = reservation.record.changed(plan=dict(plan), answer=None)
        etag = try_put(self._store, reservation.key, record.body(), expected=reservation.etag)
        if etag is None:
            return self._read(reservation.key, record.request) or reservation
        return Reservation(reservation.key, etag, record, is_new=False)

    def _read(self, path: str, digest: str) -> Reservation | None:
        stored = self._store.get(path)
        if stored is None:
            return None
        try:
            record = self._objects.read(ReservationRecord.read, stored)
        except CorruptObject:
            raise _damaged(path) from None
        if record.request != digest:
            raise InvalidUsage(
                "This Idempotency-Key was used for another request.", detail="Use a new key for each request."
            )
        return Reservation(path, stored.etag, record, is_new=False)

    def _paths(self, key: str) -> list[str]:
        """Return the keys in the store of a plan: today's, and near midnight the other day's."""
        if not 1 <= len(key) <= MAX_KEY_LENGTH:
            raise InvalidUsage(f"An Idempotency-Key has 1 to {MAX_KEY_LENGTH} characters.")
        name = hashlib.sha256(key.encode()).hexdigest()
        now = self._clock.now()
        days = dict.fromkeys((now.date(), (now - NEARBY).date(), (now + NEARBY).date()))
        return [f"{PREFIX}{day:%Y%m%d}/{name}.json" for day in days]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _damaged(key: str) -> Conflict:
    return Conflict(
        "The record of this Idempotency-Key can't be read.",
        detail=f"'{key}' in the store is damaged, so whether the first request was carried out is not known. "
        "Look at the dataset, then send the request with a new key if it is still needed.",
    )


def _first_answer(keyed: KeyedRequest, kind: Any, refresh: Callable[[T], T]) -> T | None:
    """Return the answer to the first request with a key, as it is now; None if there is none yet."""
    if keyed.reservation is None or keyed.reservation.record.answer is None:
        return None
    try:
        first: T = _adapter(kind).validate_python(keyed.reservation.record.answer)
    except ValidationError:
        raise _damaged(keyed.reservation.key) from None
    note_facts(repeated=True)
    try:
        return refresh(first)
    except Unavailable:
        return first


@cache
def _adapter(answer: Any) -> TypeAdapter[Any]:
    return TypeAdapter(answer)


def _digest(request: Sequence[Any]) -> str:
    return hashlib.sha256(json.dumps(request, sort_keys=True, default=str).encode()).hexdigest()
