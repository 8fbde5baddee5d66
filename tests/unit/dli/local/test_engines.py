"""What a connection's URL becomes in the words of each driver; drivers of engines that can't run here keep what they are told."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from dataspec.errors import EngineUnreachable
from dli.config.settings import Settings
from dli.local.engines.driver import DriverEngine
from dli.local.engines.opening import open_engine
from dli.local.engines.remote import BigQueryEngine


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Put drivers in the places of those that are not installed; returns what the last one was told."""
    heard: dict[str, Any] = {}

    def connect(**given: Any) -> SimpleNamespace:
        heard.update(given)
        return SimpleNamespace(autocommit=heard.get)

    for name in ("trino.dbapi", "trino.auth", "snowflake.connector", "databricks.sql"):
        parent, _, _ = name.partition(".")
        monkeypatch.setitem(sys.modules, parent, ModuleType(parent))
        module = ModuleType(name)
        module.connect = connect  # type: ignore[attr-defined]
        module.BasicAuthentication = lambda user, password: (user, password)  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, name, module)
    return heard


def engine_at(url: str, project: Path, options: str = "{}") -> DriverEngine:
    (project / "dli.yaml").write_text(f"connections: {{x: {{url: '{url}', options: {options}}}}}\n")
    return open_engine("x", Settings(project, {}, {}), print)


@pytest.mark.rule("23.3")
@pytest.mark.parametrize(
    ("url", "options", "expected"),
    [
        (
            "trino://ann@lake:8080/hive/sales",
            "{session_properties: none}",
            {"host": "lake", "port": 8080, "user": "ann", "catalog": "hive", "schema": "sales",
             "source": "dli", "session_properties": "none"},
        ),
        (
            "trino://ann:s%40crt@lake/hive",
            "{}",
            {"host": "lake", "user": "ann", "catalog": "hive", "source": "dli",
             "http_scheme": "https", "auth": ("ann", "s@crt")},
        ),
        (
            "snowflake://ann:pw@acme-eu/shop/public?warehouse=small&role=etl",
            "{}",
            {"account": "acme-eu", "user": "ann", "password": "pw", "database": "shop", "schema": "public",
             "warehouse": "small", "role": "etl", "application": "dli"},
        ),
        (
            "databricks://token:abc@dbc.example.com/main/sales?http_path=/sql/1.0/warehouses/1",
            "{}",
            {"server_hostname": "dbc.example.com", "access_token": "abc", "catalog": "main", "schema": "sales",
             "http_path": "/sql/1.0/warehouses/1"},
        ),
    ],
)  # fmt: skip
def test_a_url_becomes_what_the_driver_takes(
    told: dict[str, Any], project: Path, url: str, options: str, expected: dict[str, Any]
) -> None:
    engine = engine_at(url, project, options)
    connection = engine.get_conn()
    assert told == expected
    if engine.supports_autocommit:
        engine.set_autocommit(connection, True)
    assert engine.get_autocommit(connection)
    assert not {"s@crt", "pw", "abc"} & set(engine.place.replace(",", " ").split())


def test_bigquery_has_its_dataset_its_place_its_sql_as_it_is_and_labels_by_which_a_running_job_is_found(
    monkeypatch: pytest.MonkeyPatch, project: Path
) -> None:
    made: list[dict[str, Any]] = []

    class Config:
        labels: Any = None
        default_dataset: Any = None

    google, cloud, bigquery = (
        ModuleType("google"),
        ModuleType("google.cloud"),
        ModuleType("google.cloud.bigquery"),
    )
    bigquery.QueryJobConfig = Config  # type: ignore[attr-defined]
    bigquery.Client = lambda **given: made.append(given) or given  # type: ignore[attr-defined,func-returns-value]
    sent: list[str] = []
    cursor = SimpleNamespace(execute=lambda sql: sent.append(sql.replace("%%", "%")))  # as Google's does
    connection = SimpleNamespace(cursor=lambda: cursor, commit=None, close=None)
    bigquery.dbapi = SimpleNamespace(connect=lambda _: connection)  # type: ignore[attr-defined]
    for module in (google, cloud, bigquery):
        monkeypatch.setitem(sys.modules, module.__name__, module)

    engine = engine_at("bigquery://acme/sales?location=EU", project)
    assert isinstance(engine, BigQueryEngine)
    engine.get_conn().cursor().execute("select '100%%', '%', '%%%'")
    assert sent == ["select '100%%', '%', '%%%'"]
    assert (made[0]["project"], made[0]["location"]) == ("acme", "EU")
    config = made[0]["default_query_job_config"]
    assert config.default_dataset == "acme.sales"
    engine.labels = {**(engine.labels or {}), "dli_attempt": "1"}
    assert config.labels == {"dli_attempt": "1"}
    engine.get_client(project_id="acme", location="EU")
    assert made[-1] == {"project": "acme", "location": "EU"}


def test_what_a_driver_says_when_it_can_t_connect_is_told_in_one_line(
    told: dict[str, Any], monkeypatch: pytest.MonkeyPatch, project: Path
) -> None:
    def refuse(**_: Any) -> None:
        raise OSError("no route\n  to host")

    monkeypatch.setattr(sys.modules["trino.dbapi"], "connect", refuse)
    with pytest.raises(EngineUnreachable) as unreachable:
        engine_at("trino://ann@lake:8080/hive", project).get_conn()
    assert unreachable.value.title == "Can't connect to Trino, lake:8080 (the connection 'x')."
    assert unreachable.value.detail == "no route to host"
