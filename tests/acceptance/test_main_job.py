"""From a YAML file to a table that is built, as a data engineer does it."""

import re
from datetime import datetime

import pytest

from stacks import Stack

DATE = "2013-01-01"


@pytest.fixture(scope="module")
def flights(stack: Stack) -> str:
    done = stack.cli("dataset", "register", "flights.daily")
    assert (done.returncode, done.stdout) == (0, "Registered: flights.daily\n"), done.stderr
    return "flights.daily"


@pytest.fixture(scope="module")
def finished(stack: Stack, flights: str) -> str:
    """A run that has completed."""
    run_id = stack.run(flights, execution_date=DATE)
    run = stack.wait(run_id)
    assert run["status"] == "COMPLETED", run
    return run_id


@pytest.mark.rule("22.1")
def test_run_prints_the_run_id_alone(stack: Stack, flights: str) -> None:
    done = stack.cli("workflow", "run", flights, "-p", "execution_date=2013-01-02")

    assert done.returncode == 0
    assert re.fullmatch(r"Run started: flights\.daily_\d{8}_\d{6}(_\d+)?\n", done.stdout)
    assert stack.wait(done.stdout.split()[-1])["status"] == "COMPLETED"


def test_a_run_builds_the_day_s_table(stack: Stack, finished: str) -> None:
    found = stack.rows(
        f"select count(*), sum(distance), count(*) filter (where cancelled) from flights.daily where flight_date = '{DATE}'"
    )

    assert found == [(842, 907196, 4)]


def test_a_second_run_of_a_day_leaves_the_same_rows(stack: Stack, flights: str, finished: str) -> None:
    query = f"select * from flights.daily where flight_date = '{DATE}' order by all"
    before = stack.rows(query)

    assert stack.wait(stack.run(flights, execution_date=DATE))["status"] == "COMPLETED"

    assert stack.rows(query) == before


def test_status_says_what_ran_and_how_it_ended(stack: Stack, finished: str) -> None:
    run = stack.status(finished)

    assert run["status"] == "COMPLETED"
    assert run["dataset_name"] == "flights.daily"
    assert run["run_type"] == "adhoc"
    assert run["source_type"] == "manual"
    assert run["parameters"] == {"execution_date": DATE}
    assert datetime.fromisoformat(run["started_at"]) <= datetime.fromisoformat(run["finished_at"])


@pytest.mark.rule("7.8")
def test_list_shows_the_schedule_and_the_next_run_in_its_zone(stack: Stack, flights: str) -> None:
    header, row = stack.cli("workflow", "list", "--dataset", flights).stdout.splitlines()

    assert header.split() == ["DATASET", "SOURCE", "STATUS", "CRON", "NEXT", "RUN", "LAST", "RUN"]
    assert re.fullmatch(
        r"flights\.daily +manual +active +0 6 \* \* \* +\d{4}-\d\d-\d\d 06:00 America/New_York  .+", row
    )


@pytest.mark.rule("12.8")
def test_history_shows_the_run_with_the_spec_that_it_ran(stack: Stack, finished: str) -> None:
    runs = {run["run_id"]: run for run in stack.ask("workflow", "history", "-d", "flights.daily")}

    assert runs[finished]["status"] == "COMPLETED"
    assert runs[finished]["spec_hash"] == stack.status(finished)["spec_hash"]


def test_logs_show_the_sql_that_ran(stack: Stack, finished: str) -> None:
    log = stack.cli("workflow", "logs", finished)

    assert log.returncode == 0
    assert f"flight_date = date '{DATE}'" in log.stdout
    assert "842 rows" in log.stdout


def test_datasets_build_on_each_other(stack: Stack, finished: str) -> None:
    for name in ("flights.carrier_delays", "flights.weekly_summary"):
        assert stack.cli("dataset", "register", name, "--wait-seconds", "120").returncode == 0
        assert stack.wait(stack.run(name, execution_date=DATE))["status"] == "COMPLETED"

    (carriers,) = stack.rows(
        f"select count(*), sum(flights), sum(cancelled) from flights.carrier_delays where flight_date = '{DATE}'"
    )
    assert carriers == (14, 842, 4)
    weekly = stack.rows(
        "select origin, flights from flights.weekly_summary where week_start = '2012-12-31' order by origin"
    )
    assert [origin for origin, _ in weekly] == ["EWR", "JFK", "LGA"]
    assert weekly == stack.rows(
        "select origin, count(*) from flights.daily where flight_date between '2012-12-31' and '2013-01-06' "
        "group by origin order by origin"
    )


def test_a_dry_run_reads_sql_in_the_dialect_of_the_project_s_connection(stack: Stack) -> None:
    assert stack.ask("workflow", "run", stack.write("select 7 // 2 as half"), "--dry-run")["warnings"] == []
    done = stack.cli("workflow", "run", stack.write("select 1 as a,, 2 as b"), "--dry-run")
    assert done.returncode == 2
    assert "The SQL is not valid duckdb." in done.stderr


@pytest.mark.rule("12.6")
def test_a_changed_query_is_what_the_next_run_runs(stack: Stack) -> None:
    name = stack.register("create or replace table changing as select 1 as answer")
    assert stack.wait(stack.run(name))["status"] == "COMPLETED"
    file = stack.project / "datasets" / f"dataset.{name}.yaml"
    file.write_text(file.read_text().replace("1 as answer", "2 as answer"))

    assert stack.cli("dataset", "register", name, "--wait-seconds", "120").returncode == 0
    assert stack.wait(stack.run(name))["status"] == "COMPLETED"

    assert stack.rows("select answer from changing") == [(2,)]
    hashes = [run["spec_hash"] for run in stack.ask("workflow", "history", "-d", name)]
    assert len(set(hashes)) == 2
