"""A network between a replica and what it calls: it delays, refuses, hangs, and loses answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from random import Random
from typing import Any, TypeVar

from basecamp.server.serving import STORE_TIMEOUTS
from dataspec.errors import AirflowUnreachable, StoreUnreachable, Unavailable
from dataspec.store import StoredObject
from dataspec.store.base import Found, ObjectInfo, Store, StoreDown
from dataspec.store.call_budget import seconds_left
from simulation.scheduler import Process, Scheduler

T = TypeVar("T")

TIMEOUT = 20.0
LATEST = 60.0
"""How long the network may hold back a request whose sender has given up, in seconds."""
VALID = STORE_TIMEOUTS.retry + STORE_TIMEOUTS.request
"""How long a bucket accepts a write at most: the last retry of it is a signed URL that lasts as long as its sender."""


@dataclass
class Faults:
    """How often a call fails, each as a probability."""

    refused: float = 0.0
    """Nothing happens, and the caller learns of it at once."""
    silent: float = 0.0
    """Nothing happens, and the caller waits until its time limit."""
    answer_lost: float = 0.0
    """It happens, and the caller gets an error."""
    late: float = 0.0
    """The caller gives up, and it happens afterwards, unless the server refuses what has expired."""

    @classmethod
    def of(cls, share: float) -> Faults:
        """Return faults of which the commonest has this probability."""
        return cls(share, share / 4, share, share / 2)


class Network:
    """The way from one replica to the store or to Airflow.

    Attributes:
        faults: How often a call fails now.
        cut: Whether nothing gets through.
        counted: The failures so far, by kind.
    """

    def __init__(
        self, scheduler: Scheduler, random: Random, elsewhere: Process, error: Callable[[str], Unavailable]
    ) -> None:
        self.faults = Faults.of(0.02)
        self.cut = False
        self.counted: dict[str, int] = {}
        self._scheduler = scheduler
        self._random = random
        self._elsewhere = elsewhere
        self._error = error

    def call(self, effect: Callable[[], T], *, changes: bool = False, valid: float = float("inf")) -> T:
        """Make a call, or fail as the network does; a change that arrives when it is not valid any more is refused."""
        expires_at = self._scheduler.now + valid
        self._scheduler.park(self._random.expovariate(100))
        fate = self._fate(changes=changes)
        if fate:
            self.counted[fate] = self.counted.get(fate, 0) + 1
        if fate == "refused":
            raise self._error("connection refused")
        if fate == "silent":
            self._scheduler.park(TIMEOUT)
            raise self._error("no answer")
        if fate == "late":
            after = self._random.uniform(0, LATEST)
            if self._scheduler.now + after < expires_at:
                self._scheduler.spawn(lambda: _quietly(effect), self._elsewhere, after=after)
            else:
                self.counted["expired"] = self.counted.get("expired", 0) + 1
            self._scheduler.park(TIMEOUT)
            raise self._error("no answer")
        if fate == "answer_lost":
            _quietly(effect)
            self._scheduler.park(self._random.choice([0.0, TIMEOUT]))
            raise self._error("connection reset")
        result = effect()
        self._scheduler.park(self._random.expovariate(100))
        return result

    def _fate(self, *, changes: bool) -> str | None:
        if self.cut:
            return self._random.choice(["refused", "silent"])
        faults, dice = self.faults, self._random.random()
        kinds = [("refused", faults.refused), ("silent", faults.silent)]
        if changes:
            kinds += [("answer_lost", faults.answer_lost), ("late", faults.late)]
        for kind, share in kinds:
            if dice < share:
                return kind
            dice -= share
        return None


def _quietly(effect: Callable[[], Any]) -> None:
    """Do it; the caller, that has given up, learns nothing of a refusal."""
    try:
        effect()
    except Exception:  # noqa: BLE001 - the caller has given up
        return


class FaultyStore:
    """A store behind a network."""

    def __init__(self, store: Store, network: Network) -> None:
        self._store = store
        self._network = network

    @property
    def url(self) -> str:
        return self._store.url

    def now(self) -> datetime:
        return self._network.call(self._store.now)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return iter(self._network.call(lambda: list(self._store.list(prefix))))

    def get(self, key: str, *, known: StoredObject | None = None) -> StoredObject | None:
        return self._network.call(lambda: self._store.get(key, known=known))

    def get_many(self, keys: Iterable[str]) -> Found:
        wanted = sorted(keys)
        return self._network.call(lambda: self._store.get_many(wanted)) if wanted else Found()

    def put(self, key: str, body: bytes, *, expected: str) -> str:
        return self._change(lambda: self._store.put(key, body, expected=expected))

    def delete(self, key: str, *, expected: str) -> None:
        self._change(lambda: self._store.delete(key, expected=expected))

    def _change(self, change: Callable[[], T]) -> T:
        return self._network.call(change, changes=True, valid=seconds_left(VALID))


class FaultyAirflow:
    """An Airflow behind a network; every method is a request."""

    CHANGING = frozenset({"trigger", "set_paused", "set_run_state", "clear_run"})

    def __init__(self, airflow: Any, network: Network) -> None:
        self._airflow = airflow
        self._network = network
        self.url = airflow.url
        self.run_page = airflow.run_page
        self.now = airflow.now

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._airflow, name)
        changes = name in self.CHANGING
        return lambda *args, **given: self._network.call(lambda: method(*args, **given), changes=changes)


def store_unreachable(reason: str) -> StoreUnreachable:
    """Return the error of a store that does not answer."""
    return StoreDown("The store does not answer.", detail=reason)


def airflow_unreachable(reason: str) -> AirflowUnreachable:
    """Return the error of an Airflow that does not answer."""
    return AirflowUnreachable("Airflow does not answer.", detail=reason)
