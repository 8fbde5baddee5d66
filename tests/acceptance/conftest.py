"""What tests of the whole share: an engine that queries can be seen on."""

from __future__ import annotations

import pytest

from acceptance.engine import CONNECTION, PASS
from airflow_api import Airflow
from postgres import USER, Postgres
from stacks import Stack


@pytest.fixture(scope="session")
def engine(stack: Stack, postgres: Postgres) -> Postgres:
    """A database that the stack's Airflow reaches by a connection."""
    database = postgres.fresh()
    database.ask(PASS)
    connection = {
        "connection_id": CONNECTION,
        "conn_type": "postgres",
        "host": "127.0.0.1",
        "port": database.port,
        "login": USER,
        "schema": database.database,
    }
    Airflow(stack).ask("/connections", "POST", connection)
    return database
