"""Whose table it is: what a run takes for its own, what it says of it, and who may read it."""

from __future__ import annotations

import pytest

from dataspec.engines.session import StatementFailed
from postgres import Postgres
from warehouses import Warehouse, orders

GRANTS = "{type: table, grants: {select: [bi, public], update: [writer]}}"


def comments(warehouse: Warehouse) -> list[tuple[str | None, str | None]]:
    """Return the comments of shop.orders and of its column id."""
    if warehouse.kind == "postgres":
        return warehouse.ask(
            "select obj_description('shop.orders'::regclass, 'pg_class'), col_description('shop.orders'::regclass, 1)"
        )
    return warehouse.ask(
        "select r.comment, c.comment from (select comment from duckdb_tables() where table_name = 'orders' union all "
        "select comment from duckdb_views() where view_name = 'orders') r, duckdb_columns() c "
        "where c.table_name = 'orders' and c.column_name = 'id'"
    )


@pytest.mark.rule("35.16")
def test_a_table_that_the_dataset_has_not_built_is_taken_over_once_and_on_request(
    warehouse: Warehouse,
) -> None:
    warehouse.ask("create schema shop", "create table shop.orders as select 7 as id")
    query = orders("select 8 as id")
    told = warehouse.refused(query)
    assert told.startswith(
        "There is a table shop.orders already, and shop.orders has not built it. To take it over"
    )
    assert warehouse.staged() == []
    warehouse.run(query, adopt=True)
    assert warehouse.orders() == [(8,)]
    warehouse.run(orders("select 9 as id"))
    assert warehouse.orders() == [(9,)]


@pytest.mark.rule("35.16")
def test_a_table_of_another_dataset_is_taken_over_on_request_alone(warehouse: Warehouse) -> None:
    warehouse.run(
        orders("select 1 as id", "{type: table, table: shop.orders}").replace(
            "name: shop.orders", "name: a", 1
        )
    )
    told = warehouse.refused(orders("select 2 as id"))
    assert "There is a table shop.orders already, and the dataset a has built it." in told
    warehouse.run(orders("select 2 as id"), adopt=True)
    assert "has built it" in warehouse.refused(
        orders("select 3 as id", "{type: table, table: shop.orders}").replace(
            "name: shop.orders", "name: a", 1
        )
    )


@pytest.mark.rule("35.17")
def test_a_view_is_not_replaced_by_a_table_nor_a_table_by_a_view(warehouse: Warehouse) -> None:
    warehouse.run(orders("select 1 as id"))
    told = warehouse.refused(orders("select 2 as id", "view"), adopt=True)
    assert told.startswith("shop.orders is a table, and the run builds a view. Drop it, or give another name")
    warehouse.ask("drop table shop.orders")
    warehouse.run(orders("select 2 as id", "view"))
    told = warehouse.refused(orders("select 1 as id"), adopt=True)
    assert told.startswith("shop.orders is a view, and the run builds a table.")


@pytest.mark.rule("35.18")
@pytest.mark.parametrize("form", ["table", "view", "{type: incremental, strategy: append}"])
def test_the_descriptions_become_comments(warehouse: Warehouse, form: str) -> None:
    more = "description: It's all\nschema: [{name: ID, type: integer, description: The 'id'}]\n"
    warehouse.run(orders("select 1 as id", form, more))
    mark = "Built by the dataset shop.orders."
    assert comments(warehouse) == [(f"It's all\n\n{mark}", "The 'id'")]
    warehouse.run(orders("select 1 as id", form, more.replace("It's", "That is")))
    assert comments(warehouse) == [(f"That is all\n\n{mark}", "The 'id'")]
    warehouse.run(orders("select 1 as id", form))
    assert comments(warehouse)[0][0] == mark


@pytest.fixture
def server(postgres: Postgres) -> Warehouse:
    """A PostgreSQL database, with roles; DuckDB has no grants."""
    warehouse = Warehouse("postgres", postgres.fresh().url)
    for role in ("bi", "writer", "other"):
        warehouse.ask(f"do $$ begin create role {role}; exception when duplicate_object then null; end $$")
    return warehouse


def grants(warehouse: Warehouse) -> list[tuple[str, str]]:
    return warehouse.ask(
        "select grantee, privilege_type from information_schema.role_table_grants "
        "where table_name = 'orders' and grantee <> current_user order by 1, 2"
    )


@pytest.mark.rule("35.19")
def test_a_spec_sets_the_grants_that_it_names_and_leaves_the_others(server: Warehouse) -> None:
    server.run(orders("select 1 as id", GRANTS))
    expected = [("PUBLIC", "SELECT"), ("bi", "SELECT"), ("writer", "UPDATE")]
    assert grants(server) == expected
    server.ask("grant select, delete on shop.orders to other")
    server.run(orders("select 1 as id", GRANTS))
    assert grants(server) == sorted([*expected, ("other", "DELETE")])
    server.run(orders("select 1 as id", "{type: table, grants: {select: []}}"))
    assert grants(server) == [("other", "DELETE"), ("writer", "UPDATE")]


@pytest.mark.rule("35.19")
@pytest.mark.parametrize("form", ["table", "view"])
def test_a_table_that_takes_the_place_of_another_has_its_grants(server: Warehouse, form: str) -> None:
    server.run(orders("select 1 as id, 2 as v", form))
    server.ask(
        "grant select on shop.orders to bi with grant option",
        "grant update (v) on shop.orders to writer",
        "grant select on shop.orders to public",
    )
    server.run(orders("select 1 as v", form))
    assert server.ask("select has_table_privilege('bi', 'shop.orders', 'select with grant option')") == [
        (True,)
    ]
    assert server.ask("select has_column_privilege('writer', 'shop.orders', 'v', 'update')") == [(True,)]
    assert ("PUBLIC", "SELECT") in grants(server)


@pytest.mark.rule("35.20")
def test_names_are_those_that_a_user_means_without_quotes(warehouse: Warehouse) -> None:
    yaml = orders("select 1 as id", "{type: table, table: Shop.Order}")
    warehouse.run(yaml)
    assert warehouse.ask('select * from SHOP."order"') == [(1,)]
    warehouse.run(yaml)
    warehouse.run(orders("select 2 as id", "{type: table, table: plain}"))
    assert warehouse.ask("select * from plain") == [(2,)]
    warehouse.run(orders("select 3 as id", "{type: table, table: shop.with-dash}"))
    assert warehouse.ask('select * from shop."with-dash"') == [(3,)]


@pytest.mark.rule("35.20")
def test_a_name_that_the_engine_can_not_have_is_refused(warehouse: Warehouse) -> None:
    yaml = orders("select 1 as id", "{type: table, table: a.b.c.d}")
    assert "has names of at most 3 parts" in warehouse.refused(yaml)
    if warehouse.kind == "postgres":
        yaml = orders("select 1 as id", f"{{type: table, table: shop.{'x' * 64}}}")
        assert "after 63 bytes" in warehouse.refused(yaml)


@pytest.mark.rule("35.20")
def test_a_table_in_another_database_of_the_engine(warehouse: Warehouse) -> None:
    yaml = orders("select 1 as id", "{type: table, table: other.shop.orders}")
    if warehouse.kind == "postgres":
        with pytest.raises(StatementFailed, match="cross-database references are not implemented"):
            warehouse.run(yaml)
        assert warehouse.ask("select count(*) from pg_namespace where nspname = 'shop'") == [(0,)]
        return
    file = warehouse.address.replace("warehouse", "other")
    attach = f"pre_statements: [{{name: attach, sql: \"attach if not exists '{file}' as other\"}}]\n"
    for name in ("other.shop.orders", "other.plain"):
        warehouse.run(orders("select 1 as id", f"{{type: table, table: {name}}}", attach))
        assert warehouse.ask(f"attach '{file}' as other", f"select * from {name}") == [(1,)]
