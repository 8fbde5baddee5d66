"""A run with a materialization on real engines: what is published, what is refused, and what stays."""

from __future__ import annotations

import pytest

from dataspec.engines.session import StatementFailed
from dataspec.errors import InvalidTemplate
from warehouses import Warehouse, orders


@pytest.mark.rule("35.1", "35.3")
def test_the_rows_of_a_select_become_the_only_rows_of_a_table(warehouse: Warehouse) -> None:
    listener = warehouse.run(orders("select 1 as id, 'O''Hare' as name -- a comment at the end"))
    assert (warehouse.orders(), listener.written) == ([(1, "O'Hare")], 1)
    listener = warehouse.run(orders("select 2 as id, 'x' as name union all select 3, 'y'"))
    assert (warehouse.orders(), listener.written) == ([(2, "x"), (3, "y")], 2)
    assert warehouse.staged() == []


@pytest.mark.rule("35.1")
def test_a_query_that_changes_a_table_is_refused(warehouse: Warehouse) -> None:
    warehouse.run(orders("select 1 as id"))
    with pytest.raises(StatementFailed):
        warehouse.run(orders("with gone as (delete from shop.orders returning id) select id from gone"))
    assert warehouse.orders() == [(1,)]


@pytest.mark.rule("35.3")
def test_columns_are_matched_by_name(warehouse: Warehouse) -> None:
    warehouse.run(orders("select 1 as id, 2 as amount"))
    warehouse.run(orders("select 20 as amount, 10 as id"))
    assert warehouse.ask("select id, amount from shop.orders") == [(10, 20)]


@pytest.mark.rule("35.3")
def test_a_table_with_other_columns_is_replaced(warehouse: Warehouse) -> None:
    warehouse.run(orders("select 1 as id, 2 as amount"))
    warehouse.run(orders("select 'a' as id"))
    assert warehouse.orders() == [("a",)]


@pytest.mark.rule("35.6")
def test_a_table_with_the_same_columns_stays_the_same_object(warehouse: Warehouse) -> None:
    warehouse.run(orders("select 1 as id"))
    warehouse.ask(
        "create view shop.v as select id from shop.orders",
        "create index orders_id on shop.orders (id)",
        "comment on column shop.orders.id is 'by hand'",
    )
    warehouse.run(orders("select 2 as id"))
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
    warehouse.run(orders("select 1 as id"))
    with pytest.raises(StatementFailed, match="9x"):
        warehouse.run(
            orders(
                "select cast(x as integer) as id from (values ('1'), ('a')) as t (x)".replace("'a'", "'9x'")
            )
        )
    assert warehouse.orders() == [(1,)]
    warehouse.run(orders("select 3 as id"))
    assert (warehouse.orders(), warehouse.staged()) == ([(3,)], [])


@pytest.mark.rule("35.2")
@pytest.mark.parametrize("sql", ["begin", "start transaction", "COMMIT", "/* x */ rollback"])
def test_statements_that_control_transactions_are_refused(warehouse: Warehouse, sql: str) -> None:
    more = f"pre_statements: [{{name: first, sql: '{sql}'}}]\n"
    with pytest.raises(InvalidTemplate) as failure:
        warehouse.run(orders("select 1 as id", more=more))
    assert "is refused with 'materialization'" in failure.value.problem.message


GUARDED = """{% if table_exists %}
select max(id) + 1 as id from {{ this }}
{% else %}
select 1 as id
{% endif %}"""


@pytest.mark.rule("35.21")
@pytest.mark.parametrize("form", ["{type: incremental, strategy: append}", "table"])
def test_a_query_may_ask_for_its_own_table_and_whether_it_is_there(warehouse: Warehouse, form: str) -> None:
    for _ in range(3):
        warehouse.run(orders(GUARDED, form))
    assert warehouse.orders()[-1] == (3,)


@pytest.mark.rule("35.21")
def test_the_table_is_a_bound_name_in_each_statement(warehouse: Warehouse) -> None:
    more = (
        "pre_statements: [{name: clear, sql: '{% if table_exists %}delete from {{ this }}{% else %}select 1{% endif %}'}]\n"
        "post_statements: [{name: more, sql: 'insert into {{ this }} select 7'}]\n"
    )
    form = "{type: incremental, strategy: append, table: shop.with-dash}"
    for _ in range(2):
        warehouse.run(orders("select 1 as id", form, more))
    assert warehouse.ask('select id from shop."with-dash" order by 1') == [(1,), (7,)]
