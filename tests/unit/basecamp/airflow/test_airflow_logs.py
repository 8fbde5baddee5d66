"""What is read from the logs of both lines of Airflow."""

from __future__ import annotations

from typing import Any

import pytest

from basecamp.airflow import airflow_2_responses, airflow_3_responses

FOUND = "/logs/dag_id=a/run_id=a_1/task_id=run/attempt=1.log"
OUT_OF_REACH = "Could not read served logs: 403 FORBIDDEN"


def v2_log(places: list[str], *events: str) -> Any:
    names = ["::group::Log message source details", *places, "::endgroup::", *events]
    return {"content": [{"event": name} for name in names]}


def v1_log(places: list[str], *events: str) -> str:
    where = [f"*** {place}" for place in places]
    return "\n".join(
        ["worker-1", *where, *(f"[2024-01-15T00:00:00.000+0000] {{a.py:1}} INFO - {name}" for name in events)]
    )


@pytest.mark.rule("12.19")
@pytest.mark.parametrize(
    ("airflow", "written"), [(airflow_2_responses, v1_log), (airflow_3_responses, v2_log)]
)
def test_the_places_of_a_log_which_change_while_it_grows_are_no_lines_of_it(
    airflow: Any, written: Any
) -> None:
    running = airflow.read_log(written([FOUND, "http://worker:8793/log"], "a"))
    ended = airflow.read_log(written([FOUND], "a", "b"))
    assert [event.message for event in running] == ["a"]
    assert [event.message for event in ended] == ["a", "b"]


@pytest.mark.parametrize(
    ("airflow", "written"), [(airflow_2_responses, v1_log), (airflow_3_responses, v2_log)]
)
def test_where_there_is_no_log_it_is_told_where_it_was_looked_for(airflow: Any, written: Any) -> None:
    assert [event.message for event in airflow.read_log(written([OUT_OF_REACH]))] == [OUT_OF_REACH]


def test_a_log_of_airflow_3_without_places_is_read_as_it_is() -> None:
    for content in ([], ["bare line\n"], [{"event": "::group::mine"}, {"event": "x"}]):
        assert len(airflow_3_responses.read_log({"content": content})) == len(content)


@pytest.mark.rule("12.17")
def test_of_errors_of_airflow_3_that_follow_from_each_other_the_first_named_is_the_error_in_one_line() -> (
    None
):
    cause = {"exc_type": "CatalogException", "exc_value": "Table orders does not exist!\nLINE 2: from orders"}
    error = {
        "exc_type": "StatementFailed",
        "exc_value": "statement 'query' failed:\nTable orders does not exist!",
    }
    [event] = airflow_3_responses.read_log(
        {"content": [{"event": "Task failed", "error_detail": [error, cause]}]}
    )
    assert event.error == "StatementFailed: statement 'query' failed: Table orders does not exist!"
    assert event.details[0] == "CatalogException: Table orders does not exist!"
    assert event.details[-1] == "Table orders does not exist!"
