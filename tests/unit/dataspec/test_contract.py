"""What Basecamp and Airflow's machines agree on: each side writes what the other reads."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from dataspec.contract import (
    CONF_KEY,
    FOLDER_PREFIX,
    built_interval,
    built_variable,
    given_parameters,
    is_dataset_task,
    is_shard_file,
    read_document_line,
    read_takeovers,
    read_version_key,
    waits,
    write_document_line,
    write_shard_file,
    write_takeover,
    write_version_key,
)
from dataspec.spec.model import Parameter, ScheduleConfig

START = datetime(2024, 1, 14, tzinfo=UTC)
DECLARED = [Parameter(name="execution_date", type="date"), Parameter(name="limit", type="integer")]


@pytest.mark.rule("11.12")
@pytest.mark.parametrize(
    ("run_type", "interval_start", "conf", "given"),
    [
        ("scheduled", START, {}, {"execution_date": "2024-01-14"}),
        ("backfill", START, {}, {"execution_date": "2024-01-14"}),
        ("scheduled", START, {"execution_date": "2023-01-01"}, {"execution_date": "2023-01-01"}),
        ("scheduled", None, {}, {}),
        ("manual", START, {"limit": 1, CONF_KEY: {"run_type": "adhoc"}}, {"limit": 1}),
        ("asset_triggered", START, {}, {}),
    ],
)
def test_run_of_the_timetable_gets_its_partition_from_the_interval(
    run_type: str, interval_start: datetime | None, conf: dict[str, Any], given: dict[str, Any]
) -> None:
    found = given_parameters(conf, DECLARED, run_type=run_type, interval_start=interval_start)
    assert found == given


@pytest.mark.rule("11.12")
def test_dataset_without_execution_date_gets_none() -> None:
    assert given_parameters({}, DECLARED[1:], run_type="scheduled", interval_start=START) == {}


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


def test_only_a_run_of_the_timetable_builds_the_interval_that_airflow_keeps() -> None:
    schedule = ScheduleConfig(cron="0 0 * * *", timezone="UTC")
    kept = datetime(2024, 1, 15, tzinfo=UTC), datetime(2024, 1, 16, tzinfo=UTC)
    built = {
        run_type: built_interval(schedule, run_type=run_type, interval=kept)
        for run_type in ("scheduled", "backfill", "manual")
    }
    assert built == {"scheduled": kept, "backfill": kept, "manual": None}
    assert built_interval(schedule, run_type="scheduled", interval=(None, None)) is None


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
