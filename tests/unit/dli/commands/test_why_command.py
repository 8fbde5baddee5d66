"""``dli workflow why``: plain lines with the next step, JSON, and exit statuses."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from unit.dli.basecamp import NOW, Basecamp
from unit.dli.conftest import Dli
from unit.dli.specs import spec_of

UP, DOWN, LAST = "sales.orders", "sales.report", "2024-01-14"
DATE = "parameters: [{name: execution_date, type: date}]\n"
SCHEDULE = 'schedule: {cron: "0 0 * * *"}\n'


@pytest.fixture
def two(basecamp: Basecamp) -> None:
    """A dataset, and one that depends on it."""
    basecamp.put_code(UP, spec_of(UP, more=SCHEDULE))
    basecamp.put_code(DOWN, spec_of(DOWN, more=f"depends_on: [{UP}]\n{DATE}{SCHEDULE}"))


def scheduled(basecamp: Basecamp, name: str) -> str:
    end = NOW.replace(hour=0, minute=0, second=0)
    run_id = f"{name}_{end:%Y%m%d_%H%M%S}"
    basecamp.airflow.schedule(name, run_id, (end - timedelta(days=1), end))
    return run_id


@pytest.mark.rule("32.24")
@pytest.mark.usefixtures("two")
def test_it_follows_a_waiting_run_to_the_failed_one_and_names_the_command(
    basecamp: Basecamp, dli: Dli
) -> None:
    waits = scheduled(basecamp, DOWN)
    basecamp.airflow.wait(DOWN, waits)
    failed = scheduled(basecamp, UP)
    for _ in range(2):
        basecamp.start_attempt(failed)
        basecamp.airflow.end(UP, failed, "failed")
    lines = dli("workflow", "why", DOWN).out.splitlines()
    assert lines[0] == f"{DOWN} {LAST} is not built: its run {waits} waits for {UP} {LAST}."
    assert lines[1].startswith(f"{UP} {LAST} is not built: its run {failed} failed at 2024-01-15 ")
    assert lines[2:] == [f"Next: dli workflow retry {failed}"]
    found = json.loads(dli("workflow", "why", DOWN, LAST, "-f", "json").out)
    assert (found["state"], found["partition"]["name"], found["run_id"]) == ("waiting", LAST, waits)
    assert [(one["dataset_name"], one["state"]) for one in found["upstream"]] == [(UP, "failed")]


@pytest.mark.rule("32.24")
@pytest.mark.usefixtures("two")
def test_it_says_when_what_is_built_was_built_and_what_is_not_due_is_due(
    basecamp: Basecamp, dli: Dli
) -> None:
    run_id = scheduled(basecamp, UP)
    basecamp.start_attempt(run_id)
    basecamp.airflow.end(UP, run_id, "success")
    assert dli("workflow", "why", UP).out.startswith(
        f"{UP} {LAST} is built: its run {run_id} completed at 2024-"
    )
    shown = dli("workflow", "why", UP, "2024-01-15").out
    assert shown == f"{UP} 2024-01-15 is not built: its run is not due before 2024-01-16 09:00:00.\n"


@pytest.mark.rule("32.24")
@pytest.mark.usefixtures("two")
def test_a_pause_is_told_with_its_reason_and_its_end(dli: Dli) -> None:
    dli("workflow", "pause", UP, "--reason", "a move")
    out = dli("workflow", "why", UP).out.splitlines()
    assert out[0].startswith(f"{UP} {LAST} is not built: the dataset is paused by ")
    assert out[0].endswith(": a move.")
    assert out[1] == f"Next: dli workflow unpause {UP}"


@pytest.mark.rule("32.27")
@pytest.mark.usefixtures("two")
def test_every_time_is_in_the_time_zone_of_the_user(basecamp: Basecamp, dli: Dli) -> None:
    run_id = scheduled(basecamp, UP)
    basecamp.start_attempt(run_id)
    running = dli("workflow", "why", UP).out
    assert running == f"{UP} {LAST} is not built: its run {run_id} is running, since 2024-01-15 18:30:45.\n"
    due = dli("workflow", "why", UP, "2024-01-15").out
    assert due == f"{UP} 2024-01-15 is not built: its run is not due before 2024-01-16 09:00:00.\n"
    over = dli("workflow", "why", UP, "2024-01-10").out.splitlines()[0]
    assert over == (
        f"{UP} 2024-01-10 is not built: the schedule has passed it over, as its run was due at "
        "2024-01-11 09:00:00 and did not start: the dataset was paused, or Airflow was down."
    )


@pytest.mark.rule("32.24")
@pytest.mark.usefixtures("two")
def test_an_unknown_dataset_exits_with_3_and_an_unknown_partition_with_2(dli: Dli) -> None:
    assert dli("workflow", "why", "sales.unknown").status == 3
    refused = dli("workflow", "why", UP, "2024-01-15T05:00")
    assert refused.status == 2
    assert "Invalid partition" in refused.err
