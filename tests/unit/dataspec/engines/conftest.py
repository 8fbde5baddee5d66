from __future__ import annotations

from pathlib import Path

import pytest

from postgres import Postgres
from warehouses import Warehouse, duckdb_warehouse


@pytest.fixture(params=["duckdb", "postgres"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Warehouse:
    """A new DuckDB file, and a new database of a PostgreSQL server."""
    if request.param == "duckdb":
        return duckdb_warehouse(tmp_path)
    server: Postgres = request.getfixturevalue("postgres")
    return Warehouse("postgres", server.fresh().url)
