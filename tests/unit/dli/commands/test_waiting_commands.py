"""What waiting runs wait for, on the command line."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from dataspec.contract import built_variable
from dataspec.schedule.built import Built
from dataspec.schedule.partitions import Grid
from unit.dli.basecamp import NOW, Basecamp
from unit.dli.conftest import Dli
from unit.dli.specs import spec_of

UP, DOWN = "sales.orders", "sales.report"
DATE = "parameters: [{name: execution_date, type: date}]\n"
SCHEDULE = 'schedule: {cron: "0 0 * * *"}\n'


@pytest.fixture
def run_id(basecamp: Basecamp) -> str:
    """A run of the 14th that waits for another dataset."""
    basecamp.put_code(UP, spec_of(UP, more=SCHEDULE))
    basecamp.put_code(DOWN, spec_of(DOWN, more=f"depends_on: [{UP}]\n{DATE}{SCHEDULE}"))
    return scheduled(basecamp, DOWN)


def scheduled(basecamp: Basecamp, name: str) -> str:
    end = NOW.replace(hour=0, minute=0, second=0)
    run_id = f"{name}_{end:%Y%m%d_%H%M%S}"
    basecamp.airflow.schedule(name, run_id, (end - timedelta(days=1), end))
    if name == DOWN:
        basecamp.airflow.wait(name, run_id)
    return run_id


@pytest.mark.rule("31.7")
def test_status_names_the_failed_upstream_run_and_how_to_run_it_again(
    basecamp: Basecamp, dli: Dli, run_id: str
) -> None:
    failed = scheduled(basecamp, UP)
    for _ in range(2):
        basecamp.start_attempt(failed)
        basecamp.airflow.end(UP, failed, "failed")
    shown = dli("workflow", "status", run_id)
    reason = f"{UP} 2024-01-14: its run {failed} failed (dli workflow retry {failed})"
    assert f"Waits for:   {reason}\n" in shown.out
    found = json.loads(dli("workflow", "status", run_id, "-f", "json").out)
    assert found["waiting_for"] == [
        {"dataset": UP, "partition": "2024-01-14", "state": "failed", "run_id": failed}
    ]


@pytest.mark.rule("31.7", "22.4")
def test_status_of_a_dataset_says_of_its_last_run_what_that_of_the_run_says(dli: Dli, run_id: str) -> None:
    by_id = dli("workflow", "status", run_id).out
    assert "Waits for:" in by_id
    assert dli("workflow", "status", DOWN).out == by_id
    assert (
        dli("workflow", "status", DOWN, "-f", "json").out
        == dli("workflow", "status", run_id, "-f", "json").out
    )


@pytest.mark.rule("31.7")
def test_status_names_the_paused_upstream(dli: Dli, run_id: str) -> None:
    assert f"{UP} 2024-01-14: no run builds it (dli workflow run {UP} -p execution_date=2024-01-14)" in (
        dli("workflow", "status", run_id).out
    )
    dli("workflow", "pause", UP)
    assert f"Waits for:   {UP} 2024-01-14: the dataset is paused (dli workflow unpause {UP})\n" in (
        dli("workflow", "status", run_id).out
    )


@pytest.mark.rule("31.9")
@pytest.mark.usefixtures("run_id")
def test_runs_and_backfills_that_do_not_wait_name_each_upstream_partition_that_is_missing(
    basecamp: Basecamp, dli: Dli
) -> None:
    day = ("workflow", "run", DOWN, "-p", "execution_date=2024-01-10")
    step = "To wait for them, add: --wait-for-upstream\n"
    warning = f"Warning: Upstream partitions are not built: {UP} 2024-01-10. {step}"
    assert dli(*day).err == warning
    assert dli(*day, "--dry-run").err == warning
    days = ("workflow", "backfill", DOWN, "--start", "2024-01-10", "--end", "2024-01-12")
    warning = "".join(f"{UP} 2024-01-1{day}, " for day in (0, 1, 2)).removesuffix(", ")
    started = dli(*days, "--yes")
    assert started.err == f"Warning: Upstream partitions are not built: {warning}. {step}"
    assert started.out.startswith("Backfill started: ")
    assert warning in dli(*days, "--dry-run").err
    assert dli(*day, "--wait-for-upstream").err == dli(*day, "--wait-for-upstream", "--dry-run").err == ""
    build(basecamp, 10, 11, 12)
    assert dli(*day).err == dli(*day, "--dry-run").err == ""


def build(basecamp: Basecamp, *days: int) -> None:
    grid, value = Grid("0 0 * * *"), Built()
    for day in days:
        value = value.with_partition(grid.named(f"2024-01-{day}"), at=NOW, grid=grid)
    basecamp.airflow.stored_variables[built_variable(UP)] = value.text()


@pytest.mark.rule("31.8")
def test_list_of_waiting_datasets_names_what_they_wait_for(basecamp: Basecamp, dli: Dli, run_id: str) -> None:
    header, row = dli("workflow", "list", "--waiting").out.splitlines()
    assert header.split("  ")[-1].strip() == "WAITS FOR"
    assert row.startswith(DOWN)
    assert run_id in row
    assert f"{UP} 2024-01-14: no run builds it" in row
    (found,) = json.loads(dli("workflow", "list", "--waiting", "-f", "json").out)
    assert found["waiting_run_id"] == run_id
    assert found["waiting_for"][0]["dataset"] == UP
    assert dli("workflow", "list", "--waiting", "-d", UP).out.splitlines()[1:] == []


@pytest.mark.rule("32.1", "32.4")
def test_the_graph_shows_the_last_result_and_what_waits(basecamp: Basecamp, dli: Dli, run_id: str) -> None:
    failed = scheduled(basecamp, UP)
    for _ in range(2):
        basecamp.start_attempt(failed)
        basecamp.airflow.end(UP, failed, "failed")
    up, down = json.loads(dli("workflow", "graph", "-f", "json").out)["datasets"]
    assert (up["last_result"], up["waiting_for"]) == ("FAILED", [])
    assert (down["waiting_run_id"], down["waiting_for"][0]["run_id"]) == (run_id, failed)
    drawn = dli("workflow", "graph").out
    assert f"{UP} (code, active, last run FAILED)" in drawn
    assert f"waits for {UP} 2024-01-14" in drawn
