"""A run with a materialization on real engines: what is published, what is refused, and what stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dataspec.engines.session import StatementFailed
from dataspec.errors import InvalidTemplate
from dataspec.sql.materialization.failure import MaterializationFailed
from postgres import Postgres
from warehouses import Warehouse, duckdb_warehouse

DAILY = "materialization: {type: incremental, strategy: replace_partition, partition_column: day}"
MERGE = "materialization: {type: incremental, strategy: merge, unique_key: [id]}"
APPEND = "materialization: {type: incremental, strategy: append}"
DATE = "parameters: [{name: execution_date, type: date}]\n"


def spec(query: str, materialization: str = "materialization: table", more: str = "") -> str:
    """Return the YAML of the dataset shop.orders."""
    lines = "\n".join(f"  {line}" for line in query.splitlines())
    return (
        "name: shop.orders\ntype: Dataset\nowner: e@example.com\n"
        f"query_statement: |\n{lines}\n{materialization}\n{more}"
    )


@pytest.fixture(params=["duckdb", pytest.param("postgres", marks=pytest.mark.xdist_group("postgres"))])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Warehouse:
    if request.param == "duckdb":
        return duckdb_warehouse(tmp_path)
    server: Postgres = request.getfixturevalue("postgres")
    return Warehouse("postgres", server.fresh().url)


def orders(warehouse: Warehouse) -> list[Any]:
    return warehouse.ask("select * from shop.orders order by 1, 2")


def refused(warehouse: Warehouse, yaml: str, **given: Any) -> str:
    """Return why a run is refused; check that it changes nothing."""
    before = orders(warehouse) if warehouse.ask(EXISTS) else None
    with pytest.raises(MaterializationFailed) as failure:
        warehouse.run(yaml, **given)
    if before is not None:
        assert orders(warehouse) == before
    return str(failure.value)


EXISTS = "select 1 from information_schema.tables where table_schema = 'shop' and table_name = 'orders'"
STAGED = "select table_name from information_schema.tables where table_name like '\\_\\_dli%' escape '\\'"


@pytest.mark.rule("35.1", "35.3")
def test_the_rows_of_a_select_become_the_only_rows_of_a_table(warehouse: Warehouse) -> None:
    listener = warehouse.run(spec("select 1 as id, 'O''Hare' as name -- a comment at the end"))
    assert (orders(warehouse), listener.written) == ([(1, "O'Hare")], 1)
    listener = warehouse.run(spec("select 2 as id, 'x' as name union all select 3, 'y'"))
    assert (orders(warehouse), listener.written) == ([(2, "x"), (3, "y")], 2)
    assert warehouse.ask(STAGED) == []


@pytest.mark.rule("35.3")
def test_columns_are_matched_by_name(warehouse: Warehouse) -> None:
    warehouse.run(spec("select 1 as id, 2 as amount"))
    warehouse.run(spec("select 20 as amount, 10 as id"))
    assert warehouse.ask("select id, amount from shop.orders") == [(10, 20)]


@pytest.mark.rule("35.3")
def test_a_table_with_other_columns_is_replaced(warehouse: Warehouse) -> None:
    warehouse.run(spec("select 1 as id, 2 as amount"))
    warehouse.run(spec("select 'a' as id"))
    assert orders_of(warehouse) == [("a",)]


def orders_of(warehouse: Warehouse) -> list[Any]:
    return warehouse.ask("select * from shop.orders")


@pytest.mark.rule("35.6")
def test_a_table_with_the_same_columns_stays_the_same_object(warehouse: Warehouse) -> None:
    warehouse.run(spec("select 1 as id"))
    warehouse.ask(
        "create view shop.v as select id from shop.orders",
        "create index orders_id on shop.orders (id)",
        "comment on column shop.orders.id is 'by hand'",
    )
    warehouse.run(spec("select 2 as id"))
    assert warehouse.ask("select id from shop.v") == [(2,)]
    if warehouse.kind == "postgres":
        assert warehouse.ask("select count(*) from pg_indexes where indexname = 'orders_id'") == [(1,)]
        assert warehouse.ask("select col_description('shop.orders'::regclass, 1)") == [("by hand",)]
    else:
        assert warehouse.ask("select count(*) from duckdb_indexes()") == [(1,)]
        assert warehouse.ask("select comment from duckdb_columns() where table_name = 'orders'") == [
            ("by hand",)
        ]


@pytest.mark.rule("35.1")
def test_a_failed_query_leaves_the_rows_and_the_next_run_drops_what_it_left(warehouse: Warehouse) -> None:
    warehouse.run(spec("select 1 as id"))
    with pytest.raises(StatementFailed, match="9x"):
        warehouse.run(
            spec("select cast(x as integer) as id from (values ('1'), ('a')) as t (x)".replace("'a'", "'9x'"))
        )
    assert orders_of(warehouse) == [(1,)]
    warehouse.run(spec("select 3 as id"))
    assert (orders_of(warehouse), warehouse.ask(STAGED)) == ([(3,)], [])


@pytest.mark.rule("35.2")
@pytest.mark.parametrize("sql", ["begin", "start transaction", "COMMIT", "/* x */ rollback"])
def test_statements_that_control_transactions_are_refused(warehouse: Warehouse, sql: str) -> None:
    more = f"pre_statements: [{{name: first, sql: '{sql}'}}]\n"
    with pytest.raises(InvalidTemplate) as failure:
        warehouse.run(spec("select 1 as id", more=more))
    assert "is refused with 'materialization'" in failure.value.problem.message
