"""A world of its own: a store, an Airflow, and three replicas of Basecamp that can be killed and cut off."""

from __future__ import annotations

import contextvars
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from types import SimpleNamespace
from typing import Any, cast

from basecamp.airflow.gateway import AirflowGateway
from basecamp.airflow.models import DagRun, RunFilter
from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.airflow.testing.dag_processor import MemoryDags
from basecamp.backfills.plans import ACTIVE_PREFIX
from basecamp.notifications.channels.channel import SendFailed
from basecamp.notifications.notification import Notification
from basecamp.notifications.outbox import PREFIX as OUTBOX
from basecamp.notifications.outbox import OutboxEntry
from basecamp.server import wiring
from basecamp.services import Services
from dataspec.errors import StoreUnreachable
from dataspec.store import MemoryStore
from dataspec.store.base import PreconditionFailed
from dataspec.store.call_budget import CallBudget
from simulation.faults import (
    Faults,
    FaultyAirflow,
    FaultyStore,
    Network,
    airflow_unreachable,
    store_unreachable,
)
from simulation.scheduler import Executor, Process, Scheduler, SimulatedFuture, Threading, Time

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
REPLICAS = 3
SIMULATED = ("basecamp.", "dataspec.catalog.", "dataspec.store.call_budget")
"""The modules whose threads, locks and pools are the scheduler's."""

REAL = ("basecamp.airflow.testing.", "basecamp.datasets.spec_sql")
"""The modules that keep real ones: no thread parks in them while it holds a lock."""

request: contextvars.ContextVar[str | None] = contextvars.ContextVar("request", default=None)
"""The client's request that the current thread works for."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change of an object in the store; no body for a removal."""

    at: float
    key: str
    body: bytes | None
    request: str | None


class RecordingStore(MemoryStore):
    """A store that keeps the history of its objects.

    Args:
        now: The current time.
        seconds: The virtual time.
        checks: Whether it honours the conditions of writes; one that does not must be found out.
    """

    def __init__(self, now: Callable[[], datetime], seconds: Callable[[], float], *, checks: bool) -> None:
        super().__init__(now=now)
        self.history: list[Change] = []
        self._seconds = seconds
        self._checks = checks

    def put(self, key: str, body: bytes, *, expected: str) -> str:
        etag = super().put(key, body, expected=expected)
        self.history.append(Change(self._seconds(), key, body, request.get()))
        return etag

    def delete(self, key: str, *, expected: str) -> None:
        super().delete(key, expected=expected)
        self.history.append(Change(self._seconds(), key, None, request.get()))

    def _check(self, key: str, expected: str) -> None:
        if self._checks or key not in self._objects:
            super()._check(key, expected)


class ReplicaClock:
    """The clock of one machine, which may be wrong."""

    def __init__(self, scheduler: Scheduler, skew: timedelta) -> None:
        self.skew = skew
        self._scheduler = scheduler

    def set_wrong(self, seconds: float) -> None:
        """Set the clock by so much ahead, or behind."""
        self.skew = timedelta(seconds=seconds)

    def now(self) -> datetime:
        return START + timedelta(seconds=self._scheduler.now) + self.skew

    def monotonic(self) -> float:
        return self._scheduler.now

    def wait(self, seconds: float) -> None:
        self._scheduler.park(seconds)

    async def sleep(self, seconds: float) -> None:
        self.wait(seconds)

    def patience(self, seconds: float) -> float:
        return seconds


class Inbox:
    """The channel of all notifications: it counts what arrives, and refuses now and then."""

    def __init__(self, scheduler: Scheduler, random: Random) -> None:
        self.arrived: dict[str, int] = {}
        self.subjects: set[str] = set()
        self.refuses = 0.0
        self._scheduler = scheduler
        self._random = random

    def send(self, notification: Notification) -> None:
        self._scheduler.park(self._random.uniform(0.01, 2))
        if self._random.random() < self.refuses:
            raise SendFailed("the channel is busy")
        self.subjects.update(notification.subjects)
        self.arrived[notification.id] = self.arrived.get(notification.id, 0) + 1


@dataclass
class Replica:
    """One server: its process, its services, and its ways to the store and to Airflow."""

    process: Process
    services: Services
    clock: ReplicaClock
    to_store: Network
    to_airflow: Network


class World:
    """Everything outside the clients.

    Attributes:
        problems: What went wrong so far, each with its time.
        kills: How often a replica was killed.
        paused: Each change of a pause in Airflow: its time, the dataset, the pause, and the request.
    """

    def __init__(self, seed: int, *, sabotage: str | None = None) -> None:
        self.random = Random(seed)
        self.scheduler = Scheduler()
        self.scheduler.crashed = lambda error: self.fault(f"a thread ended with {error!r}")
        self.problems: list[str] = []
        self.kills = 0
        self._faults: Counter[str] = Counter()
        self.elsewhere = Process("elsewhere")
        true_clock = ReplicaClock(self.scheduler, timedelta())
        self.store = RecordingStore(
            true_clock.now, true_clock.monotonic, checks=sabotage != "unconditional-writes"
        )
        self.airflow = MemoryAirflow(now=true_clock.now)
        self.airflow.load("earlier.dataset", tags=["source:manual"])
        self.dags = MemoryDags(self.airflow, self.store, true_clock.now)
        self.inbox = Inbox(self.scheduler, self.random)
        self.paused: list[tuple[float, str, bool, str | None]] = []
        self._watch_airflow()
        simulate_threads(self.scheduler)
        vars(wiring)["ChannelSender"] = lambda _: self.inbox
        # SQL is read in a pool of processes, which know nothing of virtual time.
        no_warnings = SimpleNamespace(
            lineage=lambda *_: SimpleNamespace(warnings=[]), check_materialization=lambda *_: None
        )
        vars(wiring)["SpecSql"] = lambda *_, **__: no_warnings
        self.replicas = [self._start(number) for number in range(REPLICAS)]
        for work in (self._processor, self._workers):
            self.scheduler.spawn(work, self.elsewhere)

    def fault(self, text: str) -> None:
        """Record that something went wrong."""
        self.problems.append(f"at {self.scheduler.now:.3f} s: {text}")

    # The replicas.

    def _start(self, number: int, skew: timedelta = timedelta()) -> Replica:
        process = Process(f"replica-{number}")
        to_store = Network(self.scheduler, self.random, self.elsewhere, store_unreachable)
        to_airflow = Network(self.scheduler, self.random, self.elsewhere, airflow_unreachable)
        clock = ReplicaClock(self.scheduler, skew)
        services = wiring.build_services(
            FaultyStore(self.store, to_store),
            cast(AirflowGateway, FaultyAirflow(self.airflow, to_airflow)),
            clock,
            sync_interval_seconds=30,
        )
        for loop in services.loops:
            self.scheduler.spawn(loop.run, process)
        return Replica(process, services, clock, to_store, to_airflow)

    def kill(self, number: int) -> None:
        """Kill a replica, and start another one in its place; requests that are under way get no answer."""
        old = self.replicas[number]
        self.kills += 1
        self._faults += self._counted([old])
        self.scheduler.kill(old.process)
        new = self._start(number, old.clock.skew)
        new.to_store.faults, new.to_airflow.faults = old.to_store.faults, old.to_airflow.faults
        new.to_store.cut, new.to_airflow.cut = old.to_store.cut, old.to_airflow.cut
        self.replicas[number] = new

    @property
    def faults(self) -> Counter[str]:
        """The failures of all networks, by kind."""
        return self._faults + self._counted(self.replicas)

    @staticmethod
    def _counted(replicas: Iterable[Replica]) -> Counter[str]:
        found: Counter[str] = Counter()
        for replica in replicas:
            for target, network in (("store", replica.to_store), ("Airflow", replica.to_airflow)):
                found += Counter({f"{target} {kind}": count for kind, count in network.counted.items()})
        return found

    def is_settled(self) -> bool:
        """Say whether nothing is left to do: no run, no backfill, no notification."""
        active = any(True for _ in self.store.list(ACTIVE_PREFIX))
        waiting = any(True for _ in self.runs("queued", "running"))
        return (
            not active and not waiting and all(sent(self.store, info.key) for info in self.store.list(OUTBOX))
        )

    def calm(self) -> None:
        """End all faults; clocks stay wrong."""
        self.inbox.refuses = 0.0
        for replica in self.replicas:
            for network in (replica.to_store, replica.to_airflow):
                network.faults, network.cut = Faults(), False

    def unpause(self) -> None:
        """Unpause every dataset in Airflow itself, so that what waits can end."""
        for dag in self.airflow.list_dags():
            self.airflow.set_paused(dag.dag_id, paused=False)

    def end(self) -> None:
        """End all threads."""
        for process in [replica.process for replica in self.replicas] + [self.elsewhere]:
            self.scheduler.kill(process)
        self.scheduler.run(until=self.scheduler.now)

    # Airflow.

    def _watch_airflow(self) -> None:
        """Record the changes that arrive at Airflow, and the requests that they belong to."""
        set_paused, trigger = self.airflow.set_paused, self.airflow.trigger

        def watched_pause(dag_id: str, *, paused: bool) -> Any:
            found = set_paused(dag_id, paused=paused)
            self.paused.append((self.scheduler.now, dag_id, paused, request.get()))
            return found

        def watched_trigger(
            dag_id: str, run_id: str, *, logical_date: datetime, conf: Mapping[str, Any]
        ) -> DagRun:
            run = trigger(dag_id, run_id, logical_date=logical_date, conf=conf)
            if logical_date > START + timedelta(seconds=self.scheduler.now):
                self.fault(f"the logical date of {run_id} lies in the future: {logical_date}")
            return run

        self.airflow.set_paused = watched_pause  # type: ignore[method-assign]
        self.airflow.trigger = watched_trigger  # type: ignore[method-assign]

    def _processor(self) -> None:
        """Parse the specs again and again, as Airflow's DAG processor does."""
        while True:
            self.scheduler.park(self.random.uniform(1, 10))
            try:
                self.dags.refresh()
            except StoreUnreachable:
                continue

    def _workers(self) -> None:
        """Begin waiting runs, as Airflow's scheduler and workers do."""
        while True:
            self.scheduler.park(self.random.uniform(0.2, 2))
            for run in self.runs("queued", "running"):
                found = self.airflow.get_dag(run.dag_id)
                attempt = next(iter(self.airflow.attempts([run])), None)
                if attempt is None or attempt.state == "running" or found is None or found.loaded is None:
                    continue
                if not found.dag.is_paused and self.random.random() < 0.7:
                    loaded = found.loaded
                    self.airflow.start(
                        run.dag_id, run.run_id, source=loaded.source, spec_hash=loaded.spec_hash
                    )
                    number = attempt.try_number + 1
                    self.scheduler.spawn(
                        lambda run=run, number=number: self._finish(run, number),  # type: ignore[misc]
                        after=self.random.expovariate(0.3),
                    )

    def _finish(self, run: DagRun, try_number: int) -> None:
        attempt = next(iter(self.airflow.attempts([run])), None)
        if attempt is not None and attempt.state == "running" and attempt.try_number == try_number:
            state = "failed" if self.random.random() < 0.1 else "success"
            self.airflow.end(run.dag_id, run.run_id, state)  # type: ignore[arg-type]

    def runs(self, *states: Any) -> list[DagRun]:
        """Return Airflow's runs, the oldest first."""
        found: list[DagRun] = []
        cursor: str | None = None
        while True:
            page = self.airflow.list_runs(RunFilter(states=states), limit=100, cursor=cursor)
            found += page.runs
            cursor = page.next_cursor
            if cursor is None:
                return found[::-1]

    # Git and CI.

    def deploy(self, name: str, text: str | None) -> None:
        """Put a spec under ``code/``, or remove it, as CI does."""
        key = f"code/{name}.yaml"
        stored = self.store.get(key)
        try:
            if text is not None:
                self.store.put(key, text.encode(), expected=stored.etag if stored else "*missing*")
            elif stored is not None:
                self.store.delete(key, expected=stored.etag)
        except PreconditionFailed as error:
            self.fault(f"a deployment met another one: {error}")


def simulate_threads(scheduler: Scheduler) -> None:
    """Give the modules of the product the scheduler's threads, locks and pools."""
    shim: dict[str, Any] = {
        "threading": Threading(scheduler),
        "time": Time(scheduler),
        "Future": lambda: SimulatedFuture(scheduler),
        "ThreadPoolExecutor": lambda *_, **__: Executor(scheduler),
        "_CALLS": Executor(scheduler),
    }
    defaults = CallBudget.__init__.__kwdefaults__ or {}
    defaults["now"] = lambda: scheduler.now
    for name, module in list(sys.modules.items()):
        if name.startswith(SIMULATED) and not name.startswith(REAL):
            vars(module).update({part: made for part, made in shim.items() if part in vars(module)})


def sent(store: MemoryStore, key: str) -> bool:
    """Say whether a notification has been delivered."""
    stored = store.get(key)
    return stored is not None and OutboxEntry.read(stored).sent_at is not None
