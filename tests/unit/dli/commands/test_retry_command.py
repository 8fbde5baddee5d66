"""`dli workflow retry`, for one run and for many."""

from __future__ import annotations

import json

import pytest

from dataspec.models import WorkflowRun
from unit.dli.basecamp import Basecamp
from unit.dli.conftest import Dli
from unit.dli.specs import CLICKS, CLICKS_FILES, CLICKS_YAML, spec_of
from unit.dli.terminal import on_terminal

OTHER = "reports.summary"


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


def status_of(dli: Dli, run_id: str) -> str:
    return str(json.loads(dli("workflow", "status", run_id, "-f", "json").out)["status"])


@pytest.fixture
def failed(clicks: Basecamp, dli: Dli) -> list[str]:
    """Three runs that failed, the first to start first, and one that completed."""
    runs = [start(dli, clicks), start(dli, clicks, OTHER), start(dli, clicks)]
    for run_id in runs:
        clicks.fail(run_id)
    clicks.complete(start(dli, clicks))
    return runs


SINCE = ("--since", "2024-01-15")


@pytest.mark.rule("22.10")
def test_a_failed_run_is_retried_by_its_id(clicks: Basecamp, dli: Dli) -> None:
    run_id = start(dli, clicks)
    clicks.fail(run_id)
    result = dli("workflow", "retry", run_id)
    assert (result.status, result.out, result.err) == (0, f"Retry started: {run_id}\n", "")
    assert status_of(dli, run_id) == "PENDING"
    run = clicks.airflow.get_run(CLICKS, run_id)
    assert run is not None
    assert str(run.note).startswith("Retried by dana at ")


def test_a_retry_as_json_prints_the_run_with_the_apis_fields(clicks: Basecamp, dli: Dli) -> None:
    run_id = start(dli, clicks)
    clicks.fail(run_id)
    result = dli("workflow", "retry", run_id, "-f", "json")
    assert set(json.loads(result.out)) == set(WorkflowRun.__slots__)


def test_retry_waits_for_the_end_and_says_how_it_ended(clicks: Basecamp, dli: Dli) -> None:
    run_id = start(dli, clicks)
    clicks.fail(run_id)
    clicks.when_cleared = clicks.complete
    result = dli("workflow", "retry", run_id, "--wait")
    assert (result.status, result.out) == (0, f"Retry started: {run_id}\n")
    assert "Run completed" in result.err
    again = start(dli, clicks)
    clicks.fail(again)
    clicks.when_cleared = clicks.fail
    result = dli("workflow", "retry", again, "--wait", "-f", "json")
    assert (result.status, json.loads(result.out)["status"]) == (1, "FAILED")


def test_a_run_that_is_active_or_has_completed_is_refused_with_what_to_do(clicks: Basecamp, dli: Dli) -> None:
    run_id = start(dli, clicks)
    active = dli("workflow", "retry", run_id)
    clicks.complete(run_id)
    completed = dli("workflow", "retry", run_id)
    assert (active.status, active.out, completed.status, completed.out) == (4, "", 4, "")
    assert active.err.startswith("Error: This run is active.\n")
    assert f"dli workflow stop {run_id}" in active.err
    assert f"dli workflow run {CLICKS}" in completed.err


def test_a_run_of_a_paused_dataset_is_refused_with_the_way_out(clicks: Basecamp, dli: Dli) -> None:
    run_id = start(dli, clicks)
    clicks.fail(run_id)
    dli("workflow", "pause", CLICKS)
    result = dli("workflow", "retry", run_id)
    assert (result.status, f"dli workflow unpause {CLICKS}" in result.err) == (4, True)


@pytest.mark.rule("20.4")
def test_a_run_that_is_not_there_is_answered_with_3(clicks: Basecamp, dli: Dli) -> None:
    assert dli("workflow", "retry", f"{CLICKS}_20200101_000001").status == 3


@pytest.mark.rule("22.10")
def test_all_failed_runs_are_retried_the_earliest_first(
    clicks: Basecamp, dli: Dli, failed: list[str]
) -> None:
    result = dli("workflow", "retry", "--failed", *SINCE, "--yes")
    assert (result.status, result.err) == (0, "Retried 3 of 3 runs.\n")
    assert result.out.splitlines() == [f"Retry started: {run_id}" for run_id in failed]
    assert {status_of(dli, run_id) for run_id in failed} == {"PENDING"}


@pytest.mark.rule("22.10")
def test_a_dry_run_lists_the_failed_runs_and_retries_none(
    clicks: Basecamp, dli: Dli, failed: list[str]
) -> None:
    result = dli("workflow", "retry", "--failed", *SINCE, "--dry-run")
    header, *rows = result.out.splitlines()
    assert (result.status, result.err) == (0, "3 runs failed.\n")
    assert header.split("   ")[0] == "RUN ID"
    assert [row.split()[0] for row in rows] == failed
    assert "execution_date=2024-01-15, limit=100" in rows[0]
    assert {status_of(dli, run_id) for run_id in failed} == {"FAILED"}
    as_json = dli("workflow", "retry", "--failed", *SINCE, "--dry-run", "-f", "json")
    assert [run["run_id"] for run in json.loads(as_json.out)] == failed


@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        (["-d", CLICKS], [0, 2]),
        (["-d", "reports.*"], [1]),
        (["-d", "*"], [0, 1, 2]),
        (["-d", "nothing.*"], []),
        (["--until", "2024-01-15T09:30:47Z"], [0]),
    ],
)
def test_failed_runs_are_chosen_by_dataset_pattern_and_time(
    clicks: Basecamp, dli: Dli, failed: list[str], options: list[str], chosen: list[int]
) -> None:
    result = dli("workflow", "retry", "--failed", *SINCE, *options, "--yes", "-f", "json")
    retried = json.loads(result.out)
    assert [run["run_id"] for run in retried] == [failed[number] for number in chosen]
    assert result.status == 0


def test_runs_that_are_too_old_are_left(clicks: Basecamp, dli: Dli, failed: list[str]) -> None:
    result = dli("workflow", "retry", "--failed", "--since", "2d", "--yes")
    assert (result.status, result.err) == (0, "0 runs failed.\n")


@pytest.mark.rule("20.10")
def test_nothing_is_retried_without_a_question_where_nobody_can_answer(
    clicks: Basecamp, dli: Dli, failed: list[str]
) -> None:
    result = dli("workflow", "retry", "--failed", *SINCE)
    assert (result.status, result.out) == (4, "")
    assert result.err.splitlines()[0] == "Error: 3 runs would be retried."
    assert "--yes" in result.err
    assert {status_of(dli, run_id) for run_id in failed} == {"FAILED"}


@pytest.mark.rule("22.10")
def test_a_person_is_shown_the_runs_and_asked(clicks: Basecamp, dli: Dli, failed: list[str]) -> None:
    question = "Retry 3 runs? [y/N]:"
    command = ["workflow", "retry", "--failed", *SINCE]
    no = on_terminal(command, keys=[(question, "n\r")])
    assert (no.status, "Nothing was retried." in no.text) == (4, True)
    assert all(run_id in no.text for run_id in failed)
    assert {status_of(dli, run_id) for run_id in failed} == {"FAILED"}
    yes = on_terminal(command, keys=[(question, "y\r")])
    assert (yes.status, "Retried 3 of 3 runs." in yes.text) == (0, True)


@pytest.mark.rule("22.10")
def test_a_run_that_is_refused_does_not_keep_the_others_from_it(
    clicks: Basecamp, dli: Dli, failed: list[str]
) -> None:
    dli("workflow", "pause", OTHER)
    result = dli("workflow", "retry", "--failed", *SINCE, "--yes")
    assert result.status == 4
    assert [line.split()[-1] for line in result.out.splitlines()] == [failed[0], failed[2]]
    assert f"Not retried: {failed[1]}: This dataset is paused." in result.err
    assert result.err.endswith("Retried 2 of 3 runs.\n")


def test_many_are_waited_for_and_one_that_fails_again_ends_with_1(
    clicks: Basecamp, dli: Dli, failed: list[str]
) -> None:
    clicks.when_cleared = lambda run_id: (clicks.fail if run_id == failed[1] else clicks.complete)(run_id)
    result = dli("workflow", "retry", "--failed", *SINCE, "--yes", "--wait", "-f", "json")
    assert result.status == 1
    assert [run["status"] for run in json.loads(result.out)] == ["COMPLETED", "FAILED", "COMPLETED"]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["x_1", "--failed", "--since", "2d"],
        ["--failed"],
        ["x_1", "--since", "2d"],
        ["x_1", "--yes"],
        ["x_1", "--dry-run"],
        ["x_1", "--timeout", "3"],
        ["--failed", "--since", "soon"],
    ],
)
def test_options_that_make_no_sense_together_are_refused(
    clicks: Basecamp, dli: Dli, arguments: list[str]
) -> None:
    assert dli("workflow", "retry", *arguments).status == 2
