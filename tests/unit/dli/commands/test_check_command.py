"""``dli dataset check``, the comparison of ``schema`` with the query, and ``dli dataset export``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from jsonschema import Draft201909Validator

from dataspec.models import CheckResult

if TYPE_CHECKING:
    from unit.dli.basecamp import Basecamp
    from unit.dli.conftest import Dli

ODCS = Path(__file__).parents[1] / "odcs-json-schema-v3.1.0.json"
"""The JSON Schema of the Open Data Contract Standard 3.1.0, by Bitol, under the Apache License 2.0."""

HEAD = "name: {name}\ntype: Dataset\nowner: dana@example.com\n"


def write(project: Path, name: str, body: str) -> None:
    (project / "datasets" / f"{name}.yaml").write_text(HEAD.format(name=name) + body)


ORDERS = """\
query_statement: |
  select * from (values (1, date '{{ execution_date }}', 5), (2, date '{{ execution_date }}', null)) t(id, day, amount)
parameters: [{name: execution_date, type: date}]
materialization: {type: incremental, strategy: replace_partition, partition_column: day}
checks:
"""


@pytest.mark.rule("37.18")
def test_checks_look_at_the_rows_of_the_partition_and_build_nothing(dli: Dli, project: Path) -> None:
    write(project, "shop.orders", ORDERS + "  - row_count: {min: 1}\n")
    for day in ("2024-01-14", "2024-01-15"):
        assert dli("dataset", "run", "shop.orders", "-p", f"execution_date={day}").status == 0
    write(
        project,
        "shop.orders",
        ORDERS
        + "  - row_count: {max: 2}\n  - not_null: [amount]\n  - {name: few, severity: warn, sql: 'select * from {{ this }}'}\n",
    )
    result = dli("dataset", "check", "shop.orders", "-p", "execution_date=2024-01-15")
    assert (result.status, result.out.splitlines()) == (
        1,
        [
            "DATASET       CHECK             SEVERITY   STATUS   ROWS",
            "shop.orders   row_count         error      passed   2",
            "shop.orders   not_null_amount   error      failed   1",
            "shop.orders   few               warn       warned   2",
        ],
    )
    assert "The check 'not_null_amount' failed: the rows are in the table." in result.err
    (found,) = json.loads(
        dli("dataset", "check", "--select", "shop.*", "-p", "execution_date=2024-01-14", "-f", "json").out
    )
    assert [check["rows"] for check in found["checks"]] == [2, 1, 2]
    assert found["partition"]["name"] == "2024-01-14"


@pytest.mark.rule("37.18")
def test_checks_without_a_table_or_without_checks_say_so(dli: Dli, project: Path) -> None:
    write(project, "shop.none", "query_statement: select 1 as id\nmaterialization: table\n")
    assert dli("dataset", "check", "shop.none").status == 3
    write(
        project,
        "shop.none",
        "query_statement: select 1 as id\nmaterialization: table\nchecks: [{unique: [id]}]\n",
    )
    result = dli("dataset", "check", "shop.none")
    assert (result.status, "There is no shop.none yet." in result.err) == (1, True)
    assert dli("dataset", "run", "shop.none").status == 0
    assert dli("dataset", "check", "shop.none").status == 0
    assert dli("dataset", "check").status == 2


@pytest.mark.rule("37.20")
def test_checks_run_on_the_server_and_are_followed_to_the_end(
    dli: Dli, project: Path, basecamp: Basecamp
) -> None:
    body = "query_statement: select 1 as id\nmaterialization: table\nchecks: [{unique: [id]}]\n"
    write(project, "shop.orders", body)
    write(project, "shop.plain", "query_statement: select 1 as id\nmaterialization: table\n")
    for name in ("shop.orders", "shop.plain"):
        basecamp.put_manual(name, (project / "datasets" / f"{name}.yaml").read_text())
    basecamp.load()
    basecamp.finish_queued = True
    basecamp.results = [CheckResult(name="unique_id", severity="error", status="passed", rows=0)]
    result = dli("dataset", "check", "--select", "shop.*", "--server")
    assert (result.status, result.out.splitlines()) == (
        0,
        [
            "DATASET       CHECK       SEVERITY   STATUS   ROWS",
            "shop.orders   unique_id   error      passed   0",
        ],
    )
    assert "Checks started: shop.orders_" in result.err
    (run,) = json.loads(dli("dataset", "check", "shop.orders", "--server", "-f", "json").out)
    assert (run["status"], run["checks"][0]["name"]) == ("COMPLETED", "unique_id")
    assert "has no checks." in dli("dataset", "check", "shop.plain", "--server").err


TYPED = "query_statement: select 1 as id, 'x' as word, now() as at\nmaterialization: table\nschema:\n"


@pytest.mark.rule("37.16")
def test_a_column_of_another_type_fails_the_run_before_it_publishes(dli: Dli, project: Path) -> None:
    write(
        project,
        "a.b",
        TYPED
        + "  - {name: id, type: bigint}\n  - {name: word, type: date}\n  - {name: at, type: timestamptz}\n",
    )
    result = dli("dataset", "run", "a.b")
    assert result.status == 1
    assert "The check 'schema' failed: the rows were not published." in result.err
    assert (
        "datasets/a.b.yaml:6:1: the query does not yield what 'schema' says: word is VARCHAR, not date."
        in result.err
    )
    write(project, "a.b", TYPED + "  - {name: id, type: integer}\n  - {name: WORD, type: varchar}\n")
    result = dli("dataset", "run", "a.b", "-f", "json")
    assert result.status == 0
    assert "the query yields columns that 'schema' lacks: at." in result.err
    assert [(one["name"], one["status"]) for one in json.loads(result.out)["checks"]] == [
        ("schema", "warned")
    ]


@pytest.mark.rule("37.16")
@pytest.mark.parametrize("more", ["materialization: table\n", ""])
def test_names_are_compared_without_a_run(dli: Dli, project: Path, more: str) -> None:
    body = "query_statement: select 1 as id, 2 as amount\nschema: [{name: id, type: int}, {name: amont, type: int}]\n"
    write(project, "a.b", body + more)
    result = dli("dataset", "validate", "a.b")
    assert result.status == 2
    assert "datasets/a.b.yaml:5:40: the query has no column 'amont'. Did you mean 'amount'?" in result.err
    assert "the query yields columns that 'schema' lacks: amount." in result.err


CONTRACT = """\
description: Orders of a day.
team: "@shop"
domains: [sales]
tags: [daily]
query_statement: select 1 as id, 2 as customer, 'a' as status, 3 as amount, date '{{ execution_date }}' as day
parameters: [{name: execution_date, type: date}]
materialization: {type: incremental, strategy: replace_partition, partition_column: day, table: dw.shop.orders}
schedule: {cron: "0 9 * * *"}
schema:
  - {name: id, type: bigint, description: The key.}
  - {name: customer, type: "decimal(10, 2)", tags: [pii]}
  - {name: status, type: varchar}
  - {name: amount, type: integer}
  - {name: day, type: date}
checks:
  - not_null: [id, amount]
  - unique: [id]
  - unique: [id, day]
  - accepted_values: {column: status, values: [a, b]}
  - relationships: {column: customer, to: shop.customers, field: id}
  - row_count: {min: 1, max: 10}
  - row_count: {min: 3, max: 3}
    name: three
  - expression: amount >= 0
    where: status <> 'b'
    severity: warn
  - name: one
    sql: select * from {{ this }} t where day = date '{{ execution_date }}'
  - not_null: [status]
    where: amount > 0
"""


@pytest.mark.rule("37.17")
def test_every_check_is_in_the_contract_which_the_standard_accepts(dli: Dli, project: Path) -> None:
    write(project, "shop.orders", CONTRACT)
    result = dli("dataset", "export", "shop.orders", "--format", "odcs")
    assert (result.status, result.err) == (0, "")
    found: dict[str, Any] = yaml.safe_load(result.out)
    Draft201909Validator(json.loads(ODCS.read_text())).validate(found)
    (table,) = found["schema"]
    columns = {column["name"]: column for column in table["properties"]}
    assert columns["id"]["quality"] == [
        {"name": "not_null_id_amount", "severity": "error", "metric": "nullValues", "mustBe": 0},
        {"name": "unique_id", "severity": "error", "metric": "duplicateValues", "mustBe": 0},
    ]
    assert (columns["day"]["partitioned"], columns["customer"]["logicalType"]) == (True, "number")
    quality = {one["name"]: one for one in table["quality"]}
    assert quality["row_count"]["mustBeBetween"] == [1, 10]
    assert quality["three"]["mustBe"] == 3
    assert quality["unique_id_day"]["arguments"] == {"properties": ["id", "day"]}
    assert quality["expression"]["severity"] == "warning"
    assert "from dw.shop.orders t" in quality["one"]["query"]
    assert "{{ execution_date }}" in quality["one"]["query"]
    named = {one["name"] for one in table["quality"]} | {
        one["name"] for column in columns.values() for one in column.get("quality", ())
    }
    assert len(named) == 10


@pytest.mark.rule("37.17")
def test_the_sql_of_a_contract_counts_the_rows_that_fail(dli: Dli, project: Path) -> None:
    import duckdb

    write(
        project,
        "shop.orders",
        "query_statement: select 1 as id\nmaterialization: table\nchecks:\n"
        "  - {name: a, expression: id > 1}\n  - {name: b, unique: [id], where: id > 0}\n"
        "  - {name: c, relationships: {column: id, to: shop.others, field: id}}\n"
        "  - {name: d, sql: 'select * from {{ this }} t where id = 2'}\n",
    )
    (table,) = yaml.safe_load(dli("dataset", "export", "shop.orders", "-f", "odcs").out)["schema"]
    with duckdb.connect() as connection:
        connection.execute("create schema shop; create table shop.orders as values (1), (2), (2)")
        connection.execute(
            "alter table shop.orders rename col0 to id; create table shop.others as select 1 as id"
        )
        counts = {one["name"]: connection.execute(one["query"]).fetchall() for one in table["quality"]}
    assert counts == {"a": [(1,)], "b": [(2,)], "c": [(2,)], "d": [(2,)]}
