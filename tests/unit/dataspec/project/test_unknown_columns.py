"""Columns that the dataset which makes a table does not build are told where others read them."""

from __future__ import annotations

import pytest

from dataspec.project.cross_checks import check_project
from dataspec.project.spec_checks import CheckedSpec, check_valid
from dataspec.spec.parse import parse_document
from dataspec.spec.yaml_reader import read_document

UP = "create or replace table s.up as select id, day, a + b as total from raw.t"
HEAD = "type: Dataset\nowner: ann@example.com\nexecution: {dialect: duckdb}\n"


def checked(name: str, sql: str, more: str = "") -> CheckedSpec:
    document = read_document(f"name: {name}\n{HEAD}query_file: q.sql\n{more}".encode(), f"d/{name}.yaml")
    return check_valid(parse_document(document), {"q.sql": sql}, document)


def warnings(down: str, up: str = UP, *, more: str = "", down_more: str = "") -> list[str]:
    """Return the warnings about columns of a dataset beside the one that makes ``s.up``."""
    specs = [checked("s.up", up, more), checked("s.down", down, f"depends_on: [s.up]\n{down_more}")]
    return [str(found) for found in check_project(specs)[1].problems if "column" in found.message]


@pytest.mark.rule("10.20")
@pytest.mark.parametrize(
    ("sql", "place", "column", "hint"),
    [
        ("insert into s.down select x.id,\n  x.totl from s.up x", "2:5", "totl", " Did you mean 'total'?"),
        ("insert into s.down select zone from s.up", "1:27", "zone", ""),
        ("insert into s.down select id from wh.s.up where S.up.dey = 1", None, None, ""),  # a struct's field?
        ("insert into s.down select up.id from s.up join raw.t on t.k = up.nr", "1:66", "nr", ""),
        ("with q as (select zone from s.up) select * from q", "1:19", "zone", ""),
        ("insert into s.down select sum(zone) as zone from s.up", "1:31", "zone", ""),
        ("select 1 as x where exists (select 1 from s.up u where u.zone = 1)", "1:58", "zone", ""),
    ],
)
def test_a_column_that_is_not_built_is_a_warning_at_its_place(
    sql: str, place: str | None, column: str | None, hint: str
) -> None:
    table = "wh.s.up" if "wh." in sql else "s.up"
    expected = [f"d/q.sql:{place}: {table} has no column '{column}': 's.up' does not build it.{hint}"]
    assert warnings(sql) == (expected if place else [])


@pytest.mark.rule("10.20")
@pytest.mark.parametrize(
    "sql",
    [
        "select id, Day, up.TOTAL from s.up",
        "select zone from s.up join raw.z on true",  # of which table?
        "select id as i, i + 1 as j from s.up order by j",
        "select id as zone, zone + 1 as zone from s.up",
        "select id as zone from s.up where zone = 1",
        "select (select max(zone) from s.up) as m from raw.z",  # of the outer query?
        "select zone from other.up",
        "select u.zone from s.up as u(zone, day, total)",
        "select up from s.up",
        "select rowid, _file from s.up",
        "with up as (select zone from raw.z) select zone from up",
        "select * from s.up pivot (sum(total) for day in ('x'))",
        "select {{ c | identifier }} from s.up",
    ],
)
def test_what_may_be_there_is_no_warning(sql: str) -> None:
    parameter = "parameters: [{name: c, type: string}]\n" if "{{" in sql else ""
    assert warnings(sql, down_more=parameter) == []


@pytest.mark.rule("10.20")
@pytest.mark.parametrize(
    ("up", "more"),
    [
        ("insert into s.up select id from raw.t", ""),
        ("create table if not exists s.up as select id from raw.t", ""),
        ("create table s.up as select id, t.* from raw.t", ""),
        ("create table s.up as select id, a + 1 from raw.t", ""),
        ("create table s.up as select id{% if x %}, zone{% endif %} from raw.t", "parameters: [{name: x, type: boolean}]\n"),
        ("create table s.up as select id from raw.t", "post_statements: [{name: a, sql: alter table s.up add column zone int}]\n"),
        ("select id from raw.t", "materialization: {type: incremental, strategy: append}\n"),
        ("select id from raw.t", "schema: [{name: id, type: int}]\n"),
    ],
)  # fmt: skip
def test_a_table_whose_columns_are_not_certain_is_no_warning(up: str, more: str) -> None:
    assert warnings("select zone from s.up", up, more=more) == []


@pytest.mark.rule("10.20")
def test_the_columns_of_a_materialized_select_are_certain() -> None:
    (warning,) = warnings("select zone from s.up", "select id from raw.t", more="materialization: table\n")
    assert warning == "d/q.sql:1:8: s.up has no column 'zone': 's.up' does not build it."


@pytest.mark.rule("10.20")
def test_hundred_uses_of_one_column_are_one_warning() -> None:
    sql = "select " + ", ".join(f"zone + {number} as z{number}" for number in range(100)) + " from s.up"
    assert len(warnings(sql)) == 1
