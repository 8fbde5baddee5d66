"""The dialect of SQL whose spec names none: that of its connection (specification 18.13)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from httpx import Client, Response

from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.datasets.connection_dialects import MAX_AGE_SECONDS, MAX_KEPT, ConnectionDialects
from basecamp.shared.clock import ManualClock
from dataspec.spec.model import DatasetSpec

ONLY_DUCKDB = "SELECT 7 // 2 FROM clicks WHERE day = '{{ execution_date }}' LIMIT {{ limit }}"
BROKEN = "SELECT 1 FROM clicks WHERE\n  day = = '{{ execution_date }}'"


def spec(**execution: str) -> DatasetSpec:
    return DatasetSpec.model_validate(
        {
            "name": "a",
            "type": "Dataset",
            "owner": "a@example.com",
            "query_statement": "select 1",
            "execution": execution,
        }
    )


@pytest.mark.rule("9.15", "18.13")
def test_the_spec_s_own_comes_first_then_the_server_s_then_airflow_s(
    airflow: MemoryAirflow, clock: ManualClock
) -> None:
    airflow.connections = {"dli_default": "duckdb", "lake": "postgres", "old": "http"}
    dialects = ConnectionDialects(airflow, clock, named={"lake": "trino"})
    assert dialects.of(spec(dialect="spark", connection="lake")) == "spark"
    assert dialects.of(spec(connection="lake")) == "trino"
    assert dialects.of(spec()) == "duckdb"
    assert dialects.of(spec(connection="old")) is None
    assert dialects.of(spec(connection="unknown")) is None


@pytest.mark.rule("18.13")
def test_a_connections_type_is_cached_for_half_a_minute(airflow: MemoryAirflow, clock: ManualClock) -> None:
    dialects = ConnectionDialects(airflow, clock)
    assert dialects.of(spec()) is None
    airflow.connections = {"dli_default": "duckdb"}
    assert dialects.of(spec()) is None
    assert airflow.requests == 1
    clock.wait(MAX_AGE_SECONDS)
    assert dialects.of(spec()) == "duckdb"


def test_connections_without_end_are_not_all_kept(airflow: MemoryAirflow, clock: ManualClock) -> None:
    dialects = ConnectionDialects(airflow, clock)
    for number in range(MAX_KEPT + 1):
        dialects.of(spec(connection=f"c{number}"))
    dialects.of(spec(connection=f"c{MAX_KEPT}"))
    assert airflow.requests == MAX_KEPT + 1
    dialects.of(spec(connection="c0"))
    assert airflow.requests == MAX_KEPT + 2


def dry_run(client: Client, path: str, **body: Any) -> Response:
    return client.post(f"/workflows/sales.daily/{path}", json={"dry_run": True, **body})


ASKED = [
    ("runs", {"parameters": {"execution_date": "2024-01-14"}}),
    ("backfills", {"start": "2024-01-01", "end": "2024-01-02"}),
]


@pytest.mark.rule("12.21")
@pytest.mark.parametrize(("path", "body"), ASKED)
def test_a_dry_run_reads_sql_in_the_dialect_of_its_connection(
    register: Callable[..., Response],
    client: Client,
    airflow: MemoryAirflow,
    path: str,
    body: dict[str, Any],
) -> None:
    airflow.connections = {"dli_default": "duckdb"}
    register(files={"query.sql": ONLY_DUCKDB})
    shown = dry_run(client, path, **body).json()
    assert (shown["reads"], shown["warnings"]) == (["clicks"], [])
    register(files={"query.sql": BROKEN})
    answer = dry_run(client, path, **body)
    assert (answer.status_code, answer.json()["title"]) == (422, "The SQL is not valid duckdb.")
    [problem] = answer.json()["problems"]
    assert (problem["file"], problem["line"]) == ("manual/query.sql", 2)


@pytest.mark.rule("12.21")
@pytest.mark.parametrize(("path", "body"), ASKED)
def test_a_dry_run_of_an_unknown_dialect_warns_though_airflow_is_down(
    register: Callable[..., Response],
    client: Client,
    airflow: MemoryAirflow,
    path: str,
    body: dict[str, Any],
) -> None:
    register(files={"query.sql": BROKEN})
    airflow.down = "connection refused"
    answer = dry_run(client, path, **body)
    assert answer.status_code == 200
    [warning] = answer.json()["warnings"]
    assert "It was read as generic SQL" in warning


def test_the_tables_of_a_registered_dataset_are_those_of_its_dialect(
    register: Callable[..., Response], client: Client, airflow: MemoryAirflow
) -> None:
    airflow.connections = {"dli_default": "duckdb"}
    register(files={"query.sql": ONLY_DUCKDB})
    assert client.get("/datasets/sales.daily").json()["reads"] == ["clicks"]
