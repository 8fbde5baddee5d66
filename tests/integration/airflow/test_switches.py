"""A dataset's schedule on Airflow's real scheduler, while its source, cron and zone change."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
import yaml

from airflow_api import Airflow, ScheduledRun, until
from dataspec.schedule.cron import next_tick
from dataspec.schedule.partitions import Grid
from integration.airflow.test_running import store_of
from stacks import Stack

SEOUL, NEW_YORK = "Asia/Seoul", "America/New_York"
KIRITIMATI = "Pacific/Kiritimati"  # 25 hours ahead of the daily dataset's zone


@dataclass(frozen=True, slots=True)
class Registered:
    """A dataset in the stack's store, and its runs in Airflow."""

    stack: Stack
    name: str

    @property
    def airflow(self) -> Airflow:
        return Airflow(self.stack)

    def spec(self, **schedule: str) -> str:
        """Return its manual YAML with another schedule."""
        spec = yaml.safe_load((store_of(self.stack) / "manual" / f"{self.name}.yaml").read_text())
        return yaml.safe_dump(spec | {"schedule": schedule}, sort_keys=False)

    def put(self, source: str, **schedule: str) -> None:
        """Put a version with another schedule into the store, and wait until Airflow has it."""
        before = self.airflow.version_of(self.name)
        file = store_of(self.stack) / source / f"{self.name}.yaml"
        text = self.spec(**schedule)
        file.parent.mkdir(exist_ok=True)
        file.with_suffix(".part").write_text(text)
        file.with_suffix(".part").replace(file)
        until(lambda: self.airflow.version_of(self.name) != before)

    def runs(self) -> list[ScheduledRun]:
        """Return its scheduled runs in the order in which they were made."""
        return self.airflow.scheduled_runs(self.name)

    def runs_once_there_are(self, number: int) -> list[ScheduledRun]:
        """Wait until it has so many scheduled runs; return them."""
        until(lambda: len(self.runs()) >= number)
        return self.runs()

    def ended_all(self, runs: list[ScheduledRun]) -> dict[str, str] | None:
        """Return the source of each run, as `dli workflow history` tells it, once these have ended well."""
        history = self.stack.ask("workflow", "history", "-d", self.name, "-n", "100")
        ended = {run["run_id"]: run["source_type"] for run in history if run["status"] == "COMPLETED"}
        return ended if ended.keys() >= {run.run_id for run in runs} else None


@pytest.mark.rule("7.2")
def test_a_paused_dataset_stays_paused_when_code_takes_over_and_goes_again(stack: Stack) -> None:
    dataset = Registered(stack, stack.register("select 1", schedule={"cron": "0 0 1 1 *", "timezone": SEOUL}))
    assert stack.cli("workflow", "pause", dataset.name).returncode == 0
    dataset.put("code", cron="* * * * *", timezone=NEW_YORK)
    assert dataset.airflow.ask(f"/dags/{dataset.name}")["is_paused"]
    (store_of(stack) / "code" / f"{dataset.name}.yaml").unlink()
    until(lambda: " · manual · " in dataset.airflow.version_of(dataset.name))
    assert dataset.airflow.ask(f"/dags/{dataset.name}")["is_paused"]
    assert dataset.runs() == []


@pytest.mark.rule("3.3", "11.6")
def test_the_clock_s_run_and_then_each_date_that_code_s_schedule_makes_due_are_built_once(
    stack: Stack,
) -> None:
    """Follow one dataset on the real scheduler; `tests/airflow_side/test_scheduling.py` has every case on a set clock."""
    assert stack.daily is not None
    dataset, tick = Registered(stack, stack.daily.name), stack.daily.tick
    [first] = until(dataset.runs)
    check_first(dataset, first, (tick.date() - timedelta(days=1)).isoformat())
    dataset.put("code", cron="0 0 * * *", timezone=KIRITIMATI)
    assert " · code · " in dataset.airflow.version_of(dataset.name)

    # local midnight has passed 25 hours further east, so a date or two more have ended
    today = datetime.now(ZoneInfo(KIRITIMATI)).date()
    days = (today - tick.date()).days
    assert days in {1, 2}
    runs = dataset.runs_once_there_are(1 + days)
    expected = [(tick.date() + timedelta(days=number)).isoformat() for number in range(-1, days)]
    assert [run.date for run in runs] == expected
    for earlier, later in pairwise(runs):
        assert later.due_by_id - earlier.due_by_id == timedelta(minutes=1)
        assert later.logical_date > earlier.logical_date
    assert all(run.due in {run.due_by_id, None} for run in runs)

    ended = until(partial(dataset.ended_all, runs))
    assert [ended[run.run_id] for run in runs] == ["manual", *["code"] * days]
    grid = Grid("0 0 * * *", KIRITIMATI)
    since = [grid.data_interval(grid.named(day))[0].isoformat() for day in expected[1:]]
    assert stack.rows("select day, since from moved order by day")[1:] == list(
        zip(expected[1:], since, strict=True)
    )
    [row] = [row for row in stack.ask("workflow", "list", "-d", dataset.name) if row["source_type"] == "code"]
    assert datetime.fromisoformat(row["next_run"]) == next_tick("0 0 * * *", KIRITIMATI, datetime.now(UTC))

    (store_of(stack) / "code" / f"{dataset.name}.yaml").unlink()
    until(lambda: " · manual · " in dataset.airflow.version_of(dataset.name))

    # once more, by hand
    cleared = f"/dags/{dataset.name}/dagRuns/{runs[-1].run_id}"
    dataset.airflow.ask(f"{cleared}/clear", "POST", {"dry_run": False})
    assert dataset.airflow.finished(dataset.name, runs[-1].run_id)["state"] == "success"
    again = stack.run(dataset.name, execution_date="2024-01-15")
    assert stack.wait(again)["status"] == "COMPLETED"
    by_hand = dataset.airflow.trigger(dataset.name, {"execution_date": "2024-01-16"})
    assert dataset.airflow.finished(dataset.name, by_hand)["state"] == "success"
    built = [day for (day,) in stack.rows("select day from moved")]
    assert sorted(built) == sorted([*expected, expected[-1], "2024-01-15", "2024-01-16"])
    assert [run.date for run in dataset.runs()] == expected


def check_first(dataset: Registered, run: ScheduledRun, day: str) -> None:
    """Check that the clock's run has our id, its version and the partition of its interval."""
    stack, airflow, name = dataset.stack, dataset.airflow, dataset.name
    assert run.due in {run.end, None}
    assert run.run_id == f"{name}_{run.end:%Y%m%d_%H%M%S}"
    assert run.logical_date == run.start
    assert run.date == day
    assert airflow.finished(name, run.run_id)["state"] == "success"
    _, spec_hash, _, source, *_ = airflow.version_of(name).split()
    assert airflow.versions(name, run.run_id) == [f"dli.{source}.{spec_hash}.1"]
    assert stack.rows("select day, since from moved") == [(day, run.whole_start.isoformat())]
    shown = stack.status(run.run_id)
    assert (shown["dataset_name"], shown["run_type"], shown["status"]) == (name, "scheduled", "COMPLETED")
    assert (shown["source_type"], shown["spec_hash"]) == (source, spec_hash)
    assert (shown["parameters"], shown["attempts"]) == ({"execution_date": day}, 1)
    assert shown["created_at"] <= shown["started_at"] <= shown["finished_at"]
    assert shown["url"].startswith(stack.airflow_url)
