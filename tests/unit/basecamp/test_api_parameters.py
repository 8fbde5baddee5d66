"""Parameters by the API: of a run, of a dry run and of a backfill."""

from __future__ import annotations

from typing import Any

import pytest
from httpx import Client

from basecamp.airflow.memory import MemoryAirflow
from basecamp.airflow.memory_dags import MemoryDags
from basecamp.airflow.models import RunFilter
from dataspec.releases import Release, manual_key, write_release
from dataspec.store import MemoryStore
from unit.parameter_matrix import CASES, NAME, Case

DATED = "  - {name: execution_date, type: date}\n"


@pytest.fixture
def register(store: MemoryStore, dags: MemoryDags) -> Any:
    def put(yaml: str) -> None:
        write_release(store, manual_key(NAME), Release(yaml.encode(), {}))
        dags.refresh()

    return put


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("dry_run", [False, True])
def test_a_run_by_the_api(
    register: Any, client: Client, airflow: MemoryAirflow, case: Case, dry_run: bool
) -> None:
    register(case.kind.yaml)
    answer = client.post(f"/workflows/{NAME}/runs", json={"parameters": case.given, "dry_run": dry_run})
    started = airflow.list_runs(RunFilter(), limit=10).runs
    if case.expected is None:
        assert (answer.status_code, answer.json()["code"]) == (422, case.code)
        assert answer.json()["title"].startswith(case.title)
        assert not started
        return
    typed = client.post(f"/workflows/{NAME}/runs", json={"parameters": case.expected, "dry_run": True})
    assert repr(answer.json()["parameters"]) == repr(case.expected) == repr(typed.json()["parameters"])
    assert [{name: run.conf[name] for name in case.expected} for run in started] == (
        [] if dry_run else [case.expected]
    )


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_backfill_by_the_api(register: Any, client: Client, case: Case) -> None:
    register(case.kind.yaml + DATED)
    body = {"start": "2024-01-01", "end": "2024-01-02", "parameters": case.given}
    answer = client.post(f"/workflows/{NAME}/backfills", json=body)
    if case.expected is None:
        assert (answer.status_code, answer.json()["code"]) == (422, case.code)
        title = case.title.replace("given, chosen", "given, chosen, execution_date")
        assert answer.json()["title"].startswith(title)
        return
    given = {name: case.expected[name] for name in case.given}
    assert (answer.status_code, repr(answer.json()["parameters"])) == (201, repr(given))
