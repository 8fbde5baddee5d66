"""Materializations on ClickHouse's engine, and what Redshift is sent, on PostgreSQL."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest

from dataspec.spec.full_refresh import FullRefresh
from dataspec.sql.checks.findings import ChecksFailed
from dataspec.sql.materialization.failure import MaterializationFailed
from dataspec.sql.rendering import RenderedStatement
from postgres import Postgres
from warehouses import Listener, Warehouse, orders

DAILY = "{type: incremental, strategy: replace_partition, partition_column: day}"
MERGE = "{type: incremental, strategy: merge, unique_key: [id, name]}"
APPEND = "{type: incremental, strategy: append, on_schema_change: append_columns}"
DATE = "parameters: [{name: execution_date, type: date}]\n"
FIRST, SECOND = date(2024, 1, 15), date(2024, 1, 16)
DAY = "cast('{{ execution_date }}' as date)"
PRIVILEGES = """create view svv_relation_privileges as
select table_schema as namespace_name, table_name as relation_name, privilege_type, grantee as identity_name,
  case when grantee = 'PUBLIC' then 'public' else 'user' end as identity_type, is_grantable = 'YES' as admin_option
from information_schema.table_privileges"""
"""The view of Redshift's catalog that PostgreSQL lacks."""


@pytest.fixture(scope="session")
def clickhouse_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of ClickHouse's engine, of which a process has one; each end of it leaves 150 open files behind."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return str(tmp_path_factory.mktemp("clickhouse"))


@pytest.fixture(params=["clickhouse", "redshift"])
def engine(request: pytest.FixtureRequest, clickhouse_folder: str) -> Iterator[Warehouse]:
    """ClickHouse's engine without a database shop, or a new database of PostgreSQL."""
    if request.param == "redshift":
        server: Postgres = request.getfixturevalue("postgres")
        redshift = Warehouse("redshift", server.fresh().url)
        redshift.ask(PRIVILEGES)
        yield redshift
        return
    clickhouse = Warehouse("clickhouse", clickhouse_folder)
    yield clickhouse
    clickhouse.ask("drop database if exists shop sync")


@pytest.mark.rule("35.30")
def test_a_table_is_made_refilled_and_replaced(engine: Warehouse) -> None:
    text = "cast('{}' as text)"
    for query, rows in (
        ("select 1 as id, " + text.format("O''Hare") + " as name -- a comment at the end", [(1, "O'Hare")]),
        (f"select {text.format('x')} as name, 2 as id union all select 'y', 3", [(2, "x"), (3, "y")]),
        ("select 'a' as id", [("a",)]),
        ("select 'b' as id", [("b",)]),
    ):
        engine.run(orders(query))
        assert (engine.orders(), engine.staged()) == (rows, [])


@pytest.mark.rule("35.10", "35.30")
def test_the_rows_of_a_partition_are_replaced(engine: Warehouse) -> None:
    query = f"select {DAY} as day, 1 as n union all select {DAY}, 2"
    for given in ("2024-01-15", "2024-01-16", "2024-01-15"):
        engine.run(orders(query, DAILY, DATE), execution_date=given)
    assert engine.orders() == [(FIRST, 1), (FIRST, 2), (SECOND, 1), (SECOND, 2)]
    engine.run(orders(f"select {DAY} as day, 9 as n where 1 = 0", DAILY, DATE), execution_date="2024-01-16")
    assert engine.orders() == [(FIRST, 1), (FIRST, 2)]
    told = engine.refused(
        orders("select cast('2024-01-16' as date) as day, 9 as n", DAILY, DATE), execution_date="2024-01-15"
    )
    assert told.startswith("1 row is outside the partition 2024-01-15 that the run builds, of 1: ")


@pytest.mark.rule("35.12", "35.13", "35.14", "35.30")
def test_rows_are_merged_by_their_key_and_added_with_a_new_column(engine: Warehouse) -> None:
    engine.run(orders("select 1 as id, cast('a' as text) as name, 1 as n union all select 2, 'b', 1", MERGE))
    engine.run(orders("select 2 as id, cast('b' as text) as name, 5 as n union all select 3, 'b', 5", MERGE))
    assert engine.orders() == [(1, "a", 1), (2, "b", 5), (3, "b", 5)]
    told = engine.refused(
        orders("select 9 as id, cast('b' as text) as name, 5 as n union all select 9, 'b', 6", MERGE)
    )
    assert "is not unique" in told
    engine.run(orders("select 4 as id, cast('c' as text) as name, 6 as n, 7 as more", APPEND))
    assert engine.ask("select id, n from shop.orders where more = 7") == [(4, 6)]
    assert len(engine.orders()) == 4


@pytest.mark.rule("35.15", "35.30")
def test_a_view_is_made_and_redefined(engine: Warehouse) -> None:
    for query, rows in (
        ("select 1 as id", [(1,)]),
        ("select 2 as id", [(2,)]),
        ("select 'x' as other, 3 as id -- the end", [("x", 3)]),
    ):
        engine.run(orders(query, "view"))
        assert (engine.orders(), engine.staged()) == (rows, [])
    assert "is a view, and the run builds a table" in engine.refused(orders("select 1 as id"))


@pytest.mark.rule("35.16", "35.18", "35.30")
def test_a_table_of_others_is_left_alone_and_descriptions_become_comments(engine: Warehouse) -> None:
    engine.run(orders("select 1 as id", more="description: First.\n"))
    other = orders("select 2 as id").replace("name: shop.orders", "name: other")
    table = other.replace("materialization: table", "materialization: {type: table, table: shop.orders}")
    assert "the dataset shop.orders has built it" in engine.refused(table)
    described = 'description: "It\'s\\nlong"\nschema: [{name: id, description: A key}]\n'
    engine.run(orders("select 3 as id", more=described))
    assert engine.orders() == [(3,)]
    assert "the dataset shop.orders has built it" in engine.refused(table)
    assert comments(engine) == ("It's\nlong\n\nBuilt by the dataset shop.orders.", "A key")


def comments(engine: Warehouse) -> tuple[str, str]:
    """Return the comments of shop.orders and of its column."""
    if engine.kind == "clickhouse":
        tables = "select comment from system.tables where database = 'shop' and name = 'orders'"
        columns = "select comment from system.columns where database = 'shop' and table = 'orders'"
    else:
        tables = "select obj_description('shop.orders'::regclass)"
        columns = "select col_description('shop.orders'::regclass, 1)"
    return engine.ask(tables)[0][0], engine.ask(columns)[0][0]


CHECKS = """checks:
- not_null: [id]
- unique: [id, name]
- accepted_values: {column: name, values: ["a", "it's"]}
- relationships: {column: id, to: shop.customers, field: id}
- row_count: {min: 3}
- {expression: "id > 1", where: "name <> 'z'"}
- sql: select id from {{ this }} where id < 2
"""


@pytest.mark.rule("37.5", "37.6")
def test_checks_are_one_statement_and_hold_rows_back(engine: Warehouse) -> None:
    engine.run(orders("select 1 as id", "{type: table, table: shop.customers}").replace("shop.orders", "c"))
    listener = Listener()
    query = "select 1 as id, cast('x' as text) as name union all select 2, 'a'"
    with pytest.raises(ChecksFailed):
        engine.run(orders(query, more=CHECKS), listener=listener)
    assert not engine.is_there()
    counts = [statement for statement in listener.sent if " as check_0" in statement.sql]
    assert len(counts) == 1
    assert listener.checks
    assert [result.rows for result in listener.checks.results] == [0, 0, 1, 1, 2, 1, 1]


class Broken(Exception):
    """A run broke off."""


def breaking(number: int) -> Listener:
    """Return a listener that breaks the run off before a statement."""

    def check(index: int, _: RenderedStatement) -> None:
        if index == number:
            raise Broken

    return Listener(check)


@pytest.mark.rule("35.1", "35.30", "35.31")
@pytest.mark.parametrize(
    ("form", "query"),
    [(DAILY, f"select {DAY} as day, 2 as n"), ("table", f"select {DAY} as day, 2 as n, 3 as more")],
    ids=["partition", "swap"],
)
def test_a_run_that_breaks_off_anywhere_leaves_the_old_rows_or_the_new_ones(
    engine: Warehouse, form: str, query: str
) -> None:
    old = orders(
        "select cast('2024-01-14' as date) as day, 1 as n union all select cast('2024-01-15' as date), 1"
    )
    engine.run(old)
    before, seen = engine.orders(), []
    for number in range(100):
        if engine.orders() != before:
            engine.run(old)
        try:
            engine.run(orders(query, form, DATE), listener=breaking(number), execution_date="2024-01-15")
        except Broken:
            seen.append(engine.orders())
            continue
        break
    after = engine.orders()
    assert (after != before, engine.staged()) == (True, [])
    assert seen == [before] * seen.count(before) + [after] * seen.count(after)
    assert seen.count(before) > len(seen) // 2


@pytest.mark.rule("35.31")
def test_of_two_runs_that_meet_the_earlier_one_publishes_nothing(engine: Warehouse) -> None:
    engine.run(orders("select 1 as id"))

    def meet(index: int, statement: RenderedStatement) -> None:
        if statement.name == "publish" and not met:
            met.append(index)
            engine.run(orders("select 3 as id"))

    met: list[int] = []
    with pytest.raises(MaterializationFailed, match="A later attempt of this dataset has begun to build"):
        engine.run(orders("select 2 as id"), listener=Listener(meet))
    assert engine.orders() == [(3,)]
    engine.run(orders("select 4 as id"))
    assert (engine.orders(), engine.staged()) == ([(4,)], [])


@pytest.mark.rule("35.32")
def test_a_table_that_can_not_be_exchanged_is_refused(clickhouse_folder: str) -> None:
    clickhouse = Warehouse("clickhouse", clickhouse_folder)
    try:
        clickhouse.ask("create database shop", "create table shop.orders (id Int8) engine = Log")
        told = clickhouse.refused(orders("select 1 as id"), adopt=True)
        assert told.startswith("shop.orders is a Log table, and the run builds a table.")
        clickhouse.ask("drop database shop sync", "create database shop engine = Memory")
        assert clickhouse.refused(orders("select 1 as id")) == (
            "the database shop has the engine Memory; rows are published in databases of the engine Atomic, "
            "Replicated or Shared, and tables of the family MergeTree."
        )
    finally:
        clickhouse.ask("drop database if exists shop sync")


@pytest.mark.rule("35.28", "35.29")
def test_a_full_refresh_fills_a_new_table_and_puts_it_in_place(engine: Warehouse) -> None:
    def run(day: str, number: int, refresh: FullRefresh | None = None, more: str = "") -> list[Any]:
        query = f"select {DAY} as day, {number} as n{more}"
        engine.run(orders(query, DAILY, DATE), execution_date=day, refresh=refresh)
        return engine.orders()

    first = FullRefresh("b", begins=True, ends=False)
    last = FullRefresh("b", begins=False, ends=True)
    assert run("2024-01-15", 1) == [(FIRST, 1)]
    assert run("2024-01-15", 2, first) == [(FIRST, 1)]
    assert run("2024-01-16", 3) == [(FIRST, 1), (SECOND, 3)]
    third = date(2024, 1, 17)
    for number in (4, 5):  # another attempt of the last run, after one that has put the table in place
        assert run("2024-01-17", number, last) == [(FIRST, 2), (SECOND, 3), (third, number)]
        assert engine.staged() == []
    whole = FullRefresh("c", begins=True, ends=True)
    assert run("2024-01-17", 6, whole, ", 7 as m") == [(third, 6, 7)]
    assert run("2024-01-16", 6, None, ", 7 as m")[0] == (SECOND, 6, 7)
