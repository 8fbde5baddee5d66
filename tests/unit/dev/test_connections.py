import json
from pathlib import Path
from typing import Any

import pytest

from basecamp.dev.connections import airflow_connections
from dataspec.errors import InvalidSettings


def connections(folder: Path, text: str | None = None, **environ: str) -> dict[str, Any]:
    if text is not None:
        (folder / "dli.yaml").write_text(text)
    found = airflow_connections(folder, environ)
    return {name: json.loads(connection) for name, connection in found.items()}


def test_without_a_project_file_there_is_a_duckdb_file_in_the_project_s_folder(tmp_path: Path) -> None:
    assert connections(tmp_path) == {
        "dli_default": {
            "conn_type": "duckdb",
            "host": str(tmp_path / "warehouse.duckdb"),
            "extra": {"config": {}},
        }
    }


def test_paths_of_a_duckdb_connection_are_relative_to_the_project(tmp_path: Path) -> None:
    found = connections(
        tmp_path,
        """
        connections:
          dli_default:
            url: duckdb:///files/sales.duckdb
            options: {file_search_path: "data,more", threads: 2}
        """,
    )

    assert found["dli_default"] == {
        "conn_type": "duckdb",
        "host": f"{tmp_path}/files/sales.duckdb",
        "extra": {"config": {"file_search_path": f"{tmp_path}/data,{tmp_path}/more", "threads": 2}},
    }


def test_an_absolute_duckdb_file_stays_where_it_is(tmp_path: Path) -> None:
    found = connections(tmp_path, "connections: {big: {url: 'duckdb:////var/big.duckdb'}}")

    assert found["big"]["host"] == "/var/big.duckdb"


def test_another_engine_s_url_is_taken_apart_for_airflow(tmp_path: Path) -> None:
    found = connections(
        tmp_path,
        "connections: {lake: {url: 'postgresql://ann:${PASSWORD}@db:5433/sales?sslmode=require'}}",
        PASSWORD="p%40ss",
    )

    assert found["lake"] == {
        "conn_type": "postgres",
        "host": "db",
        "login": "ann",
        "password": "p@ss",
        "schema": "sales",
        "port": 5433,
        "extra": {"sslmode": "require"},
    }
    assert "dli_default" in found


def test_a_variable_has_its_default_and_a_dollar_is_written_twice(tmp_path: Path) -> None:
    found = connections(tmp_path, "connections: {x: {url: 'trino://${WHO:-ann}@host$$/hive'}}")

    assert (found["x"]["login"], found["x"]["host"]) == ("ann", "host$")


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        ("connections: [a]", "dli.yaml:1:14", "mapping"),
        ("connections:\n  x: {}", "dli.yaml:2:6", "needs a 'url'"),
        ("connections:\n  x: {url: 'trino://${NOBODY}@h'}", "dli.yaml:2:6", "NOBODY is not set"),
        ("connections:\n  x: {url: 'trino://h:port/'}", "dli.yaml:2:12", "not a URL"),
        ("connections: {x: 1, x: 2}", "dli.yaml:1:21", "stands twice"),
    ],
)
def test_a_connection_that_can_t_be_used_is_named_with_its_place(
    tmp_path: Path, text: str, place: str, reason: str
) -> None:
    with pytest.raises(InvalidSettings) as invalid:
        connections(tmp_path, text)

    assert place in (invalid.value.detail or "")
    assert reason in (invalid.value.detail or "")
