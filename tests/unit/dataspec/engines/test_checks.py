"""Checks on real engines: which rows fail them, what a failure holds back, and what is shown of the rows."""

from __future__ import annotations

from typing import Any

import pytest

from dataspec.engines.session import StatementFailed
from dataspec.errors import InvalidTemplate
from dataspec.sql.checks.findings import ChecksFailed
from warehouses import Listener, Warehouse, orders

ROWS = """\
select * from (values
  (1, 'new', 10, date '2024-01-15'),
  (2, 'o''k', -5, date '2024-01-15'),
  (2, null, null, date '2024-01-15'),
  (null, 'ö\\', 7, date '2024-01-15')
) as t(id, "Status", amount, day)"""
HEAD = "name: shop.orders\ntype: Dataset\nowner: e@example.com\n"
INCREMENTAL = "{type: incremental, strategy: replace_partition, partition_column: day}"


def with_checks(*checks: str, query: str = ROWS, form: str = "table", more: str = "") -> str:
    listed = "".join(f"  - {check}\n" for check in checks)
    return orders(query, form, f"checks:\n{listed}{more}")


def counts(warehouse: Warehouse, yaml: str, **given: Any) -> dict[str, int | None]:
    """Run a dataset; return how many rows each check has counted."""
    listener = Listener()
    try:
        warehouse.run(yaml, listener=listener, **given)
    except ChecksFailed:
        assert not warehouse.is_there()
    assert listener.checks is not None
    return {result.name: result.rows for result in listener.checks.results}


def failure(warehouse: Warehouse, yaml: str, **given: Any) -> ChecksFailed:
    with pytest.raises(ChecksFailed) as failed:
        warehouse.run(yaml, **given)
    return failed.value


@pytest.mark.rule("37.5")
@pytest.mark.parametrize(
    ("check", "rows"),
    [
        ("{not_null: [id]}", 1),
        ("{not_null: [ID, status]}", 2),
        ("{unique: [id]}", 2),
        ("{unique: [id, status]}", 0),
        ("{accepted_values: {column: STATUS, values: [new, old]}}", 2),
        ("{accepted_values: {column: amount, values: [10, 7.0]}}", 1),
        ("{row_count: {min: 1}}", 4),
        ("{expression: amount > 0}", 2),
        ("{expression: 'amount > 0 or amount is null'}", 1),
        ("{expression: 'id is not null -- a comment'}", 1),
        ("{sql: 'select id from {{ this }} where amount < 0'}", 1),
        ("{sql: 'select id from {{ this }}', where: id > 1}", 2),
        ("{not_null: [amount], where: id = 2}", 1),
        ("{unique: [id], where: amount is not null}", 0),
        ("{row_count: {max: 9}, where: id is null}", 1),
        ("{expression: amount > 0, where: amount is not null}", 1),
    ],
)
def test_rows_that_fail_a_check_are_counted(warehouse: Warehouse, check: str, rows: int) -> None:
    assert [*counts(warehouse, with_checks(check)).values()] == [rows]


@pytest.mark.rule("37.5")
def test_values_that_another_table_lacks_are_counted(warehouse: Warehouse) -> None:
    warehouse.ask("create schema ref", 'create table ref."Customers" ("Key" int)')
    warehouse.ask('insert into ref."Customers" values (1), (null)')
    named = "ref.Customers" if warehouse.kind == "duckdb" else "ref.customers"
    if warehouse.kind == "postgres":
        warehouse.ask('alter table ref."Customers" rename to customers')
    check = f"{{relationships: {{column: id, to: {named}, field: key}}}}"
    assert counts(warehouse, with_checks(check)) == {"relationships_id": 2}
    own = "{relationships: {column: amount, to: Shop.Orders, field: id}}"
    assert counts(warehouse, with_checks(own)) == {"relationships_amount": 3}


@pytest.mark.rule("37.6")
def test_all_checks_are_one_statement(warehouse: Warehouse) -> None:
    listener = Listener()
    checks = (
        "{not_null: [day]}",
        "{unique: [id, status]}",
        "{expression: day is not null}",
        "{row_count: {min: 4}}",
    )
    warehouse.run(with_checks(*checks), listener=listener)
    reading = [one.sql for one in listener.sent if one.kind == "check" and "1 = 0" not in one.sql]
    assert len(reading) == 1
    assert reading[0].count("__dli_") == 2, "the scan of all conditions, and the groups of 'unique'"


@pytest.mark.rule("37.7")
@pytest.mark.parametrize("value", ["o'k", "ö\\", "x' or '1'='1", '"; drop table shop.orders; --', "100 %s"])
def test_an_accepted_value_is_data(warehouse: Warehouse, value: str) -> None:
    literal = value.replace("'", "''")
    query = f"select '{literal}' as status union all select 'another'"
    check = f"{{accepted_values: {{column: status, values: ['{literal}']}}}}"
    assert counts(warehouse, with_checks(check, query=query)) == {"accepted_values_status": 1}


@pytest.mark.rule("37.8")
def test_a_parameter_in_a_check_is_bound(warehouse: Warehouse) -> None:
    more = "parameters: [{name: least, type: integer}, {name: word, type: string, default: new}]\n"
    yaml = with_checks(
        "{expression: 'amount >= {{ least }}'}",
        '{where: "\\"Status\\" = \'{{ word }}\'", row_count: {max: 9}}',
        more=more,
    )
    assert counts(warehouse, yaml, least=8, word="o'k") == {"expression": 3, "row_count": 1}
    with pytest.raises(InvalidTemplate) as refused:
        warehouse.run(with_checks("{expression: '{{ word }} = 1'}", more=more), least=1)
    assert "is not in quotes" in refused.value.problem.message


@pytest.mark.rule("37.9")
@pytest.mark.parametrize("form", ["table", "view", INCREMENTAL, "{type: incremental, strategy: append}"])
def test_rows_that_fail_are_not_published(warehouse: Warehouse, form: str) -> None:
    more = "parameters: [{name: execution_date, type: date, required: false}]\n" if form != "view" else ""
    given: dict[str, Any] = {"execution_date": "2024-01-15"} if more else {}
    good = "select 1 as id, date '2024-01-15' as day"
    check = "{name: positive, expression: id > 0}"
    warehouse.run(with_checks(check, query=good, form=form, more=more), **given)
    before = warehouse.orders()
    bad = f"{good} union all select -1, date '2024-01-15'"
    failed = failure(warehouse, with_checks(check, query=bad, form=form, more=more), **given)
    assert warehouse.orders() == before
    assert failed.title == "The check 'positive' failed: the rows were not published."
    assert failed.details == (
        "dataset.yaml:8:5: the check 'positive': for 1 of 2 rows it is not true that id > 0.",
    )


@pytest.mark.rule("37.9")
def test_all_checks_that_failed_are_told(warehouse: Warehouse) -> None:
    failed = failure(
        warehouse,
        with_checks("{not_null: [id]}", "{row_count: {max: 3}}", "{not_null: [day]}", "{unique: [id]}"),
    )
    assert (
        failed.title
        == "The checks 'not_null_id', 'row_count', 'unique_id' failed: the rows were not published."
    )
    assert [text.partition("': ")[2] for text in failed.details] == [
        "1 of 4 rows has null in id.",
        "there are 4 rows, more than 3.",
        "2 of 4 rows have the id of another row.",
    ]


@pytest.mark.rule("37.10")
def test_a_warning_holds_nothing_back(warehouse: Warehouse) -> None:
    listener = Listener()
    warehouse.run(with_checks("{not_null: [id], severity: warn}"), listener=listener)
    assert len(warehouse.orders()) == 4
    assert listener.checks is not None
    (result,) = listener.checks.results
    assert (result.status, result.rows) == ("warned", 1)


@pytest.mark.rule("37.11")
def test_without_a_materialization_the_table_is_checked_after_the_run(warehouse: Warehouse) -> None:
    yaml = (
        f"{HEAD}execution: {{dialect: {warehouse.kind}}}\n"
        "pre_statements: [{name: schema, sql: create schema if not exists shop}]\n"
        "query_statement: create table shop.orders as select 1 as id union all select 2\n"
        "post_statements: [{name: more, sql: insert into shop.orders values (2)}]\n"
        "checks: [{unique: [id]}, {row_count: {min: 3}}]\n"
    )
    failed = failure(warehouse, yaml)
    assert failed.title == "The check 'unique_id' failed: the rows are in the table."
    assert warehouse.orders() == [(1,), (2,), (2,)]


@pytest.mark.rule("37.11")
def test_the_only_table_that_the_sql_fills_is_checked(warehouse: Warehouse) -> None:
    yaml = (
        f"{HEAD}execution: {{dialect: {warehouse.kind}}}\n"
        "query_statement: create table another as select 1 as id\n"
        "checks: [{row_count: {min: 2}}, {sql: 'select * from {{ this }} where id = 1'}]\n"
    )
    failed = failure(warehouse, yaml)
    assert "there is 1 row, fewer than 2." in failed.details[0]
    assert "the query returns 1 row." in failed.details[1]


@pytest.mark.rule("37.13")
def test_five_rows_are_shown_without_personal_columns(warehouse: Warehouse) -> None:
    schema = "schema: [{name: id, type: integer}, {name: Mail, type: text, tags: [PII]}]\n"
    query = " union all ".join(f"select {n} as id, 'x{n}@example.com' as mail" for n in range(9))
    listener = Listener()
    yaml = with_checks(
        "{expression: id < 0}", "{sql: 'select mail as id from {{ this }}'}", query=query, more=schema
    )
    with pytest.raises(ChecksFailed) as failed:
        warehouse.run(yaml, listener=listener)
    shown = listener.results["rows that fail expression"]
    assert shown.columns == ("id",)
    assert len(shown.first_rows) == 5
    assert "rows that fail sql" not in listener.results, "its columns may have other names"
    assert "@example.com" not in str(failed.value)


@pytest.mark.rule("37.14")
def test_a_check_that_the_engine_refuses_is_named(warehouse: Warehouse) -> None:
    with pytest.raises(StatementFailed) as failed:
        warehouse.run(with_checks("{not_null: [day]}", "{name: wrong, expression: nowhere > 0}"))
    assert str(failed.value).startswith("check statement 'wrong' failed: ")
    assert not warehouse.is_there()
    missing = "{relationships: {column: id, to: ref.nothing, field: id}}"
    with pytest.raises(StatementFailed, match="check statement 'relationships_id' failed: "):
        warehouse.run(with_checks("{not_null: [day]}", missing))


@pytest.mark.rule("37.14")
def test_a_column_that_is_not_there_fails_its_check_alone(warehouse: Warehouse) -> None:
    failed = failure(warehouse, with_checks("{not_null: [day]}", "{not_null: [dai]}"))
    assert failed.details == (
        "dataset.yaml:14:5: the check 'not_null_dai': there is no column 'dai'. Did you mean 'day'?",
    )


@pytest.mark.rule("37.14")
def test_a_warning_that_can_not_be_checked_is_a_warning(warehouse: Warehouse) -> None:
    listener = Listener()
    warehouse.run(
        with_checks("{expression: nowhere > 0, severity: warn}", "{row_count: {min: 1}}"), listener=listener
    )
    assert listener.checks is not None
    first, second = listener.checks.results
    assert (first.status, first.rows, second.status) == ("warned", None, "passed")
    assert len(warehouse.orders()) == 4


@pytest.mark.rule("37.18")
def test_the_checks_alone_look_at_the_rows_of_the_partition(warehouse: Warehouse) -> None:
    more = "parameters: [{name: execution_date, type: date}]\n"
    query = "select 1 as id, date '{{ execution_date }}' as day"
    good = with_checks("{row_count: {max: 1}}", query=query, form=INCREMENTAL, more=more)
    for day in ("2024-01-14", "2024-01-15"):
        warehouse.run(good, execution_date=day)
    checks = ("{unique: [id]}", "{expression: id > 0}", "{name: all, sql: 'select * from {{ this }}'}")
    yaml = with_checks(*checks, query=query, form=INCREMENTAL, more=more)
    with pytest.raises(ChecksFailed) as failed:
        warehouse.check(yaml, execution_date="2024-01-15")
    assert failed.value.title == "The check 'all' failed: the rows are in the table."
    assert failed.value.details[0].endswith("the check 'all': the query returns 1 row.")
