"""Catalogs that SQL names, on a DuckDB that lacks them."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from unit.dli.conftest import Dli

SPEC = """\
name: lake.shop.orders
type: Dataset
owner: dana@example.com
query_statement: {query}
{more}
"""


def put(project: Path, query: str, more: str = "materialization: table") -> None:
    (project / "datasets" / "orders.yaml").write_text(SPEC.format(query=query, more=more))


@pytest.mark.rule("23.21")
def test_a_catalog_that_duckdb_lacks_is_a_file_beside_the_database(dli: Dli, project: Path) -> None:
    (project / "dli.yaml").write_text("connections: {dli_default: {url: 'duckdb:///data/main.duckdb'}}\n")
    (project / "data").mkdir()
    with duckdb.connect(str(project / "data" / "raw.duckdb")) as raw:
        raw.execute("create schema s; create table s.t as select 7 as n")
    put(project, "select n from raw.s.t")
    for _ in range(2):
        result = dli("dataset", "run", "lake.shop.orders")
        assert result.status == 0, result.err
    with duckdb.connect(str(project / "data" / "lake.duckdb")) as lake:
        assert lake.execute("select n from shop.orders").fetchall() == [(7,)]


@pytest.mark.rule("23.21")
def test_in_memory_it_is_in_memory_too(dli: Dli, project: Path) -> None:
    (project / "dli.yaml").write_text("connections: {dli_default: {url: 'duckdb://'}}\n")
    put(project, "select 7 as n")
    result = dli("dataset", "run", "lake.shop.orders")
    assert (result.status, result.out.splitlines()) == (0, ["n", "7"]), result.err
    assert not list(project.rglob("*.duckdb"))


@pytest.mark.rule("23.21")
@pytest.mark.parametrize("first", ["attach ':memory:' as lake", "ATTACH ':memory:' AS lake"])
def test_sql_that_attaches_its_catalogs_is_left_to_itself(dli: Dli, project: Path, first: str) -> None:
    (project / "dli.yaml").write_text("connections: {dli_default: {url: 'duckdb:///main.duckdb'}}\n")
    more = f'pre_statements: [{{name: first, sql: "{first}"}}]'
    put(project, "create table lake.main.t as select 7 as n", more)
    result = dli("dataset", "run", "lake.shop.orders")
    assert result.status == 0, result.err
    assert not (project / "lake.duckdb").exists()
