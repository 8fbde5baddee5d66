"""Dates such as yesterday and 7d: by the clock of the schedule's zone for partitions, by the user's for lists of runs."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from dataspec.schedule.relative_dates import absolute_date, days_ago
from dli.output.times import parse_moment
from unit.dli.basecamp import Basecamp
from unit.dli.conftest import Dli
from unit.dli.specs import spec_of

PAGO = "samoa.daily"
"""It is the 14th of January there at 09:30 UTC on the 15th, and the 15th in Seoul, where the user is."""
PAGO_YAML = spec_of(
    PAGO,
    more='schedule: {cron: "0 9 * * *", timezone: Pacific/Pago_Pago}\n'
    "parameters: [{name: execution_date, type: date}]\n",
)


@pytest.fixture
def samoa(basecamp: Basecamp) -> Basecamp:
    """A server with one dataset."""
    basecamp.put_manual(PAGO, PAGO_YAML)
    return basecamp


@pytest.mark.rule("22.39")
@pytest.mark.parametrize(
    ("word", "day"), [("today", "14"), ("Yesterday", "13"), ("0d", "14"), ("7d", "07"), ("1w", "07")]
)
def test_a_run_takes_a_relative_date_of_the_schedules_zone_and_says_so(
    samoa: Basecamp, dli: Dli, word: str, day: str
) -> None:
    result = dli("workflow", "run", PAGO, "-p", f"execution_date={word}")
    assert result.status == 0, result.err
    said = f"execution_date={word}: 2024-01-{day}, by the clock of the schedule's time zone (UTC-1100).\n"
    assert result.err == said
    run_id = result.out.removeprefix("Run started: ").strip()
    run = samoa.airflow.get_run(PAGO, run_id)
    assert run is not None
    assert run.conf["execution_date"] == f"2024-01-{day}"
    shown = dli("workflow", "run", PAGO, "-p", f"execution_date={word}", "--dry-run")
    assert f"execution_date=2024-01-{day}" in shown.out
    assert shown.err == said


@pytest.mark.rule("22.39")
def test_a_backfill_takes_relative_dates_of_the_schedules_zone_and_says_so(samoa: Basecamp, dli: Dli) -> None:
    arguments = ("workflow", "backfill", PAGO, "--start", "7d", "--end", "yesterday")
    preview = json.loads(dli(*arguments, "--dry-run", "-f", "json").out)
    assert (preview["dates"][0], preview["dates"][-1]) == ("2024-01-07", "2024-01-13")
    result = dli(*arguments)
    assert result.status == 0
    assert "From 2024-01-07 to 2024-01-13, by the clock of the schedule's time zone.\n" in result.err
    [backfill] = json.loads(dli("workflow", "backfills", PAGO, "-f", "json").out)
    assert (backfill["start"], backfill["end"]) == ("2024-01-07", "2024-01-13")


@pytest.mark.rule("22.39")
def test_a_backfill_of_many_relative_dates_asks(samoa: Basecamp, dli: Dli) -> None:
    result = dli("workflow", "backfill", PAGO, "--start", "500d", "--end", "today")
    assert result.status == 4
    assert "501" in result.err


@pytest.mark.rule("22.39")
def test_a_run_on_this_machine_takes_a_relative_date(dli: Dli, project: Path) -> None:
    yaml = PAGO_YAML.replace("select 1", "\"select '{{ execution_date }}' as day\"")
    (project / "datasets" / "samoa.yaml").write_text(yaml)

    def yesterday() -> date:
        return (datetime.now(UTC).astimezone(ZoneInfo("Pacific/Pago_Pago")) - timedelta(days=1)).date()

    expected = {yesterday()}
    result = dli("dataset", "run", PAGO, "-p", "execution_date=yesterday", "--dry-run")
    expected.add(yesterday())
    assert result.status == 0, result.err
    assert any(f"select '{day}' as day" in result.out for day in expected)
    assert "by the clock of the schedule's time zone (UTC-1100)" in result.err
    shown = dli("dataset", "show", PAGO, "--sql", "-p", "execution_date=yesterday")
    assert any(f"select '{day}' as day" in shown.out for day in expected)


@pytest.mark.rule("22.39")
def test_times_of_lists_are_by_the_users_clock(samoa: Basecamp, dli: Dli) -> None:
    noon = datetime(2024, 1, 15, 16, tzinfo=UTC)  # the 16th in Seoul
    assert parse_moment("yesterday", now=noon).isoformat() == "2024-01-15T00:00:00+09:00"
    assert parse_moment("Today", end_of_day=True, now=noon).isoformat() == "2024-01-17T00:00:00+09:00"
    assert dli("workflow", "history", "--since", "yesterday", "--until", "today").status == 0


@pytest.mark.rule("22.39")
@pytest.mark.parametrize("text", ["tomorrow", "-1d", "1h", "d", "999999d", "", None, 7])
def test_other_values_are_left_alone(text: object) -> None:
    assert days_ago(text) is None
    assert absolute_date(text, "UTC", datetime(2024, 1, 15, tzinfo=UTC)) is text


@pytest.mark.rule("22.39")
@pytest.mark.parametrize("word", ["tomorrow", "99999w"])
def test_a_date_that_is_no_date_is_refused(samoa: Basecamp, dli: Dli, word: str) -> None:
    assert dli("workflow", "run", PAGO, "-p", f"execution_date={word}").status == 2
    assert dli("workflow", "backfill", PAGO, "-s", word, "-e", "today").status == 2
