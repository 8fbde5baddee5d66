"""A developer's own schema: tables are built there, and read from there where they are; and protected connections."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest

from dataspec.sql.table_places import named_tables
from unit.dli.conftest import Dli

SETTINGS = "environments:\n  dev: {schema: dev_ann}\n"


def dataset(project: Path, name: str, query: str, more: str = "", form: str = "table") -> None:
    text = f"name: {name}\ntype: Dataset\nowner: ann@example.com\nquery_statement: {query}\nmaterialization: {form}\n{more}"
    (project / "datasets" / f"{name}.yaml").write_text(text)


def rows(project: Path, query: str) -> list[Any]:
    with duckdb.connect(str(project / "warehouse.duckdb")) as connection:
        return connection.execute(query).fetchall()


@pytest.fixture
def shop(project: Path, dli: Dli) -> Path:
    """A project whose tables are built."""
    (project / "dli.yaml").write_text(SETTINGS)
    dataset(project, "shop.orders", "select 1 as id")
    dataset(
        project, "shop.report", "select shop.orders.id, 'real' as v from shop.orders order by shop.orders.id"
    )
    assert dli("dataset", "run", "--all").status == 0
    return project


@pytest.mark.rule("23.16")
def test_a_table_is_built_in_the_developers_schema_from_the_real_tables(shop: Path, dli: Dli) -> None:
    assert dli("dataset", "run", "shop.report", "--env", "dev").status == 0
    assert rows(shop, "select * from dev_ann.report") == [(1, "real")]
    dataset(shop, "shop.orders", "select 2 as id")
    assert dli("dataset", "run", "shop.orders", "--env", "dev").status == 0
    assert rows(shop, "select (select id from shop.orders), (select id from dev_ann.orders)") == [(1, 2)]


@pytest.mark.rule("23.17")
def test_what_is_in_the_developers_schema_is_read_from_there(shop: Path, dli: Dli) -> None:
    dataset(shop, "shop.orders", "select 2 as id")
    text = "select shop.orders.id, 'shop.orders' as v, o.id as w from Shop.orders join shop.orders as o using (id) where shop.orders.id > 0"
    checks = "checks: [{relationships: {column: id, to: shop.orders, field: id}}, {sql: select id from shop.orders where id = 1}]\n"
    dataset(shop, "shop.report", text, checks)
    assert dli("dataset", "run", "--all", "--env", "dev").status == 0
    assert rows(shop, "select * from dev_ann.report") == [(2, "shop.orders", 2)]
    assert rows(shop, "select * from shop.report") == [(1, "real")]
    shown = dli("dataset", "run", "shop.report", "--env", "dev", "--verbose").err
    assert '"dev_ann"."orders" as "orders"' in shown


@pytest.mark.rule("23.17")
def test_a_view_in_the_developers_schema_reads_from_there_when_it_is_defined_again(
    shop: Path, dli: Dli
) -> None:
    dataset(shop, "shop.orders", "select 2 as id")
    dataset(shop, "shop.report", "select id from shop.orders", form="{type: view, table: shop.latest}")
    for _ in range(2):
        assert dli("dataset", "run", "--all", "--env", "dev").status == 0
    assert rows(shop, "select * from dev_ann.latest") == [(2,)]


@pytest.mark.rule("23.16")
def test_datasets_with_one_name_in_several_schemas_stay_apart(shop: Path, dli: Dli) -> None:
    dataset(shop, "raw.orders", "select 7 as id")
    dataset(shop, "shop.orders", "select id + 1 as id from raw.orders")
    assert dli("dataset", "run", "--all", "--env", "dev").status == 0
    assert rows(shop, "select * from dev_ann.raw__orders, dev_ann.shop__orders, dev_ann.report") == [
        (7, 8, 8, "real")
    ]


@pytest.mark.rule("23.18")
def test_nothing_is_written_outside_the_developers_schema(shop: Path, dli: Dli) -> None:
    more = "pre_statements: [{name: clear, sql: delete from shop.orders}]\n"
    dataset(shop, "shop.report", "select 1 as id", more)
    told = dli("dataset", "run", "shop.report", "--env", "dev")
    assert told.status != 0
    assert "The statement 'clear' writes shop.orders, which is not in the schema 'dev_ann'." in told.err
    own = "pre_statements: [{name: clear, sql: '{% if table_exists %}delete from {{ this }}{% else %}select 1{% endif %}'}]\n"
    dataset(shop, "shop.report", "select 1 as id", own)
    for _ in range(2):
        assert dli("dataset", "run", "shop.report", "--env", "dev").status == 0
    (shop / "datasets" / "shop.report.yaml").write_text(
        "name: shop.report\ntype: Dataset\nowner: a@example.com\nquery_statement: create or replace table shop.report as select 1 as id\n"
    )
    told = dli("dataset", "run", "shop.report", "--env", "dev")
    assert told.err.startswith(
        "Error: 'shop.report' writes its tables itself, so it can't be built in the schema 'dev_ann'.\n"
    )
    assert rows(shop, "select * from shop.report") == [(1, "real")]


@pytest.mark.rule("23.16")
@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ("dev_${USER}", None),
        ("'dev; drop'", "dli.yaml:3:13: 'dev; drop' can't be a schema"),
        ("[a]", "expected text"),
    ],
)
def test_the_name_of_the_schema_may_have_variables_and_is_checked(
    shop: Path, dli: Dli, schema: str, reason: str | None
) -> None:
    (shop / "dli.yaml").write_text(f"environments:\n  dev:\n    schema: {schema}\n")
    told = dli("dataset", "run", "shop.orders", "--env", "dev")
    assert told.status == (0 if reason is None else 2)
    assert reason is None or reason in told.err
    if reason is None:
        assert rows(shop, "select * from dev_dana.orders") == [(1,)]
        assert "dev_dana" in dli("config", "show", "--env", "dev").out


@pytest.mark.rule("23.19")
@pytest.mark.parametrize("arguments", [("shop.orders",), ("--all",), ("--select", "shop.orders")])
def test_no_dataset_runs_on_a_protected_connection(shop: Path, dli: Dli, arguments: tuple[str, ...]) -> None:
    (shop / "dli.yaml").write_text(
        "connections:\n  dli_default:\n    url: duckdb:///warehouse.duckdb\n    protected: true\n"
        "environments:\n  mine: {connections: {dli_default: {protected: false}}}\n"
    )
    dataset(shop, "shop.orders", "select 2 as id")
    told = dli("dataset", "run", *arguments)
    assert told.status == 4
    assert told.err.startswith(
        "Error: The connection 'dli_default' is protected (dli.yaml:4:16): no dataset runs on it from here.\n"
    )
    assert rows(shop, "select * from shop.orders") == [(1,)]
    assert dli("dataset", "run", *arguments, "--dry-run").status == 0
    assert dli("dataset", "run", *arguments, "--env", "mine").status == 0


@pytest.mark.rule("23.19")
def test_a_protection_that_is_not_true_or_false_is_an_error(shop: Path, dli: Dli) -> None:
    (shop / "dli.yaml").write_text("connections:\n  w: {url: 'duckdb:///w.duckdb', protected: 'no'}\n")
    told = dli("dataset", "run", "shop.orders")
    assert "'connections.w.protected': expected true or false, got 'no'." in told.err


@pytest.mark.rule("23.17")
@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("select * from a.b", ["a.b"]),
        ("with b as (select 1) select * from b, a.b x", ["a.b"]),
        ('select \'a.b\', "a"."b".c from "a"."b" -- a.b', ['"a"."b"', '"a"."b"']),
        ("select (select max(x) from A.B) from other.b", ["A.B"]),
        ("select a.b from a", []),
        ("not sql at all (", []),
    ],
)
def test_names_of_tables_are_found_where_a_statement_reads_them(sql: str, found: list[str]) -> None:
    places = named_tables(sql, "duckdb", {"a.b"}).reads
    assert [sql[place.start : place.end] for place in places] == found
