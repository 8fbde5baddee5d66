"""Independent datasets run side by side on an engine that lets them: here on a real PostgreSQL."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import duckdb
import pytest

from postgres import Postgres
from unit.dli.conftest import Dli
from unit.dli.terminal import on_terminal

MEET = """do $$ begin
  for attempt in 1..6000 loop
    if (select count(*) from arrived) >= {number} then return; end if;
    perform pg_sleep(0.05);
  end loop;
  raise exception 'nobody came';
end $$"""
"""Waits until so many datasets have begun: alone a dataset would wait in vain."""


@pytest.fixture
def database(postgres: Postgres, project: Path) -> Postgres:
    fresh = postgres.fresh()
    fresh.ask("create table arrived (name text)")
    (project / "dli.yaml").write_text(f"connections: {{pg: {{url: '{fresh.url}'}}}}\n")
    return fresh


def put(project: Path, name: str, sql: str, *, pre: str = "", more: str = "") -> None:
    head = f"name: {name}\ntype: Dataset\nowner: dana@example.com\nexecution: {{connection: pg}}\n"
    statements = f"pre_statements: [{{name: arrive, sql: {json.dumps(pre)}}}]\n" if pre else ""
    text = f"{head}query_statement: {json.dumps(sql)}\n{statements}{more}"
    (project / "datasets" / f"{name}.yaml").write_text(text)


def put_meeting(project: Path, *names: str, more: str = "") -> None:
    for name in names:
        put(
            project,
            name,
            MEET.format(number=len(names)),
            pre=f"insert into arrived values ('{name}')",
            more=more,
        )


def outcomes(out: str) -> dict[str, str]:
    return {step["dataset_name"]: step["status"] for step in json.loads(out)}


@pytest.mark.rule("23.14")
def test_datasets_that_do_not_depend_on_each_other_run_at_the_same_time(
    dli: Dli, project: Path, database: Postgres
) -> None:
    put_meeting(project, "a", "b", "c", "d")
    put(
        project, "last", "create table last as select count(*) as n from arrived", more="depends_on: [a, d]\n"
    )
    result = dli("dataset", "run", "--all", "-f", "json")
    assert (result.status, set(outcomes(result.out).values())) == (0, {"COMPLETED"}), result.err
    assert list(outcomes(result.out)) == ["a", "b", "c", "d", "last"]
    assert database.ask("select n from last") == [["4"]]
    assert result.err.endswith("5 completed.\n")


@pytest.mark.rule("23.14")
def test_no_more_than_the_jobs_run_at_a_time(dli: Dli, project: Path, database: Postgres) -> None:
    database.ask("create table spans (name text, change int, at timestamptz)")
    stamp = "insert into spans values ('{}', {}, clock_timestamp())"
    for jobs in (1, 2):
        database.ask("truncate spans; truncate arrived")
        for name in "abcde":
            leave = json.dumps(stamp.format(name, -1))
            meet = MEET.format(number=jobs).replace("then return", "then perform pg_sleep(0.3); return")
            put(project, name, meet, pre=f"insert into arrived values ('{name}'); {stamp.format(name, 1)}",
                more=f"post_statements: [{{name: leave, sql: {leave}}}]\n")  # fmt: skip
        assert dli("dataset", "run", "--all", "--jobs", str(jobs)).status == 0
        most = database.ask("select max(n) from (select sum(change) over (order by at) as n from spans) t")
        assert most == [[str(jobs)]]


@pytest.mark.rule("23.14")
def test_a_failure_stops_what_depends_on_it_and_the_end_lists_all(
    dli: Dli, project: Path, database: Postgres
) -> None:
    put(project, "bad", "create table bad as select no_column")
    put(project, "after", "create table after as select 1 as n", more="depends_on: [bad]\n")
    put(project, "later", "create table later as select 1 as n", more="depends_on: [after]\n")
    put(project, "good", "create table good as select 1 as n")
    put(project, "better", "create table better as select n from good")
    result = dli("dataset", "run", "--all")
    assert result.status == 1
    found = dict(line.split()[:2] for line in result.out.splitlines()[1:])
    left_out = dict.fromkeys(("after", "later"), "SKIPPED")
    assert found == {"bad": "FAILED", **left_out, "good": "COMPLETED", "better": "COMPLETED"}
    assert "2 completed, 1 failed, 2 left out.\n" in result.err
    assert "later: SKIPPED. bad was not built.\n" in result.err


@pytest.mark.rule("23.15")
@pytest.mark.parametrize("form", ["table", "json"])
def test_ctrl_c_cancels_all_that_run_and_the_end_lists_them(
    project: Path, database: Postgres, form: str
) -> None:
    for name in ("a", "b", "c"):
        put(project, name, "select 1 as n from pg_sleep(300)")
    put(project, "d", "create table d as select 1 as n", more="depends_on: [a]\n")
    put(project, "quick", "create table quick as select 1 as n")
    running = "select count(*) from pg_stat_activity where state = 'active' and query like '%pg_sleep(300)%' and pid <> pg_backend_pid()"  # fmt: skip
    program = "import sys; from dli.main import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "dataset", "run", "--all", "-f", form]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 300
        while database.ask(running) != [["3"]] or not database.ask("select to_regclass('quick')")[0][0]:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    while database.ask(running) != [["0"]]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    found = outcomes(out) if form == "json" else dict(line.split()[:2] for line in out.splitlines()[1:])
    assert found == {**dict.fromkeys("abc", "KILLED"), "d": "SKIPPED", "quick": "COMPLETED"}
    assert "1 completed, 3 cancelled, 1 left out.\n" in err
    assert err.endswith("Interrupted.\n")
    assert "Traceback" not in err
    log = [json.loads(line) for line in (project / ".dli" / "runs.jsonl").read_text().splitlines()]
    assert {entry["dataset_name"]: entry["status"] for entry in log} == {**dict.fromkeys("abc", "KILLED"), "quick": "COMPLETED"}  # fmt: skip


@pytest.mark.rule("23.15")
def test_the_lines_of_datasets_that_run_side_by_side_are_never_mixed(
    dli: Dli, project: Path, database: Postgres
) -> None:
    names = [f"d{number}" for number in range(8)]
    put_meeting(project, *names)
    result = dli("--verbose", "dataset", "run", "--all", "--jobs", "8")
    assert result.status == 0, result.err
    statements = defaultdict(list)
    for name, statement in re.findall(
        r"^(?:-- )?(\w+): (?:pre )?statement '(\w+)'", result.err, re.MULTILINE
    ):
        statements[name].append(statement)
    assert statements == {name: ["arrive", "arrive", "query", "query"] for name in names}
    whole = [f"{name}: statement 'query':\n{MEET.format(number=8)}\n" for name in names]
    assert [result.err.count(text) for text in whole] == [1] * 8


@pytest.mark.rule("23.15")
def test_on_a_terminal_one_line_shows_what_runs_and_messages_stand_above_it(
    project: Path, database: Postgres
) -> None:
    put(project, "quick", "create table quick as select 1 as n")
    for name in ("a", "b"):
        put(project, name, "select 1 as n from pg_sleep(300)")
    arguments = ["dataset", "run", "--all"]
    seen = on_terminal(arguments, keys=[("1 of 3  a: statement 'query'  b: statement", "\x03")])
    assert seen.status == 130, seen.text
    assert re.search(r"1 of 3  a: statement 'query'  b: statement 'query'  \d+s", seen.text), seen.text
    for line in seen.text.split("\n"):
        shown = line.rsplit("\x1b[2K", 1)[-1].strip("\r")
        if "Cancelling" in shown or "quick:" in shown:
            assert re.fullmatch(r"(a|b): Cancelling the query …|quick: .*\d s\.", shown), shown


@pytest.mark.rule("23.14")
def test_on_one_duckdb_file_one_dataset_runs_at_a_time(dli: Dli, project: Path) -> None:
    head = "type: Dataset\nowner: dana@example.com\n"
    for name in "abcd":
        sql = f"query_statement: create table {name} as select count(*) as n from range(1000000)\n"
        (project / "datasets" / f"{name}.yaml").write_text(f"name: {name}\n{head}{sql}")
    result = dli("dataset", "run", "--all", "--jobs", "4")
    assert (result.status, "Waiting for" in result.err) == (0, False)
    with duckdb.connect(str(project / "warehouse.duckdb")) as warehouse:
        assert warehouse.execute("select a.n, b.n, c.n, d.n from a, b, c, d").fetchall() == [(1000000,) * 4]


@pytest.mark.rule("23.14")
def test_tables_of_one_new_schema_are_built_side_by_side(dli: Dli, project: Path, database: Postgres) -> None:
    names = [f"fresh.t{number}" for number in range(16)]
    for name in names:
        put(project, name, f"select '{name}' as name", more="materialization: table\n")
    result = dli("dataset", "run", "--all", "--jobs", "16")
    assert result.status == 0, result.err
    assert database.ask(" union all ".join(f"select name from {name}" for name in names)) == [
        [name] for name in names
    ]
