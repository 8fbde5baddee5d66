"""``dli dataset run``: the SQL runs here, on a real DuckDB."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from dataspec.file_lock import FileLock, LockStopped
from dataspec.spec.model import DatasetSpec
from dataspec.spec.parse import parse_document
from dataspec.spec.yaml_reader import Document
from endless import ENDLESS
from unit.dli.conftest import Dli
from unit.dli.terminal import on_terminal

BUILT = """\
name: shop.sales
type: Dataset
owner: dana@example.com
pre_statements:
  - name: schema
    sql: create schema if not exists shop
  - name: table
    sql: create table if not exists shop.sales (day date, item varchar, price decimal(9, 2), gone boolean)
  - name: clear
    sql: delete from shop.sales where day = date '{{ execution_date }}'
query_statement: |
  insert into shop.sales
  select date '{{ execution_date }}', '{{ item }}', 1.50 * range, range = 1 from range({{ rows }})
parameters:
  - {name: execution_date, type: date}
  - {name: item, type: string, default: tea}
  - {name: rows, type: integer, default: 3}
"""
ASKED = "name: shop.numbers\ntype: Dataset\nowner: dana@example.com\nquery_statement: {}\n"


@pytest.fixture
def sales(project: Path) -> Path:
    return write(project, BUILT)


@pytest.mark.rule("30.11")
@pytest.mark.rule("30.14")
@pytest.mark.rule("30.43")
def test_a_run_here_builds_the_partition_that_it_names(project: Path, dli: Dli) -> None:
    spec = """\
name: shop.numbers
type: Dataset
owner: dana@example.com
query_statement: select timestamptz '{{ partition_start }}' as a, timestamptz '{{ partition_end }}' as b
parameters: [{name: execution_date, type: datetime}]
schedule: {cron: "CRON", timezone: Asia/Seoul}
"""
    write(project, spec.replace("CRON", "0 * * * *"), "shop.numbers")
    run = ["dataset", "run", "shop.numbers", "--format", "json", "-p"]
    result = dli(*run, "execution_date=2024-01-15T13:00")
    assert result.err.startswith("Partition: 2024-01-15 13:00 (2024-01-15T13:00+09:00 to ")
    found = json.loads(result.out)
    assert found["partition"]["name"] == found["parameters"]["execution_date"] == "2024-01-15T13:00+09:00"
    assert [row[:10] for row in found["rows"][0].values()] == ["2024-01-15", "2024-01-15"]
    write(project, spec.replace("CRON", "0 9 * * 1"), "shop.numbers")
    assert "starts on 2024-01-16: the run covers that date" in dli(*run, "execution_date=2024-01-16").err
    assert "starts on 2024-01-16" in dli(*run, "execution_date=2024-01-16", "--dry-run").err


def write(project: Path, spec: str, name: str = "shop.sales") -> Path:
    path = project / "datasets" / f"dataset.{name}.yaml"
    path.write_text(spec)
    return path


def ask(project: Path, query: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(project / "warehouse.duckdb"), read_only=True) as warehouse:
        return warehouse.execute(query).fetchall()


def log_of(project: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (project / ".dli" / "runs.jsonl").read_text().splitlines()]


@pytest.mark.rule("23.1", "23.2")
def test_a_run_builds_the_table_and_shows_its_first_rows_how_many_were_written_and_how_long_it_took(
    dli: Dli, project: Path, sales: Path
) -> None:
    result = dli("dataset", "run", "shop.sales", "-p", "execution_date=2024-01-15", "-p", "item=it's")
    assert result.status == 0, result.err
    assert result.out == (
        "day          item   price   gone\n"
        "2024-01-15   it's   0.00    false\n"
        "2024-01-15   it's   1.50    true\n"
        "2024-01-15   it's   3.00    false\n"
    )
    assert re.fullmatch(
        r"shop\.sales: 3 rows written, \d+\.\d\d s \(DuckDB, warehouse\.duckdb\)\.\n", result.err
    )
    assert ask(project, "select count(*) from shop.sales") == [(3,)]


@pytest.mark.rule("23.2")
def test_the_rows_of_a_query_that_writes_nothing_are_its_own_and_the_limit_says_how_many_there_are(
    dli: Dli, project: Path
) -> None:
    write(project, ASKED.format("select range as n, null as nothing from range(1234)"), "shop.numbers")
    result = dli("dataset", "run", "shop.numbers", "--limit", "2")
    assert result.out == "n   nothing\n0   NULL\n1   NULL\n"
    assert "2 of 1,234 rows; --limit shows more." in result.err
    assert "written" not in result.err
    assert dli("dataset", "run", "shop.numbers", "--limit", "0").out == ""


def test_a_dataset_is_named_by_its_file_as_well(dli: Dli, project: Path, sales: Path) -> None:
    result = dli("dataset", "run", str(sales), "-p", "execution_date=2024-01-15")
    assert result.status == 0, result.err


@pytest.mark.rule("23.1")
def test_json_tells_parameters_statements_and_rows_and_nothing_else_is_printed(dli: Dli, sales: Path) -> None:
    result = dli("dataset", "run", "shop.sales", "-p", "execution_date=2024-01-15", "-f", "json")
    report = json.loads(result.out)
    assert report["parameters"] == {"execution_date": "2024-01-15", "item": "tea", "rows": 3}
    assert [step["name"] for step in report["statements"]] == ["schema", "table", "clear", "query"]
    assert report["rows_written"] == 3
    assert report["columns"] == ["day", "item", "price", "gone"]
    assert report["rows"][1] == {"day": "2024-01-15", "item": "tea", "price": "1.50", "gone": True}


@pytest.mark.rule("23.1")
def test_csv_is_what_a_spreadsheet_reads(dli: Dli, project: Path) -> None:
    query = "select 'a,\"b' as text, date '2024-01-15' as day, true as yes, null as no, [1, 2] as list"
    write(project, ASKED.format(json.dumps(query)), "shop.numbers")
    result = dli("dataset", "run", "shop.numbers", "--format", "csv")
    assert list(csv.reader(io.StringIO(result.out))) == [
        ["text", "day", "yes", "no", "list"],
        ['a,"b', "2024-01-15", "true", "", "[1, 2]"],
    ]


@pytest.mark.rule("20.6")
def test_verbose_shows_each_statement_with_its_time(dli: Dli, sales: Path) -> None:
    told = dli("dataset", "run", "shop.sales", "-p", "execution_date=2024-01-15", "-v").err
    assert "pre statement 'clear':\ndelete from shop.sales where day = date '2024-01-15'\n" in told
    assert re.search(r"^-- pre statement 'clear': \d+\.\d\d s, 0 rows$", told, re.MULTILINE)
    assert re.search(r"^-- statement 'query': \d+\.\d\d s, 3 rows$", told, re.MULTILINE)
    assert "LIMIT" not in told


@pytest.mark.rule("23.5")
def test_a_dry_run_shows_the_sql_as_it_would_go_to_the_engine_and_runs_nothing(
    dli: Dli, project: Path, sales: Path
) -> None:
    result = dli("dataset", "run", "shop.sales", "-p", "execution_date=2024-01-15", "--dry-run")
    assert result.status == 0, result.err
    assert "Connection:  dli_default (DuckDB, warehouse.duckdb)\n" in result.out
    assert "Writes:      shop.sales\n" in result.out
    assert "-- 3 of 4\ndelete from shop.sales where day = date '2024-01-15'\n" in result.out
    assert not (project / "warehouse.duckdb").exists()
    preview = json.loads(
        dli("dataset", "run", "shop.sales", "-p", "execution_date=2024-01-15", "--dry-run", "-f", "json").out
    )
    assert (preview["dialect"], len(preview["statements"])) == ("duckdb", 4)


@pytest.mark.rule("8.1")
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "Missing required parameter: execution_date"),
        (["execution_date=2024-01-15", "limit=1"], "Unknown parameter 'limit'."),
        (["execution_date=lately"], "expected a date as YYYY-MM-DD, got 'lately'."),
    ],
)
def test_parameters_are_as_strict_as_on_the_server(
    dli: Dli, project: Path, sales: Path, given: list[str], said: str
) -> None:
    result = dli("dataset", "run", "shop.sales", *(word for text in given for word in ("-p", text)))
    assert (result.status, result.out) == (2, "")
    assert said in result.err
    assert not (project / "warehouse.duckdb").exists()


@pytest.mark.rule("23.6")
def test_a_mistake_in_the_sql_is_told_with_its_place_in_the_yaml(
    dli: Dli, project: Path, sales: Path
) -> None:
    sales.write_text(BUILT.replace("range = 1 from", "rage = 1 from"))
    result = dli("dataset", "run", "shop.sales", "-p", "execution_date=2024-01-15")
    assert (result.status, result.out) == (1, "")
    line = 1 + BUILT.splitlines().index("query_statement: |") + 2
    column = sales.read_text().splitlines()[line - 1].index("rage = 1") + 1
    place = f"datasets/dataset.shop.sales.yaml:{line}:{column}"
    assert result.err.startswith(f"Error: The statement 'query' failed.\n       {place}: Binder Error: ")
    assert "LINE" not in result.err
    entry = log_of(project)[-1]
    assert entry["status"] == "FAILED"
    assert str(entry["error"]).startswith(place)


@pytest.mark.rule("23.6")
def test_a_mistake_in_a_sql_file_is_told_with_its_place_there(dli: Dli, project: Path) -> None:
    write(project, ASKED.replace("query_statement: {}", "query_file: numbers.sql"), "shop.numbers")
    sql = project / "datasets" / "numbers.sql"
    sql.write_text("-- two statements\nselect 1;\n\n{% if true %}\nselect *\n  from nowhere\n{% endif %}\n")
    failed = dli("dataset", "run", "shop.numbers")
    assert "datasets/numbers.sql:6:8: Catalog Error: Table with name nowhere does not exist!" in failed.err
    sql.write_text("select 1\nwhere {{ 1 / 0 }}\n")
    assert "datasets/numbers.sql:2: division by zero." in dli("dataset", "run", "shop.numbers").err


def test_a_statement_that_may_fail_is_a_warning_and_the_run_goes_on(dli: Dli, project: Path) -> None:
    tidy = "pre_statements: [{name: tidy, sql: drop table nothing, continue_on_error: true}]\n"
    write(project, ASKED.format("select 1 as n") + tidy, "shop.numbers")
    result = dli("dataset", "run", "shop.numbers")
    assert (result.status, result.out) == (0, "n\n1\n")
    assert "Warning: pre statement 'tidy' failed: Catalog Error" in result.err


@pytest.mark.rule("23.8")
def test_each_run_is_a_line_in_the_log_of_the_project_which_git_does_not_see(
    dli: Dli, project: Path, sales: Path
) -> None:
    for day in ("2024-01-15", "2024-01-16"):
        dli("dataset", "run", "shop.sales", "-p", f"execution_date={day}")
    entries = log_of(project)
    assert [entry["parameters"]["execution_date"] for entry in entries] == ["2024-01-15", "2024-01-16"]  # type: ignore[index]
    assert {entry["status"] for entry in entries} == {"COMPLETED"}
    assert {entry["rows_written"] for entry in entries} == {3}
    assert (project / ".dli" / ".gitignore").read_text() == "*\n"


@pytest.mark.rule("23.3")
def test_a_connection_of_dli_yaml_is_what_the_spec_s_connection_means_here(dli: Dli, project: Path) -> None:
    (project / "data").mkdir()
    (project / "data" / "orders.csv").write_text("item\ntea\ncup\n")
    (project / "dli.yaml").write_text(
        "connections:\n  lake:\n    url: duckdb:///files/lake.duckdb\n    options: {file_search_path: data}\n"
    )
    (project / "files").mkdir()
    write(
        project,
        ASKED.format("create or replace table orders as from 'orders.csv'")
        + "execution: {connection: lake}\n",
        "shop.numbers",
    )
    result = dli("dataset", "run", "shop.numbers")
    assert (result.status, result.out) == (0, "item\ntea\ncup\n"), result.err
    assert "2 rows written" in result.err
    assert "(DuckDB, files/lake.duckdb)" in result.err


@pytest.mark.rule("23.3")
@pytest.mark.parametrize(
    ("settings", "status", "said"),
    [
        ("name: x", 2, "The connection 'lake' is not defined on this machine."),
        ("connections: {lakes: {url: 'duckdb://'}}", 2, "Did you mean 'lakes'?"),
        ("connections: {lake: {options: {a: b}}}", 2, "The connection 'lake' has no 'url'."),
        ("connections: {lake: {url: lake.duckdb}}", 2, "dli.yaml:1:27: not a connection's URL"),
        ("connections: {lake: {url: 'duckbd:///x'}}", 2, "Did you mean 'duckdb'?"),
        ("connections: {lake: {url: 'snowflake://a/c'}}", 2, "Install it with: pip install 'dli-basecamp[snowflake]'"),
        ("connections: {lake: {url: 'postgresql://u@127.0.0.1:9/x'}}", 5, "Can't connect to PostgreSQL, 127.0.0.1:9"),
        ("connections: {lake: {url: 'postgresql://${NOBODY}@h/x'}}", 2, "the variable NOBODY is not set"),
    ],
)  # fmt: skip
def test_a_connection_that_can_t_be_used_says_what_to_do(
    dli: Dli, project: Path, settings: str, status: int, said: str
) -> None:
    (project / "dli.yaml").write_text(settings)
    write(project, ASKED.format("select 1") + "execution: {connection: lake}\n", "shop.numbers")
    result = dli("dataset", "run", "shop.numbers")
    assert (result.status, result.out) == (status, "")
    assert said in result.err


def test_a_file_that_another_process_holds_is_waited_for(dli: Dli, project: Path) -> None:
    write(project, ASKED.format("select 1 as n"), "shop.numbers")
    lock = FileLock(project / "warehouse.duckdb.lock")
    lock.acquire("the run sales_1", waiting=lambda _: None, stop=threading.Event())
    threading.Timer(0.5, lock.release).start()
    result = dli("dataset", "run", "shop.numbers")
    assert (result.status, result.out) == (0, "n\n1\n")
    assert "Waiting for DuckDB, warehouse.duckdb, held by the run sales_1." in result.err


@pytest.fixture
def held(project: Path) -> Callable[[], bool]:
    """Make the project's database file; tells whether somebody holds it."""
    duckdb.connect(str(project / "warehouse.duckdb")).close()

    def is_held() -> bool:
        lock, stop = FileLock(project / "warehouse.duckdb.lock"), threading.Event()
        try:
            lock.acquire("the test", waiting=lambda _: stop.set(), stop=stop)
        except LockStopped:
            return True
        lock.release()
        return False

    return is_held


@pytest.fixture
def _late_check(held: Callable[[], bool], monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no spec checked before the file is held."""

    def check(document: Document) -> DatasetSpec:
        deadline = time.monotonic() + 300
        while not held():
            assert time.monotonic() < deadline
        return parse_document(document)

    monkeypatch.setattr("dataspec.spec.parse.parse_document", check)


@pytest.mark.rule("23.9")
@pytest.mark.usefixtures("_late_check")
def test_a_file_that_is_there_is_opened_while_the_spec_is_still_checked(
    dli: Dli, project: Path, held: Callable[[], bool]
) -> None:
    write(project, ASKED.format("select 1 as n"), "shop.numbers")
    result = dli("dataset", "run", "shop.numbers")
    assert (result.status, result.out) == (0, "n\n1\n"), result.err
    assert not held()


@pytest.mark.rule("23.9")
def test_a_wrong_spec_makes_no_file(dli: Dli, project: Path) -> None:
    write(project, ASKED.format("select 1 as n") + "retries: 3\n", "shop.numbers")
    assert "unknown key 'retries'" in dli("dataset", "run", "shop.numbers").err
    assert not (project / "warehouse.duckdb").exists()


@pytest.mark.rule("23.9")
@pytest.mark.usefixtures("_late_check")
def test_a_wrong_spec_leaves_the_file_free(dli: Dli, project: Path, held: Callable[[], bool]) -> None:
    write(project, ASKED.format("select 1 as n") + "retries: 3\n", "shop.numbers")
    assert "unknown key 'retries'" in dli("dataset", "run", "shop.numbers").err
    assert not held()


@pytest.mark.rule("23.9")
def test_a_wrong_spec_is_told_though_another_process_holds_the_file(
    dli: Dli, project: Path, held: Callable[[], bool]
) -> None:
    write(project, ASKED.format("select 1 as n") + "retries: 3\n", "shop.numbers")
    lock = FileLock(project / "warehouse.duckdb.lock")
    lock.acquire("the run sales_1", waiting=lambda _: None, stop=threading.Event())
    try:
        assert "unknown key 'retries'" in dli("dataset", "run", "shop.numbers").err
    finally:
        lock.release()
    assert not held()


@pytest.mark.rule("23.7")
def test_ctrl_c_cancels_the_query_and_leaves_the_file_free(project: Path) -> None:
    write(project, ASKED.format(ENDLESS), "shop.numbers")
    command = [sys.executable, "-m", "dli", "dataset", "run", "shop.numbers", "-v"]
    with subprocess.Popen(command, cwd=project, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while "statement 'query'" not in (line := process.stderr.readline()):
            assert line, "it ended"
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        told = process.stderr.read()
        assert process.wait() == 130
    assert timedelta(seconds=time.monotonic() - began) < timedelta(seconds=300)
    assert "Cancelling the query: cursor.interrupt()" in told
    assert "Traceback" not in told
    assert log_of(project)[-1]["status"] == "KILLED"
    duckdb.connect(str(project / "warehouse.duckdb")).close()


@pytest.mark.rule("23.12")
def test_on_a_terminal_a_long_query_shows_how_far_it_is(project: Path) -> None:
    query = "select count(*) as n from range(200000000) where hash(range) % 3 = 1 and md5(range::text) > '0'"
    write(project, ASKED.format(json.dumps(query)), "shop.numbers")

    seen = on_terminal(["dataset", "run", "shop.numbers"], keys=[("░", "\x03")])
    assert seen.status == 130
    assert re.search(r"statement 'query'  █*░+ +\d+%  \d+s", seen.text), seen.text


@pytest.mark.rule("23.8")
def test_a_log_that_can_t_be_written_is_a_warning(dli: Dli, project: Path) -> None:
    write(project, ASKED.format("select 1 as n"), "shop.numbers")
    (project / ".dli").write_text("in the way")
    result = dli("dataset", "run", "shop.numbers")
    assert (result.status, result.out) == (0, "n\n1\n")
    assert "Warning: The log of local runs can't be written" in result.err


@pytest.mark.rule("23.1")
def test_no_server_is_asked(dli: Dli, project: Path, sales: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "DLI_SERVER_URL", "http://127.0.0.1:9")
    assert dli("dataset", "run", "shop.sales", "-p", "execution_date=2024-01-15").status == 0


CHECKED = """\
name: shop.numbers
type: Dataset
owner: dana@example.com
query_statement: select range as n, 'x@example.com' as mail from range({{ rows }})
materialization: table
parameters: [{name: rows, type: integer, default: 1}]
schema: [{name: n, type: bigint}, {name: mail, type: text, tags: [pii]}]
checks:
  - expression: n < 1
  - row_count: {min: 2}
    severity: warn
"""


@pytest.mark.rule("37.10")
@pytest.mark.rule("37.12")
def test_what_checks_found_is_told_and_kept(project: Path, dli: Dli) -> None:
    write(project, CHECKED, "shop.numbers")
    found = dli("dataset", "run", "shop.numbers", "--format", "json")
    assert found.status == 0
    assert [(check["name"], check["status"]) for check in json.loads(found.out)["checks"]] == [
        ("expression", "passed"),
        ("row_count", "warned"),
    ]
    warned = "datasets/dataset.shop.numbers.yaml:10:5: the check 'row_count': there is 1 row, fewer than 2."
    assert f"Warning: {warned}" in found.err
    failed = dli("dataset", "run", "shop.numbers", "-p", "rows=9")
    assert failed.status == 1
    assert "Error: The check 'expression' failed: the rows were not published." in failed.err
    reason = "the check 'expression': for 8 of 9 rows it is not true that n < 1."
    assert f"datasets/dataset.shop.numbers.yaml:9:5: {reason}" in failed.err
    assert "rows that fail expression, 5 rows:" in failed.err
    assert "@example.com" not in failed.err
    assert ask(project, "select count(*) from shop.numbers") == [(1,)]
    completed, broken = log_of(project)
    assert [check["rows"] for check in completed["checks"]] == [0, 1]  # type: ignore[attr-defined]
    assert [(check["status"], check["rows"]) for check in broken["checks"]] == [("failed", 8), ("passed", 9)]  # type: ignore[attr-defined]
    assert reason in str(broken["error"])


INCREMENTAL = """\
name: shop.orders
type: Dataset
owner: dana@example.com
query_statement: select date '{{ execution_date }}' as day, 1 as id
parameters: [{name: execution_date, type: date}]
materialization: {type: incremental, strategy: replace_partition, partition_column: day}
checks: [{not_null: [id]}]
"""


@pytest.mark.rule("23.20")
def test_a_full_refresh_here_is_for_one_table(project: Path, dli: Dli) -> None:
    write(project, INCREMENTAL, "shop.orders")
    run = ("dataset", "run", "shop.orders", "-p", "execution_date=2024-01-15", "--full-refresh")
    told = dli(*run)
    assert told.status == 2
    assert (
        "'shop.orders' is incremental: a full refresh by one run would leave the rows of that run alone."
        in told.err
    )
    assert "dli workflow backfill shop.orders --start YYYY-MM-DD --end YYYY-MM-DD --full-refresh" in told.err
    assert dli(*run, "--dry-run").status == 2
    write(
        project,
        "name: shop.orders\ntype: Dataset\nowner: d@example.com\nquery_statement: select 1\n",
        "shop.orders",
    )
    assert "has no 'materialization'" in dli("dataset", "run", "shop.orders", "--full-refresh").err
    table = INCREMENTAL.replace(
        "type: incremental, strategy: replace_partition, partition_column: day", "type: table"
    )
    write(project, table, "shop.orders")
    for _ in range(2):
        assert dli(*run).status == 0
    assert "--full-refresh is for one dataset." in dli("dataset", "run", "--all", "--full-refresh").err


@pytest.mark.rule("22.49")
@pytest.mark.parametrize(
    ("form", "act"),
    [
        ("table", ['delete from "shop"."orders"']),
        ("view", ['create or replace view "shop"."orders" as']),
        (
            "{type: incremental, strategy: replace_partition, partition_column: day}",
            ["as outside", 'delete from "shop"."orders" where "day" = date \'2024-01-15\''],
        ),
        ("{type: incremental, strategy: append}", ['insert into "shop"."orders" ("day", "id")']),
        ("{type: incremental, strategy: merge, unique_key: [id]}", ["as keys_twice", 'new."id" = old."id"']),
    ],
)
def test_a_dry_run_shows_what_stages_checks_and_publishes(
    project: Path, dli: Dli, form: str, act: list[str]
) -> None:
    text = INCREMENTAL.replace(
        "{type: incremental, strategy: replace_partition, partition_column: day}", form
    )
    if form == "view":
        text = text.replace("parameters: [{name: execution_date, type: date}]\n", "").replace(
            "{{ execution_date }}", "2024-01-15"
        )
    write(project, text, "shop.orders")
    given = () if form == "view" else ("-p", "execution_date=2024-01-15")
    shown = dli("dataset", "run", "shop.orders", "--dry-run", *given)
    assert (shown.status, shown.err) == (0, "")
    parts = shown.out.split("-- What stages, checks and publishes the rows of the query:\n\n")
    assert "select date '2024-01-15' as day, 1 as id" in parts[0]
    rest = parts[1]
    for text in ("__dli_<hash>", *act[:-1], "all_rows", act[-1], "commit;"):
        assert text in rest
        rest = rest.partition(text)[2]
    assert not (project / "warehouse.duckdb").exists()
