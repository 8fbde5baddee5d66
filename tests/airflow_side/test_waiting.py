"""The task that waits, its trigger, and what a run leaves for those that wait for it."""

from __future__ import annotations

import asyncio
import inspect
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from airflow_side.airflow_names import IS_2, TaskDeferred
from airflow_side.conftest import MemoryVariables
from airflow_side.test_operator import Attempt, Run, execute, operator
from dataspec.contract import BUILT_BEACON, WAIT_ERROR_KEY, built_variable
from dataspec.schedule.beacon import built_since, with_entry
from dataspec.schedule.built import Built
from dataspec.schedule.partitions import Grid
from dli_airflow.airflow_api import AirflowFailException
from dli_airflow.factory import build_dag, load
from dli_airflow.mirror.dag_folder import DagFolder
from dli_airflow.mirror.dataset import Dataset, UpstreamFacts
from dli_airflow.waiting import operator as wait_module
from dli_airflow.waiting import trigger as trigger_module
from dli_airflow.waiting.operator import WaitOperator
from dli_airflow.waiting.poller import Poller
from dli_airflow.waiting.trigger import UpstreamTrigger
from unit.dli_airflow.catalogs import datasets

PATIENCE_SECONDS = 240
SINCE = "2024-01-01T00:00:00+00:00"
DAILY = UpstreamFacts(cron="0 8 * * *", zone="UTC", registered_at=SINCE)
GRID = Grid("0 8 * * *", "UTC")
SPEC = """\
parameters: [{{name: execution_date, type: date}}]
schedule: {{cron: 0 7 * * *, timezone: UTC}}
depends_on: {entries}
"""


@dataclass
class WaitingRun(Run):
    """A scheduled run of 2024-01-15."""

    run_type: str = "scheduled"
    run_id: str = "web.clicks_20240116_070000"
    logical_date: datetime | None = datetime(2024, 1, 15, 7, tzinfo=UTC)
    data_interval_start: datetime | None = datetime(2024, 1, 15, 7, tzinfo=UTC)
    data_interval_end: datetime | None = datetime(2024, 1, 16, 7, tzinfo=UTC)


class Runs:
    """The runs that Airflow has."""

    def __init__(self) -> None:
        self.ids: set[str] = {"sales.orders_20240116_080000", "sales.orders_20240117_080000"}
        self.asked: list[str] = []

    def has(self, _dataset: str, run_id: str) -> bool:
        self.asked.append(run_id)
        return run_id in self.ids


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Runs:
    runs = Runs()
    monkeypatch.setattr(wait_module, "has_run", runs.has)
    monkeypatch.setattr(trigger_module, "has_run", runs.has)
    return runs


@pytest.fixture(autouse=True)
def poller(variables: MemoryVariables, monkeypatch: pytest.MonkeyPatch) -> None:
    async def read(key: str) -> str | None:
        return variables.get(key, None)

    poller = Poller(read, look_seconds=0.01)
    monkeypatch.setattr(trigger_module, "_poller", lambda: poller)
    monkeypatch.setattr(trigger_module, "SHORTEST_SECONDS", 0.01)


def clicks(entries: str = "[sales.orders]", orders: UpstreamFacts = DAILY) -> Dataset:
    [dataset] = datasets("web.clicks", query="select 1", more=SPEC.format(entries=entries))
    return replace(dataset, upstreams={"sales.orders": orders})


def build(variables: MemoryVariables, name: str = "2024-01-15") -> None:
    built = Built().with_partition(GRID.named(name), at=datetime.now(UTC), grid=GRID)
    variables.texts[built_variable("sales.orders")] = built.text()
    variables.texts[BUILT_BEACON] = name


def wait(dataset: Dataset, run: Run | None = None, attempt: Attempt | None = None) -> UpstreamTrigger | None:
    """Run the task that waits; return its trigger if it defers."""
    task = WaitOperator(task_id="wait_1", dataset=dataset)
    try:
        inspect.unwrap(type(task).execute)(task, {"ti": attempt or Attempt(), "dag_run": run or WaitingRun()})
    except TaskDeferred as deferred:
        kept = json.loads(json.dumps(deferred.trigger.serialize()[1]))
        return UpstreamTrigger(**kept)
    return None


async def ending(trigger: UpstreamTrigger) -> tuple[str, str | None]:
    """Return how a trigger ends the task, and the reason of a failure."""
    events = [event async for event in trigger.run()]
    [event] = events
    return type(event).__name__, (event.xcoms or {}).get(WAIT_ERROR_KEY)


def wait_id(dataset: Dataset) -> Any:
    dag = build_dag(dataset, base_url=None, turns=Path("/nowhere"))
    return next(task.task_id for task in dag.tasks if task.task_id != "run")


def play(story: Any) -> Any:
    return asyncio.run(asyncio.wait_for(story, PATIENCE_SECONDS))


@pytest.mark.rule("31.50", "2.2")
def test_a_dataset_with_depends_on_has_a_task_that_waits_without_limit_and_one_that_runs() -> None:
    dag = build_dag(clicks(), base_url=None, turns=Path("/nowhere"))
    run, wait = sorted(dag.tasks, key=lambda task: task.task_id)
    assert (run.task_id, wait.task_id[:5]) == ("run", "wait_")
    assert run.upstream_task_ids == {wait.task_id}
    assert (wait.max_active_tis_per_dag, wait.retries, wait.execution_timeout) == (None, 0, None)
    assert run.max_active_tis_per_dag == 1
    [alone] = datasets("web.clicks")
    assert [task.task_id for task in build_dag(alone, base_url=None, turns=Path("/nowhere")).tasks] == ["run"]


@pytest.mark.rule("31.63")
def test_airflows_page_shows_the_edges_between_datasets() -> None:
    dag = build_dag(clicks(), base_url=None, turns=Path("/nowhere"))
    run = dag.get_task("run")
    names = [[asset.name for asset in assets] for assets in (run.inlets, run.outlets)]
    assert names == ([[], []] if IS_2 else [["dli:sales.orders"], ["dli:web.clicks"]])
    assert "| Depends on | sales.orders |" in str(dag.doc_md)


@pytest.mark.rule("31.50")
def test_a_change_of_what_is_waited_for_gives_the_runs_that_wait_another_task() -> None:
    previous = clicks("[{dataset: sales.orders, partition: previous}]")
    weekly = clicks(orders=replace(DAILY, cron="0 9 * * 1"))
    assert len({wait_id(clicks()), wait_id(previous), wait_id(weekly)}) == 3
    assert wait_id(clicks(orders=replace(DAILY, registered_at=None))) == wait_id(clicks())


@pytest.mark.rule("31.50")
def test_a_worker_starts_a_task_whose_id_has_changed_since_it_was_queued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scheduler still has the DAG from before the change; the worker has read the new spec."""
    DagFolder(tmp_path / "dags", shards=1, base_url=None).write([clicks()], [])
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "web.clicks")
    for started, tasks in (("wait_before", {"wait_before", "run"}), ("run", {wait_id(clicks()), "run"})):
        monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_TASK_ID", started)
        dag = load(str(tmp_path / "dags" / "shard_000.py"))["web.clicks"]
        assert {task.task_id for task in dag.tasks} == tasks


@pytest.mark.rule("31.51", "31.52")
@pytest.mark.parametrize(
    "run",
    [
        Run(conf={"execution_date": "2024-01-15", "_dli": {"run_type": "adhoc"}}),
        Run(conf={"execution_date": "2024-01-15"}),
    ],
)
def test_a_run_that_was_not_told_to_does_not_wait(run: Run) -> None:
    assert wait(clicks(), run) is None


@pytest.mark.rule("31.52")
def test_a_run_whose_needs_are_met_goes_on_and_another_one_defers(
    variables: MemoryVariables, runs: Runs
) -> None:
    build(variables, "2024-01-14")
    assert wait(clicks()) is not None
    build(variables)
    assert wait(clicks()) is None
    told = WaitingRun("manual", conf={"execution_date": "2024-01-16", "_dli": {"wait_for_upstream": True}})
    assert wait(clicks(), told) is not None
    before_registration = replace(DAILY, registered_at="2024-02-01T00:00:00+00:00")
    assert wait(clicks(orders=before_registration)) is None


@pytest.mark.rule("31.52")
def test_the_trigger_ends_the_task_when_the_upstream_is_built(variables: MemoryVariables, runs: Runs) -> None:
    trigger = wait(clicks())
    assert trigger is not None

    async def story() -> tuple[str, str | None]:
        waiting = asyncio.create_task(ending(trigger))
        await asyncio.sleep(0.1)
        build(variables, "2024-01-14")
        await asyncio.sleep(0.1)
        assert not waiting.done()
        build(variables)
        return await waiting

    assert play(story()) == ("TaskSuccessEvent", None)


@pytest.mark.rule("31.55")
def test_a_run_that_waits_too_long_fails_and_names_what_is_missing(runs: Runs) -> None:
    trigger = wait(clicks("[{dataset: sales.orders, timeout_seconds: 1}]"))
    assert trigger is not None
    assert play(ending(trigger)) == (
        "TaskFailedEvent",
        (
            "It has waited too long, and this is still missing: sales.orders 2024-01-15. Then run it again: "
            "dli workflow retry web.clicks_20240116_070000"
        ),
    )


PASSED_OVER = (
    "sales.orders 2024-01-15 is missing, and its schedule has passed it over: the dataset was paused, or Airflow was "
    "down. Build it: dli workflow backfill sales.orders --start 2024-01-15 --end 2024-01-15. Then run it again: "
    "dli workflow retry web.clicks_20240116_070000"
)


@pytest.mark.rule("31.56")
def test_a_run_whose_need_was_passed_over_fails_at_once_on_the_worker(runs: Runs) -> None:
    runs.ids.remove("sales.orders_20240116_080000")
    attempt = Attempt()
    with pytest.raises(AirflowFailException):
        wait(clicks(), attempt=attempt)
    assert attempt.pushed == [(WAIT_ERROR_KEY, PASSED_OVER)]
    assert wait(clicks(orders=replace(DAILY, catches_up=True))) is not None


@pytest.mark.rule("31.56")
def test_a_need_that_is_passed_over_while_a_run_waits_fails_it_and_is_asked_about_once(
    variables: MemoryVariables, runs: Runs
) -> None:
    trigger = wait(clicks())
    assert trigger is not None
    runs.asked.clear()

    async def goes_on() -> None:
        waiting = asyncio.create_task(ending(trigger))
        for day in ("2024-01-12", "2024-01-13", "2024-01-14"):
            build(variables, day)
            await asyncio.sleep(0.1)
        while not runs.asked:  # noqa: ASYNC110 - the trigger tells nobody
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert runs.asked == ["sales.orders_20240116_080000"]
        waiting.cancel()

    play(goes_on())
    runs.ids.clear()
    assert play(ending(UpstreamTrigger(**trigger.serialize()[1]))) == ("TaskFailedEvent", PASSED_OVER)


@pytest.mark.rule("31.54")
def test_the_last_act_of_a_run_tells_what_it_has_built_and_changes_the_beacon(
    warehouse: Path, tmp_path: Path, variables: MemoryVariables
) -> None:
    execute(operator(clicks(), tmp_path / "turns"), WaitingRun())
    key = built_variable("web.clicks")
    assert variables.writes == [key, BUILT_BEACON]
    grid = Grid("0 7 * * *", "UTC")
    built = Built.parse(variables.texts[key]).built
    assert built.covers(grid.named("2024-01-15"))
    assert not built.covers(grid.named("2024-01-16"))
    beacon = variables.texts[BUILT_BEACON]
    execute(operator(clicks(), tmp_path / "turns"), Run(conf={"execution_date": "2024-01-16"}))
    built = Built.parse(variables.texts[key]).built
    assert built.covers(grid.named("2024-01-15"))
    assert built.covers(grid.named("2024-01-16"))
    assert variables.texts[BUILT_BEACON] != beacon


@pytest.mark.rule("31.54")
@pytest.mark.parametrize(("failures", "noted"), [(3, True), (99, False)])
def test_a_write_that_fails_is_repeated_and_never_fails_the_run(
    warehouse: Path, tmp_path: Path, variables: MemoryVariables, failures: int, noted: bool
) -> None:
    variables.failures = failures
    execute(operator(clicks(), tmp_path / "turns"), WaitingRun())
    assert (built_variable("web.clicks") in variables.texts) is noted


@pytest.mark.rule("31.54")
def test_an_entry_of_the_beacon_that_another_run_replaces_is_written_again(
    warehouse: Path, tmp_path: Path, variables: MemoryVariables, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two runs that end together read the same beacon; the later write has only its own entry."""
    replaced: list[str] = []
    write = variables.set

    def replace_once(key: str, value: str, description: str | None = None) -> None:
        write(key, value, description)
        if key == BUILT_BEACON and not replaced:
            replaced.append(value)
            variables.texts[key] = with_entry(None, "web.visits", "1")

    monkeypatch.setattr(variables, "set", replace_once)
    execute(operator(clicks(), tmp_path / "turns"), WaitingRun())
    other = with_entry(None, "web.visits", "1")
    assert built_since(other, variables.texts[BUILT_BEACON]) == frozenset({"web.clicks"})


@pytest.fixture
def warehouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "warehouse.duckdb"
    monkeypatch.setenv("AIRFLOW_CONN_DLI_DEFAULT", json.dumps({"conn_type": "duckdb", "host": str(path)}))
    return path


@pytest.mark.rule("31.58")
def test_a_query_is_asked_until_it_returns_a_row(warehouse: Path, runs: Runs) -> None:
    query = "select 1 from loads where day = '{{ execution_date }}'"
    trigger = wait(clicks(f'[{{sql: "{query}", every_seconds: 1}}]'))
    assert trigger is not None

    async def story() -> tuple[str, str | None]:
        waiting = asyncio.create_task(ending(trigger))
        await asyncio.sleep(0.2)
        assert not waiting.done()  # there is no such table
        with duckdb.connect(str(warehouse)) as connection:
            connection.execute("create table loads as select date '2024-01-15' as day")
        return await waiting

    assert play(story()) == ("TaskSuccessEvent", None)


@pytest.mark.rule("31.58", "31.55")
def test_a_query_that_fails_is_named_with_its_error(warehouse: Path, runs: Runs) -> None:
    trigger = wait(clicks('[{sql: "select 1 from loads", every_seconds: 1, timeout_seconds: 2}]'))
    assert trigger is not None
    kind, reason = play(ending(trigger))
    assert kind == "TaskFailedEvent"
    assert reason is not None
    assert "a row of the query on dli_default (select 1 from loads), which failed: " in reason
    assert "loads does not exist" in reason


@pytest.mark.rule("31.33")
def test_a_query_on_another_teams_connection_fails_the_run(
    warehouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = tmp_path / "connections"
    listed.write_text("lake=@data")
    monkeypatch.setenv("DLI_CONNECTIONS_FILE", str(listed))
    attempt = Attempt()
    with pytest.raises(AirflowFailException, match="'lake' is for specs of @data alone"):
        wait(clicks('[{sql: "select 1", connection: lake}]'), attempt=attempt)
    assert [key for key, _ in attempt.pushed] == [WAIT_ERROR_KEY]
