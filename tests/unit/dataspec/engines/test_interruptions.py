"""Runs that are killed, stopped or failed before each of their statements, that meet, and that are read meanwhile."""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import duckdb
import pytest

from dataspec.engines.session import SessionCancelled, StatementFailed
from dataspec.spec.full_refresh import FullRefresh
from dataspec.sql.materialization.failure import MaterializationFailed
from dataspec.sql.rendering import RenderedStatement
from warehouses import Listener, Warehouse, fork_on_request, orders

DAY = "cast('{{ execution_date }}' as date)"
OF_DAY = "parameters: [{name: execution_date, type: date}]\n"
JOIN_SECONDS = 120


@dataclass(frozen=True)
class Case:
    """A run on a table with old rows, and what it leaves."""

    before: str | None
    """The dataset whose run makes the old rows; None for a first run."""
    run: str
    old: list[Any]
    new: list[Any]
    given: dict[str, Any]
    begun: dict[str, Any] | None = None
    """What an earlier run of a full refresh is given, before the run."""

    @classmethod
    def of(cls, form: str, old: str, new: str, rows: list[Any], then: list[Any], more: str = "") -> Case:
        given = {"execution_date": "2024-01-15"} if more else {}
        return cls(orders(old, form, more), orders(new, form, more), rows, then, given)


DAILY = "{type: incremental, strategy: replace_partition, partition_column: day}"
MERGE = "{type: incremental, strategy: merge, unique_key: [id], on_schema_change: append_columns}"
CASES = {
    "first run": Case(None, orders("select 1 as id"), [], [(1,)], {}),
    "same columns": Case.of(
        "table", "select 1 as id", "select 2 as id union all select 3", [(1,)], [(2,), (3,)]
    ),
    "other columns": Case.of("table", "select 1 as id", "select 'a' as name", [(1,)], [("a",)]),
    "partition": Case.of(
        DAILY,
        f"select {DAY} as day, 1 as id where 1 = 1",
        f"select {DAY} as day, 2 as id",
        [1],
        [2],
        OF_DAY,
    ),
    "new column": Case.of(
        MERGE,
        "select 1 as id union all select 2",
        "select 2 as id, 'x' as v",
        [(1,), (2,)],
        [(1, None), (2, "x")],
    ),
    "view": Case.of("view", "select 1 as id", "select 2 as id", [(1,)], [(2,)]),
    "other view": Case.of("view", "select 1 as id", "select 'a' as name", [(1,)], [("a",)]),
    "append": Case.of(
        "{type: incremental, strategy: append}", "select 1 as id", "select 2 as id", [(1,)], [(1,), (2,)]
    ),
    "full refresh": Case(
        orders(f"select {DAY} as day, 1 as id", DAILY, OF_DAY),
        orders(f"select {DAY} as day, 2 as id", DAILY, OF_DAY),
        [1],
        [2, 2],
        {"execution_date": "2024-01-15", "refresh": FullRefresh("b", begins=False, ends=True)},
        {"execution_date": "2024-01-14", "refresh": FullRefresh("b", begins=True, ends=False)},
    ),
}


def rows(warehouse: Warehouse, case: Case) -> list[Any]:
    """Return the rows of the table; of a case with a partition, the ids alone."""
    found = warehouse.orders() if warehouse.is_there() else []
    return [row[1] for row in found] if case.given else found


def prepared(warehouse: Warehouse, case: Case) -> None:
    warehouse.ask("drop schema if exists shop cascade", "create schema shop")
    if case.before is not None:
        warehouse.run(case.before, **case.given | {"refresh": None})
    if case.begun is not None:
        warehouse.run(case.run, **case.begun)


def statements_of(warehouse: Warehouse, case: Case) -> list[RenderedStatement]:
    """Return the statements of an undisturbed run."""
    prepared(warehouse, case)
    sent = warehouse.run(case.run, **case.given).sent
    assert rows(warehouse, case) == case.new
    return sent


def publishing(sent: list[RenderedStatement]) -> int:
    """Return the index of the statement after which the new rows are there."""
    return max(index for index, statement in enumerate(sent) if statement.sql == "commit")


def interrupted(warehouse: Warehouse, case: Case, interrupt: Callable[[int], None]) -> None:
    """Interrupt runs one statement later each, on what the one before has left, until one publishes.

    Args:
        warehouse: The warehouse.
        case: The run.
        interrupt: Runs it, and interrupts it before the statement of a number.
    """
    sent = statements_of(warehouse, case)
    prepared(warehouse, case)
    left = False
    for number in range(publishing(sent) + 1):
        interrupt(number)
        assert rows(warehouse, case) == case.old, sent[number].sql
        left = left or bool(warehouse.staged())
    assert left
    warehouse.run(case.run, **case.given)
    assert (rows(warehouse, case), warehouse.staged()) == (case.new, [])


def acting_before(number: int, act: Callable[[], None]) -> Listener:
    """Return a listener that acts before the statement of a number."""

    def before(index: int, _: RenderedStatement) -> None:
        if index == number:
            act()

    return Listener(before)


Kill = Callable[[Warehouse, str, int, dict[str, Any]], int]


@pytest.fixture(scope="session")
def run_killed() -> Iterator[Kill]:
    """Run a dataset in a process that gets SIGKILL before a statement; return how it ended."""
    context = multiprocessing.get_context("spawn")
    requests, theirs = context.Pipe()
    process = context.Process(target=fork_on_request, args=(theirs,))
    process.start()

    def run_killed(*request: Any) -> int:
        requests.send(request)
        assert requests.poll(JOIN_SECONDS)
        return int(requests.recv())

    yield run_killed
    requests.send(None)
    process.join()


@pytest.mark.rule("35.1", "35.23")
@pytest.mark.parametrize("name", ["first run", "other columns", "partition", "new column", "full refresh"])
def test_a_run_killed_before_any_statement_leaves_the_old_rows(
    warehouse: Warehouse, name: str, run_killed: Kill
) -> None:
    case = CASES[name]

    def kill(number: int) -> None:
        assert run_killed(warehouse, case.run, number, case.given) == -signal.SIGKILL

    interrupted(warehouse, case, kill)


@pytest.mark.rule("35.1", "35.23")
@pytest.mark.parametrize("name", ["append", "view"])
def test_a_run_stopped_before_any_statement_leaves_the_old_rows(warehouse: Warehouse, name: str) -> None:
    case = CASES[name]

    def stop(number: int) -> None:
        session, statements, listener = warehouse.session(case.run, **case.given)
        if not number:
            session.cancel()
        # The statement that is being sent when the stop comes is the last one.
        listener.before = acting_before(number - 1, session.cancel).before
        with pytest.raises(SessionCancelled):
            session.run(statements)

    interrupted(warehouse, case, stop)


@pytest.mark.rule("35.1", "35.23")
@pytest.mark.parametrize("name", ["same columns", "other view"])
def test_a_run_that_fails_at_any_statement_leaves_the_old_rows(warehouse: Warehouse, name: str) -> None:
    case = CASES[name]

    def fail(number: int) -> None:
        listener = acting_before(number, warehouse.break_off)
        with pytest.raises((StatementFailed, duckdb.FatalException)):
            warehouse.run(case.run, listener=listener, **case.given)

    interrupted(warehouse, case, fail)


@pytest.mark.rule("35.24")
@pytest.mark.parametrize("name", ["other columns", "partition", "append", "full refresh"])
def test_of_two_runs_that_meet_the_later_one_publishes(warehouse: Warehouse, name: str) -> None:
    case = CASES[name]
    changed = case.run.replace("2 as id", "8 as id").replace("'a'", "'b'")
    later = Case(case.before, changed, [], [], case.given)
    prepared(warehouse, case)
    warehouse.run(later.run, **case.given)
    of_later = rows(warehouse, case)
    sent = statements_of(warehouse, case)
    warehouse.run(later.run, **case.given)
    of_both = rows(warehouse, case)
    for number in (i for i, statement in enumerate(sent) if statement.name in {"query", "check", "publish"}):
        prepared(warehouse, case)
        outcomes: dict[str, BaseException | None] = {}
        second = threading.Thread(target=attempt, args=(warehouse, later, outcomes, "second", Listener()))

        def meet(number: int = number, second: threading.Thread = second) -> None:
            second.start()
            if not holds_lock(warehouse, sent, number):
                second.join(JOIN_SECONDS)

        attempt(warehouse, case, outcomes, "first", acting_before(number, meet))
        second.join(JOIN_SECONDS)
        assert not second.is_alive()
        told = f"{sent[number].sql}: {outcomes}"
        if None not in outcomes.values():  # in DuckDB two transactions may each conflict with the other
            assert (warehouse.kind, rows(warehouse, case)) == ("duckdb", case.old), told
            continue
        expected = case.new if outcomes["second"] else of_later if outcomes["first"] else of_both
        assert rows(warehouse, case) == expected, told
        if sent[number].name == "publish" and sent[number].sql == "begin":
            assert isinstance(outcomes["first"], MaterializationFailed), told
            assert "A later attempt of this dataset has begun to build shop.orders" in str(outcomes["first"])


def attempt(
    warehouse: Warehouse, case: Case, outcomes: dict[str, BaseException | None], who: str, listener: Listener
) -> None:
    try:
        warehouse.run(case.run, listener=listener, **case.given)
    except (MaterializationFailed, StatementFailed) as failed:
        outcomes[who] = failed
    else:
        outcomes[who] = None


def holds_lock(warehouse: Warehouse, sent: list[RenderedStatement], number: int) -> bool:
    """Return whether a run holds PostgreSQL's lock before a statement; in DuckDB no run waits for another."""
    begun = sum(statement.sql == "begin" for statement in sent[:number])
    ended = sum(statement.sql == "commit" for statement in sent[:number])
    return warehouse.kind == "postgres" and begun > ended


@pytest.mark.rule("35.25")
@pytest.mark.parametrize(
    "queries",
    [
        "select {n} as v from range(0, 100) as t (x)",
        "select {n} as v, {n} as c{n} from range(0, 100) as t (x)",
    ],
    ids=["same columns", "other columns"],
)
def test_readers_see_the_rows_of_one_run_and_never_none(warehouse: Warehouse, queries: str) -> None:
    series = "generate_series(1, 100)" if warehouse.kind == "postgres" else "range(0, 100)"
    runs = [orders(queries.format(n=n).replace("range(0, 100)", series)) for n in range(1, 5)]
    warehouse.run(runs[0])
    ended = threading.Event()
    seen: set[tuple[Any, ...]] = set()
    failures: list[BaseException] = []

    def read() -> None:
        try:
            while not ended.is_set():
                seen.update(warehouse.ask("select count(*), min(v) = max(v) from shop.orders"))
        except BaseException as failure:  # noqa: BLE001 - told in the test
            failures.append(failure)

    readers = [threading.Thread(target=read) for _ in range(2)]
    # DuckDB refuses a connection while another thread closes the last one: this one stays open.
    with closing(warehouse.get_conn()):
        for reader in readers:
            reader.start()
        for yaml in runs:
            warehouse.run(yaml)
        ended.set()
        for reader in readers:
            reader.join(JOIN_SECONDS)
    assert (failures, seen) == ([], {(100, True)})
