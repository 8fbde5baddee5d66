"""``dli dataset run`` on a real PostgreSQL."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from postgres import Postgres

SPEC = """\
name: shop.sales
type: Dataset
owner: dana@example.com
execution: {connection: warehouse}
pre_statements:
  - {name: table, sql: "create table if not exists sales (day date, item text, price numeric)"}
  - {name: begin, sql: begin}
  - {name: clear, sql: "delete from sales where day = '{{ execution_date }}'"}
query_statement: |
  insert into sales
  select date '{{ execution_date }}', '{{ item }}', n * 1.5 from generate_series(1, 3) as n
post_statements:
  - {name: commit, sql: commit}
parameters:
  - {name: execution_date, type: date}
  - {name: item, type: string, default: tea}
"""
ASKED = (
    "name: shop.numbers\ntype: Dataset\nowner: dana@example.com\n"
    "execution: {{connection: warehouse}}\nquery_statement: |\n  {}\n"
)


pytestmark = pytest.mark.xdist_group("engines")  # one start of each server


@pytest.fixture
def database(postgres: Postgres) -> Postgres:
    return postgres.fresh()


@pytest.fixture
def project(tmp_path: Path, database: Postgres) -> Path:
    (tmp_path / "datasets").mkdir()
    (tmp_path / "dli.yaml").write_text(f"connections: {{warehouse: {{url: '{database.url}'}}}}\n")
    (tmp_path / "datasets" / "sales.yaml").write_text(SPEC)
    return tmp_path


def dli(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dli", "dataset", "run", *arguments]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.rule("23.3")
def test_a_run_builds_the_table_and_a_second_one_leaves_the_same_rows(
    project: Path, database: Postgres
) -> None:
    for _ in range(2):
        done = dli(project, "shop.sales", "-p", "execution_date=2024-01-15", "-p", "item=it's")
        assert done.returncode == 0, done.stderr
    assert (
        done.stdout
        == "day          item   price\n2024-01-15   it's   1.5\n2024-01-15   it's   3.0\n2024-01-15   it's   4.5\n"
    )
    assert "shop.sales: 3 rows written, " in done.stderr
    assert f"(PostgreSQL, 127.0.0.1:{database.port})" in done.stderr
    assert database.ask("select count(*) from sales") == [["3"]]


@pytest.mark.rule("12.11")
def test_a_failure_in_a_transaction_leaves_what_was_there_and_names_the_place(
    project: Path, database: Postgres
) -> None:
    assert dli(project, "shop.sales", "-p", "execution_date=2024-01-15").returncode == 0
    spec = project / "datasets" / "sales.yaml"
    spec.write_text(SPEC.replace("n * 1.5", "m * 1.5"))
    failed = dli(project, "shop.sales", "-p", "execution_date=2024-01-15")
    assert (failed.returncode, failed.stdout) == (1, "")
    number, line = next(
        (n, line) for n, line in enumerate(spec.read_text().splitlines(), 1) if "m * 1.5" in line
    )
    place = f"datasets/sales.yaml:{number}:{line.index('m * 1.5') + 1}"
    assert f'{place}: column "m" does not exist' in failed.stderr
    assert database.ask("select count(*) from sales") == [["3"]]


@pytest.mark.rule("12.11")
def test_each_statement_is_committed_by_itself_unless_one_begins_a_transaction(
    project: Path, database: Postgres
) -> None:
    more = "pre_statements: [{name: table, sql: create table kept (n int)}]\n"
    (project / "datasets" / "n.yaml").write_text(ASKED.format("select nothing") + more)
    assert dli(project, "shop.numbers").returncode == 1
    assert database.ask("select count(*) from kept") == [["0"]]


@pytest.mark.rule("23.7")
def test_ctrl_c_cancels_the_query_on_the_server(project: Path, database: Postgres) -> None:
    (project / "datasets" / "n.yaml").write_text(ASKED.format("select pg_sleep(600)"))
    command = [sys.executable, "-m", "dli", "dataset", "run", "shop.numbers"]
    running = "select count(*) from pg_stat_activity where application_name = 'dli' and state = 'active'"
    with subprocess.Popen(command, cwd=project, stderr=subprocess.PIPE, text=True) as process:
        until(database, running, "1")
        process.send_signal(signal.SIGINT)
        assert process.wait(300) == 130
        assert process.stderr is not None
        assert "Cancelling the query" in process.stderr.read()
    until(database, running, "0")


def until(database: Postgres, query: str, answer: str) -> None:
    deadline = time.monotonic() + 300
    while database.ask(query) != [[answer]]:
        assert time.monotonic() < deadline, f"{query} never said {answer}"
        time.sleep(0.1)


def test_values_of_postgresql_are_plain_json(project: Path) -> None:
    query = "select 1.50::numeric as price, now() as at, '{\"a\": [1]}'::jsonb as doc, array[1, 2] as list, null as no"
    (project / "datasets" / "n.yaml").write_text(ASKED.format(query))
    [row] = json.loads(dli(project, "shop.numbers", "-f", "json").stdout)["rows"]
    assert (row["price"], row["doc"], row["list"], row["no"]) == ("1.50", {"a": [1]}, [1, 2], None)


@pytest.mark.rule("23.7")
def test_a_database_that_lets_nobody_in_says_so_without_the_password(
    project: Path, database: Postgres
) -> None:
    url = f"postgresql://nobody:hush@127.0.0.1:{database.port}/{database.database}"
    (project / "dli.yaml").write_text(f"connections: {{warehouse: {{url: '{url}'}}}}\n")
    refused = dli(project, "shop.sales", "-p", "execution_date=2024-01-15")
    assert refused.returncode == 5
    assert (
        f"Can't connect to PostgreSQL, 127.0.0.1:{database.port} (the connection 'warehouse')."
        in refused.stderr
    )
    assert "nobody" in refused.stderr
    assert "hush" not in refused.stderr


DROP = "\\'; drop table sales; select 1 --"


def test_a_value_that_goes_on_with_an_escaped_string_is_refused_before_anything_runs(
    project: Path, database: Postgres
) -> None:
    assert dli(project, "shop.sales", "-p", "execution_date=2024-01-15").returncode == 0
    spec = project / "datasets" / "sales.yaml"
    spec.write_text(SPEC.replace("'{{ item }}'", "E'a'\n    '{{ item }}'"))
    refused = dli(project, "shop.sales", "-p", "execution_date=2024-01-15", "-p", f"item={DROP}")
    assert refused.returncode != 0
    assert "it goes on with the string before it" in refused.stderr
    assert database.ask("select count(*) from sales where item = 'tea'") == [["3"]]


def test_a_database_s_setting_for_strings_gives_way_so_that_a_value_comes_as_it_is(
    project: Path, database: Postgres
) -> None:
    database.ask(f"alter database {database.database} set standard_conforming_strings = off")
    done = dli(project, "shop.sales", "-p", "execution_date=2024-01-15", "-p", f"item={DROP}")
    assert done.returncode == 0, done.stderr
    assert database.ask("select distinct item from sales") == [[DROP]]


@pytest.mark.parametrize(
    "changed",
    [
        SPEC.replace("sql: begin}", "sql: set standard_conforming_strings = off}"),
        SPEC.replace("{connection: warehouse}", "{connection: warehouse, dialect: snowflake}"),
    ],
)
def test_a_backslash_is_refused_where_strings_are_read_by_other_rules_than_the_dialect_s(
    project: Path, database: Postgres, changed: str
) -> None:
    (project / "datasets" / "sales.yaml").write_text(changed.replace("sql: commit}", "sql: select 1}"))
    refused = dli(project, "shop.sales", "-p", "execution_date=2024-01-15", "-p", f"item={DROP}")
    assert refused.returncode != 0
    assert "gives a backslash another meaning" in refused.stderr
