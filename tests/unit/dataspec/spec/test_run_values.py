"""The partition of a run, however it was started, and what its SQL sees of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from dataspec.contract import CONF_KEY, values_of_run
from dataspec.errors import InvalidParameters, MissingParameter
from dataspec.spec.model import DatasetSpec
from dataspec.spec.run_values import resolve_run

HOURLY, DAILY, WEEKLY = "0 * * * *", "0 9 * * *", "0 9 * * 1"
KNOWN = {"name": "a.b", "type": "Dataset", "owner": "kim@example.com", "query_statement": "select 1"}


def spec(cron: str | None, kind: str = "date", **more: Any) -> DatasetSpec:
    parameter = {"name": "execution_date", "type": kind, **more}
    schedule = {"cron": cron, "timezone": "Asia/Seoul"} if cron else None
    return DatasetSpec.model_validate({**KNOWN, "parameters": [parameter], "schedule": schedule})


@pytest.mark.rule("30.10")
@pytest.mark.parametrize(
    ("cron", "kind", "given", "value", "name"),
    [
        (HOURLY, "datetime", "2024-01-15T13:00", "2024-01-15T13:00+09:00", "2024-01-15T13:00+09:00"),
        (HOURLY, "date", "2024-01-15T13:00", "2024-01-15", "2024-01-15T13:00+09:00"),
        (HOURLY, "string", "2024-01-15T13:00", "2024-01-15", "2024-01-15T13:00+09:00"),
        (HOURLY, "date", "2024-01-15", "2024-01-15", "2024-01-15T00:00+09:00"),
        (DAILY, "datetime", "2024-01-15", "2024-01-15", "2024-01-15"),
        (DAILY, "date", "2024-01-15", "2024-01-15", "2024-01-15"),
        (None, "datetime", "2024-01-15", "2024-01-15", "2024-01-15"),
    ],
)
def test_execution_date_holds_the_name_or_the_local_date_of_the_partition(
    cron: str | None, kind: str, given: str, value: str, name: str
) -> None:
    values = resolve_run(spec(cron, kind), {"execution_date": given})
    assert values.partition is not None
    assert (values.parameters, values.partition.name) == ({"execution_date": value}, name)
    assert values.conf == {"execution_date": name}


@pytest.mark.rule("30.11")
@pytest.mark.parametrize(
    ("cron", "start", "end"),
    [
        (HOURLY, "2024-01-15T00:00:00+09:00", "2024-01-15T01:00:00+09:00"),
        (DAILY, "2024-01-15T00:00:00+09:00", "2024-01-16T00:00:00+09:00"),
        (WEEKLY, "2024-01-15T00:00:00+09:00", "2024-01-22T00:00:00+09:00"),
        (None, "2024-01-15T00:00:00+00:00", "2024-01-16T00:00:00+00:00"),
    ],
)
def test_sql_sees_what_the_partition_covers(cron: str | None, start: str, end: str) -> None:
    seen = resolve_run(spec(cron), {"execution_date": "2024-01-15"}).template
    assert (seen["partition_start"], seen["partition_end"]) == (start, end)


@pytest.mark.rule("30.11")
def test_a_parameter_of_the_name_keeps_its_own_value() -> None:
    own = spec(DAILY)
    older = {"name": "partition_start", "type": "integer", "default": 7}
    parameters = [*(parameter.model_dump() for parameter in own.parameters), older]
    changed = DatasetSpec.model_validate({**KNOWN, "parameters": parameters})
    assert resolve_run(changed, {"execution_date": "2024-01-15"}).template["partition_start"] == 7


@pytest.mark.rule("30.12")
@pytest.mark.parametrize("kind", ["date", "string", "datetime"])
def test_a_retry_builds_the_same_hour(kind: str) -> None:
    hourly = spec(HOURLY, kind)
    first = resolve_run(hourly, {"execution_date": "2024-01-15T13:00"})
    conf = {**first.conf, CONF_KEY: {"run_type": "adhoc"}}
    retried = values_of_run(hourly, conf, run_type="manual", interval=(None, None))
    assert (retried.template, retried.partition) == (first.template, first.partition)


@pytest.mark.rule("30.12")
def test_the_conf_of_an_older_version_is_read() -> None:
    """It held the local date, for finer schedules as well."""
    values = resolve_run(spec("0 9-17 * * *"), {"execution_date": "2024-01-15"})
    assert values.conf == {"execution_date": "2024-01-15T09:00+09:00"}


@pytest.mark.rule("30.10")
@pytest.mark.parametrize("kind", ["date", "datetime"])
def test_a_scheduled_run_after_a_change_of_the_schedule_covers_its_own_interval(kind: str) -> None:
    several = datetime(2024, 1, 15, 1, tzinfo=UTC), datetime(2024, 1, 15, 7, tzinfo=UTC)
    values = resolve_run(spec(HOURLY, kind), {}, stored_interval=several)
    assert values.template["partition_start"] == "2024-01-15T10:00:00+09:00"
    assert values.template["partition_end"] == "2024-01-15T16:00:00+09:00"
    assert values.parameters == {"execution_date": "2024-01-15T10:00+09:00"[: 10 if kind == "date" else 99]}


@pytest.mark.rule("30.14")
def test_a_date_on_which_no_partition_starts_is_warned_of() -> None:
    values = resolve_run(spec(WEEKLY), {"execution_date": "2024-01-16"})
    assert values.template["partition_end"] == "2024-01-17T00:00:00+09:00"
    warning = "No partition of the schedule '0 9 * * 1' in Asia/Seoul starts on 2024-01-16: "
    assert values.warnings == [f"{warning}the run covers that date alone, and does not count as built."]
    assert resolve_run(spec(WEEKLY), {"execution_date": "2024-01-15"}).warnings == []


@pytest.mark.rule("30.4")
def test_a_time_that_names_no_partition_is_refused_with_what_can_be_given() -> None:
    with pytest.raises(InvalidParameters) as refused:
        resolve_run(spec(HOURLY), {"execution_date": "2024-01-15T13:20"})
    assert refused.value.title == (
        "Invalid value for parameter 'execution_date': no partition of '0 * * * *' in Asia/Seoul starts at "
        "2024-01-15T13:20."
    )
    assert refused.value.detail == "The nearest are 2024-01-15T13:00+09:00 and 2024-01-15T14:00+09:00."


def test_a_run_without_execution_date_has_no_partition() -> None:
    optional = spec(HOURLY, required=False)
    assert resolve_run(optional, {}).template == {"execution_date": None}
    assert resolve_run(optional, {}).partition is None
    with pytest.raises(MissingParameter):
        resolve_run(spec(HOURLY), {})


def test_default_and_choices_of_execution_date_name_partitions() -> None:
    times = spec(
        HOURLY, "datetime", default="2024-01-15T13:00", choices=["2024-01-15T13:00", "2024-01-15T04:30Z"]
    )
    with pytest.raises(InvalidParameters, match="starts at 2024-01-15T04:30Z"):
        resolve_run(times, {})
    days = spec(HOURLY, "date", default="2024-01-15", choices=["2024-01-15"])
    assert resolve_run(days, {"execution_date": "2024-01-15T13:00"}).parameters == {
        "execution_date": "2024-01-15"
    }
    with pytest.raises(InvalidParameters, match="2024-01-16' is not one of 2024-01-15"):
        resolve_run(days, {"execution_date": "2024-01-16T13:00"})
