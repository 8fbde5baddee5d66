"""What Airflow 2 answers, read into plain values."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from basecamp.airflow.airflow_2_responses import read_components, read_log, read_run

LOG = """\
vm
*** Found local files:
***   * /logs/dag_id=sales/run_id=sales_20240115_090001/task_id=run/attempt=1.log
[2024-01-15T09:00:02.100+0000] {local_task_job_runner.py:123} INFO - ::group::Pre task execution logs
[2024-01-15T09:00:02.250+0000] {session.py:171} INFO - statement 'query':
select *
from orders
[2024-01-15T09:00:02.500+0000] {taskinstance.py:3313} ERROR - Task failed with exception
Traceback (most recent call last):
  File "/dli/session.py", line 177, in _execute
    cursor.execute(statement.sql)
_duckdb.CatalogException: Catalog Error: Table with name orders does not exist!
LINE 2: from orders

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/airflow/models/taskinstance.py", line 768, in _execute_task
    result = _execute_callable(context=context, **execute_callable_kwargs)
dli_airflow.session.StatementFailed: statement 'query' failed: Catalog Error: orders does not exist!
[2024-01-15T09:00:02.600+0000] {local_task_job_runner.py:245} INFO - ::endgroup::
"""


@pytest.mark.rule("12.19")
def test_a_log_is_read_as_events_with_what_belongs_to_each() -> None:
    query, failure = read_log(LOG)
    assert query.timestamp == datetime(2024, 1, 15, 9, 0, 2, 250000, tzinfo=UTC)
    assert (query.level, query.message) == ("info", "statement 'query':\nselect *\nfrom orders")
    assert (query.error, query.details) == (None, ())
    assert (failure.level, failure.message) == ("error", "Task failed with exception")
    assert failure.details[0] == "Traceback (most recent call last):"


@pytest.mark.rule("12.17")
def test_of_errors_that_follow_from_each_other_the_last_is_the_error_in_one_line() -> None:
    *_, failure = read_log(LOG)
    assert failure.error == "StatementFailed: statement 'query' failed: Catalog Error: orders does not exist!"


def test_where_airflow_looked_and_how_it_folds_are_no_events() -> None:
    text = "\n".join(event.message for event in read_log(LOG))
    assert "***" not in text
    assert "group::" not in text
    assert "vm" not in text


def test_an_error_without_words_is_its_name() -> None:
    log = "[2024-01-15T09:00:02.500+0000] {x.py:1} ERROR - Failed\nTraceback (most recent call last):\n  File x\nKeyboardInterrupt"
    [event] = read_log(log)
    assert event.error == "KeyboardInterrupt"


def test_a_log_in_a_format_of_the_operators_own_shows_its_text() -> None:
    [event] = read_log("[09:00] {x.py:1} INFO - hello")
    assert (event.timestamp, event.message) == (None, "hello")


def test_an_empty_log_has_no_events() -> None:
    assert read_log("") == []


RUN: dict[str, Any] = {
    "dag_id": "sales",
    "dag_run_id": "sales_20240116_000000",
    "state": "queued",
    "logical_date": "2024-01-15T00:00:00+00:00",
    "data_interval_start": "2024-01-15T00:00:00+00:00",
    "data_interval_end": "2024-01-16T00:00:00+00:00",
    "start_date": None,
    "end_date": None,
    "conf": {},
    "note": None,
}


def test_a_scheduled_run_was_due_at_the_end_of_its_interval_and_any_other_at_its_logical_date() -> None:
    assert read_run(RUN | {"run_type": "scheduled"}).run_after == datetime(2024, 1, 16, tzinfo=UTC)
    assert read_run(RUN | {"run_type": "manual"}).run_after == datetime(2024, 1, 15, tzinfo=UTC)


def test_where_no_dag_processor_runs_by_itself_the_scheduler_is_that_as_well() -> None:
    alone = {
        "metadatabase": {"status": "healthy"},
        "scheduler": {"status": "healthy", "latest_scheduler_heartbeat": "2024-01-15T09:00:00+00:00"},
        "triggerer": {"status": None, "latest_triggerer_heartbeat": None},
        "dag_processor": {"status": None, "latest_dag_processor_heartbeat": None},
    }
    assert read_components(alone)["dag_processor"] == "healthy"
    own = {**alone, "dag_processor": {"status": "unhealthy"}}
    assert read_components(own)["dag_processor"] == "unhealthy"
    assert read_components({"metadatabase": {"status": "healthy"}})["dag_processor"] == "absent"
