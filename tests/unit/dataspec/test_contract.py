"""What Basecamp and Airflow's machines agree on: each side writes what the other reads."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dataspec.contract import (
    CONF_KEY,
    FOLDER_PREFIX,
    built_variable,
    is_dataset_task,
    is_shard_file,
    read_check_results,
    read_document_line,
    read_rows_key,
    read_takeovers,
    read_version_key,
    values_of_run,
    waits,
    write_check_results,
    write_document_line,
    write_rows_key,
    write_shard_file,
    write_takeover,
    write_version_key,
)
from dataspec.models import CheckResult
from dataspec.spec.model import DatasetSpec

START = datetime(2024, 1, 14, tzinfo=UTC)
DAY = timedelta(days=1)


def spec(cron: str | None = "0 9 * * *", **execution_date: Any) -> DatasetSpec:
    parameters = [{"name": "execution_date", "type": "date", "required": False} | execution_date]
    schedule = {"cron": cron, "timezone": "Asia/Seoul"} if cron else None
    known = {"name": "a.b", "type": "Dataset", "owner": "kim@example.com", "query_statement": "select 1"}
    limit = {"name": "limit", "type": "integer", "default": 5}
    return DatasetSpec.model_validate(known | {"parameters": [*parameters, limit], "schedule": schedule})


@pytest.mark.rule("11.12")
@pytest.mark.rule("30.10")
@pytest.mark.parametrize(
    ("run_type", "start", "conf", "date"),
    [
        ("scheduled", START, {}, "2024-01-14"),
        ("backfill", START, {}, "2024-01-14"),
        ("scheduled", START, {"execution_date": "2023-01-01"}, "2023-01-01"),
        ("scheduled", None, {}, None),
        ("manual", START, {CONF_KEY: {"run_type": "adhoc"}}, None),
        ("manual", START, {"execution_date": "2023-01-01"}, "2023-01-01"),
        ("asset_triggered", START, {}, None),
    ],
)
def test_run_of_the_timetable_has_the_partition_of_its_interval(
    run_type: str, start: datetime | None, conf: dict[str, Any], date: str | None
) -> None:
    values = values_of_run(spec(), conf, run_type=run_type, interval=(start, start and start + DAY))
    assert values.parameters == {"execution_date": date, "limit": 5}
    assert (values.partition.name if values.partition else None) == date
    assert values.template.get("partition_start") == (f"{date}T00:00:00+09:00" if date else None)


@pytest.mark.rule("11.12")
@pytest.mark.rule("30.10")
def test_dataset_without_execution_date_has_the_partition_of_its_interval_alone() -> None:
    without = spec().model_copy(update={"parameters": []})
    values = values_of_run(without, {}, run_type="scheduled", interval=(START, START + DAY))
    assert (values.parameters, values.conf) == ({}, {})
    assert values.template["partition_end"] == "2024-01-15T00:00:00+09:00"
    assert values_of_run(without, {}, run_type="manual", interval=(START, START + DAY)).template == {}


@pytest.mark.rule("15.20")
def test_what_one_side_writes_the_other_reads() -> None:
    assert read_version_key(write_version_key("code", "0123abcd", 3)) == ("code", "0123abcd", 3)
    line = write_document_line("0123abcd", "manual", "manual/a · b.yaml")
    assert read_document_line(f"A dataset.\n\n{line}\n") == ("0123abcd", "manual", "manual/a · b.yaml")
    assert read_takeovers(write_takeover("a.b", "etl.py in the bundle 'company'")) == {
        "a.b": "etl.py in the bundle 'company'"
    }


@pytest.mark.rule("15.20")
def test_foreign_keys_and_texts_are_ignored() -> None:
    assert read_version_key("return_value") is None
    assert read_document_line("spec of the company") is None
    assert read_document_line(None) is None
    assert read_takeovers("Broken DAG") == {}


@pytest.mark.rule("15.20")
@pytest.mark.parametrize(
    ("file", "ours"),
    [
        ("shard_001.py", True),
        ("/opt/airflow/dags/dli_shard_015.py", True),
        ("etl/shard_001.py.bak", False),
        ("my_shard_001.py", False),
    ],
)
def test_shard_files_are_recognized(file: str, ours: bool) -> None:
    assert is_shard_file(file) is ours


def test_a_shard_file_is_known_by_the_name_that_the_factory_gives_it() -> None:
    assert all(is_shard_file(write_shard_file(number)) for number in (0, 17, 999, 1000))
    assert is_shard_file(f"/opt/airflow/dags/{FOLDER_PREFIX}{write_shard_file(15)}")


def test_a_run_of_the_timetable_keeps_the_data_interval_of_airflow() -> None:
    interval = START, START + DAY
    times = "data_interval_start", "data_interval_end"
    scheduled = values_of_run(
        spec(), {"execution_date": "2023-01-01"}, run_type="scheduled", interval=interval
    )
    assert [scheduled.template[name] for name in times] == [moment.isoformat() for moment in interval]
    manual = values_of_run(spec(), {"execution_date": "2023-01-01"}, run_type="manual", interval=interval)
    assert [manual.template[name] for name in times] == [
        "2023-01-01T00:00:00+00:00",
        "2023-01-02T00:00:00+00:00",
    ]


@pytest.mark.rule("31.2")
@pytest.mark.parametrize("dataset", ["auth.tokens", "web.proxy_requests", "secret.password", "x" * 200])
def test_no_word_of_a_dataset_name_makes_airflow_hide_what_it_has_built(dataset: str) -> None:
    """Airflow's API hides the value of a Variable whose key contains a word such as "token"."""
    key = built_variable(dataset)
    assert not any(word in key for word in ("token", "proxy", "secret", "password"))
    assert len(key) <= 250
    assert key != built_variable(dataset + "x")


@pytest.mark.rule("31.51")
@pytest.mark.parametrize(
    ("conf", "run_type", "wait"),
    [
        ({}, "scheduled", True),
        ({}, "manual", False),
        ({}, "backfill", False),
        ({"_dli": {"run_type": "adhoc"}}, "manual", False),
        ({"_dli": {"run_type": "backfill", "wait_for_upstream": True}}, "manual", True),
        ({"_dli": {"wait_for_upstream": "no"}}, "manual", False),
        ({"_dli": None}, "manual", False),
    ],
)
def test_scheduled_runs_wait_and_others_that_were_told_to(
    conf: dict[str, Any], run_type: str, wait: bool
) -> None:
    assert waits(conf, run_type=run_type) is wait


@pytest.mark.rule("31.60")
def test_the_tasks_of_a_dataset_are_the_one_that_builds_and_those_that_wait() -> None:
    assert [is_dataset_task(name) for name in ("run", "wait_85d2f3395a0c", "extract")] == [True, True, False]


@pytest.mark.rule("37.15")
def test_what_checks_found_is_read_as_it_was_written_also_by_another_version() -> None:
    found = [
        CheckResult(name="a", severity="error", status="passed", rows=0),
        CheckResult(name="b", severity="warn", status="warned", rows=None, message="it can't be checked"),
    ]
    written = write_check_results(found)
    assert read_check_results(written) == found
    newer = json.dumps([{**json.loads(written)[0], "seconds": 1}])
    assert read_check_results(newer) == found[:1]
    for foreign in ("", "null", "[1]", '{"a": 1}', '[{"name": "a"}]'):
        assert read_check_results(foreign) == []


@pytest.mark.rule("38.19")
def test_key_of_the_rows_is_read_back_and_is_no_version_to_any_release() -> None:
    key = write_rows_key(1_234, 2)
    assert read_rows_key(key) == (1_234, 2)
    assert read_version_key(key) is None
    assert read_rows_key(write_version_key("code", "ab12", 2)) is None
