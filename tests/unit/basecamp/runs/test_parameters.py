"""What the API makes of parameters, wherever a run can start."""

from __future__ import annotations

import pytest
from httpx import Client, Response

from basecamp.airflow.models import RunFilter
from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.airflow.testing.dag_processor import MemoryDags
from parameter_cases import CASES, DATE, Case

SPEC = "name: sales.daily\ntype: Dataset\nowner: a@example.com\nquery_statement: select 1\n"
RANGE = {"start": DATE["execution_date"], "end": DATE["execution_date"]}

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)


def register(client: Client, case: Case) -> None:
    body = {"yaml": SPEC + case.declaration(), "files": {}}
    answer = client.put("/datasets/sales.daily", json=body)
    assert answer.is_success, answer.text


def check_refused(answer: Response, case: Case) -> None:
    assert answer.status_code == 422
    problem = answer.json()
    told = [problem.get(key) for key in ("code", "title", "text", "detail")]
    assert told == [case.code, case.title, case.text, case.detail]


@pytest.mark.rule("8.1")
@every_case
def test_the_api_gives_a_run_its_parameters_or_refuses_them(
    case: Case, client: Client, airflow: MemoryAirflow, dags: MemoryDags
) -> None:
    register(client, case)
    body = {"parameters": DATE | case.given}
    dry, answer = (
        client.post("/workflows/sales.daily/runs", json=body | {"dry_run": dry}) for dry in (True, False)
    )
    runs = airflow.list_runs(RunFilter(), limit=10).runs
    if case.title is not None:
        check_refused(dry, case)
        check_refused(answer, case)
        assert not runs
        return
    assert (dry.status_code, answer.status_code) == (200, 201)
    expected = DATE | {"x": case.value}
    assert dry.json()["parameters"] == answer.json()["parameters"] == expected
    [run] = runs
    assert {name: value for name, value in run.conf.items() if name != "_dli"} == expected


@pytest.mark.rule("8.1")
@every_case
def test_the_api_gives_a_backfill_its_parameters_or_refuses_them(
    case: Case, client: Client, airflow: MemoryAirflow, dags: MemoryDags
) -> None:
    register(client, case)
    body = RANGE | {"parameters": case.given}
    dry, answer = (
        client.post("/workflows/sales.daily/backfills", json=body | {"dry_run": dry}) for dry in (True, False)
    )
    if case.title is not None:
        check_refused(dry, case)
        check_refused(answer, case)
        assert not client.get("/backfills").json()["items"]
        return
    assert (dry.status_code, answer.status_code) == (200, 201)
    assert dry.json()["parameters"] == {"x": case.value}
    # What the spec defaults is taken when each date's run starts.
    assert answer.json()["parameters"] == ({"x": case.value} if case.given else {})
