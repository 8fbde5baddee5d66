from __future__ import annotations

import inspect
import json
import threading
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest

from airflow_side.airflow_names import timeout
from dataspec.contract import CHECKS_KEY, read_rows_key
from dataspec.engines.leftovers import AttemptMark
from dataspec.engines.session import StatementFailed
from dataspec.errors import InvalidTemplate
from dataspec.sql.materialization.failure import MaterializationFailed
from dli_airflow import operator as operator_module
from dli_airflow.airflow_api import AirflowException, AirflowFailException, AirflowTaskTimeout
from dli_airflow.connections import sql_hook
from dli_airflow.mirror.dataset import Dataset
from dli_airflow.operator import DatasetOperator
from endless import ENDLESS
from parameter_cases import CASES, DATE, Case
from unit.dli_airflow.catalogs import datasets

DATED = """\
parameters:
  - {name: execution_date, type: date}
  - {name: limit, type: integer, default: 3}
schedule: {cron: 0 9 * * *, timezone: Asia/Seoul}
"""
INSERT = """\
"create or replace table built as
  select '{{ execution_date }}'::date as day, {{ limit }} as n, '{{ data_interval_start }}' as since"
"""


@dataclass
class Attempt:
    """What Airflow gives an operator as its task instance."""

    try_number: int = 1
    pushed: list[tuple[str, Any]] = field(default_factory=list)

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed.append((key, value))


@dataclass
class Run:
    """What Airflow gives an operator as its run."""

    run_type: str = "manual"
    conf: dict[str, Any] | None = None
    run_id: str = "web.clicks_20240116_000001"
    data_interval_start: datetime | None = None
    data_interval_end: datetime | None = None


SCHEDULED = Run(
    "scheduled",
    None,
    "web.clicks_20240116_000000",
    datetime(2024, 1, 14, 23, 0, 0, 1, tzinfo=UTC),  # which tells the 15th
    datetime(2024, 1, 15, 23, tzinfo=UTC),
)


@pytest.fixture
def warehouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "warehouse.duckdb"
    connection = json.dumps({"conn_type": "duckdb", "host": str(path)})
    monkeypatch.setenv("AIRFLOW_CONN_DLI_DEFAULT", connection)
    return path


@pytest.fixture
def turns(tmp_path: Path) -> Path:
    return tmp_path / "turns"


def operator(dataset: Dataset, turns: Path) -> DatasetOperator:
    return DatasetOperator(task_id="run", dataset=dataset, turns=turns)


def clicks(query: str = INSERT, more: str = DATED) -> Dataset:
    [dataset] = datasets("web.clicks", query=query, more=more)
    return dataset


def execute(task: DatasetOperator, run: Run | None = None, attempt: Attempt | None = None) -> None:
    # Without Airflow's guard against calls from outside a task, which looks at the thread.
    body = inspect.unwrap(type(task).execute)
    body(task, {"ti": attempt or Attempt(), "dag_run": run or Run(conf={"execution_date": "2024-01-15"})})


def rows(warehouse: Path, sql: str) -> list[Any]:
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        return connection.execute(sql).fetchall()


@pytest.mark.rule("38.19")
def test_attempt_leaves_how_many_rows_its_query_has_written(turns: Path, warehouse: Path) -> None:
    """Of a table that a SELECT builds, and of an INSERT; staging and publishing count once."""
    attempt = Attempt()
    select = '"select * from range(1234)"'
    execute(operator(clicks(select, "materialization: table\n" + DATED), turns), attempt=attempt)
    execute(operator(clicks("insert into web.clicks select * from range(7)"), turns), attempt=attempt)
    assert [found for key, _ in attempt.pushed if (found := read_rows_key(key))] == [(1234, 1), (7, 1)]
    assert rows(warehouse, "select count(*) from web.clicks") == [(1241,)]


def test_a_run_builds_what_its_sql_says(warehouse: Path, turns: Path) -> None:
    conf = {"execution_date": "2024-01-15", "limit": "7", "_dli": {"run_type": "adhoc"}}
    execute(operator(clicks(), turns), Run(conf=conf))
    since = "2024-01-15T00:00:00+00:00"
    assert rows(warehouse, "select day::text, n, since from built") == [("2024-01-15", 7, since)]


@pytest.mark.rule("12.7")
@pytest.mark.rule("36.8")
def test_a_run_renders_with_the_macros_and_seeds_of_its_version(warehouse: Path, turns: Path) -> None:
    query = (
        "\"{% import 'macros/m.sql' as m %}create table built as "
        "select code, {{ m.day(execution_date) }} as day from {{ seed('codes') }}\""
    )
    files = {
        "macros/m.sql": "{% macro day(of) %}date '{{ of }}'{% endmacro %}",
        "seeds/codes.csv": "code\nO'Hare\n",
    }
    [dataset] = datasets("web.clicks", query=query, more=DATED, files=files)
    execute(operator(Dataset.from_json(json.loads(json.dumps(dataset.to_json()))), turns))
    assert rows(warehouse, "select code, day::text from built") == [("O'Hare", "2024-01-15")]


def test_the_first_act_tells_which_version_runs_even_if_all_else_fails(warehouse: Path, turns: Path) -> None:
    dataset, attempt = clicks(), Attempt(try_number=2)
    with pytest.raises(AirflowFailException):
        execute(operator(dataset, turns), Run(conf={"nonsense": 1}), attempt)
    assert attempt.pushed == [(f"dli.manual.{dataset.spec_hash}.2", "manual/web.clicks.yaml")]


@pytest.mark.rule("26.81", "26.82")
@pytest.mark.parametrize(
    ("listed", "failure", "reason"),
    [
        ("dli_default=@data", AirflowFailException, "'dli_default' is for specs of @data alone"),
        ("Dli-Default=@data", AirflowFailException, "'dli_default' is for specs of @data alone"),
        ("dli_default=@ops, lake", AirflowException, ":1:19: 'lake' is not a connection and its teams"),
        ("", AirflowException, "has no entry"),
    ],
)
def test_an_attempt_on_another_teams_connection_fails_before_it_reads_the_connection(
    warehouse: Path,
    turns: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    listed: str,
    failure: type[Exception],
    reason: str,
) -> None:
    file, attempt = tmp_path / "connections", Attempt()
    file.write_text(listed)
    monkeypatch.setenv("DLI_CONNECTIONS_FILE", str(file))
    monkeypatch.delenv("AIRFLOW_CONN_DLI_DEFAULT")  # reading it would be another error
    with pytest.raises(AirflowException, match=reason) as failed:
        execute(operator(clicks(more=DATED + 'team: "@ops"\n'), turns), attempt=attempt)
    assert type(failed.value) is failure
    assert len(attempt.pushed) == 1
    assert not warehouse.exists()


@pytest.mark.rule("26.81")
def test_an_attempt_runs_on_the_connection_of_its_team(
    warehouse: Path, turns: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "connections"
    file.write_text("dli_default=@data @ops")
    monkeypatch.setenv("DLI_CONNECTIONS_FILE", str(file))
    execute(operator(clicks(more=DATED + 'team: "@ops"\n'), turns))
    assert rows(warehouse, "select n from built") == [(3,)]


@pytest.mark.rule("11.2")
@pytest.mark.parametrize("run_type", ["scheduled", "backfill"])
def test_a_scheduled_run_builds_the_local_date_on_which_its_interval_starts(
    warehouse: Path, turns: Path, run_type: str
) -> None:
    execute(operator(clicks(), turns), replace(SCHEDULED, run_type=run_type))
    since = "2024-01-14T23:00:00+00:00"  # 08:00 on the 15th in Seoul
    assert rows(warehouse, "select day::text, n, since from built") == [("2024-01-15", 3, since)]


@pytest.mark.rule("11.9")
def test_a_scheduled_run_builds_the_date_it_was_made_for_whatever_the_zone_is_now(
    warehouse: Path, turns: Path
) -> None:
    start = SCHEDULED.data_interval_start
    assert start is not None
    made_in_new_york = replace(SCHEDULED, data_interval_start=start.replace(microsecond=0))
    execute(operator(clicks(), turns), made_in_new_york)
    since = "2024-01-14T23:00:00+00:00"
    assert rows(warehouse, "select day::text, n, since from built") == [("2024-01-14", 3, since)]


def test_where_another_interval_stands_in_the_sql_sees_the_one_of_the_date(
    warehouse: Path, turns: Path
) -> None:
    start = datetime(2024, 1, 15, 20, 0, 0, 11, tzinfo=UTC)  # for the date after its own, in the second turn
    moved = replace(SCHEDULED, data_interval_start=start)
    execute(operator(clicks(), turns), moved)
    since = "2024-01-16T00:00:00+00:00"  # 09:00 on the 16th in Seoul
    assert rows(warehouse, "select day::text, n, since from built") == [("2024-01-16", 3, since)]


@pytest.mark.rule("8.1", "8.9")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_run_gets_its_parameters_or_fails_without_retries_whoever_started_it(
    case: Case, warehouse: Path, turns: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    task, run = operator(clicks("select 1", case.declaration()), turns), Run(conf=DATE | case.given)
    if case.title is None:
        execute(task, run)
        assert f"Parameters: {DATE | {'x': case.value}}" in capfd.readouterr().out
        return
    with pytest.raises(AirflowFailException) as failure:
        execute(task, run)
    assert str(failure.value) == case.title
    logged = capfd.readouterr().out
    assert all(part in logged for part in (case.text or case.title, case.detail or ""))
    assert not warehouse.exists()


@pytest.mark.rule("8.9")
def test_a_run_without_a_conf_lacks_what_is_required(turns: Path) -> None:
    with pytest.raises(AirflowFailException, match=r"^Missing required parameter: execution_date$"):
        execute(operator(clicks(), turns), Run(conf=None))


@pytest.mark.rule("37.9")
@pytest.mark.rule("37.12")
def test_rows_that_fail_a_check_fail_the_run_without_retries_and_the_old_ones_stay(
    warehouse: Path, turns: Path
) -> None:
    more = (
        f"{DATED}materialization: table\n"
        "checks: [{expression: n < 5, name: small}, {row_count: {min: 2}, severity: warn}]\n"
    )
    dataset = clicks('"select {{ limit }} as n"', more)
    attempt = Attempt()
    execute(operator(dataset, turns), attempt=attempt)
    conf = {"execution_date": "2024-01-15", "limit": 7}
    with pytest.raises(AirflowFailException) as failed:
        execute(operator(dataset, turns), Run(conf=conf), attempt)
    assert rows(warehouse, "select n from web.clicks") == [(3,)]
    assert str(failed.value) == (
        "The check 'small' failed: the rows were not published. "
        f"checks[0] of {dataset.key}: the check 'small': for 1 of 1 row it is not true that n < 5."
    )
    first, second = (json.loads(value) for key, value in attempt.pushed if key == CHECKS_KEY)
    assert [result["status"] for result in first] == ["passed", "warned"]
    assert [(result["status"], result["rows"]) for result in second] == [("failed", 1), ("warned", 1)]
    assert first[1]["message"].endswith("the check 'row_count': there is 1 row, fewer than 2.")


@pytest.mark.rule("37.20")
def test_a_run_of_the_checks_alone_looks_at_the_table_and_builds_nothing(
    warehouse: Path, turns: Path
) -> None:
    more = f"{DATED}materialization: table\nchecks: [{{expression: n < 5, name: small}}]\n"
    attempt = Attempt()
    execute(operator(clicks('"select {{ limit }} as n"', more), turns), attempt=attempt)
    conf = {"execution_date": "2024-01-15", "limit": 7, "_dli": {"checks_only": True}}
    execute(operator(clicks('"select {{ limit }} as n"', more), turns), Run(conf=conf), attempt)
    assert rows(warehouse, "select n from web.clicks") == [(3,)]
    stricter = operator(clicks('"select {{ limit }} as n"', more.replace("n < 5", "n < 2")), turns)
    with pytest.raises(AirflowFailException, match=r"The check 'small' failed: the rows are in the table\."):
        execute(stricter, Run(conf=conf), attempt)
    found = [json.loads(value)[0]["status"] for key, value in attempt.pushed if key == CHECKS_KEY]
    assert found == ["passed", "passed", "failed"]


@pytest.mark.rule("35.27", "35.28")
def test_the_conf_of_a_run_says_which_part_it_has_in_a_full_refresh(warehouse: Path, turns: Path) -> None:
    form = "materialization: {type: incremental, strategy: append}\n"
    dataset = clicks('"select {{ limit }} as n"', f"{DATED}{form}")

    def run(limit: int, refresh: Any = None) -> list[tuple[Any, ...]]:
        own = {"full_refresh": refresh} if refresh else {}
        conf = {"execution_date": "2024-01-15", "limit": limit, "_dli": own}
        execute(operator(dataset, turns), Run(conf=conf))
        return rows(warehouse, "select n from web.clicks order by n")

    part = {"backfill": "web.clicks_20240115_000000"}
    assert run(1) == [(1,)]
    assert run(2, part | {"begins": True, "ends": False}) == [(1,)]
    assert run(3, part | {"begins": False, "ends": True}) == [(2,), (3,)]
    for alone in (True, {"backfill": 7}):
        with pytest.raises(MaterializationFailed, match="is incremental: a full refresh by one run"):
            run(4, alone)
    assert rows(warehouse, "select n from web.clicks order by n") == [(2,), (3,)]


@pytest.mark.rule("12.9")
def test_a_wrong_query_is_retried_since_it_may_be_mended(warehouse: Path, turns: Path) -> None:
    with pytest.raises(StatementFailed) as failure:
        execute(operator(clicks("select * from nowhere"), turns))
    assert not isinstance(failure.value, AirflowFailException)
    assert str(failure.value).startswith("statement 'query' failed: Catalog Error: Table with name nowhere")


@pytest.mark.rule("12.9")
def test_a_value_that_does_not_fit_the_template_is_retried_too(warehouse: Path, turns: Path) -> None:
    more = "parameters: [{name: word, type: string}]\n"
    with pytest.raises(InvalidTemplate) as failure:
        execute(operator(clicks("select {{ word }}", more), turns), Run(conf={"word": "x; drop table y"}))
    assert "not in quotes" in str(failure.value.detail)


@pytest.mark.rule("15.14")
def test_a_connection_that_is_missing_is_named_with_what_to_do(turns: Path) -> None:
    dataset = clicks("select 1", "execution: {connection: lake}\n")
    with pytest.raises(AirflowException, match=r"no connection 'lake'.*airflow connections add lake"):
        execute(operator(dataset, turns), Run())


@pytest.mark.rule("15.14")
def test_a_connection_that_runs_no_sql_is_refused(turns: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_DLI_DEFAULT", '{"conn_type": "smtp", "host": "localhost"}')
    with pytest.raises(AirflowException, match="'dli_default' of the type 'smtp' runs no SQL"):
        execute(operator(clicks("select 1", ""), turns), Run())


@pytest.mark.rule("9.15")
def test_the_sql_is_rendered_in_the_connections_dialect(warehouse: Path, turns: Path) -> None:
    """Run SQL that only DuckDB's quoting makes valid: rendered for another dialect, the run would fail."""
    query = '"select * from (values ($$its; {{ word }}$$)) v(t)"'
    dataset = clicks(query, "parameters: [{name: word, type: string, default: fine}]\n")
    execute(operator(dataset, turns), Run())


def kill_once_running(task: DatasetOperator) -> threading.Thread:
    def watch() -> None:
        while task._session is None or task._session.current is None:
            time.sleep(0.02)
        time.sleep(0.3)
        task.on_kill()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def test_a_kill_cancels_the_query_and_says_so(
    warehouse: Path, turns: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    task = operator(clicks(ENDLESS, ""), turns)
    killing = kill_once_running(task)
    with pytest.raises(
        AirflowException, match="ended from outside: statement 'query' was cancelled on the engine"
    ):
        execute(task, Run())
    killing.join()
    assert "Cancelling the query on the engine: cursor.interrupt()" in capfd.readouterr().out


@pytest.mark.rule("12.10")
def test_an_expired_timeout_cancels_the_query_and_names_the_setting(warehouse: Path, turns: Path) -> None:
    task = operator(clicks(ENDLESS, "execution: {timeout_seconds: 15}\n"), turns)
    with pytest.raises(AirflowTaskTimeout) as expired, timeout(15):
        execute(task, Run())
    message = str(expired.value)
    assert message.startswith(
        "The attempt took longer than execution.timeout_seconds, 15 s: statement 'query'"
    )
    assert "cancelled on the engine" in message
    task.on_kill()


def test_a_timeout_that_expires_before_the_sql_began_names_the_setting_too(
    turns: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = operator(clicks("select 1", "execution: {timeout_seconds: 1}\n"), turns)
    monkeypatch.setattr(operator_module, "sql_hook", lambda *_: time.sleep(60))
    with (
        pytest.raises(AirflowTaskTimeout, match="timeout_seconds, 1 s: no statement had started"),
        timeout(1),
    ):
        execute(task, Run())


def test_a_kill_before_the_sql_began_keeps_it_from_beginning(warehouse: Path, turns: Path) -> None:
    task = operator(clicks("create table built as select 1", ""), turns)
    task.on_kill()
    with pytest.raises(AirflowException, match="ended from outside: no statement had started"):
        execute(task, Run())
    assert not warehouse.exists()


@pytest.mark.rule("12.26")
def test_an_attempt_ends_what_the_last_one_left_before_its_first_statement(
    warehouse: Path, turns: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its hook is DuckDB's and knows the jobs of BigQuery, where a job has labels."""
    task = DatasetOperator(task_id="run", dataset=clicks(), turns=turns, store="s3://staging")
    mark = AttemptMark("s3://staging", "web.clicks", "web.clicks_20240116_000001")
    built: list[bool] = []

    def cancel() -> None:
        with duckdb.connect(str(warehouse)) as connection:
            built.append(
                bool(
                    connection.execute("select 1 from duckdb_tables() where table_name = 'built'").fetchall()
                )
            )

    left = SimpleNamespace(job_id="1", labels={"dli_dataset": mark.digest}, cancel=cancel)
    client = SimpleNamespace(list_jobs=lambda state_filter: [left])
    hook = sql_hook(task.dataset.spec.execution.connection, "execution.connection")
    for name, value in {
        "conn_type": "gcpbigquery",
        "project_id": "p",
        "location": None,
        "labels": None,
        "get_client": lambda **_: client,
    }.items():
        monkeypatch.setattr(hook, name, value, raising=False)
    monkeypatch.setattr(operator_module, "sql_hook", lambda *_: hook)
    execute(task)
    assert built == [False]
    assert rows(warehouse, "select day::text from built") == [("2024-01-15",)]


@pytest.mark.rule("12.15")
def test_the_next_attempt_waits_until_the_last_one_is_gone(
    warehouse: Path, turns: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    slow = operator(clicks(ENDLESS, ""), turns)
    ended = threading.Event()

    def attempt() -> None:
        with pytest.raises(AirflowException):
            execute(slow, Run(run_id="web.clicks_20240116_000001"))
        ended.set()

    first = threading.Thread(target=attempt)
    first.start()
    while slow._session is None or slow._session.current is None:
        time.sleep(0.02)
    following = operator(clicks("create table next as select 1 n", ""), turns)
    second = threading.Thread(target=execute, args=(following, Run(run_id="x")))
    second.start()
    printed = ""
    while "waiting for the run web.clicks_20240116_000001 (process" not in printed:
        assert second.is_alive()
        second.join(0.1)
        printed += capfd.readouterr().out
    slow.on_kill()
    assert ended.wait(120)
    first.join()
    second.join()
    assert rows(warehouse, "select n from next") == [(1,)]
