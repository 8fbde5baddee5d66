"""What waiting runs wait for, on the command line."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from unit.dli.basecamp import NOW, Basecamp
from unit.dli.conftest import Dli
from unit.dli.specs import spec_of

UP, DOWN = "sales.orders", "sales.report"
SCHEDULE = 'schedule: {cron: "0 0 * * *"}\n'


@pytest.fixture
def run_id(basecamp: Basecamp) -> str:
    """A run of the 14th that waits for another dataset."""
    basecamp.put_code(UP, spec_of(UP, more=SCHEDULE))
    basecamp.put_code(DOWN, spec_of(DOWN, more=f"depends_on: [{UP}]\n{SCHEDULE}"))
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
    assert f"Waits for:  {reason}\n" in shown.out
    found = json.loads(dli("workflow", "status", run_id, "-f", "json").out)
    assert found["waiting_for"] == [
        {"dataset": UP, "partition": "2024-01-14", "state": "failed", "run_id": failed}
    ]


@pytest.mark.rule("31.7")
def test_status_names_the_paused_upstream(dli: Dli, run_id: str) -> None:
    assert f"{UP} 2024-01-14: no run builds it (dli workflow run {UP} -p execution_date=2024-01-14)" in (
        dli("workflow", "status", run_id).out
    )
    dli("workflow", "pause", UP)
    assert f"Waits for:  {UP} 2024-01-14: the dataset is paused (dli workflow unpause {UP})\n" in (
        dli("workflow", "status", run_id).out
    )


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
