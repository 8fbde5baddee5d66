"""A backfill whose servers die, or meet others, at each of their calls in turn (specification 14.8)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from basecamp.airflow.models import DagRun, RunFilter
from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.airflow.testing.dag_processor import MemoryDags
from basecamp.backfills.requests import BackfillRequest
from basecamp.server.wiring import build_services
from basecamp.services import Services
from basecamp.shared.clock import Clock, ManualClock, SystemClock
from basecamp.shared.waiting import run_through
from dataspec.catalog.spec_storage import Release, manual_key, write_release
from dataspec.errors import AirflowUnreachable, DliError
from dataspec.models import Backfill, RunStatus
from dataspec.store import MemoryStore

NAME = "sales.daily"
YAML = f"""\
name: {NAME}
type: Dataset
owner: dana@example.com
query_statement: select '{{{{ execution_date }}}}'
parameters: [{{name: execution_date, type: date}}]
schedule: {{cron: "0 9 * * *", retry: {{max_attempts: 0}}}}
"""
DOWNSTREAM = "sales.later"
BESIDE = "sales.second"
"""Built from the same dataset as DOWNSTREAM, and so beside it."""
DATES = ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04"]
REQUEST = BackfillRequest(dataset=NAME, start=DATES[0], end=DATES[-1], parameters={})


class Died(BaseException):
    """The process is gone."""


class Watched:
    """A store or an Airflow; something happens right before and right after each call.

    Calls of other threads, such as the one that sweeps old idempotency keys, don't count.
    """

    def __init__(self, inner: Any, happens: Callable[[], None]) -> None:
        self._inner = inner
        self._thread = threading.get_ident()
        self._event = happens

    def _happens(self) -> None:
        if threading.get_ident() == self._thread:
            self._event()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not callable(found):
            return found

        def call(*arguments: Any, **options: Any) -> Any:
            self._happens()
            answer = found(*arguments, **options)
            self._happens()
            return answer

        return call


@dataclass
class World:
    """A store and an Airflow that outlive every server."""

    clock: Clock = field(default_factory=lambda: ManualClock(datetime(2024, 1, 15, 9, 30, 45, tzinfo=UTC)))
    fails: str | None = None
    is_chain: bool = False

    def __post_init__(self) -> None:
        self.store = MemoryStore(now=self.clock.now)
        self.airflow = MemoryAirflow(now=self.clock.now)
        write_release(self.store, manual_key(NAME), Release(YAML.encode(), {}))
        if self.is_chain:
            for name in (DOWNSTREAM, BESIDE):
                yaml = YAML.replace(NAME, name) + f"depends_on: [{NAME}]\n"
                write_release(self.store, manual_key(name), Release(yaml.encode(), {}))
        MemoryDags(self.airflow, self.store, self.clock.now).refresh()
        self.lock = threading.Lock()

    def replica(self, happens: Callable[[], None] = lambda: None) -> Services:
        return build_services(Watched(self.store, happens), Watched(self.airflow, happens), self.clock)

    def runs(self) -> list[DagRun]:
        return list(self.airflow.list_runs(RunFilter(), limit=100).runs)[::-1]

    def dates(self) -> list[str]:
        return [run.conf["execution_date"] for run in self.runs()]

    def active(self) -> list[DagRun]:
        active = [run for run in self.runs() if not run.finished]
        named = {run.dag_id for run in active}
        assert len(named) == len(active), [run.run_id for run in active]
        assert NAME not in named or len(active) == 1, "it is built before what needs it"
        return active

    def execute(self) -> None:
        """Let Airflow carry out the run that is active, to its end."""
        with self.lock:
            for run in self.active():
                state: Any = "failed" if run.conf["execution_date"] == self.fails else "success"
                with suppress(KeyError):
                    self.airflow.start(run.dag_id, run.run_id, source="manual", spec_hash="ab")
                    self.airflow.end(run.dag_id, run.run_id, state)

    def tick(self) -> None:
        if isinstance(self.clock, ManualClock):
            self.clock.advance(0.3)

    def check_tidy(self) -> None:
        """Check that nothing is left under way."""
        assert self.active() == []
        assert not list(self.store.list("basecamp/backfills/active/"))
        assert not list(self.store.list("basecamp/backfills/held/"))
        assert len(list(self.store.list("basecamp/backfills/ended/"))) == 1


def start(services: Services, request: BackfillRequest = REQUEST) -> str:
    made = services.backfill_starter.start(request, requested_by="dana", idempotency_key="k")
    return made.backfill_id


def stop(services: Services, backfill_id: str) -> Backfill:
    return run_through(services.backfill_stopper.stop(backfill_id, stopped_by="ann"), services.work.clock)


def advance(services: Services) -> float | None:
    return run_through(services.backfill_steps.advance(NAME), services.work.clock)


@dataclass
class Fate:
    """Kills a server at certain calls, counted over all servers; each call counts before and after."""

    deaths: frozenset[int]
    calls: int = 0
    died: int = 0

    def happens(self) -> None:
        self.calls += 1
        if self.calls in self.deaths:
            self.died += 1
            raise Died


@dataclass
class Life:
    """Servers, one after the other, each of which may die; what was asked is asked again."""

    world: World
    fate: Fate

    def __post_init__(self) -> None:
        self._services = self.world.replica(self.fate.happens)

    def lasting(self, work: Callable[[Services], Any]) -> Any:
        while True:
            try:
                return work(self._services)
            except Died:
                self._services = self.world.replica(self.fate.happens)
                self.world.tick()

    def build(self, request: BackfillRequest = REQUEST, *, stop_after: int | None = None) -> RunStatus:
        """Do all that a backfill needs; return how it ended."""
        backfill_id = self.lasting(lambda services: start(services, request))
        for turn in count():
            assert turn < 100, "it ends"
            if stop_after == turn:
                self.lasting(lambda services: stop(services, backfill_id))
            if self.lasting(advance) is None:
                break
            self.world.execute()
            self.world.tick()
        shown: Backfill = self.world.replica().backfill_lookup.get(backfill_id).value
        return shown.status


@pytest.mark.rule("14.8", "18.1")
def test_killed_at_any_call_no_date_is_left_out_and_none_is_built_twice() -> None:
    for at in count(1):
        world, fate = World(), Fate(frozenset({at}))
        assert Life(world, fate).build() is RunStatus.COMPLETED, at
        assert world.dates() == DATES, at
        world.check_tidy()
        if not fate.died:
            assert at > 50, "it was killed at every call of a whole backfill"
            return


@pytest.mark.rule("34.13")
def test_killed_at_any_call_each_partition_of_a_chain_is_built_once_and_in_order() -> None:
    request = replace(REQUEST, end=DATES[0], with_downstream=True)
    for at in count(1):
        world, fate = World(is_chain=True), Fate(frozenset({at}))
        assert Life(world, fate).build(request) is RunStatus.COMPLETED, at
        assert [(run.dag_id, run.conf["execution_date"]) for run in world.runs()] == [
            (NAME, DATES[0]),
            (DOWNSTREAM, DATES[0]),
            (BESIDE, DATES[0]),
        ], at
        world.check_tidy()
        if not fate.died:
            assert at > 50, "it was killed at every call of a whole chain"
            return


@settings(max_examples=60, deadline=None)
@given(st.frozensets(st.integers(1, 120), max_size=20))
def test_a_backfill_ends_though_its_replicas_die_again_and_again(deaths: frozenset[int]) -> None:
    world = World()
    assert Life(world, Fate(deaths)).build() is RunStatus.COMPLETED
    assert world.dates() == DATES
    world.check_tidy()


def test_killed_at_any_call_a_failure_ends_it_and_nothing_follows() -> None:
    for at in count(1):
        world, fate = World(fails=DATES[1]), Fate(frozenset({at}))
        assert Life(world, fate).build() is RunStatus.FAILED, at
        assert world.dates() == DATES[:2], at
        world.check_tidy()
        if not fate.died:
            return


def test_a_stop_that_dies_at_any_call_stops_the_backfill_and_starts_no_run() -> None:
    for at in count(1):
        world, fate = World(), Fate(frozenset({at}))
        assert Life(world, fate).build(stop_after=2) is RunStatus.KILLED, at
        assert world.dates() == DATES[:2], at
        world.check_tidy()
        if not fate.died:
            return


@dataclass
class Meeting:
    """Lets something happen once, between two certain calls of a server."""

    at: int
    meet: Callable[[], None]
    calls: int = 0
    met: bool = False

    def happens(self) -> None:
        self.calls += 1
        if self.calls == self.at:
            self.met = True
            self.meet()


@pytest.mark.rule("14.8")
@pytest.mark.parametrize("looks", [1, 3])
def test_whenever_another_server_goes_further_no_date_is_left_out_and_none_is_built_twice(
    looks: int,
) -> None:
    for at in count(1):
        world = World()
        other = world.replica()

        def goes_further(world: World = world, other: Services = other) -> None:
            for _ in range(looks):
                advance(other)
                world.execute()
                world.tick()

        meeting = Meeting(at, goes_further)
        start(world.replica())
        one = world.replica(meeting.happens)
        while advance(one) is not None:
            world.execute()
            world.tick()
        assert world.dates() == DATES, at
        world.check_tidy()
        if not meeting.met:
            assert at > 40, "they met at every call of a whole backfill"
            return


@pytest.mark.rule("14.9")
def test_after_a_stop_on_another_replica_no_run_is_active_or_starts_later() -> None:
    for at in count(1):
        world = World()
        backfill_id = start(world.replica())
        ends: list[RunStatus] = []

        def is_stopped(world: World = world, backfill_id: str = backfill_id, ends: Any = ends) -> None:
            ends.append(stop(world.replica(), backfill_id).status)

        meeting = Meeting(at, is_stopped)
        one = world.replica(meeting.happens)
        while advance(one) is not None:
            world.execute()
            world.tick()
        world.check_tidy()
        if not meeting.met:
            assert at > 40, "it was stopped at every call of a whole backfill"
            return
        assert ends in ([RunStatus.KILLED], [RunStatus.COMPLETED])
        if ends == [RunStatus.KILLED]:
            assert world.dates() == DATES[: len(world.dates())]
            succeeded = [run.conf["execution_date"] for run in world.runs() if run.state == "success"]
            shown = world.replica().backfill_lookup.get(backfill_id).value
            assert shown.dates_done == len(succeeded), "what was built after all is counted"


@pytest.mark.rule("14.9")
def test_an_order_to_stop_that_comes_at_any_moment_is_never_lost() -> None:
    for at in count(1):
        world = World()
        backfill_id = start(world.replica())
        built_by_then: list[list[str]] = []

        def is_ordered(
            world: World = world, backfill_id: str = backfill_id, then: Any = built_by_then
        ) -> None:
            world.airflow.down = "connection refused"
            with pytest.raises(AirflowUnreachable):
                stop(world.replica(), backfill_id)
            world.airflow.down = None
            then.append(world.dates())

        meeting = Meeting(at, is_ordered)
        one = world.replica(meeting.happens)
        while advance(one) is not None:
            world.execute()
            world.tick()
            if len(world.dates()) == len(DATES):
                break
        if not meeting.met:
            assert at > 30, "it was ordered at every call up to the last date"
            return
        while advance(one) is not None:
            world.tick()
        world.check_tidy()
        [then] = built_by_then
        assert len(world.dates()) <= len(then) + 1, "but for one that was on its way no run was started"
        if len(world.dates()) < len(DATES):
            assert world.replica().backfill_lookup.get(backfill_id).value.status is RunStatus.KILLED


@pytest.mark.rule("1.7", "14.8")
def test_three_servers_at_once_build_each_date_once_and_in_order() -> None:
    world = World(clock=SystemClock())
    replicas = [world.replica() for _ in range(3)]
    backfill_id = start(replicas[0])
    done = threading.Event()
    problems: list[BaseException] = []

    def look(services: Services) -> None:
        try:
            while advance(services) is not None and not done.is_set():
                pass
        except DliError as error:
            problems.append(error)

    threads = [threading.Thread(target=look, args=(services,)) for services in replicas for _ in range(2)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        world.execute()
        done.wait(0.002)
    assert problems == []
    assert world.dates() == DATES
    world.check_tidy()
    assert replicas[1].backfill_lookup.get(backfill_id).value.status is RunStatus.COMPLETED


@pytest.mark.rule("14.6")
def test_of_many_requests_at_once_one_backfill_comes() -> None:
    world = World(clock=SystemClock())
    answers: list[str] = []
    barrier = threading.Barrier(6)

    def ask(number: int) -> None:
        services = world.replica()
        barrier.wait()
        try:
            made = services.backfill_starter.start(
                REQUEST, requested_by="x", idempotency_key=f"k{number % 2}"
            )
            answers.append(made.backfill_id)
        except DliError as error:
            answers.append(error.code)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers)[:3] == ["backfill_active"] * 3
    assert len(set(answers) - {"backfill_active"}) == 1, "each repetition gets the first one's answer"
