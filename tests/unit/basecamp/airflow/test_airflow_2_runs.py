"""Lists of runs of Airflow 2: pages by offset, and filters that it does not have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from basecamp.airflow.airflow_2 import Rows, page_of_runs
from basecamp.airflow.gateway import WrongCursor
from basecamp.airflow.models import DagRun, RunFilter

START = datetime(2024, 1, 15, tzinfo=UTC)


def run(number: int, **more: Any) -> DagRun:
    """Return a run of a moment that its number tells."""
    moment = START + timedelta(minutes=number)
    kept: dict[str, Any] = {
        "state": "success",
        "run_type": "manual",
        "start_date": moment,
        "end_date": moment,
    } | more
    return DagRun(dag_id="sales", run_id=f"sales_{number}", run_after=moment, logical_date=moment, **kept)


@dataclass
class Airflow:
    """Answers requests for a list as Airflow 2 does, the last run first."""

    runs: list[DagRun] = field(default_factory=list)

    def ask(self, params: Mapping[str, Any]) -> Rows:
        assert params["order_by"] == "-id"
        found = [run for run in reversed(self.runs) if self._has(run, params)]
        start = params["offset"]
        return found[start : start + params["limit"]], len(found)

    def _has(self, run: DagRun, params: Mapping[str, Any]) -> bool:
        since = params.get("start_date_gte")
        return run.state in params.get("state", [run.state]) and (
            since is None or (run.start_date is not None and run.start_date.isoformat() >= since)
        )

    def all(self, wanted: RunFilter, limit: int = 2) -> list[str]:
        """Return the ids on all pages."""
        found, cursor = [], None
        while True:
            page = page_of_runs(self.ask, wanted, limit, cursor)
            found += [run.run_id for run in page.runs]
            cursor = page.next_cursor
            if cursor is None:
                return found


def test_pages_hold_every_run_once_the_last_first() -> None:
    airflow = Airflow([run(number) for number in range(5)])
    assert airflow.all(RunFilter()) == ["sales_4", "sales_3", "sales_2", "sales_1", "sales_0"]


@pytest.mark.rule("15.18")
def test_runs_that_come_while_somebody_turns_pages_show_no_run_twice_and_hide_none() -> None:
    airflow = Airflow([run(number) for number in range(4)])
    first = page_of_runs(airflow.ask, RunFilter(), 2, None)
    airflow.runs += [run(4), run(5), run(6)]
    second = page_of_runs(airflow.ask, RunFilter(), 2, first.next_cursor)
    assert [kept.run_id for kept in (*first.runs, *second.runs)] == [
        "sales_3",
        "sales_2",
        "sales_1",
        "sales_0",
    ]
    assert second.next_cursor is None


@pytest.mark.rule("15.18")
def test_from_a_moment_on_the_runs_that_wait_come_and_those_that_started_since() -> None:
    waiting = {"state": "queued", "start_date": None, "end_date": None}
    airflow = Airflow([run(0), run(1, **waiting), run(2), run(3, **waiting), run(4), run(5, **waiting)])
    due_from = START + timedelta(minutes=2)
    assert airflow.all(RunFilter(due_from=due_from)) == ["sales_5", "sales_3", "sales_4", "sales_2"]
    assert airflow.all(RunFilter(due_from=due_from, states=("success",))) == ["sales_4", "sales_2"]
    assert airflow.all(RunFilter(due_from=due_from, states=("queued",))) == ["sales_5", "sales_3"]


@pytest.mark.rule("15.18")
def test_what_airflow_can_not_filter_by_is_left_out_here() -> None:
    airflow = Airflow([run(0), run(1, run_type="scheduled"), run(2)])
    assert airflow.all(RunFilter(run_types=("scheduled",))) == ["sales_1"]
    assert airflow.all(RunFilter(due_before=START + timedelta(minutes=1))) == ["sales_0"]
    assert airflow.all(RunFilter(ended_from=START + timedelta(minutes=1))) == ["sales_2", "sales_1"]


@pytest.mark.parametrize(
    "cursor", ["nonsense", "all-1", "all--1-2", "some-1-2", "all-1-2-3", "all-99999999999-1"]
)
def test_a_cursor_of_another_list_is_refused(cursor: str) -> None:
    with pytest.raises(WrongCursor):
        page_of_runs(Airflow().ask, RunFilter(), 2, cursor)
