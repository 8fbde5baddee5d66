"""Connections that are limited to the specs of some teams, on the server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from httpx import Client, Response

from basecamp.airflow.models import RunFilter
from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.airflow.testing.dag_processor import MemoryDags
from basecamp.server.wiring import build_services
from basecamp.services import Services
from basecamp.shared.clock import ManualClock
from basecamp.shared.waiting import run_through
from dataspec.spec.connection_teams import ConnectionTeams
from dataspec.store import MemoryStore

TITLE = (
    "The connection 'warehouse' is for specs of @data alone; 'sales.daily' has the team @data-engineering."
)
ON_WAREHOUSE = {"query_file: query.sql": "query_file: query.sql\nexecution: {connection: warehouse}"}
FILES = {"query.sql": "SELECT '{{ execution_date }}' AS day, {{ limit }} AS n"}
RANGE = {"start": "2024-01-01", "end": "2024-01-02"}

MakeYaml = Callable[..., str]


@pytest.fixture
def services(store: MemoryStore, airflow: MemoryAirflow, clock: ManualClock, dags: MemoryDags) -> Services:
    connections = ConnectionTeams.parse("warehouse=@data", "BASECAMP_CONNECTIONS")
    return build_services(store, airflow, clock, connections=connections)


@pytest.fixture
def candidate(make_yaml: MakeYaml) -> dict[str, Any]:
    return {"yaml": make_yaml(replace=ON_WAREHOUSE), "files": FILES}


def assert_refused(answer: Response) -> None:
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), answer.text
    assert answer.json()["title"] == TITLE


@pytest.mark.rule("26.80")
def test_a_registration_is_refused_and_stores_nothing(
    client: Client, candidate: dict[str, Any], store: MemoryStore, make_yaml: MakeYaml
) -> None:
    assert_refused(client.put("/datasets/sales.daily", json=candidate))
    assert list(store.list("manual/")) == []
    own = make_yaml(replace=ON_WAREHOUSE | {"@data-engineering": "@data"})
    assert client.put("/datasets/sales.daily", json=candidate | {"yaml": own}).status_code == 201


@pytest.mark.rule("26.80")
def test_a_dry_run_of_a_spec_from_the_request_is_refused(client: Client, candidate: dict[str, Any]) -> None:
    asked = {"spec": candidate, "dry_run": True, "parameters": {}}
    assert_refused(client.post("/workflows/sales.daily/backfills", json=asked | RANGE))
    asked["parameters"] = {"execution_date": "2024-01-01"}
    assert_refused(client.post("/workflows/sales.daily/runs", json=asked))


@pytest.mark.rule("26.80")
def test_validate_reports_the_connection_at_its_place(client: Client, candidate: dict[str, Any]) -> None:
    answer = client.post("/datasets/validate", json=candidate | {"file": "daily.yaml"}).json()
    assert answer["valid"] is False
    [problem] = answer["problems"]
    assert problem["message"] == TITLE
    assert (problem["file"], problem["line"]) == ("daily.yaml", 6)


@pytest.mark.rule("26.80")
def test_nobody_runs_a_spec_of_code_on_another_teams_connection(
    client: Client, publish: Callable[..., None], airflow: MemoryAirflow
) -> None:
    publish(replace=ON_WAREHOUSE)
    given = {"parameters": {"execution_date": "2024-01-14"}}
    assert_refused(client.post("/workflows/sales.daily/runs", json=given))
    assert_refused(client.post("/workflows/sales.daily/runs", json=given | {"dry_run": True}))
    assert_refused(client.post("/workflows/sales.daily/backfills", json=RANGE))
    assert airflow.list_runs(RunFilter(), limit=10).runs == ()
    row = client.get("/workflows/sales.daily").json()
    assert row["note"] == f"Its runs are refused. {TITLE}"
    assert [row["note"] for row in client.get("/workflows").json()["items"]] == [row["note"]]


@pytest.mark.rule("26.80")
def test_a_failed_run_and_a_backfill_do_not_go_on_once_the_spec_names_the_connection(
    client: Client,
    publish: Callable[..., None],
    start: Callable[..., str],
    airflow: MemoryAirflow,
    services: Services,
    clock: ManualClock,
) -> None:
    publish()
    run_id = start()
    for _attempt in range(2):
        airflow.start("sales.daily", run_id, source="code", spec_hash="ab")
        airflow.end("sales.daily", run_id, "failed")
    backfill_id = client.post("/workflows/sales.daily/backfills", json=RANGE).json()["backfill_id"]
    publish(replace=ON_WAREHOUSE)
    assert_refused(client.post(f"/runs/{run_id}/retry"))
    while run_through(services.backfill_steps.advance("sales.daily"), clock) is not None:
        pass
    backfill = client.get(f"/backfills/{backfill_id}").json()
    assert backfill["status"] == "FAILED"
    assert backfill["error"].startswith(f"2024-01-01: {TITLE}")
