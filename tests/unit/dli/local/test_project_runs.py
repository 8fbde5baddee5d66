"""``dli dataset run --all``: a project's datasets, each after those that it is built from."""

from __future__ import annotations

import json
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import pytest

from dataspec.engines.duckdb_file import DuckDBFile, LockedConnection
from unit.dli.conftest import Dli
from unit.dli.terminal import on_terminal

DAY = "parameters: [{name: execution_date, type: date}]\n"


def put(project: Path, name: str, sql: str, more: str = "") -> None:
    spec = f"name: {name}\ntype: Dataset\nowner: dana@example.com\nquery_statement: {json.dumps(sql)}\n"
    (project / "datasets" / f"{name}.yaml").write_text(spec + more)


@pytest.fixture
def chain(project: Path) -> Path:
    """Three datasets, each of which reads the one before; by name in the other order."""
    put(project, "c", "create or replace table c as select date '{{ execution_date }}' as day, 2 as n", DAY)
    put(project, "b", "create or replace table b as select n + 1 as n from c", "depends_on: [c]\n")
    put(project, "a", "create or replace table a as select n * 10 as n from b")
    put(project, "lonely", "create or replace table lonely as select '{{ word }}' as w",
        "parameters: [{name: word, type: string, default: hi}]\n")  # fmt: skip
    return project


@pytest.mark.rule("23.10")
def test_every_dataset_is_built_after_those_that_it_reads_though_it_does_not_say_so(
    dli: Dli, chain: Path
) -> None:
    result = dli("dataset", "run", "--all", "-p", "execution_date=2024-01-15", "-p", "word=ho")
    assert result.status == 0, result.err
    rows = [line.split() for line in result.out.splitlines()]
    assert [row[0] for row in rows] == ["DATASET", "c", "b", "a", "lonely"]
    assert {tuple(row[1:3]) for row in rows[1:]} == {("COMPLETED", "1")}
    assert result.err.startswith("c: 1 row written, ")
    with duckdb.connect(str(chain / "warehouse.duckdb")) as warehouse:
        assert warehouse.execute("select a.n, w, day from a, lonely, c").fetchall()[0][:2] == (30, "ho")


@pytest.mark.rule("23.10")
def test_one_that_fails_takes_along_what_is_built_from_it_and_the_others_go_on(dli: Dli, chain: Path) -> None:
    put(chain, "b", "create or replace table b as select no_column as n from c")
    result = dli("dataset", "run", "--all", "-p", "execution_date=2024-01-15")
    assert result.status == 1
    outcomes = dict(line.split()[:2] for line in result.out.splitlines()[1:])
    assert outcomes == {"c": "COMPLETED", "b": "FAILED", "a": "SKIPPED", "lonely": "COMPLETED"}
    assert "b: FAILED. The statement 'query' failed.\n       datasets/b.yaml:4:" in result.err
    assert "a: SKIPPED. b was not built.\n" in result.err


def test_json_tells_of_each_what_became_of_it(dli: Dli, chain: Path) -> None:
    put(chain, "b", "create or replace table b as select no_column as n from c")
    found = json.loads(dli("dataset", "run", "--all", "-p", "execution_date=2024-01-15", "-f", "json").out)
    assert [(item["dataset_name"], item["status"]) for item in found] == [
        ("c", "COMPLETED"), ("b", "FAILED"), ("a", "SKIPPED"), ("lonely", "COMPLETED"),
    ]  # fmt: skip
    assert found[0]["rows_written"] == 1
    assert "no_column" in found[1]["error"]


@pytest.mark.rule("23.10")
def test_nothing_runs_where_one_spec_or_one_parameter_is_wrong(dli: Dli, chain: Path) -> None:
    refused = {
        ("-p", "execution_date=2024-01-15", "-p", "wrod=x"): "Unknown parameter 'wrod'.",
        ("-p", "execution_date=2024-13-01"): "In: c (datasets/c.yaml)",
        ("-p", "execution_date=2024-01-15", "-f", "csv"): "--format csv is for one dataset.",
    }
    for arguments, said in refused.items():
        result = dli("dataset", "run", "--all", *arguments)
        assert (result.status, result.out) == (2, "")
        assert said in result.err
    put(chain, "z", "select {{ nothing }}", "cron: 1\n")
    put(chain, "y", "select 1", "onwer: 1\n")
    invalid = dli("dataset", "run", "--all", "-p", "execution_date=2024-01-15")
    assert "datasets/z.yaml" in invalid.err
    assert "datasets/y.yaml" in invalid.err
    assert not (chain / "warehouse.duckdb").exists()


@pytest.mark.rule("23.10")
def test_a_selection_runs_in_the_order_of_the_graph_also_through_what_is_not_selected(
    dli: Dli, chain: Path
) -> None:
    assert dli("dataset", "run", "--all", "-p", "execution_date=2024-01-15").status == 0
    put(chain, "c", "create or replace table c as select no_column as n")
    put(chain, "broken", "select {{ nothing }}", "onwer: 1\n")
    found = dli("dataset", "run", "--select", "a", "c", "lonely", "-f", "json")
    assert found.status == 1
    outcomes = [(step["dataset_name"], step["status"], step["error"]) for step in json.loads(found.out)]
    assert outcomes[0][:2] == ("c", "FAILED")
    assert outcomes[1:] == [("a", "SKIPPED", "c was not built."), ("lonely", "COMPLETED", None)]
    assert "1 completed, 1 failed, 1 left out.\n" in found.err
    assert dli("dataset", "run", "--select", "c+", "--exclude", "c").status == 0
    assert "datasets/broken.yaml" in dli("dataset", "run", "--all").err


@pytest.mark.rule("23.10")
def test_a_cycle_is_refused_where_two_of_it_are_selected(dli: Dli, chain: Path) -> None:
    assert dli("dataset", "run", "--all", "-p", "execution_date=2024-01-15").status == 0
    put(chain, "c", "create or replace table c as select n from a")
    assert dli("dataset", "run", "--select", "a", "lonely").status == 0
    refused = dli("dataset", "run", "--select", "a", "c")
    assert (refused.status, "a → b → c → a" in refused.err) == (2, True)


@pytest.mark.rule("23.13")
def test_an_execution_date_that_is_not_given_is_yesterday_in_each_schedules_zone(
    dli: Dli, project: Path
) -> None:
    for name, zone in (
        ("east", "Pacific/Kiritimati"),
        ("west", "Pacific/Pago_Pago"),
        ("also_east", "Pacific/Kiritimati"),
    ):
        schedule = f"schedule: {{cron: 0 1 * * *, timezone: {zone}}}\n"
        put(project, name, f"create or replace table {name} as select date '{{{{ execution_date }}}}' as day", DAY + schedule)  # fmt: skip
    began = datetime.now(UTC)
    result = dli("dataset", "run", "--all")
    assert result.status == 0, result.err
    assert result.err.startswith("execution_date is not given: yesterday is taken.\n")
    with duckdb.connect(str(project / "warehouse.duckdb")) as warehouse:
        built = warehouse.execute("select e.day, w.day from east e, west w").fetchall()[0]
    zones = (("Pacific/Kiritimati", "+1400"), ("Pacific/Pago_Pago", "-1100"))
    for day, (zone, offset) in zip(built, zones, strict=True):
        days = {
            moment.astimezone(ZoneInfo(zone)).date() - timedelta(1) for moment in (began, datetime.now(UTC))
        }
        assert day in days
        said = f"execution_date=yesterday: {day}, by the clock of the schedule's time zone (UTC{offset}).\n"
        assert result.err.count(said) == 1


@pytest.mark.rule("23.13")
def test_every_other_parameter_that_is_missing_is_named_with_the_datasets_that_take_it(
    dli: Dli, chain: Path
) -> None:
    word = "parameters: [{name: word, type: string}, {name: n, type: integer}]\n"
    for name in ("p", "q"):
        put(
            chain,
            name,
            f"create or replace table {name} as select '{{{{ word }}}}' as w, {{{{ n }}}} as n",
            word,
        )
    result = dli("dataset", "run", "--all")
    assert (result.status, result.out) == (2, "")
    takers = "In: p (datasets/p.yaml), q (datasets/q.yaml)"
    assert result.err.endswith(
        "Error: Missing required parameter: word, n\n       Add: -p word=VALUE -p n=VALUE\n"
        f"       {takers}\n       {takers}\n"
    )
    unknown = dli("dataset", "run", "--select", "p", "-p", "execution_date=2024-01-15")
    assert (unknown.status, "Unknown parameter 'execution_date'." in unknown.err) == (2, True)


@pytest.mark.rule("23.13")
def test_on_a_terminal_each_missing_parameter_is_asked_once_until_every_dataset_accepts_it(
    chain: Path,
) -> None:
    number = "parameters: [{name: n, type: integer%s}]\n"
    put(chain, "p", "create or replace table p as select {{ n }} as n", number % "")
    put(chain, "q", "create or replace table q as select {{ n }} as n", number % ", choices: [7, 8]")
    keys = [("execution_date [yesterday]: ", "\r"), ("n: ", "x\r"), ("In: p", "9\r"), ("In: q", "7\r")]
    seen = on_terminal(["dataset", "run", "--all"], keys=keys)
    assert seen.status == 0, seen.text
    assert "n (integer), for p (datasets/p.yaml), q (datasets/q.yaml)\n" in seen.text
    assert seen.text.count("for p (datasets") == 1
    assert "execution_date=yesterday: " in seen.text
    with duckdb.connect(str(chain / "warehouse.duckdb")) as warehouse:
        assert warehouse.execute("select p.n, q.n from p, q").fetchall() == [(7, 7)]


def test_nothing_that_has_changed_is_no_error(dli: Dli, chain: Path) -> None:
    for arguments in (["init", "-q"], ["add", "-A"], ["-c", "user.name=d", "-c", "user.email=d@example.com", "commit", "-qm", "All"]):  # fmt: skip
        subprocess.run(["git", *arguments], check=True)
    for more in ([], ["--dry-run"], ["-p", "execution_date=2024-01-15"]):
        result = dli("dataset", "run", "--changed", *more)
        assert (result.status, result.out, result.err) == (0, "", "No selected dataset differs from HEAD.\n")
    assert dli("dataset", "run", "--changed", "-f", "json").out == "[]\n"
    put(chain, "b", "create or replace table b as select n + 2 as n from c", "depends_on: [c]\n")
    changed = dli("dataset", "run", "--changed", "--dry-run", "-f", "json")
    assert [step["dataset_name"] for step in json.loads(changed.out)] == ["b", "a"]


def test_datasets_that_depend_on_each_other_are_refused(dli: Dli, chain: Path) -> None:
    put(chain, "c", "create or replace table c as select n from a")
    result = dli("dataset", "run", "--all")
    assert result.status == 2
    assert "a → b → c → a" in result.err


def test_a_dry_run_shows_the_sql_of_all_in_their_order(dli: Dli, chain: Path) -> None:
    result = dli("dataset", "run", "--all", "-p", "execution_date=2024-01-15", "--dry-run")
    names = [line.split()[1] for line in result.out.splitlines() if line.startswith("Dataset:")]
    assert (result.status, names) == (0, ["c", "b", "a", "lonely"])
    assert not (chain / "warehouse.duckdb").exists()


def test_either_one_dataset_or_all_are_named(dli: Dli, chain: Path) -> None:
    for arguments in ([], ["a", "--all"]):
        result = dli("dataset", "run", *arguments)
        assert result.status == 2
        assert "Give either a DATASET or --all." in result.err


def test_a_project_without_a_dataset_says_how_to_begin(dli: Dli, project: Path) -> None:
    result = dli("dataset", "run", "--all")
    assert result.status == 3
    assert "dli dataset init" in result.err


def test_the_example_on_real_flights_runs_wholly_here(
    dli: Dli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    example = Path(__file__).parents[4] / "examples" / "flights"
    ours = tmp_path / "flights"
    shutil.copytree(example, ours, ignore=shutil.ignore_patterns("*.duckdb*", ".dli", ".basecamp"))
    monkeypatch.chdir(ours)
    result = dli("dataset", "run", "--all", "-p", "execution_date=2013-01-01", "-f", "json")
    assert result.status == 0, result.err
    found = [(item["dataset_name"], item["status"]) for item in json.loads(result.out)]
    names = (
        "flights.daily",
        "flights.carrier_delays",
        "flights.hourly_weather",
        "flights.weather_delays",
        "flights.weekly_summary",
    )
    assert found == [(name, "COMPLETED") for name in names]
    with duckdb.connect(str(ours / "warehouse.duckdb"), read_only=True) as warehouse:
        built = "select count(*), sum(distance), count(*) filter (where cancelled) from flights.daily"
        assert warehouse.execute(built).fetchall() == [(842, 907196, 4)]
        by_airline = "select sum(flights), sum(cancelled) from flights.carrier_delays"
        assert warehouse.execute(by_airline).fetchall() == [(842, 4)]
        week = "select sum(flights), sum(miles) from flights.weekly_summary"
        assert warehouse.execute(week).fetchall() == [(842, 907196)]
        by_weather = "select sum(flights), count(*) from flights.weather_delays"
        assert warehouse.execute(by_weather).fetchall() == [(842, 3)]


@pytest.mark.rule("31.40")
def test_a_dataset_that_follows_has_the_data_interval_of_its_upstreams_schedule(
    dli: Dli, project: Path
) -> None:
    put(
        project,
        "up",
        "create or replace table up as select 1 as n",
        "schedule: {cron: 0 7 * * 1, timezone: Asia/Seoul}\n",
    )
    sql = "create or replace table {} as select '{{{{ data_interval_end }}}}' as t"
    follows = 'schedule: {cron: "@upstream"}\n'
    put(project, "mid", sql.format("mid"), f"{DAY}depends_on: [up]\n{follows}")
    put(project, "down", sql.format("down"), f"{DAY}depends_on: [mid]\n{follows}")
    for arguments in (["down"], ["--all"]):
        result = dli("dataset", "run", *arguments, "-p", "execution_date=2024-01-15")
        assert result.status == 0, result.err
        with duckdb.connect(str(project / "warehouse.duckdb")) as warehouse:
            assert warehouse.execute("select t from down").fetchall() == [("2024-01-21T22:00:00+00:00",)]
    rendered = dli("dataset", "show", "down", "--sql", "-p", "execution_date=2024-01-15")
    assert "2024-01-21T22:00:00+00:00" in rendered.out


TABLE = "materialization: table\n"


@pytest.fixture
def openings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A list that grows by the file of each DuckDB database that is opened."""
    opened: list[str] = []
    connect = DuckDBFile.connect

    def counted(file: DuckDBFile) -> LockedConnection:
        opened.append(Path(file.database).name)
        return connect(file)

    monkeypatch.setattr(DuckDBFile, "connect", counted)
    return opened


@pytest.mark.rule("23.22")
def test_selects_on_one_duckdb_file_share_one_opening(dli: Dli, project: Path, openings: list[str]) -> None:
    for number in range(5):
        put(project, f"shop.t{number}", f"select {number} as n", TABLE)
    result = dli("dataset", "run", "--all")
    assert result.status == 0, result.err
    assert openings == ["warehouse.duckdb"]
    with duckdb.connect(str(project / "warehouse.duckdb")) as warehouse:
        assert warehouse.sql("select sum(n) from (from shop.t3 union all from shop.t4)").fetchall() == [(7,)]


@pytest.mark.rule("23.22")
def test_what_one_dataset_attaches_or_sets_reaches_no_other(
    dli: Dli, project: Path, openings: list[str]
) -> None:
    attach = "pre_statements: [{name: other, sql: \"attach ':memory:' as other\"}]\n"
    databases = "select count(*) as n from duckdb_databases() where database_name = 'other'"
    put(project, "a", databases, TABLE)
    put(project, "b", databases, TABLE + attach + "depends_on: [a]\n")
    put(project, "c", databases, TABLE + "depends_on: [b]\n")
    put(project, "d", databases, TABLE + attach + "depends_on: [c]\n")
    result = dli("dataset", "run", "--all")
    assert result.status == 0, result.err
    assert openings == ["warehouse.duckdb"] * 4
    with duckdb.connect(str(project / "warehouse.duckdb")) as warehouse:
        assert warehouse.sql("select a.n, b.n, c.n, d.n from a, b, c, d").fetchall() == [(0, 1, 0, 1)]


@pytest.mark.rule("23.22")
def test_after_a_failure_the_file_is_opened_again(dli: Dli, project: Path, openings: list[str]) -> None:
    put(project, "a", "select 1 as n", TABLE)
    put(project, "b", "select error('no data') as n", TABLE)
    put(project, "c", "select 1 as n", TABLE)
    result = dli("dataset", "run", "--all")
    assert (result.status, openings) == (1, ["warehouse.duckdb"] * 2)
    assert "2 completed, 1 failed.\n" in result.err


@pytest.mark.rule("23.22")
def test_two_connections_to_one_duckdb_file_take_turns(dli: Dli, project: Path, openings: list[str]) -> None:
    (project / "dli.yaml").write_text("connections: {second: {url: duckdb:///warehouse.duckdb}}\n")
    for name, more in {"a": "", "b": "execution: {connection: second}\n", "c": ""}.items():
        put(project, name, "select 1 as n", TABLE + more)
    result = dli("dataset", "run", "--all")
    assert (result.status, len(openings)) == (0, 3), result.err
    assert "Waiting for" not in result.err
