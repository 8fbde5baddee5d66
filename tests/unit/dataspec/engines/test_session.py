from __future__ import annotations

import logging
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import Any

import duckdb
import pytest

from dataspec.engines.session import SessionCancelled, SqlSession, StatementFailed, one_line
from dataspec.engines.statement_log import FIRST_ROWS, StatementLog
from dataspec.spec.parse import parse_spec
from dataspec.spec.sql_texts import Kind
from dataspec.sql.rendering import RenderedStatement, render_statements
from endless import ENDLESS
from unit.dataspec.engines.engines import LONG_IN_SQLITE, DuckDB, Engine, SQLite

log = logging.getLogger(__name__)


def statement(
    sql: str, name: str = "query", kind: Kind = "query", *, go_on: bool = False, file: str | None = None
) -> RenderedStatement:
    return RenderedStatement(name, sql, kind, go_on, file)


def session_on(engine: Engine, turn: Any = lambda _: nullcontext()) -> SqlSession:
    return SqlSession(engine, StatementLog(log), first_rows=FIRST_ROWS, turn=turn)


def rows(path: Path, sql: str) -> list[Any]:
    with duckdb.connect(str(path)) as connection:
        return connection.execute(sql).fetchall()


def cancel_once_running(session: SqlSession, name: str) -> threading.Thread:
    """Cancel a session from another thread while a statement of that name runs."""

    def watch() -> None:
        while session.current is None or session.current.name != name:
            time.sleep(0.01)
        time.sleep(0.3)
        session.cancel()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


@pytest.mark.rule("12.11")
def test_statements_run_in_their_order_in_one_session(tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    session_on(DuckDB(path)).run(
        [
            statement("create temp table seen as select 1 as n", "before", "pre"),
            statement("create table result as select n + 1 as n from seen"),
            statement("insert into result select n + 10 from seen", "after", "post"),
        ]
    )
    assert rows(path, "select n from result order by n") == [(2,), (11,)]


@pytest.mark.rule("12.11")
def test_each_statement_stands_by_itself_and_one_can_begin_a_transaction(tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    with pytest.raises(StatementFailed):
        session_on(DuckDB(path)).run([statement("create table kept (n int)"), statement("nonsense", "later")])
    assert rows(path, "select count(*) from kept") == [(0,)]
    with pytest.raises(StatementFailed):
        session_on(DuckDB(path)).run(
            [statement("begin"), statement("insert into kept values (1)"), statement("nonsense", "later")]
        )
    assert rows(path, "select count(*) from kept") == [(0,)]


def test_a_connection_that_does_not_commit_by_itself_is_committed_at_the_end(tmp_path: Path) -> None:
    engine = SQLite(tmp_path / "w.sqlite")
    session_on(engine).run([statement("create table t (n int)"), statement("insert into t values (7)")])
    with closing(engine.get_conn()) as connection:
        assert connection.execute("select n from t").fetchall() == [(7,)]


@pytest.mark.rule("2.5", "12.12")
def test_a_statement_that_may_fail_is_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "w.duckdb"
    session_on(DuckDB(path)).run(
        [
            statement("drop table missing", "tidy", "pre", go_on=True),
            statement("create table t as select 1 n"),
        ]
    )
    assert rows(path, "select n from t") == [(1,)]
    assert (
        "pre statement 'tidy' failed: Catalog Error: Table with name missing does not exist!" in caplog.text
    )
    assert "continue_on_error" in caplog.text


@pytest.mark.rule("12.12")
def test_an_error_says_in_one_line_which_statement_failed_and_why() -> None:
    broken = statement("select *\nfrom nowhere", "check", "post", file="sql/check.sql")
    with pytest.raises(StatementFailed) as failure:
        session_on(DuckDB()).run([broken])
    message = str(failure.value)
    assert message.startswith(
        "post statement 'check' of sql/check.sql failed: Catalog Error: Table with name"
    )
    assert "\n" not in message
    assert "^" not in message
    assert isinstance(failure.value.__cause__, duckdb.CatalogException)


def test_an_error_in_the_last_row_of_a_result_fails_the_statement() -> None:
    check = "select case when range = 4999999 then error('a bad row') end from range(5000000)"
    with pytest.raises(StatementFailed, match="a bad row"):
        session_on(DuckDB()).run([statement(check, "check", "post")])


def test_the_log_tells_sql_seconds_rows_affected_and_first_rows(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    session_on(DuckDB()).run(
        [
            statement("create table t as select * from range(12) as r(n)", "make", "pre"),
            statement("select n, n * 2 as twice from t order by n", file="q.sql"),
        ]
    )
    assert "pre statement 'make':\ncreate table t" in caplog.text
    assert "12 rows affected." in caplog.text
    assert "statement 'query' of q.sql:\nselect n, n * 2" in caplog.text
    assert "12 rows, of which the first:\nn  twice\n0  0\n1  2\n" in caplog.text
    assert re.search(r"'query' took \d+\.\d\d s: 12 rows", caplog.text)


@pytest.mark.rule("12.14")
@pytest.mark.parametrize("engine", ["duckdb", "sqlite"])
def test_a_cancelled_query_ends_at_once_on_the_engine(tmp_path: Path, engine: str) -> None:
    hook: Engine = DuckDB() if engine == "duckdb" else SQLite(tmp_path / "w.sqlite")
    session = session_on(hook)
    cancelling = cancel_once_running(session, "query")
    started = time.monotonic()
    with pytest.raises(SessionCancelled, match=r"statement 'query' was cancelled on the engine within \d"):
        session.run([statement(ENDLESS if engine == "duckdb" else LONG_IN_SQLITE)])
    assert time.monotonic() - started < 300
    cancelling.join()


def test_no_statement_starts_after_a_cancel_even_if_errors_are_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "w.duckdb"
    session = session_on(DuckDB(path))
    cancelling = cancel_once_running(session, "long")
    with pytest.raises(SessionCancelled):
        session.run([statement(ENDLESS, "long", "pre", go_on=True), statement("create table t (n int)")])
    cancelling.join()
    assert rows(path, "select count(*) from duckdb_tables()") == [(0,)]
    assert "Going on" not in caplog.text


def test_a_cancel_while_it_connects_lets_no_statement_start(tmp_path: Path) -> None:
    class CancelledMeanwhile(DuckDB):
        def get_conn(self) -> Any:
            session.cancel()
            return super().get_conn()

    path, others = tmp_path / "w.duckdb", set(threading.enumerate())
    session = session_on(CancelledMeanwhile(path))
    with pytest.raises(SessionCancelled):
        session.run([statement("create table t (n int)")])
    deadline = time.monotonic() + 120
    while not path.exists() or any(
        thread.name == "dli-sql" for thread in set(threading.enumerate()) - others
    ):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert rows(path, "select count(*) from duckdb_tables()") == [(0,)]


def cancel_after(event: threading.Event, session: SqlSession) -> None:
    def watch() -> None:
        event.wait(120)
        session.cancel()

    threading.Thread(target=watch).start()


class Expired(BaseException):
    """What a signal's handler raises, as Airflow's does when a timeout has passed."""


@contextmanager
def on_signal(number: signal.Signals, handler: Callable[[int, FrameType | None], Any]) -> Iterator[None]:
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


def signal_once_running(session: SqlSession, number: signal.Signals) -> threading.Thread:
    def watch() -> None:
        while session.current is None:
            time.sleep(0.01)
        time.sleep(0.3)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


@pytest.mark.rule("12.13")
def test_a_signal_reaches_the_main_thread_while_a_query_runs_and_its_handler_can_cancel() -> None:
    session = session_on(DuckDB())
    with on_signal(signal.SIGUSR1, lambda *_: session.cancel()):
        signalling = signal_once_running(session, signal.SIGUSR1)
        with pytest.raises(SessionCancelled):
            session.run([statement(ENDLESS)])
        signalling.join()


def test_an_exception_from_a_signals_handler_cancels_the_query_and_goes_on_upward() -> None:
    def expire(*_: object) -> None:
        raise Expired

    session = session_on(DuckDB())
    with on_signal(signal.SIGUSR1, expire):
        signalling = signal_once_running(session, signal.SIGUSR1)
        with pytest.raises(Expired):
            session.run([statement(ENDLESS)])
        signalling.join()
    assert session.how_it_ended().startswith("statement 'query' was cancelled on the engine within")


def test_a_cancel_while_the_turn_is_awaited_ends_the_wait_without_connecting() -> None:
    class Unreachable(DuckDB):
        def get_conn(self) -> Any:
            raise AssertionError

    waiting = threading.Event()

    @contextmanager
    def turn(stop: threading.Event) -> Iterator[None]:
        waiting.set()
        assert stop.wait(120)
        yield

    session = session_on(Unreachable(), turn)
    cancel_after(waiting, session)
    with pytest.raises(SessionCancelled, match="no statement had started"):
        session.run([statement("select 1")])


def test_a_cancel_ends_the_wait_of_a_hook_that_waits_before_it_connects() -> None:
    class Patient(DuckDB):
        def __init__(self) -> None:
            super().__init__()
            self.stopped = threading.Event()
            self.waiting = threading.Event()

        def stop_waiting(self) -> None:
            self.stopped.set()

        def get_conn(self) -> Any:
            self.waiting.set()
            assert self.stopped.wait(120)
            raise RuntimeError

    hook = Patient()
    session = session_on(hook)
    cancel_after(hook.waiting, session)
    with pytest.raises(SessionCancelled):
        session.run([statement("select 1")])
    assert hook.stopped.is_set()


def test_the_turn_is_held_until_the_connection_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    steps: list[str] = []

    @contextmanager
    def turn(_: threading.Event) -> Iterator[None]:
        steps.append("taken")
        yield
        steps.append("given back")
        path.rename(tmp_path / "moved.duckdb")

    session_on(DuckDB(path), turn).run([statement("create table t (n int)")])
    assert steps == ["taken", "given back"]
    assert rows(tmp_path / "moved.duckdb", "select count(*) from t") == [(0,)]


def test_a_second_cancel_and_one_after_the_end_raise_nothing() -> None:
    """Cancel twice after the end; the session is as before, with no statement under way."""
    session = session_on(DuckDB())
    session.run([statement("select 1")])
    session.cancel()
    session.cancel()
    assert session.progress() is None


def test_an_engine_that_can_not_be_reached_fails_with_its_own_error(tmp_path: Path) -> None:
    with pytest.raises(duckdb.IOException):
        session_on(DuckDB(tmp_path / "missing" / "w.duckdb")).run([statement("select 1")])


class SlowToGo:
    """A connection whose driver takes its time when nobody needs it any more."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def __del__(self) -> None:
        time.sleep(0.5)


def test_when_a_session_is_over_so_is_its_thread() -> None:
    class Engine(DuckDB):
        def get_conn(self) -> Any:
            return SlowToGo(super().get_conn())

    others = set(threading.enumerate())
    session_on(Engine()).run([statement("select 1")])
    assert "dli-sql" not in {thread.name for thread in threading.enumerate() if thread not in others}


@pytest.mark.rule("10.14")
@pytest.mark.parametrize(
    ("sql", "is_told"), [("select 1", True), ("create table t as select 1", False)], ids=["rows", "none"]
)
def test_the_log_says_when_the_rows_of_a_query_were_stored_nowhere(
    caplog: pytest.LogCaptureFixture, tmp_path: Path, sql: str, is_told: bool
) -> None:
    body = f"name: s.daily\ntype: Dataset\nowner: a@example.com\nquery_statement: {sql}\n"
    spec = parse_spec(body.encode(), file="s.yaml")
    log = StatementLog(logging.getLogger("stored"))
    statements = render_statements(spec, {}, {}, dialect="duckdb", file="s.yaml", connected="duckdb")
    with caplog.at_level("INFO"):
        SqlSession(DuckDB(tmp_path / "w.duckdb"), log, first_rows=FIRST_ROWS).run(statements)
        log.check_stored(spec, {}, "duckdb")
    told = [record for record in caplog.records if "are not stored" in record.getMessage()]
    assert [record.levelname for record in told] == (["WARNING"] if is_told else [])


def test_a_long_message_of_an_engine_is_cut_and_says_where_the_whole_is() -> None:
    long = ValueError("no such column " * 200)
    failed = StatementFailed(statement("select x"), long)
    assert len(str(failed)) < 600
    assert str(failed).endswith("… (2,999 characters; the log has the whole message)")
    assert one_line(ValueError("short\n  ^^^"), whole="elsewhere") == "short"
    assert (
        one_line(PermissionError(13, "Permission denied", "/data/w.lock"))
        == "/data/w.lock: Permission denied"
    )
