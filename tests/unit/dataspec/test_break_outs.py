"""Values that are meant to break out of the SQL around them: each ends as data, or is refused.

DuckDB and SQLite run what was rendered and give the value back; for the other engines the
statements are parsed and must be those that a harmless value makes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import duckdb
import pytest
import sqlglot
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlglot import exp

from dataspec.errors import InvalidTemplate
from dataspec.parameter_values import ParameterValueError, coerce
from dataspec.sql.templates import render

DIALECTS = [
    "duckdb", "postgres", "mysql", "bigquery", "snowflake", "trino", "spark", "databricks", "sqlite",
    "redshift", "clickhouse", "tsql", "oracle", None,
]  # fmt: skip
FRAGMENTS = [
    "'", "''", '"', "`", "]", "[", "\\", "\\'", "\\\\", "--", "-- ", "/*", "*/", "/*!", "#", ";", "; drop table canary",
    "; drop table canary; --", " or 1=1", "$$", "$q$", "$1", "?", ":x", "%s", "%(x)s", "@x", "\x00", "\n", "\r\n", "\t",
    "\u2019", "\u02bc", "\uff07", "\u00bf'", "\u0000'", "\ud800", "{{ 7*7 }}", "{% raw %}", "{#", "E'", "N'", "U&'\\0027",
    "q'[", "]'", "r'", "x'", "null", "true", "1", "a", " ", "é", "0x27", "\\u0027", "\\047", ", 2", ") union select 1",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=3), max_size=6).map("".join)
VALUES = {
    "string": TEXTS,
    "integer": st.integers(-(2**63) + 1, 2**63 - 1),
    "float": st.floats(allow_nan=False, allow_infinity=False),
    "boolean": st.booleans(),
    "date": st.dates().map(lambda day: day.isoformat()),
    "datetime": st.datetimes().map(lambda moment: moment.isoformat()),
    "list": st.lists(TEXTS | st.integers(-1000, 1000) | st.booleans(), min_size=1, max_size=3),
}
HARMLESS: dict[str, Any] = {
    "string": "a", "integer": 1, "float": 1.5, "boolean": True, "date": "2024-01-15", "datetime": "2024-01-15T00:00:00",
}  # fmt: skip
PLACES = [
    "select '{{ x }}' as v", "select 'a{{ x }}' || 'b{{ x }}', 1", 'select 1 as "{{ x }}"', "select 1 as `{{ x }}`",
    "select 1 as [{{ x }}]", "select {{ x }} as v", "select 5 -{{ x }}", "select 5 - {{ x }}", "select t_{{ x }} from t",
    "select 1 /* {{ x }} */, 2", "select 1 /* *{{ x }}* */, 2", "select 1 -- {{ x }}\n, 2", "select 1 # {{ x }}\n, 2",
    "select 1 /*! {{ x }} */, 2", "select 1 in ({{ x }})", "select $${{ x }}$$ as v", "select $q${{ x }}$q$ as v",
    "select E'{{ x }}' as v", "select e'{{ x }}{{ x }}' as v", "select N'{{ x }}' as v", "select U&'{{ x }}' as v",
    "select x'{{ x }}' as v", "select r'{{ x }}' as v", "select _utf8'{{ x }}' as v", "select '''{{ x }}''' as v",
    'select """{{ x }}""" as v', "select q'[{{ x }}]' as v", "select date '{{ x }}' as v", "select :{{ x }} as v",
    "select @{{ x }} as v", "select ${{ x }} as v", "select {{ x }}{{ x }} as v", "select '{{ x }}''{{ x }}' as v",
    "select * from {{ x | identifier }}", "select {{ x | identifier }} from t", "select '{{ x | upper }}{{ [x] }}'",
]  # fmt: skip
"""Every place where a value may stand."""


@st.composite
def typed(draw: st.DrawFn) -> tuple[str, Any]:
    """Make a value as a parameter of some type has it."""
    kind = draw(st.sampled_from(sorted(VALUES)))
    value = draw(VALUES[kind])
    try:
        return kind, coerce(value, kind)
    except ParameterValueError:
        return kind, value  # a value that no parameter lets in is no way out either


def rendered(template: str, dialect: str | None, value: Any) -> str | None:
    """Return the SQL with a value, or None if it was refused."""
    try:
        return render(template, {"x": value}, dialect=dialect, file="q.sql")
    except InvalidTemplate:
        return None


def harmless(kind: str, value: Any) -> Any:
    """Return a value of the same type and sign, as plain as there is."""
    if kind == "list":
        return [harmless(type(item).__name__, item) for item in value]
    kind = {"str": "string", "int": "integer", "bool": "boolean"}.get(kind, kind)
    minus = isinstance(value, int | float) and not isinstance(value, bool) and str(value).startswith("-")
    return -HARMLESS[kind] if minus else HARMLESS[kind]


def shapes(sql: str, dialect: str | None) -> list[Any]:
    """Return what the statements are made of, without the texts and numbers in them."""
    return [None if tree is None else shape(tree) for tree in sqlglot.parse(sql, dialect=dialect)]


def shape(node: Any) -> Any:
    if isinstance(node, list):
        return [shape(item) for item in node]
    if isinstance(node, exp.Literal | exp.Identifier | exp.Boolean):
        return type(node).__name__, bool(node.args.get("is_string") or node.args.get("quoted"))
    if isinstance(node, exp.Expr):
        return type(node).__name__, [(key, shape(part)) for key, part in sorted(node.args.items())]
    return None if isinstance(node, str) or not node else type(node).__name__


@settings(max_examples=1500, deadline=None)
@given(typed(), st.sampled_from(PLACES), st.sampled_from(DIALECTS))
@example(("string", "\\"), "select 1 as `{{ x }}`", "bigquery")
@example(("string", "\\"), "select 1 as `{{ x }}`", "clickhouse")
@example(("string", "a`b"), "select 1 as `{{ x }}`", "bigquery")
@example(("string", "drop table canary"), "select 1 /*! {{ x }} */, 2", "mysql")
@example(("string", "\\'; drop table canary; --"), "select E'{{ x }}' as v", None)
@example(("string", "true"), "select {{ x | identifier }} from t", "postgres")
def test_a_value_leaves_the_statements_what_a_harmless_one_makes_them(
    given_: tuple[str, Any], template: str, dialect: str | None
) -> None:
    kind, value = given_
    text = rendered(template, dialect, value)
    plain = rendered(template, dialect, harmless(kind, value))
    if text is None or plain is None or "\x00" in text:
        return
    try:
        expected = shapes(plain, dialect)
    except sqlglot.errors.SqlglotError:
        return  # no SQL of this dialect, whatever the value
    assert shapes(text, dialect) == expected


DUCKDB: dict[str, Callable[[str], str]] = {
    "select '{{ x }}'": lambda value: value,
    "select 'a{{ x }}b' || '{{ x }}'": lambda value: f"a{value}b{value}",
    "select E'{{ x }}'": lambda value: value,
    "select $${{ x }}$$": lambda value: value,
    "select $q${{ x }}$q$": lambda value: value,
    "select '{{ x }}' /* {{ x }} */ -- {{ x }}": lambda value: value,
    "select v from (select '{{ x }}' as v) where v in ('{{ x }}', 'other')": lambda value: value,
}
SQLITE = {
    template: meant
    for template, meant in DUCKDB.items()
    if "$" not in template and not template.startswith("select E")
}
NAMES = {
    "duckdb": ['select 1 as "{{ x }}"'],
    "sqlite": ['select 1 as "{{ x }}"', "select 1 as `{{ x }}`", "select 1 as [{{ x }}]"],
}


class Engines:
    """A DuckDB and an SQLite, each with a table that must not go."""

    def __init__(self) -> None:
        self.duckdb = duckdb.connect()
        self.sqlite = sqlite3.connect(":memory:")
        for engine in (self.duckdb, self.sqlite):
            engine.execute("create table canary as select 1 as alive")

    def run(self, dialect: str, sql: str) -> tuple[str, list[Any]]:
        """Run one SELECT; returns its first column's name and its rows."""
        engine: Any = self.duckdb if dialect == "duckdb" else self.sqlite
        answer = engine.execute(sql)
        name, rows = answer.description[0][0], answer.fetchall()
        assert engine.execute("select alive from canary").fetchall() == [(1,)]
        return name, rows


@pytest.fixture(scope="module")
def engines() -> Iterator[Engines]:
    made = Engines()
    yield made
    made.duckdb.close()
    made.sqlite.close()


@settings(max_examples=600, deadline=None)
@given(typed(), st.data())
@pytest.mark.parametrize("dialect", ["duckdb", "sqlite"])
def test_an_engine_gives_back_the_very_text_and_loses_no_table(
    engines: Engines, dialect: str, given_: tuple[str, Any], data: st.DataObject
) -> None:
    meanings = DUCKDB if dialect == "duckdb" else SQLITE
    template = data.draw(st.sampled_from(sorted(meanings)))
    sql = rendered(template, dialect, given_[1])
    if sql is not None:
        value = str(given_[1]).lower() if given_[0] == "boolean" else given_[1]
        assert engines.run(dialect, sql)[1] == [(meanings[template](str(value)),)]


@settings(max_examples=300, deadline=None)
@given(TEXTS, st.data())
@pytest.mark.parametrize("dialect", ["duckdb", "sqlite"])
def test_an_engine_gives_back_the_very_name(
    engines: Engines, dialect: str, value: str, data: st.DataObject
) -> None:
    sql = rendered(data.draw(st.sampled_from(NAMES[dialect])), dialect, value)
    if sql is not None and value.strip():
        assert engines.run(dialect, sql) == (value, [(1,)])


@settings(max_examples=300, deadline=None)
@given(typed())
@pytest.mark.parametrize("dialect", ["duckdb", "sqlite"])
def test_an_engine_gives_back_what_stands_without_quotes(
    engines: Engines, dialect: str, given_: tuple[str, Any]
) -> None:
    kind, value = given_
    sql = rendered("select {{ x }}", dialect, value)
    assert (sql is None) or kind not in {"string", "date", "datetime"}, "text without quotes is refused"
    if sql is not None:
        (row,) = engines.run(dialect, sql)[1]
        found = [float(row[0])] if kind == "float" else list(row)  # DuckDB reads 1.5 as a decimal
        assert found == (value if kind == "list" else [value])


@pytest.mark.parametrize("value", ["\x00", "a\ud800"])
@pytest.mark.parametrize("template", ["select '{{ x }}'", "select {{ [x] }}", "select 1 -- {{ x }}"])
def test_what_no_sql_can_hold_is_refused(value: str, template: str) -> None:
    assert rendered(template, "duckdb", value) is None


@pytest.mark.parametrize(
    ("template", "dialect", "value"),
    [
        ("select 1 as `{{ x }}`", "bigquery", "a`b"),
        ("select 1 as `{{ x }}`", "bigquery", "a\\"),
        ("select 1 as [{{ x }}]", "sqlite", "a]b"),
        ("select E'{{ x }}'", "snowflake", "it's"),
        ("select U&'{{ x }}'", "postgres", "\\0027"),
        ("select _gbk'{{ x }}'", "mysql", "\u00bf'"),
        ("select 1 /*! {{ x }} */", "mysql", "drop table t"),
        ("select '{{ x }}'", None, "a\\"),
        ("select {{ [x] }}", None, "a\\"),
    ],
)
def test_what_engines_read_in_more_than_one_way_is_refused(
    template: str, dialect: str | None, value: str
) -> None:
    assert rendered(template, dialect, value) is None


def test_a_template_in_a_value_is_text() -> None:
    assert rendered("select '{{ x }}'", "duckdb", "{{ 7 * 7 }}{% raw %}") == "select '{{ 7 * 7 }}{% raw %}'"


def test_dates_may_stand_right_after_their_word() -> None:
    assert rendered("select date'{{ x }}'", "postgres", "2024-01-15") == "select date'2024-01-15'"
