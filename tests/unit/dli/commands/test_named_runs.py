"""Commands that take a run take a dataset's name as well, and lists filter by several values."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from basecamp.shared.waiting import run_through
from dataspec.models import Backfill
from unit.dli.basecamp import Basecamp
from unit.dli.conftest import Dli
from unit.dli.specs import CLICKS, CLICKS_FILES, CLICKS_YAML, spec_of, write_clicks
from unit.dli.terminal import on_terminal

OTHER = "reports.summary"
BACKFILL = ("workflow", "backfill", CLICKS, "-s", "2024-01-01", "-e", "2024-01-03")


@pytest.fixture
def clicks(basecamp: Basecamp) -> Basecamp:
    """A server with two datasets."""
    basecamp.put_code(CLICKS, CLICKS_YAML, CLICKS_FILES)
    basecamp.put_manual(OTHER, spec_of(OTHER))
    return basecamp


def start(dli: Dli, basecamp: Basecamp, *arguments: str) -> str:
    """Start a run, a second after the one before."""
    basecamp.clock.let_pass(1)
    given = arguments or (CLICKS, "-p", "execution_date=2024-01-15")
    result = dli("workflow", "run", *given)
    assert result.status == 0, result.err
    return result.out.removeprefix("Run started: ").strip()


def backfill(dli: Dli, basecamp: Basecamp) -> str:
    """Start a backfill, and the run of its first date."""
    basecamp.clock.let_pass(1)
    result = dli(*BACKFILL)
    assert result.status == 0, result.err
    run_through(basecamp.services.backfill_steps.advance(CLICKS), basecamp.clock)
    return result.out.removeprefix("Backfill started: ").strip()


def status_of(dli: Dli, run_id: str) -> str:
    return str(json.loads(dli("workflow", "status", run_id, "-f", "json").out)["status"])


@pytest.mark.rule("22.33")
def test_status_of_a_dataset_shows_its_last_run(clicks: Basecamp, dli: Dli) -> None:
    start(dli, clicks)
    last = start(dli, clicks)
    start(dli, clicks, OTHER)
    assert f"Run:         {last}\n" in dli("workflow", "status", CLICKS).out
    assert json.loads(dli("workflow", "status", CLICKS, "-f", "json").out)["run_id"] == last


@pytest.mark.rule("22.33")
def test_status_of_a_dataset_takes_the_path_of_its_file_and_waits(
    clicks: Basecamp, dli: Dli, project: Path
) -> None:
    path = write_clicks(project)
    last = start(dli, clicks)
    clicks.complete(last)
    result = dli("workflow", "status", str(path), "--wait")
    assert (result.status, f"Run:         {last}\n" in result.out) == (0, True)
    assert "Run completed" in result.err


@pytest.mark.rule("7.5", "22.33")
def test_status_of_a_dataset_says_that_its_schedule_is_off(basecamp: Basecamp, dli: Dli) -> None:
    basecamp.put_manual(OTHER, spec_of(OTHER, more='schedule: {cron: "0 9 * * *", enabled: false}\n'))
    run_id = start(dli, basecamp, OTHER)
    note = f"{OTHER}: Schedule off: the spec has 'enabled: false'. Runs by hand and backfills work.\n"
    assert dli("workflow", "status", OTHER).err == note
    assert dli("workflow", "status", run_id).err == ""
    assert dli("workflow", "list").err.endswith(note)


@pytest.mark.rule("7.7")
def test_a_run_of_a_paused_dataset_names_both_ways_on(clicks: Basecamp, dli: Dli) -> None:
    assert dli("workflow", "pause", CLICKS).status == 0
    for command in (("run", CLICKS, "-p", "execution_date=2024-01-15"), BACKFILL[1:]):
        result = dli("workflow", *command)
        assert result.status == 4
        assert f"dli workflow unpause {CLICKS}" in result.err
        assert "set 'enabled: false' under 'schedule'" in result.err


@pytest.mark.rule("22.33")
def test_the_id_of_a_run_or_a_backfill_wins_over_the_name_of_a_dataset(clicks: Basecamp, dli: Dli) -> None:
    backfill_id = backfill(dli, clicks)
    assert json.loads(dli("workflow", "status", backfill_id, "-f", "json").out)["backfill_id"] == backfill_id
    run_id = f"{backfill_id}_20240101"
    assert json.loads(dli("workflow", "status", CLICKS, "-f", "json").out)["run_id"] == run_id


@pytest.mark.rule("22.33")
@pytest.mark.parametrize("command", ["status", "logs", "retry"])
def test_a_dataset_without_a_run_is_not_found_with_the_next_step(
    clicks: Basecamp, dli: Dli, command: str
) -> None:
    result = dli("workflow", command, CLICKS)
    assert (result.status, result.out) == (3, "")
    assert result.err == (
        f"Error: {CLICKS} has no run yet.\n       Start one with: dli workflow run {CLICKS}\n"
    )


@pytest.mark.rule("22.33")
@pytest.mark.parametrize("command", ["status", "logs", "retry", "stop"])
@pytest.mark.parametrize("name", ["no.such", "no.*", "a b", f"{CLICKS}_20240115_000000"])
def test_a_name_that_is_neither_a_run_nor_a_dataset_is_a_run_that_was_not_found(
    clicks: Basecamp, dli: Dli, command: str, name: str
) -> None:
    result = dli("workflow", command, name)
    assert (result.status, result.err.splitlines()[0]) == (3, f"Error: Run not found: {name}")


@pytest.mark.rule("22.33")
def test_logs_of_a_dataset_are_those_of_its_last_run_which_is_named(clicks: Basecamp, dli: Dli) -> None:
    last = start(dli, clicks)
    clicks.start_attempt(last)
    clicks.log(last, "reading clicks")
    clicks.airflow.end(CLICKS, last, "success")
    shown, followed = dli("workflow", "logs", CLICKS), dli("workflow", "logs", CLICKS, "--follow")
    assert "reading clicks" in shown.out
    assert "reading clicks" in followed.out
    assert shown.err == f"The last run of {CLICKS}: {last}\n"
    assert json.loads(dli("workflow", "logs", CLICKS, "-f", "json").out)["run_id"] == last


@pytest.mark.rule("22.33")
def test_retry_of_a_dataset_retries_its_last_run(clicks: Basecamp, dli: Dli) -> None:
    failed = start(dli, clicks)
    clicks.fail(failed)
    result = dli("workflow", "retry", CLICKS)
    assert (result.status, result.out) == (0, f"Retry started: {failed}\n")


@pytest.mark.rule("22.34")
def test_stop_of_a_dataset_stops_its_active_runs_and_backfills(clicks: Basecamp, dli: Dli) -> None:
    ended = start(dli, clicks)
    clicks.complete(ended)
    backfill_id = backfill(dli, clicks)
    waiting, other = start(dli, clicks), start(dli, clicks, OTHER)
    result = dli("workflow", "stop", CLICKS, "--yes", "--reason", "wrong input")
    assert (result.status, result.out) == (0, f"Stopped: {backfill_id}\nStopped: {waiting}\n"), result.err
    stopped = [f"{backfill_id}_20240101", waiting]
    assert [status_of(dli, run_id) for run_id in (*stopped, ended, other)] == [
        "KILLED",
        "KILLED",
        "COMPLETED",
        "PENDING",
    ]
    assert json.loads(dli("workflow", "status", waiting, "-f", "json").out)["stop_reason"] == "wrong input"


@pytest.mark.rule("22.34")
def test_stop_of_a_dataset_is_refused_where_nobody_can_be_asked(clicks: Basecamp, dli: Dli) -> None:
    waiting = start(dli, clicks)
    result = dli("workflow", "stop", CLICKS)
    assert (result.status, result.out) == (4, "")
    assert result.err == (
        f"Error: 1 active run of {CLICKS} would be stopped.\n       {waiting}\n       Confirm with --yes.\n"
    )
    assert status_of(dli, waiting) == "PENDING"


@pytest.mark.rule("22.34")
def test_stop_of_a_dataset_asks_on_a_terminal(clicks: Basecamp, dli: Dli) -> None:
    waiting = start(dli, clicks)
    no = on_terminal(["workflow", "stop", CLICKS], keys=[("Stop 1 active run? [y/N]:", "n\r")])
    assert (no.status, waiting in no.text, "Nothing was stopped." in no.text) == (4, True, True)
    yes = on_terminal(["workflow", "stop", CLICKS], keys=[("Stop 1 active run? [y/N]:", "y\r")])
    assert (yes.status, f"Stopped: {waiting}" in yes.text) == (0, True)


@pytest.mark.rule("22.34")
def test_stop_of_a_dataset_without_active_runs_says_so(clicks: Basecamp, dli: Dli) -> None:
    clicks.complete(start(dli, clicks))
    result = dli("workflow", "stop", CLICKS)
    assert (result.status, result.out, result.err) == (0, "", f"No run of {CLICKS} is active.\n")
    assert dli("workflow", "stop", CLICKS, "-f", "json").out == "[]\n"


@pytest.mark.rule("22.32")
def test_backfills_are_listed_with_the_newest_first(clicks: Basecamp, dli: Dli) -> None:
    first = backfill(dli, clicks)
    assert dli("workflow", "stop", first).status == 0
    second = backfill(dli, clicks)
    lines = dli("workflow", "backfills").out.splitlines()
    assert lines[0].split("  ")[0] == "BACKFILL ID"
    assert [line.split()[:2] for line in lines[1:]] == [[second, "PENDING"], [first, "KILLED"]]
    assert dli("workflow", "backfills", CLICKS, "--active").out.splitlines()[1].split()[0] == second
    [only] = json.loads(dli("workflow", "backfills", "-n", "1", "-f", "json").out)
    assert set(only) == set(Backfill.__slots__)
    assert len(dli("workflow", "backfills", OTHER).out.splitlines()) == 1


@pytest.mark.rule("22.32", "22.35")
@pytest.mark.parametrize("command", [("backfills",), ("list", "-d"), ("history", "-d")])
def test_a_list_of_a_dataset_that_does_not_exist_is_not_found(
    clicks: Basecamp, dli: Dli, command: tuple[str, ...]
) -> None:
    result = dli("workflow", *command, "reports.sumary")
    assert (result.status, result.out) == (3, "")
    assert f"Did you mean '{OTHER}'?" in result.err


@pytest.mark.rule("22.35")
@pytest.mark.parametrize("command", ["list", "history"])
def test_a_pattern_may_match_no_dataset(clicks: Basecamp, dli: Dli, command: str) -> None:
    result = dli("workflow", command, "-d", "no.*", "-f", "json")
    assert (result.status, result.out, result.err) == (0, "[]\n", "")


@pytest.mark.rule("22.36")
def test_lists_filter_by_several_datasets(clicks: Basecamp, dli: Dli) -> None:
    run_id, other = start(dli, clicks), start(dli, clicks, OTHER)
    clicks.put_manual("third", spec_of("third"))
    start(dli, clicks, "third")
    listed = json.loads(dli("workflow", "list", "-d", f"{OTHER},iceberg.*", "-f", "json").out)
    assert [row["dataset_name"] for row in listed] == [CLICKS, OTHER]
    found = json.loads(dli("workflow", "history", "-d", CLICKS, "-d", OTHER, "-f", "json").out)
    assert [run["run_id"] for run in found] == [other, run_id]
    assert dli("workflow", "history", "-d", f"{CLICKS},no.such").status == 3


@pytest.mark.rule("22.36")
def test_history_filters_by_several_statuses_and_types(clicks: Basecamp, dli: Dli) -> None:
    failed, killed, completed = (start(dli, clicks) for _ in range(3))
    clicks.fail(failed)
    assert dli("workflow", "stop", killed).status == 0
    clicks.complete(completed)
    backfill_id = backfill(dli, clicks)

    def ids(*arguments: str) -> list[str]:
        return [run["run_id"] for run in json.loads(dli("workflow", "history", *arguments, "-f", "json").out)]

    assert ids("--status", "failed,killed") == [killed, failed]
    assert ids("-s", "FAILED", "-s", "Killed") == [killed, failed]
    assert ids("--run-type", "backfill,scheduled") == [f"{backfill_id}_20240101"]
    assert ids("--run-type", "backfill,adhoc", "--status", "pending,completed") == [
        f"{backfill_id}_20240101",
        completed,
    ]
    wrong = dli("workflow", "history", "--status", "failed,kiled")
    assert (wrong.status, "'kiled' is not one of" in wrong.err) == (2, True)


@pytest.mark.rule("22.36")
def test_retry_takes_several_datasets(clicks: Basecamp, dli: Dli) -> None:
    failed = [start(dli, clicks), start(dli, clicks, OTHER)]
    for run_id in failed:
        clicks.fail(run_id)
    listed = dli(
        "workflow", "retry", "--failed", "--since", "2024-01-15", "--dry-run", "-f", "json",
        "-d", f"{CLICKS},{OTHER}",
    )  # fmt: skip
    assert [run["run_id"] for run in json.loads(listed.out)] == failed
