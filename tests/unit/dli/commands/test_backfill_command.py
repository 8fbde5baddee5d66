from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from basecamp.airflow.models import RunFilter
from basecamp.shared.waiting import run_through
from dataspec.contract import built_variable, waits
from dataspec.models import Backfill, BackfillPreview
from dataspec.schedule.built import Built
from dataspec.schedule.partitions import Grid
from dataspec.store.base import MISSING
from dli import Client
from unit.dli.basecamp import NOW, Basecamp
from unit.dli.conftest import Dli
from unit.dli.specs import CLICKS, CLICKS_FILES, CLICKS_SQL, CLICKS_YAML, spec_of, write_clicks
from unit.dli.terminal import CTRL_C, on_terminal

ID = f"{CLICKS}_20240115_093045"
ARGUMENTS = ("workflow", "backfill", CLICKS, "-s", "2024-01-01", "-e", "2024-01-03")
YEARS = ("workflow", "backfill", CLICKS, "-s", "2021-01-01", "-e", "2024-01-01")


@pytest.fixture
def clicks(basecamp: Basecamp) -> Basecamp:
    """A server with one dataset, from code."""
    basecamp.put_code(CLICKS, CLICKS_YAML, CLICKS_FILES)
    return basecamp


@pytest.fixture
def reconciled(clicks: Basecamp) -> Iterator[Basecamp]:
    """A server that carries backfills on, on an Airflow that executes what is queued."""
    clicks.finish_queued = True
    reconciler = clicks.services.reconciler
    thread = threading.Thread(target=reconciler.loop.run)
    thread.start()
    yield clicks
    reconciler.end()
    thread.join(120)


def advance(basecamp: Basecamp) -> None:
    run_through(basecamp.services.backfill_steps.advance(CLICKS), basecamp.clock)


def fail_second_date(basecamp: Basecamp) -> None:
    advance(basecamp)
    basecamp.complete(f"{ID}_20240101")
    advance(basecamp)
    basecamp.fail(f"{ID}_20240102")
    advance(basecamp)


def backfills(basecamp: Basecamp) -> list[str]:
    return [info.key for info in basecamp.store.list("basecamp/backfills/")]


@pytest.mark.rule("22.3")
def test_it_prints_the_backfills_id_and_nothing_else(clicks: Basecamp, dli: Dli) -> None:
    result = dli(*ARGUMENTS)
    assert (result.status, result.out, result.err) == (0, f"Backfill started: {ID}\n", "")


@pytest.mark.rule("31.62")
@pytest.mark.parametrize(
    "command", [ARGUMENTS, ("workflow", "run", CLICKS, "-p", "execution_date=2024-01-01")]
)
def test_wait_for_upstream_reaches_the_run(clicks: Basecamp, dli: Dli, command: tuple[str, ...]) -> None:
    assert dli(*command, "--wait-for-upstream").status == 0
    if "backfill" in command:
        advance(clicks)
    [run] = clicks.airflow.list_runs(RunFilter(), limit=5).runs
    assert waits(run.conf, run_type=run.run_type)


REPORT = "marketing.report"


@pytest.fixture
def report(clicks: Basecamp) -> str:
    """A dataset that is built from the other one."""
    yaml = CLICKS_YAML.replace(CLICKS, REPORT) + f"\ndepends_on: [{CLICKS}]\n"
    clicks.put_code(REPORT, yaml, {})
    return REPORT


@pytest.mark.rule("34.11")
@pytest.mark.parametrize(
    "command",
    [
        pytest.param(("-s", "2024-01-01", "-e", "2024-01-01"), id="backfill"),
        pytest.param(("-p", "execution_date=2024-01-01"), id="run", marks=pytest.mark.rule("34.14")),
    ],
)
def test_with_downstream_shows_the_order_and_starts_a_chain(
    dli: Dli, report: str, command: tuple[str, ...], request: pytest.FixtureRequest
) -> None:
    kind = request.node.callspec.id
    shown = dli("workflow", kind, CLICKS, *command, "--with-downstream", "--dry-run")
    assert f"{CLICKS} 2024-01-01\n{report} 2024-01-01\n" in shown.out, shown
    started = dli("workflow", kind, CLICKS, *command, "--with-downstream")
    assert (started.status, started.out) == (0, f"Backfill started: {ID}\n"), started
    status = dli("workflow", "status", ID)
    assert f"Chain:         {CLICKS}, {report}\n" in status.out


@pytest.mark.rule("34.15")
def test_a_chain_is_listed_for_its_downstream_dataset(dli: Dli, report: str) -> None:
    dli(*ARGUMENTS, "--with-downstream")
    for arguments in ((report,), ("-d", report), ("-d", CLICKS)):
        assert ID in dli("workflow", "backfills", *arguments).out
    assert dli("workflow", "backfills", report, "-d", report).status == 2


@pytest.mark.rule("34.14")
def test_a_run_with_downstream_needs_the_partition(dli: Dli, report: str) -> None:
    result = dli("workflow", "run", CLICKS, "--with-downstream")
    assert result.status == 2
    assert "-p execution_date=YYYY-MM-DD" in result.err


@pytest.mark.rule("14.19")
def test_missing_builds_the_rest_and_says_how_many_are_left_out(clicks: Basecamp, dli: Dli) -> None:
    grid = Grid("0 9 * * *", "Asia/Seoul")
    value = Built(complete=True).with_partition(grid.named("2024-01-02"), at=NOW, grid=grid)
    clicks.airflow.stored_variables[built_variable(CLICKS)] = value.text()
    told = "Left out, as built already: 1 partition.\n"
    shown = dli(*ARGUMENTS, "--missing", "--dry-run")
    assert "Dates:       2\n\n2024-01-01\n2024-01-03\n\n" in shown.out
    assert shown.err == told
    started = dli(*ARGUMENTS, "--missing")
    assert (started.status, started.out, started.err) == (0, f"Backfill started: {ID}\n", told)
    assert "Left out:      1 built before\n" in dli("workflow", "status", ID).out


@pytest.mark.rule("14.22")
def test_status_and_lists_name_the_hours_of_an_hourly_dataset(basecamp: Basecamp, dli: Dli) -> None:
    hourly = "parameters: [{name: execution_date, type: datetime}]\nschedule: {cron: '0 * * * *'}\n"
    basecamp.put_code("sales.hourly", spec_of("sales.hourly", more=hourly))
    assert dli("workflow", "backfill", "sales.hourly", "-s", "2024-01-01", "-e", "2024-01-02").status == 0
    status = dli("workflow", "status", "sales.hourly_20240115_093045").out
    assert "Range:         2024-01-01 00:00 to 2024-01-02 23:00\n" in status
    assert "Partitions:    0 of 48 built\n" in status
    assert "Current:       2024-01-01 00:00\n" in status
    assert "2024-01-01 00:00   2024-01-02 23:00   0 of 48" in dli("workflow", "backfills").out


@pytest.mark.rule("22.3")
def test_options_reach_the_server(clicks: Basecamp, dli: Dli) -> None:
    options = ("-p", "limit=7", "--reverse", "--keep-going", "--every", "schedule", "--source", "code")
    made = json.loads(dli(*ARGUMENTS, *options, "--resume", "-f", "json").out)
    assert set(made) == set(Backfill.__slots__)
    assert (made["reverse"], made["keep_going"], made["every"]) == (True, True, "partition")
    assert (made["parameters"], made["requested_by"]) == ({"limit": 7}, "dana")
    assert made["current_date"] == "2024-01-03"


def test_a_dry_run_lists_the_dates_and_the_sql_of_the_first_and_the_last(clicks: Basecamp, dli: Dli) -> None:
    result = dli(*ARGUMENTS, "--dry-run")
    assert result.status == 0
    assert "Dates:       3\n\n2024-01-01\n2024-01-02\n2024-01-03\n\n" in result.out
    assert "-- 2024-01-01, 1 of 1\nselect * from clicks where day = '2024-01-01' limit 100\n" in result.out
    assert "-- 2024-01-03, 1 of 1\nselect * from clicks where day = '2024-01-03' limit 100\n" in result.out
    assert backfills(clicks) == []
    shown = json.loads(dli(*ARGUMENTS, "--dry-run", "-f", "json").out)
    assert set(shown) == set(BackfillPreview.__slots__)


@pytest.mark.rule("22.2")
def test_a_dry_run_of_a_spec_that_is_not_registered_is_that_of_the_project(
    basecamp: Basecamp, dli: Dli, project: Path
) -> None:
    path = write_clicks(project)
    (path.parent / "daily_clicks.sql").write_text(f"insert into daily {CLICKS_SQL}")
    for named in (CLICKS, str(path)):
        result = dli(*(named if word == CLICKS else word for word in ARGUMENTS), "--dry-run")
        assert result.status == 0, result.err
        assert "Source:      not registered (spec " in result.out
        assert "Reads:       clicks\nWrites:      daily\nDates:       3\n" in result.out
        assert "-- 2024-01-03, 1 of 1\ninsert into daily select * from clicks" in result.out


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("-s", "2024-01-04"), 2, "The end 2024-01-03 is before the start 2024-01-04."),
        (("-e", "2013-02-30"), 2, "Invalid end date: there is no date 2013-02-30."),
        (("-p", "execution_date=2024-01-01"), 2, "A backfill sets 'execution_date' itself."),
        (("-p", "limit=x"), 2, "Invalid value for parameter 'limit'"),
        (("-p", "limt=1"), 2, "Unknown parameter 'limt'."),
        (("--timeout", "5"), 2, "--timeout is for --wait."),
    ],
)
def test_a_wrong_command_is_told_in_one_message(
    clicks: Basecamp, dli: Dli, arguments: tuple[str, ...], status: int, words: str
) -> None:
    result = dli(*ARGUMENTS, *arguments)
    assert (result.status, result.out) == (status, "")
    assert words in result.err
    assert backfills(clicks) == []


def test_a_dataset_that_takes_no_date_is_refused_with_what_to_do(basecamp: Basecamp, dli: Dli) -> None:
    basecamp.put_code("a.b", spec_of("a.b"))
    result = dli("workflow", "backfill", "a.b", "-s", "2024-01-01", "-e", "2024-01-02")
    assert result.status == 2
    assert "This dataset has no parameter 'execution_date'" in result.err
    assert "dli workflow run a.b" in result.err


def test_a_paused_dataset_and_an_unknown_one_are_refused(clicks: Basecamp, dli: Dli) -> None:
    assert dli("workflow", "backfill", "no.such", *ARGUMENTS[3:]).status == 3
    dli("workflow", "pause", CLICKS)
    paused = dli(*ARGUMENTS)
    assert (paused.status, f"dli workflow unpause {CLICKS}" in paused.err) == (4, True)


def test_a_second_one_is_refused_and_told_how_to_stop_the_first(clicks: Basecamp, dli: Dli) -> None:
    dli(*ARGUMENTS)
    result = dli(*ARGUMENTS)
    assert (result.status, result.out) == (4, "")
    assert f"Error: A backfill of this dataset is under way: {ID}\n" in result.err
    assert f"dli workflow stop {ID}" in result.err


# More than a year.


@pytest.mark.rule("20.10")
def test_more_than_a_year_of_dates_is_refused_where_nobody_can_be_asked(clicks: Basecamp, dli: Dli) -> None:
    result = dli(*YEARS)
    assert (result.status, result.out) == (4, "")
    assert "Error: This would build 1,096 dates.\n" in result.err
    assert "--yes" in result.err
    assert backfills(clicks) == []


@pytest.mark.rule("22.3")
def test_more_than_a_year_of_dates_is_built_with_yes(clicks: Basecamp, dli: Dli) -> None:
    assert dli(*YEARS, "--yes").status == 0


def test_few_dates_of_a_long_range_need_no_question(basecamp: Basecamp, dli: Dli) -> None:
    basecamp.put_code(CLICKS, CLICKS_YAML.replace("0 9 * * *", "0 9 1 * *"), CLICKS_FILES)
    result = dli(*YEARS, "--every", "schedule")
    assert (result.status, result.out) == (0, f"Backfill started: {ID}\n")


@pytest.mark.rule("22.3")
@pytest.mark.parametrize(("answer", "status"), [("y\n", 0), ("n\n", 4)])
def test_a_person_is_asked_about_more_than_a_year(clicks: Basecamp, answer: str, status: int) -> None:
    screen = on_terminal(YEARS, keys=[("[y/N]: ", answer)])
    assert "This builds 1,096 dates, from 2021-01-01 to 2024-01-01, one after the other.\n" in screen.text
    assert screen.status == status
    assert bool(backfills(clicks)) == (status == 0)


# Following.


def test_wait_follows_it_to_the_end(reconciled: Basecamp, dli: Dli) -> None:
    result = dli(*ARGUMENTS, "--wait")
    assert (result.status, result.out) == (0, f"Backfill started: {ID}\n")
    assert "Backfill completed after " in result.err
    assert ": 3 of 3 dates built." in result.err


def test_wait_as_json_prints_the_backfill_as_it_ended_alone(reconciled: Basecamp, dli: Dli) -> None:
    result = dli(*ARGUMENTS, "--wait", "-f", "json")
    assert json.loads(result.out)["status"] == "COMPLETED"


@pytest.mark.rule("20.15")
def test_on_a_terminal_a_bar_fills_with_the_present_date_and_the_time_left(clicks: Basecamp) -> None:
    advanced: list[str] = []

    def work(text: str) -> None:
        if "0 of 3 dates  2024-01-01" in text and not advanced:
            advanced.append("2024-01-01")
            advance(clicks)
            clicks.complete(f"{ID}_20240101")
            advance(clicks)
        if "1 of 3 dates  2024-01-02" in text and advanced == ["2024-01-01"]:
            advanced.append("2024-01-02")
            clicks.complete(f"{ID}_20240102")
            advance(clicks)
            clicks.complete(f"{ID}_20240103")
            advance(clicks)

    screen = on_terminal((*ARGUMENTS, "--wait"), meanwhile=work, environ={"PYTHONIOENCODING": "utf-8"})
    assert screen.status == 0
    assert "░" * 24 + "  0 of 3 dates  2024-01-01" in screen.text
    assert "█" * 8 + "░" * 16 + "  1 of 3 dates  2024-01-02" in screen.text
    assert " left" in screen.text
    assert "3 of 3 dates built." in screen.text


def test_a_bar_never_breaks_a_narrow_terminal(clicks: Basecamp) -> None:
    screen = on_terminal((*ARGUMENTS, "--wait"), columns=40, keys=[("0 of 3", CTRL_C)])
    drawn = [part.split("\n")[0].removesuffix("^C") for part in screen.text.split("\r\x1b[2K")[1:]]
    assert max(len(line) for line in drawn if "of 3" in line) < 40


def test_an_interrupted_wait_leaves_it_and_says_how_to_stop_it(clicks: Basecamp) -> None:
    screen = on_terminal((*ARGUMENTS, "--wait"), keys=[("0 of 3", CTRL_C)])
    assert screen.status == 130
    assert "The backfill keeps running" in screen.text
    assert f"dli workflow stop {ID}" in screen.text
    assert backfills(clicks) == [f"basecamp/backfills/active/{CLICKS}.json"]


def test_a_timeout_leaves_it_as_well(clicks: Basecamp, dli: Dli) -> None:
    result = dli(*ARGUMENTS, "--wait", "--timeout", "0.1")
    assert result.status == 1
    assert "has not finished within 0.1 s; it keeps running" in result.err


# By its id.


@pytest.mark.rule("22.4")
def test_status_shows_a_backfill_by_its_id(clicks: Basecamp, dli: Dli) -> None:
    dli(*ARGUMENTS, "-p", "limit=7", "--keep-going")
    advance(clicks)
    clicks.complete(f"{ID}_20240101")
    advance(clicks)
    result = dli("workflow", "status", ID)
    assert result.status == 0
    rows = dict(line.split(":", 1) for line in result.out.splitlines())
    shown = {label: value.strip() for label, value in rows.items()}
    assert shown["Backfill"] == ID
    assert (shown["Status"], shown["Dates"], shown["Current date"]) == (
        "RUNNING",
        "1 of 3 built",
        "2024-01-02",
    )
    assert (shown["Range"], shown["Options"]) == ("2024-01-01 to 2024-01-03", "keep going after a failure")
    assert (shown["Run"], shown["Parameters"]) == (f"{ID}_20240102", "limit=7")
    assert json.loads(dli("workflow", "status", ID, "-f", "json").out)["dates_done"] == 1


def test_status_of_a_failed_one_says_why_and_wait_ends_with_1(clicks: Basecamp, dli: Dli) -> None:
    dli(*ARGUMENTS)
    fail_second_date(clicks)
    shown = dli("workflow", "status", ID)
    assert (shown.status, "2024-01-02 failed: Binder Error: no table 'clicks'" in shown.out) == (0, True)
    waited = dli("workflow", "status", ID, "--wait")
    assert waited.status == 1
    assert f"Its log: dli workflow logs {ID}_20240102" in waited.err


def test_status_of_one_run_of_it_shows_the_run(clicks: Basecamp, dli: Dli) -> None:
    dli(*ARGUMENTS)
    advance(clicks)
    result = dli("workflow", "status", f"{ID}_20240101")
    assert "Type:        backfill\n" in result.out


@pytest.mark.rule("22.8")
def test_history_shows_its_runs_and_filters_by_type(clicks: Basecamp, dli: Dli) -> None:
    dli("workflow", "run", CLICKS, "-p", "execution_date=2024-01-15")
    dli(*ARGUMENTS)
    second = f"{ID}_2"
    advance(clicks)
    clicks.complete(f"{second}_20240101")
    advance(clicks)
    rows = json.loads(dli("workflow", "history", "--run-type", "backfill", "-f", "json").out)
    assert [row["run_id"] for row in rows] == [f"{second}_20240102", f"{second}_20240101"]
    assert len(json.loads(dli("workflow", "history", "-f", "json").out)) == 3


@pytest.mark.rule("22.9")
def test_stop_ends_a_backfill_by_its_id_and_is_harmless_when_repeated(clicks: Basecamp, dli: Dli) -> None:
    dli(*ARGUMENTS)
    advance(clicks)
    clicks.start_attempt(f"{ID}_20240101")
    result = dli("workflow", "stop", ID, "--reason", "wrong table")
    assert (result.status, result.out) == (0, f"Stopped: {ID}\n")
    assert dli("workflow", "stop", ID).out == f"Stopped: {ID}\n"
    shown = json.loads(dli("workflow", "status", ID, "-f", "json").out)
    assert (shown["status"], shown["note"].endswith(": wrong table")) == ("KILLED", True)
    assert len(clicks.airflow.list_runs(RunFilter(), limit=10).runs) == 1


def test_stop_of_one_that_has_ended_says_how(reconciled: Basecamp, dli: Dli) -> None:
    dli(*ARGUMENTS, "--wait")
    assert dli("workflow", "stop", ID).out == f"Already ended: {ID} (COMPLETED)\n"


@pytest.mark.rule("22.4")
def test_while_airflow_does_not_answer_a_backfill_is_shown_and_told_to_stop_all_the_same(
    clicks: Basecamp, dli: Dli
) -> None:
    dli(*ARGUMENTS)
    advance(clicks)
    clicks.airflow.down = "connection refused"
    shown = dli("workflow", "status", ID)
    assert shown.status == 0
    assert "Airflow does not answer. The backfill continues when Airflow is available again." in shown.out
    stopped = dli("workflow", "stop", ID)
    assert stopped.status == 5
    assert "The stop is stored: the backfill stops as soon as Airflow answers." in stopped.err
    clicks.airflow.down = None
    advance(clicks)
    assert json.loads(dli("workflow", "status", ID, "-f", "json").out)["status"] == "KILLED"


@pytest.mark.parametrize("command", ["status", "stop"])
def test_while_airflow_does_not_answer_a_run_can_not_be_found(
    clicks: Basecamp, dli: Dli, command: str
) -> None:
    clicks.airflow.down = "connection refused"
    result = dli("workflow", command, f"{CLICKS}_20240115_093046")
    assert (result.status, result.out) == (5, "")
    assert result.err.startswith("Error: Airflow does not answer.")


@pytest.mark.parametrize("command", ["status", "stop"])
def test_an_id_that_is_neither_a_runs_nor_a_backfills_is_not_found(
    clicks: Basecamp, dli: Dli, command: str
) -> None:
    result = dli("workflow", command, ID)
    assert (result.status, result.out) == (3, "")
    assert result.err.startswith(f"Error: Run not found: {ID}\n")


@pytest.mark.rule("14.17")
@pytest.mark.parametrize("command", ["status", "stop"])
@pytest.mark.parametrize("key", [f"ended/{CLICKS}/{ID}.json", f"active/{CLICKS}.json"])
def test_a_backfill_whose_plan_was_damaged_is_not_found_and_the_object_is_named(
    clicks: Basecamp, dli: Dli, command: str, key: str
) -> None:
    copy = f"basecamp/quarantine/basecamp/backfills/{key}/0123456789abcdef"
    clicks.store.put(copy, b"", expected=MISSING)
    result = dli("workflow", command, ID)
    assert (result.status, result.out) == (3, "")
    assert result.err.startswith(f"Error: Backfill not found: {ID}\n")
    assert f"'basecamp/backfills/{key}', could not be read and was moved to '{copy}'" in result.err


# The client.


def test_the_client_follows_lists_and_stops(reconciled: Basecamp) -> None:
    with Client(reconciled.url) as client:
        made = client.start_backfill(CLICKS, "2024-01-01", "2024-01-03", {"limit": 7})
        *_, last = client.follow_backfill(made.backfill_id, interval_seconds=0.05)
        assert (last.status, last.dates_done) == ("COMPLETED", 3)
        assert [one.backfill_id for one in client.list_backfills(active=False)] == [made.backfill_id]
        assert client.list_backfills(active=True) == []
        assert client.stop_backfill(made.backfill_id).status == "COMPLETED"
