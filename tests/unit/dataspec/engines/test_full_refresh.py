"""Tables that are built anew: by one run, and by the runs of a backfill in a new table beside the old one."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from dataspec.engines.session import StatementFailed
from dataspec.spec.full_refresh import FullRefresh
from warehouses import Listener, Warehouse, orders

DAY = "cast('{{ execution_date }}' as date)"
DATE = "parameters: [{name: execution_date, type: date}]\n"
DAILY = "{type: incremental, strategy: replace_partition, partition_column: day}"
FIRST, SECOND, THIRD, OTHER = (date(2024, 1, day) for day in (15, 16, 17, 20))
ROLE = "do $$ begin create role reader; exception when duplicate_object then null; end $$"
BACKFILL = "shop.orders_20240301_120000"


def part(*, begins: bool = False, ends: bool = False, backfill: str = BACKFILL) -> FullRefresh:
    return FullRefresh(backfill, begins=begins, ends=ends)


def daily(number: int, more: str = "", columns: str = "") -> str:
    """Return a dataset with one row for each day."""
    return orders(f"select {DAY} as day, {number} as n{columns}", DAILY, DATE + more)


def build(warehouse: Warehouse, yaml: str, day: date, refresh: FullRefresh | None = None) -> Listener:
    return warehouse.run(yaml, refresh=refresh, execution_date=day.isoformat())


def indexes(warehouse: Warehouse) -> int:
    query = (
        "select count(*) from pg_indexes where tablename = 'orders'"
        if warehouse.kind == "postgres"
        else "select count(*) from duckdb_indexes()"
    )
    return int(warehouse.ask(query)[0][0])


@pytest.mark.rule("35.26")
def test_a_full_refresh_of_a_table_makes_a_new_object(warehouse: Warehouse) -> None:
    warehouse.run(orders("select 1 as id"))
    warehouse.ask("create index of_orders on shop.orders (id)")
    warehouse.run(orders("select 2 as id"), refresh=FullRefresh())
    assert (warehouse.orders(), indexes(warehouse), warehouse.staged()) == ([(2,)], 0, [])
    warehouse.ask("drop table shop.orders")
    warehouse.run(orders("select 3 as id"), refresh=FullRefresh())
    assert warehouse.orders() == [(3,)]


@pytest.mark.rule("35.27")
@pytest.mark.parametrize(
    ("form", "reason"),
    [
        (
            DAILY,
            "is incremental: a full refresh by one run would leave the rows of that run alone. Build all",
        ),
        ("view", "is a view, which holds no rows that a full refresh could build anew."),
    ],
)
def test_one_run_refuses_to_build_anything_else_anew(warehouse: Warehouse, form: str, reason: str) -> None:
    yaml = daily(1) if form == DAILY else orders("select 1 as id", form)
    given: dict[str, Any] = {"execution_date": "2024-01-15"} if form == DAILY else {}
    assert reason in warehouse.refused(yaml, refresh=FullRefresh(), **given)
    plain = yaml.replace(f"materialization: {form}\n", "")
    assert "has no 'materialization'" in warehouse.refused(plain, refresh=FullRefresh(), **given)


@pytest.mark.rule("35.28")
def test_a_backfill_fills_a_new_table_which_replaces_the_old_one_after_the_last_partition(
    warehouse: Warehouse,
) -> None:
    for day in (FIRST, OTHER):
        build(warehouse, daily(1), day)
    old = [(FIRST, 1), (OTHER, 1)]
    text = daily(2, columns=", 'x' as v")
    build(warehouse, text, FIRST, part(begins=True))
    build(warehouse, text, SECOND, part())
    assert warehouse.orders() == old
    build(warehouse, text, THIRD, part(ends=True))
    assert warehouse.orders() == [(FIRST, 2, "x"), (SECOND, 2, "x"), (THIRD, 2, "x")]
    assert warehouse.staged() == []
    build(warehouse, text, OTHER)
    assert len(warehouse.orders()) == 4


@pytest.mark.rule("35.28")
def test_the_first_partition_drops_what_another_full_refresh_has_left(warehouse: Warehouse) -> None:
    build(warehouse, daily(1), FIRST)
    build(warehouse, daily(2), SECOND, part(begins=True, backfill="a"))
    build(warehouse, daily(3), FIRST, part(begins=True))
    told = warehouse.refused(daily(2), refresh=part(ends=True, backfill="a"), execution_date="2024-01-17")
    assert told.startswith("The new table of the full refresh a is not there any more: another full refresh")
    build(warehouse, daily(3), THIRD, part(ends=True))
    assert warehouse.orders() == [(FIRST, 3), (THIRD, 3)]


@pytest.mark.rule("35.28")
def test_an_attempt_of_the_last_run_after_one_that_has_put_the_table_in_place_succeeds(
    warehouse: Warehouse,
) -> None:
    build(warehouse, daily(1), FIRST)
    fails = "post_statements: [{name: last, sql: select * from no.table}]\n"
    build(warehouse, daily(2), FIRST, part(begins=True))
    with pytest.raises(StatementFailed):
        build(warehouse, daily(2, fails), SECOND, part(ends=True))
    assert warehouse.orders() == [(FIRST, 2), (SECOND, 2)]
    build(warehouse, daily(3), SECOND, part(ends=True))
    assert warehouse.orders() == [(FIRST, 2), (SECOND, 3)]


@pytest.mark.rule("35.29")
def test_a_run_meanwhile_writes_its_partition_into_both_tables(warehouse: Warehouse) -> None:
    build(warehouse, daily(1), FIRST)
    build(warehouse, daily(2), FIRST, part(begins=True))
    build(warehouse, daily(1), OTHER)
    assert warehouse.orders() == [(FIRST, 1), (OTHER, 1)]
    build(warehouse, daily(2), SECOND, part(ends=True))
    assert warehouse.orders() == [(FIRST, 2), (SECOND, 2), (OTHER, 1)]


@pytest.mark.rule("35.29")
def test_a_run_whose_rows_do_not_fit_the_new_table_ends_the_full_refresh_and_not_itself(
    warehouse: Warehouse,
) -> None:
    build(warehouse, daily(1), FIRST)
    text = daily(2, columns=", 'x' as v")
    build(warehouse, text, FIRST, part(begins=True))
    build(warehouse, daily(1), OTHER)
    assert warehouse.orders() == [(FIRST, 1), (OTHER, 1)]
    told = warehouse.refused(text, refresh=part(ends=True), execution_date="2024-01-16")
    assert "or a run with other columns has removed it. Start the full refresh again" in told


GUARDED = """{% if table_exists %}
select {{ DAY }}, max(n) + 1 as n from {{ this }}
{% else %}
select {{ DAY }}, 1 as n
{% endif %}""".replace("{{ DAY }}", f"{DAY} as day")


@pytest.mark.rule("35.28")
def test_the_sql_of_a_full_refresh_sees_the_new_table(warehouse: Warehouse) -> None:
    more = DATE + "post_statements: [{name: after, sql: 'update {{ this }} set n = n + 100'}]\n"
    yaml = orders(GUARDED, DAILY, more)
    days: list[tuple[date, FullRefresh | None]] = [
        (FIRST, None),
        (SECOND, part(begins=True)),
        (THIRD, part()),
        (OTHER, part(ends=True)),
    ]
    for day, refresh in days:
        build(warehouse, yaml, day, refresh)
    assert warehouse.orders() == [(SECOND, 301), (THIRD, 302), (OTHER, 303)]


@pytest.mark.rule("35.28")
def test_the_new_table_has_the_grants_and_comments_of_the_old_one(warehouse: Warehouse) -> None:
    if warehouse.kind == "postgres":
        warehouse.ask(ROLE)
    build(warehouse, daily(1), FIRST)
    if warehouse.kind == "postgres":
        warehouse.ask("grant select on shop.orders to reader")
    more = "description: All orders\n"
    build(warehouse, daily(2, more), FIRST, part(begins=True))
    build(warehouse, daily(2, more), SECOND, part(ends=True))
    build(warehouse, daily(2, more), SECOND)
    if warehouse.kind == "postgres":
        assert warehouse.ask("select has_table_privilege('reader', 'shop.orders', 'select')") == [(True,)]
        comment: list[Any] = warehouse.ask("select obj_description('shop.orders'::regclass, 'pg_class')")
    else:
        comment = warehouse.ask("select comment from duckdb_tables() where table_name = 'orders'")
    assert comment == [("All orders\n\nBuilt by the dataset shop.orders.",)]


@pytest.mark.rule("35.16", "35.28")
def test_a_full_refresh_replaces_no_table_of_others(warehouse: Warehouse) -> None:
    warehouse.ask("create schema shop", "create table shop.orders as select 7 as id")
    given: dict[str, Any] = {"execution_date": "2024-01-15"}
    told = warehouse.refused(daily(1), refresh=part(begins=True), **given)
    assert "There is a table shop.orders already" in told
    warehouse.run(daily(1), adopt=True, refresh=part(begins=True), **given)
    assert warehouse.orders() == [(7,)]
    warehouse.run(daily(1), adopt=True, refresh=part(ends=True), execution_date="2024-01-16")
    assert warehouse.orders() == [(FIRST, 1), (SECOND, 1)]


@pytest.mark.rule("35.28")
@pytest.mark.parametrize(
    "form",
    [
        "{type: incremental, strategy: append}",
        "{type: incremental, strategy: merge, unique_key: [n]}",
        "table",
    ],
)
def test_every_strategy_fills_the_new_table(warehouse: Warehouse, form: str) -> None:
    yaml = orders(f"select {DAY} as day, extract(day from {DAY}) as n", form, DATE)
    for day in (FIRST, OTHER):
        build(warehouse, yaml, day)
    build(warehouse, yaml, SECOND, part(begins=True))
    build(warehouse, yaml, THIRD, part(ends=True))
    found = [row[0] for row in warehouse.orders()]
    assert found == ([THIRD] if form == "table" else [SECOND, THIRD])
    assert warehouse.staged() == []


@pytest.mark.rule("35.34")
def test_a_table_that_views_read_is_replaced_where_the_engine_lets_it(warehouse: Warehouse) -> None:
    build(warehouse, daily(1), FIRST)
    warehouse.ask(
        "create view shop.report as select day from shop.orders",
        "create view shop.above as select day from shop.report",
    )
    if warehouse.kind == "duckdb":
        build(warehouse, daily(2), FIRST, part(begins=True))
        build(warehouse, daily(2), SECOND, part(ends=True))
        assert warehouse.ask("select * from shop.above order by 1") == [(FIRST,), (SECOND,)]
        return
    told = "No new table can take the place of shop.orders: shop.report would have to go with it. Drop what reads it"
    given: dict[str, Any] = {"execution_date": "2024-01-15"}
    assert warehouse.refused(daily(2), refresh=part(begins=True), **given).startswith(told)
    whole = FullRefresh(BACKFILL)
    assert warehouse.refused(daily(2), refresh=whole, **given).startswith(told)
    build(warehouse, daily(2), FIRST)
    assert warehouse.ask("select * from shop.above") == [(FIRST,)]


@pytest.mark.rule("35.34")
def test_a_table_with_other_columns_that_views_read_stays(warehouse: Warehouse) -> None:
    warehouse.run(orders("select 1 as id"))
    warehouse.ask("create view shop.report as select id from shop.orders")
    if warehouse.kind == "postgres":
        assert "shop.report would have to go with it" in warehouse.refused(orders("select 'a' as id"))
    else:
        warehouse.run(orders("select 'a' as id"))
