import json
from pathlib import Path
from typing import Any

import pytest

from basecamp.dev.connections import airflow_connections
from dataspec.errors import InvalidSettings, Refused
from dataspec.trust import Trust
from dli.config.settings import Settings


def connections(folder: Path, text: str | None = None, **environ: str) -> dict[str, Any]:
    if text is not None:
        (folder / "dli.yaml").write_text(text)
    found = airflow_connections(folder, environ)
    return {name: json.loads(connection) for name, connection in found.items()}


@pytest.mark.rule("23.4")
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


@pytest.mark.rule("23.4")
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
        ("connections: {x: 1, x: 2}", "dli.yaml:1:21", "is defined twice"),
    ],
)
def test_a_connection_that_can_t_be_used_is_named_with_its_place(
    tmp_path: Path, text: str, place: str, reason: str
) -> None:
    with pytest.raises(InvalidSettings) as invalid:
        connections(tmp_path, text)

    assert place in (invalid.value.detail or "")
    assert reason in (invalid.value.detail or "")


@pytest.mark.parametrize(
    ("entry", "sent"),
    [
        ("{url: 'trino://ann:${SECRET}@far.example/hive'}", "SECRET"),
        ("{url: 'trino://localhost/hive', options: {host: far.example, x: '${SECRET}'}}", "SECRET"),
        ("{url: 'postgresql://far.example/d'}", "PGPASSWORD"),
        ("{url: 'snowflake:///d', options: {password: '${SECRET}'}}", "SECRET"),
    ],
)
def test_a_variable_goes_to_another_machine_after_an_agreement_alone(
    tmp_path: Path, entry: str, sent: str
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    environ = {"HOME": str(tmp_path), "SECRET": "hunter2", "PGPASSWORD": "hunter2"}
    (project / "dli.yaml").write_text(f"connections:\n  x: {entry}\n")
    with pytest.raises(Refused, match=f"dli.yaml:2:12: the connection 'x' sends {sent} to ") as refused:
        airflow_connections(project, environ, Trust(project, environ))
    assert "hunter2" not in f"{refused.value}{refused.value.detail}"
    # What a file of the person's own overrides, `basecamp dev` reads as it is here.
    (project / ".dli.local.yaml").write_text("connections: {x: {url: 'trino://localhost/hive'}}\n")
    Settings(project, {}, environ).grant_permissions()
    assert "x" in airflow_connections(project, environ, Trust(project, environ))


@pytest.mark.parametrize(
    "entry", ["{url: 'trino://ann:${SECRET}@localhost/hive'}", "{url: 'trino://far.example/hive'}"]
)
def test_what_stays_here_or_holds_no_variable_takes_no_agreement(tmp_path: Path, entry: str) -> None:
    environ = {"HOME": str(tmp_path), "SECRET": "hunter2"}
    (tmp_path / "dli.yaml").write_text(f"connections: {{x: {entry}}}\n")
    assert "x" in airflow_connections(tmp_path, environ, Trust(tmp_path, environ))


def test_the_token_is_filled_in_nowhere(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings) as invalid:
        connections(
            tmp_path, "connections: {x: {url: 'trino://${DLI_TOKEN}@localhost'}}", DLI_TOKEN="hunter2"
        )
    assert "may not use the variable DLI_TOKEN" in (invalid.value.detail or "")


def test_a_project_file_of_another_user_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dli.yaml").write_text("connections: {}\n")
    monkeypatch.setattr("dataspec.trust.foreign_owners", lambda _file: [65534])
    with pytest.raises(Refused, match="belongs to another user"):
        airflow_connections(tmp_path, {}, Trust(tmp_path, {"HOME": str(tmp_path)}))
