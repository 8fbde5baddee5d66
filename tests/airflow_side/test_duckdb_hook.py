from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import duckdb
import pytest
from airflow.providers_manager import ProvidersManager

from airflow_side.airflow_names import Connection, connection_of
from dataspec.file_lock import LockStopped
from dli_airflow.hooks.duckdb import DuckDBHook

HOLD = """
import sys, duckdb
if sys.argv[2] == "hook":
    from airflow_side.airflow_names import Connection
    from dli_airflow.hooks.duckdb import DuckDBHook
    kept = DuckDBHook(connection=Connection(conn_id="x", conn_type="duckdb", host=sys.argv[1])).get_conn()
else:
    kept = duckdb.connect(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""


def hook_on(host: str | None = None, *, schema: str | None = None, extra: str | None = None) -> DuckDBHook:
    return DuckDBHook(
        connection=Connection(conn_id="x", conn_type="duckdb", host=host, schema=schema, extra=extra)
    )


def hook_at(uri: str) -> DuckDBHook:
    return DuckDBHook(connection=connection_of(uri))


@contextmanager
def held_elsewhere(path: Path, how: str = "another program") -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "AIRFLOW_CTX_DAG_RUN_ID": "sales_20240101_000000"}
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, path, how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout is not None
        while (line := process.stdout.readline()) != "held\n":
            assert line, "the other process died"
        try:
            yield process
        finally:
            process.kill()


def connecting(hook: DuckDBHook) -> tuple[threading.Event, threading.Thread]:
    connected = threading.Event()

    def connect() -> None:
        hook.get_conn().close()
        connected.set()

    thread = threading.Thread(target=connect)
    thread.start()
    return connected, thread


@pytest.mark.rule("15.15")
@pytest.mark.parametrize(
    ("hook", "database"),
    [
        (lambda: hook_on("/data/w.duckdb"), "/data/w.duckdb"),
        (lambda: hook_at("duckdb:///data/w.duckdb"), "/data/w.duckdb"),
        (lambda: hook_at("duckdb://"), ":memory:"),
        (lambda: hook_on("/data", schema="w.duckdb"), "/data/w.duckdb"),
        (hook_on, ":memory:"),
        (lambda: hook_on(":memory:"), ":memory:"),
    ],
)
def test_the_file_is_the_host_or_the_path_of_the_uri(hook: Callable[[], DuckDBHook], database: str) -> None:
    assert hook().database == database


@pytest.mark.rule("15.15")
def test_airflow_finds_the_hook_by_the_connections_type(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_LAKE", f'{{"conn_type": "duckdb", "host": "{tmp_path}/w.duckdb"}}')
    from dli_airflow.airflow_api import BaseHook

    hook = BaseHook.get_hook("lake")
    assert isinstance(hook, DuckDBHook)
    assert hook.test_connection() == (True, "Connection successfully tested")
    info = ProvidersManager().hooks["duckdb"]
    assert info is not None
    assert info.hook_name == "DuckDB"


def test_the_calls_of_every_sql_hook_work(tmp_path: Path) -> None:
    hook = hook_on(str(tmp_path / "w.duckdb"))
    hook.run(["create table t (n int, word text)", "insert into t values (1, 'one')"])
    hook.insert_rows("t", [(2, "two"), (3, "three")], target_fields=["n", "word"])
    assert hook.get_records("select n from t order by n") == [(1,), (2,), (3,)]
    assert hook.get_first("select word from t where n = ?", parameters=[2]) == ("two",)


@pytest.mark.rule("15.15")
def test_the_extra_sets_duckdbs_own_settings(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("n\n7\n")
    hook = hook_on(extra=f'{{"config": {{"file_search_path": "{tmp_path}", "threads": 1}}}}')
    assert hook.get_first("select n, current_setting('threads') from read_csv('rows.csv')") == (7, 1)


@pytest.mark.rule("15.15")
def test_a_setting_that_duckdb_keeps_for_each_session_is_set_in_each(tmp_path: Path) -> None:
    hook = hook_on(extra='{"config": {"progress_bar_time": 7, "threads": 1}}')
    asked = "select current_setting('progress_bar_time'), current_setting('threads')"
    with closing(hook.get_conn()) as connection, closing(connection.cursor()) as cursor:
        assert cursor.execute(asked).fetchall() == [(7, 1)]
        assert connection.execute(asked).fetchall() == [(7, 1)]


@pytest.mark.rule("12.16")
def test_a_read_only_connection_can_not_write_and_shares_the_file(tmp_path: Path) -> None:
    path = str(tmp_path / "w.duckdb")
    hook_on(path).run("create table t (n int)")
    with closing(hook_on(path, extra='{"read_only": true}').get_conn()) as connection:
        with pytest.raises(duckdb.InvalidInputException):
            connection.execute("insert into t values (1)")
        other = hook_on(path, extra='{"read_only": "true"}')
        assert other.get_first("select count(*) from t") == (0,)


@pytest.mark.rule("12.16")
@pytest.mark.parametrize("how", ["hook", "another program"])
def test_a_file_that_is_in_use_is_waited_for(
    tmp_path: Path, how: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "w.duckdb"
    with held_elsewhere(path, how) as process:
        connected, thread = connecting(hook_on(str(path)))
        printed = ""
        while "waiting for" not in printed:
            assert not connected.wait(0.1)
            printed += capfd.readouterr().out
        assert not connected.wait(1)
        printed += capfd.readouterr().out
        told = [line for line in printed.splitlines() if "waiting for" in line]
        assert len(told) == 1
        assert str(path) in told[0]
        if how == "hook":
            assert f"held by the run sales_20240101_000000 (process {process.pid})" in told[0]
        process.kill()
        assert connected.wait(120)
        thread.join()


def test_a_wait_can_be_stopped(tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    with held_elsewhere(path):
        hook = hook_on(str(path))
        threading.Timer(0.5, hook.stop_waiting).start()
        with pytest.raises(LockStopped):
            hook.get_conn()


def test_closing_the_connection_gives_the_file_back_its_cursors_included(tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    connection = hook_on(str(path)).get_conn()
    cursor = connection.cursor()
    cursor.execute("create table t (n int)")
    connection.close()
    with held_elsewhere(path):
        pass
    connected, thread = connecting(hook_on(str(path)))
    assert connected.wait(120)
    thread.join()


def test_a_file_that_can_not_be_opened_is_an_error_at_once_and_leaves_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    path.write_text("not a database " * 1000)
    for _ in range(2):
        with pytest.raises(duckdb.IOException):
            hook_on(str(path)).get_conn()


def test_databases_in_memory_take_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with closing(hook_on().get_conn()) as one, closing(hook_on().get_conn()) as two:
        assert one.execute("select 1").fetchone() == two.execute("select 1").fetchone()
    assert list(tmp_path.iterdir()) == []
