"""What every gateway does: the same tests on the Airflow in memory and on a real one."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Protocol

import pytest

from basecamp.airflow.authorization import Everyone
from basecamp.airflow.connect import connect
from basecamp.airflow.gateway import AirflowGateway, DagMissing, RunExists, WrongCursor
from basecamp.airflow.models import DagRun, LogEvent, RunFilter, TaskAttempt
from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.airflow.transport import AirflowTransport
from basecamp.dev.release_lines import AIRFLOW_2, ReleaseLine
from dataspec.contract import LoadedSpec
from dataspec.store import open_store
from dataspec.store.base import MISSING
from endless import ENDLESS
from lines_here import LINES_HERE
from stacks import Stack

Kind = Literal["quick", "failing", "slow"]

SQL: Mapping[Kind, str] = {
    "quick": "SELECT 1 AS one",
    "failing": "SELECT * FROM no_such_table",
    "slow": ENDLESS,
}
PATIENCE_SECONDS = 240

OTHER_DAG = """\
# A DAG of the company's own, for airflow.
import datetime
try:
    from airflow.sdk import DAG, BaseOperator
except ImportError:
    from airflow import DAG
    from airflow.models.baseoperator import BaseOperator
class PythonOperator(BaseOperator):
    def execute(self, context):
        pass
with DAG("{dag_id}", schedule=None, start_date=datetime.datetime(2024, 1, 1), is_paused_upon_creation=False):
    PythonOperator(task_id="extract")
"""


class World(Protocol):
    """An Airflow with a dataset of each kind, where time goes on."""

    @property
    def gateway(self) -> AirflowGateway: ...

    def dataset(self, kind: Kind) -> str: ...

    def go_on(self) -> None: ...

    def break_file(self) -> str: ...

    def connect(self, connection_id: str, connection_type: str) -> None: ...

    def bring_dag(self) -> str: ...


@dataclass
class MemoryWorld:
    gateway: MemoryAirflow = field(default_factory=MemoryAirflow)

    def __post_init__(self) -> None:
        for kind in SQL:
            loaded = LoadedSpec("0123456789abcdef", "manual", f"manual/test.{kind}.yaml")
            self.gateway.load(self.dataset(kind), loaded=loaded, tags=["source:manual", "owner:a"], retries=0)

    def dataset(self, kind: Kind) -> str:
        return f"test.{kind}"

    def go_on(self) -> None:
        """Start what waits and may start; end it as its kind ends."""
        for run in self.gateway.list_runs(RunFilter(states=("queued",)), limit=100).runs:
            details = self.gateway.get_dag(run.dag_id)
            if details is None or details.dag.is_paused:
                continue
            self.gateway.start(run.dag_id, run.run_id, source="manual", spec_hash="0123456789abcdef")
            if run.dag_id == self.dataset("quick"):
                self.gateway.end(run.dag_id, run.run_id, "success")
            elif run.dag_id == self.dataset("failing"):
                event = LogEvent(message="Task failed", level="error", error="CatalogError: no_such_table")
                self.gateway.log_event(run.dag_id, run.run_id, event)
                self.gateway.end(run.dag_id, run.run_id, "failed")

    def break_file(self) -> str:
        self.gateway.break_import("problem.py", "ImportError: code/broken.yaml can't be used.")
        return "code/broken.yaml"

    def connect(self, connection_id: str, connection_type: str) -> None:
        self.gateway.connections[connection_id] = connection_type

    def bring_dag(self) -> str:
        self.gateway.take_over("company.etl")
        return "company.etl"


@dataclass
class RealWorld:
    gateway: AirflowGateway
    datasets: Mapping[Kind, str]
    store_url: str
    transport: AirflowTransport
    line: ReleaseLine
    home: Path

    def dataset(self, kind: Kind) -> str:
        return self.datasets[kind]

    def go_on(self) -> None:
        time.sleep(0.5)

    def break_file(self) -> str:
        key = f"code/broken-{uuid.uuid4().hex}.yaml"
        open_store(self.store_url).put(key, b"type: Dataset\nname: [", expected=MISSING)
        return key

    def connect(self, connection_id: str, connection_type: str) -> None:
        """Make a connection as somebody does on Airflow's page."""
        path = "/api/v1/connections" if self.line == AIRFLOW_2 else "/api/v2/connections"
        body = {"connection_id": connection_id, "conn_type": connection_type}
        self.transport.request("POST", path, json=body)

    def bring_dag(self) -> str:
        """Write a file of DAGs that is none of ours; its DAG needs no operator to be listed."""
        dag_id = f"company.{uuid.uuid4().hex}"
        airflow = self.home / f"airflow{self.line.suffix}"
        folder = (
            airflow / "dags" if self.line == AIRFLOW_2 else airflow / "bundles" / "datasets" / "dags" / "etl"
        )
        folder.mkdir(exist_ok=True)
        (folder / f"{dag_id}.py").write_text(OTHER_DAG.format(dag_id=dag_id))
        until(self, lambda: self.gateway.get_dag(dag_id) is not None)
        return dag_id


@pytest.fixture(scope="module")
def real_world(stack: Stack) -> Iterator[RealWorld]:
    retry = {"cron": "0 9 1 1 *", "retry": {"max_attempts": 0}}
    datasets = {kind: stack.register(sql, schedule=retry) for kind, sql in SQL.items()}
    with AirflowTransport(stack.airflow_url, Everyone(), timeout_seconds=60) as transport:
        yield RealWorld(connect(transport), datasets, stack.store_url, transport, stack.line, stack.home)


pytestmark = pytest.mark.parametrize(
    "line",
    [pytest.param(None, id="memory"), *(pytest.param(line, id=name) for name, line in LINES_HERE.items())],
    indirect=True,
    scope="session",
)


@pytest.fixture
def world(request: pytest.FixtureRequest, line: ReleaseLine | None) -> Iterator[World]:
    world: World = MemoryWorld() if line is None else request.getfixturevalue("real_world")
    yield world
    for kind in SQL:
        world.gateway.set_paused(world.dataset(kind), paused=False)
    for run in world.gateway.list_runs(RunFilter(states=("queued", "running")), limit=100).runs:
        if run.dag_id in ours(world):
            world.gateway.set_run_state(run.dag_id, run.run_id, "failed", note="Stopped by the test")
    until(world, lambda: not going_on(world))


def ours(world: World) -> set[str]:
    """Return the datasets of these tests, which share their Airflow with others."""
    return {world.dataset(kind) for kind in SQL}


def going_on(world: World) -> bool:
    """Say whether an attempt goes on, and end the run of each: it may have started as its run was ended."""
    attempts = [one for one in world.gateway.running_attempts() if one.dag_id in ours(world)]
    for attempt in attempts:
        world.gateway.set_run_state(attempt.dag_id, attempt.run_id, "failed", note="Stopped by the test")
    return bool(attempts)


@pytest.fixture
def trigger(world: World) -> Callable[..., DagRun]:
    """Start a run of a kind, under an id of its own."""

    def trigger(kind: Kind, **conf: Any) -> DagRun:
        name = world.dataset(kind)
        run_id = f"{name}_{uuid.uuid4().hex}"
        return world.gateway.trigger(name, run_id, logical_date=datetime.now(UTC), conf=conf)

    return trigger


def until(world: World, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not come to be"
        world.go_on()


def state_of(world: World, run: DagRun) -> str:
    found = world.gateway.get_run(run.dag_id, run.run_id)
    assert found is not None
    return found.state


def attempt_of(world: World, run: DagRun) -> TaskAttempt:
    (attempt,) = world.gateway.attempts([run])
    return attempt


def test_health_tells_the_version_and_that_all_parts_are_well(world: World) -> None:
    health = world.gateway.health()
    assert re.match(r"3\.|2\.11", health.version)
    assert health.unhealthy == ()


def test_a_dag_tells_which_version_of_its_spec_is_loaded(world: World) -> None:
    name = world.dataset("quick")
    details = world.gateway.get_dag(name)
    assert details is not None
    assert details.dag.dag_id == name
    assert details.loaded is not None
    assert (details.loaded.source, details.loaded.key) == ("manual", f"manual/{name}.yaml")
    assert len(details.loaded.spec_hash) == 16


def test_there_is_no_dag_that_is_not_there(world: World) -> None:
    assert world.gateway.get_dag("test.nothing") is None


def test_dags_are_listed_by_their_tags(world: World) -> None:
    found = {dag.dag_id: dag for dag in world.gateway.list_dags(tags=["source:code", "source:manual"])}
    assert {world.dataset(kind) for kind in SQL} <= found.keys()
    assert not found[world.dataset("quick")].is_stale
    assert world.dataset("quick") not in {dag.dag_id for dag in world.gateway.list_dags(tags=["no:such"])}


@pytest.mark.rule("7.3")
def test_pausing_and_resuming_are_harmless_when_repeated(world: World) -> None:
    name = world.dataset("quick")
    for paused in (True, True, False, False):
        assert world.gateway.set_paused(name, paused=paused).is_paused is paused
        details = world.gateway.get_dag(name)
        assert details is not None
        assert details.dag.is_paused is paused


def test_a_dag_that_is_not_there_cannot_be_paused(world: World) -> None:
    with pytest.raises(DagMissing):
        world.gateway.set_paused("test.nothing", paused=True)


def test_parsing_may_be_asked_for_again_at_once(world: World) -> None:
    details = world.gateway.get_dag(world.dataset("quick"))
    assert details is not None
    for _ in range(3):
        world.gateway.request_parse(details.dag)


@pytest.mark.rule("15.2")
def test_a_run_keeps_what_it_was_started_with_and_succeeds(world: World) -> None:
    name, now = world.dataset("quick"), datetime.now(UTC)
    run_id, conf = f"{name}_{uuid.uuid4().hex}", {"_dli": {"run_type": "adhoc", "who": "영희"}}
    started = world.gateway.trigger(name, run_id, logical_date=now, conf=conf)
    kept = world.gateway.get_run(name, run_id)
    assert kept is not None
    assert (started.run_id, kept.run_id, kept.dag_id, kept.run_type) == (run_id, run_id, name, "manual")
    assert (kept.conf, kept.logical_date) == (conf, now)
    until(world, lambda: state_of(world, started) == "success")


def test_neither_an_id_nor_a_logical_date_is_taken_twice(
    world: World, trigger: Callable[..., DagRun]
) -> None:
    world.gateway.set_paused(world.dataset("quick"), paused=True)
    run = trigger("quick")
    assert run.logical_date is not None
    later = run.logical_date + timedelta(microseconds=1)
    with pytest.raises(RunExists):
        world.gateway.trigger(run.dag_id, run.run_id, logical_date=later, conf={})
    with pytest.raises(RunExists):
        world.gateway.trigger(run.dag_id, f"{run.run_id}_2", logical_date=run.logical_date, conf={})
    assert world.gateway.trigger(run.dag_id, f"{run.run_id}_2", logical_date=later, conf={}).state == "queued"


def test_no_run_starts_without_a_dag(world: World) -> None:
    with pytest.raises(DagMissing):
        world.gateway.trigger("test.nothing", "x", logical_date=datetime.now(UTC), conf={})


def test_there_is_no_run_that_is_not_there(world: World, trigger: Callable[..., DagRun]) -> None:
    world.gateway.set_paused(world.dataset("quick"), paused=True)
    run = trigger("quick")
    assert world.gateway.get_run(run.dag_id, "nothing") is None
    assert world.gateway.get_run("test.nothing", run.run_id) is None
    assert world.gateway.set_run_state(run.dag_id, "nothing", "failed", note="x") is None


@pytest.mark.rule("15.2")
def test_runs_are_listed_newest_first_a_page_at_a_time(world: World, trigger: Callable[..., DagRun]) -> None:
    world.gateway.set_paused(world.dataset("quick"), paused=True)
    started = [trigger("quick").run_id for _ in range(5)]
    found: list[str] = []
    cursor = None
    while len(found) < 5:
        page = world.gateway.list_runs(RunFilter(dag_id=world.dataset("quick")), limit=2, cursor=cursor)
        assert len(page.runs) <= 2
        found += [run.run_id for run in page.runs]
        cursor = page.next_cursor
    assert found[:5] == started[::-1]


def test_a_list_over_all_dags_ends_with_no_cursor(world: World, trigger: Callable[..., DagRun]) -> None:
    kinds: list[Kind] = ["quick", "failing"]
    for kind in kinds:
        world.gateway.set_paused(world.dataset(kind), paused=True)
    started = {trigger("quick").key, trigger("failing").key}
    found, cursor = set(), None
    while True:
        page = world.gateway.list_runs(RunFilter(), limit=100, cursor=cursor)
        found |= {run.key for run in page.runs}
        cursor = page.next_cursor
        if cursor is None:
            break
    assert started <= found


def test_a_cursor_that_no_page_gave_is_refused(world: World) -> None:
    with pytest.raises(WrongCursor):
        world.gateway.list_runs(RunFilter(), limit=2, cursor="nonsense")


@pytest.mark.rule("15.2")
def test_runs_are_filtered_by_id_state_and_time(world: World, trigger: Callable[..., DagRun]) -> None:
    world.gateway.set_paused(world.dataset("quick"), paused=True)
    first, second = trigger("quick"), trigger("quick")

    def found(**wanted: Any) -> set[str]:
        runs = world.gateway.list_runs(RunFilter(dag_id=first.dag_id, **wanted), limit=100).runs
        return {run.run_id for run in runs} & {first.run_id, second.run_id}

    assert found(run_id=first.run_id) == {first.run_id}
    assert {run.key for run in world.gateway.list_runs(RunFilter(run_id=first.run_id), limit=9).runs} == {
        first.key
    }
    assert found(run_id=first.run_id[:-1]) == set()
    assert found(states=("queued", "running")) == {first.run_id, second.run_id}
    assert found(states=("success",)) == set()
    assert found(run_types=("manual", "asset_triggered")) == {first.run_id, second.run_id}
    assert found(run_types=("scheduled",)) == set()
    assert found(due_from=second.run_after) == {second.run_id}
    assert found(due_before=second.run_after) == {first.run_id}
    assert world.gateway.list_runs(RunFilter(dag_id="test.nothing"), limit=9).runs == ()


def test_runs_are_filtered_by_when_they_ended(world: World, trigger: Callable[..., DagRun]) -> None:
    def end_of(run: DagRun) -> datetime:
        until(world, lambda: state_of(world, run) == "success")
        ended = world.gateway.get_run(*run.key)
        assert ended is not None
        assert ended.end_date is not None
        return ended.end_date

    first = trigger("quick")
    first_end = end_of(first)
    second = trigger("quick")
    second_end = end_of(second)
    going_on = trigger("slow")

    def found(ended_from: datetime) -> set[str]:
        runs = world.gateway.list_runs(RunFilter(ended_from=ended_from), limit=100).runs
        return {run.run_id for run in runs} & {first.run_id, second.run_id, going_on.run_id}

    assert found(first_end) == {first.run_id, second.run_id}
    assert found(first_end + timedelta(microseconds=1)) == {second.run_id}
    assert found(second_end + timedelta(microseconds=1)) == set()


@pytest.mark.rule("31.6")
def test_runs_are_filtered_by_when_they_changed_last(world: World, trigger: Callable[..., DagRun]) -> None:
    """A failed run that is marked as a success keeps its end, and has changed all the same."""
    run, other = trigger("failing"), trigger("failing")
    until(world, lambda: {state_of(world, one) for one in (run, other)} == {"failed"})
    ends = [ended.end_date for one in (run, other) if (ended := world.gateway.get_run(*one.key))]
    since = max(end for end in ends if end) + timedelta(seconds=1)
    until(world, lambda: datetime.now(UTC) > since)

    def found() -> set[str]:
        runs = world.gateway.list_runs(RunFilter(states=("success",), changed_from=since), limit=100).runs
        return {one.run_id for one in runs} & {run.run_id, other.run_id}

    assert found() == set()
    world.gateway.set_run_state(run.dag_id, run.run_id, "success", note="it is there")
    assert found() == {run.run_id}
    marked = world.gateway.get_run(*run.key)
    assert marked is not None
    assert marked.end_date is not None
    assert marked.end_date < since


def test_a_run_has_no_attempt_and_no_version_before_it_starts(
    world: World, trigger: Callable[..., DagRun]
) -> None:
    world.gateway.set_paused(world.dataset("quick"), paused=True)
    run = trigger("quick")
    attempt = attempt_of(world, run)
    assert (attempt.started, attempt.ended, attempt.max_tries) == (0, False, 0)
    assert world.gateway.versions([run]) == []


@pytest.mark.rule("15.2")
def test_attempts_and_versions_of_many_runs_come_together(
    world: World, trigger: Callable[..., DagRun]
) -> None:
    runs = [trigger("quick"), trigger("failing")]
    for run, state in zip(runs, ("success", "failed"), strict=True):
        until(world, lambda run=run, state=state: state_of(world, run) == state)  # type: ignore[misc]
    attempts = {attempt.run_id: attempt for attempt in world.gateway.attempts(runs)}
    versions = {version.run_id: version for version in world.gateway.versions(runs)}
    for run, state in zip(runs, ("success", "failed"), strict=True):
        details = world.gateway.get_dag(run.dag_id)
        assert details is not None
        assert details.loaded is not None
        assert (attempts[run.run_id].state, attempts[run.run_id].started) == (state, 1)
        assert attempts[run.run_id].start_date is not None
        assert (versions[run.run_id].source, versions[run.run_id].try_number) == ("manual", 1)
        assert versions[run.run_id].spec_hash == details.loaded.spec_hash


def test_runs_are_told_apart_though_their_ids_begin_alike(
    world: World, trigger: Callable[..., DagRun]
) -> None:
    run = trigger("quick")
    later = datetime.now(UTC)
    other = world.gateway.trigger(run.dag_id, f"{run.run_id}_2", logical_date=later, conf={})
    until(world, lambda: state_of(world, run) == state_of(world, other) == "success")
    assert [attempt.run_id for attempt in world.gateway.attempts([run])] == [run.run_id]
    assert [version.run_id for version in world.gateway.versions([run])] == [run.run_id]


def test_the_log_of_a_failed_attempt_holds_its_error(world: World, trigger: Callable[..., DagRun]) -> None:
    run = trigger("failing")
    until(world, lambda: state_of(world, run) == "failed")
    events = world.gateway.log(run.dag_id, run.run_id, 1)
    assert events is not None
    assert any("no_such_table" in event.error for event in events if event.error)
    assert world.gateway.log(run.dag_id, run.run_id, 2) is None
    assert world.gateway.log(run.dag_id, "nothing", 1) is None


@pytest.mark.rule("15.2")
def test_a_running_run_that_is_ended_has_ended_with_its_process(
    world: World, trigger: Callable[..., DagRun]
) -> None:
    run = trigger("slow")
    until(world, lambda: attempt_of(world, run).state == "running" and bool(world.gateway.versions([run])))
    assert run.key in {(attempt.dag_id, attempt.run_id) for attempt in world.gateway.running_attempts()}
    ended = world.gateway.set_run_state(run.dag_id, run.run_id, "failed", note="Stopped by 영희")
    assert ended is not None
    assert (ended.state, ended.note) == ("failed", "Stopped by 영희")
    attempt = attempt_of(world, run)
    assert (attempt.state, attempt.started, attempt.ended) == ("failed", 1, True)
    until(world, lambda: world.gateway.process_is_gone(run.dag_id, run.run_id, 1))
    assert run.key not in {(attempt.dag_id, attempt.run_id) for attempt in world.gateway.running_attempts()}


@pytest.mark.rule("13.4")
def test_a_run_that_several_end_at_the_same_moment_has_ended_for_each(
    world: World, trigger: Callable[..., DagRun]
) -> None:
    world.gateway.set_paused(world.dataset("quick"), paused=True)
    for run in [trigger("quick") for _ in range(5)]:

        def end(number: int, run: DagRun = run) -> DagRun | None:
            return world.gateway.set_run_state(
                run.dag_id, run.run_id, "failed", note=f"Stopped by replica {number}"
            )

        with ThreadPoolExecutor(2) as replicas:
            ended = list(replicas.map(end, range(2)))
        assert [run.state for run in ended if run is not None] == ["failed"] * 2
        assert state_of(world, run) == "failed"


def test_a_waiting_run_that_is_ended_has_started_no_attempt(
    world: World, trigger: Callable[..., DagRun]
) -> None:
    world.gateway.set_paused(world.dataset("quick"), paused=True)
    run = trigger("quick")
    world.gateway.set_run_state(run.dag_id, run.run_id, "failed", note="Stopped by 영희")
    attempt = attempt_of(world, run)
    assert (attempt.started, attempt.ended) == (0, True)
    assert state_of(world, run) == "failed"


@pytest.mark.rule("13.5")
def test_a_run_that_has_failed_runs_again_as_its_next_attempt(
    world: World, trigger: Callable[..., DagRun]
) -> None:
    run = trigger("failing")
    until(world, lambda: state_of(world, run) == "failed")
    world.gateway.set_paused(run.dag_id, paused=True)
    cleared = world.gateway.clear_run(run.dag_id, run.run_id, note="Retried by 영희")
    assert cleared is not None
    assert (cleared.run_id, cleared.conf, cleared.run_after) == (run.run_id, run.conf, run.run_after)
    assert (cleared.state, cleared.note) == ("queued", "Retried by 영희")
    assert (cleared.start_date, cleared.end_date) == (None, None)
    attempt = attempt_of(world, run)
    assert (attempt.started, attempt.ended, attempt.max_tries) == (1, False, 1)
    world.gateway.set_paused(run.dag_id, paused=False)
    until(world, lambda: state_of(world, run) == "failed")
    ended = world.gateway.get_run(run.dag_id, run.run_id)
    attempt = attempt_of(world, run)
    assert ended is not None
    assert ended.start_date is not None
    assert attempt.start_date is not None
    assert (ended.note, attempt.started, attempt.start_date >= ended.start_date) == (
        "Retried by 영희",
        2,
        True,
    )
    assert [version.try_number for version in world.gateway.versions([run])] == [2]
    assert all(world.gateway.log(run.dag_id, run.run_id, number) for number in (1, 2))


def test_a_run_that_was_ended_before_its_first_attempt_runs_again(
    world: World, trigger: Callable[..., DagRun]
) -> None:
    world.gateway.set_paused(world.dataset("quick"), paused=True)
    run = trigger("quick")
    world.gateway.set_run_state(run.dag_id, run.run_id, "failed", note="Stopped by 영희")
    world.gateway.clear_run(run.dag_id, run.run_id, note="Retried by 영희")
    assert attempt_of(world, run).started == 0
    world.gateway.set_paused(world.dataset("quick"), paused=False)
    until(world, lambda: state_of(world, run) == "success")


def test_a_run_that_is_not_there_cannot_run_again(world: World) -> None:
    assert world.gateway.clear_run(world.dataset("quick"), "nothing", note="x") is None
    assert world.gateway.clear_run("test.nothing", "nothing", note="x") is None


def test_a_dag_of_ours_is_told_from_another_and_so_are_their_runs(
    world: World, trigger: Callable[..., DagRun]
) -> None:
    ours, theirs = (world.gateway.get_dag(name) for name in (world.dataset("quick"), world.bring_dag()))
    assert ours is not None
    assert theirs is not None
    assert (ours.is_dataset, theirs.is_dataset) == (True, False)
    assert (theirs.dag.file or "").endswith(".py")
    by_id = {dag.dag_id: dag for dag in world.gateway.list_dags(tags=["source:manual"])}
    assert by_id[ours.dag.dag_id].is_in_shard
    assert theirs.dag.dag_id not in by_id
    run = trigger("quick")
    until(world, lambda: state_of(world, run) == "success")
    assert (world.gateway.task_ids(run), attempt_of(world, run).is_dataset) == (["run"], True)
    run_id = f"manual__{uuid.uuid4().hex}"
    other = world.gateway.trigger(theirs.dag.dag_id, run_id, logical_date=datetime.now(UTC), conf={})
    found = world.gateway.list_runs(RunFilter(run_id=run_id), limit=10).runs
    assert [one.key for one in found] == [other.key]
    assert (world.gateway.task_ids(other), world.gateway.attempts([other])) == (["extract"], [])


def test_a_run_that_is_marked_as_a_success_before_it_starts_has_started_no_attempt(
    world: World, trigger: Callable[..., DagRun]
) -> None:
    world.gateway.set_paused(world.dataset("quick"), paused=True)
    run = trigger("quick")
    world.gateway.set_run_state(run.dag_id, run.run_id, "success", note="not needed")
    assert (state_of(world, run), attempt_of(world, run).started) == ("success", 0)


def test_a_file_that_does_not_load_is_among_the_import_errors(world: World) -> None:
    key = world.break_file()
    until(world, lambda: any(key in error.stack_trace for error in world.gateway.import_errors()))


@pytest.mark.rule("18.13")
def test_the_type_of_a_connection(world: World) -> None:
    name = f"lake_{uuid.uuid4().hex}"
    assert world.gateway.connection_type(name) is None
    world.connect(name, "trino")
    assert world.gateway.connection_type(name) == "trino"


@pytest.mark.rule("31.6")
def test_variables_are_listed_by_prefix_and_written_whether_they_exist_or_not(world: World) -> None:
    prefix = f"dli.test.{uuid.uuid4().hex}."
    long = json.dumps({"dates": [["2024-01-01", "2024-01-02"]] * 1000})
    assert world.gateway.variables(prefix) == {}
    assert world.gateway.variable(f"{prefix}a") is None
    for text in (long, "***", "not JSON: ü"):
        world.gateway.set_variable(f"{prefix}a", text, description="What a dataset has built")
        assert world.gateway.variable(f"{prefix}a") == text
    for number in range(101):
        world.gateway.set_variable(f"{prefix}b{number:03}", "1", description="")
    found = world.gateway.variables(f"{prefix}b")
    assert found == {f"{prefix}b{number:03}": "1" for number in range(101)}
    assert set(world.gateway.variables(prefix)) == {f"{prefix}a", *found}
