"""How deep SQL may be before a parser sees it: what people and generators write passes, and is parsed."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlglot.errors import SqlglotError

from dataspec.sql.lineage.statement_tables import read_and_written
from dataspec.sql.parser import UnparsableError, parse

MAX_SECONDS = 5
"""Of processor time: a busy machine fails no example."""

LEGITIMATE = {
    "a list of 10,000": "select a in (" + "1, " * 9_999 + "1) from t",
    "1,000 conditions": "select a from t where " + " and ".join(f"a{i} = {i}" for i in range(1_000)),
    "1,000 alternatives": "select a from t where " + " or ".join(f"a{i} = {i}" for i in range(1_000)),
    "1,000 terms": "select " + " + ".join(["1"] * 1_000),
    "200 unions": " union all ".join(["select a from t"] * 200),
    "60 subqueries": "select * from (" * 60 + "select 1 as a" + ") as x" * 60,
    "100 cases": "select " + "case when a then 1 else " * 100 + "1" + " end" * 100 + " from t",
    "100 functions": "select " + "coalesce(a, " * 100 + "1" + ")" * 100 + " from t",
    "2,000 joins": "select * from t " + " ".join(f"join t{i} on t.a = t{i}.a" for i in range(2_000)),
    "cross joins": "select * from t" + " cross join u" * 50,
    "500 names of with": "with "
    + ", ".join(f"c{i} as (select * from t{i})" for i in range(500))
    + " select * from c1",
    "5,000 indexes": "select " + ", ".join(["a[1][2]"] * 5_000) + " from t",
    "5,000 casts": "select " + ", ".join(["a::int::text"] * 5_000) + " from t",
    "distinct from": "select 1 from t where " + " or ".join(["a is distinct from b"] * 500),
    "types": "create table t (a struct(b struct(c int[], d map(varchar, struct(e int)))))",
    "rows": "insert into t values " + ", ".join(["(1, 'a', cast(x as decimal(10, 2)), date('2020-01-01'))"] * 3_000),
    "comparisons": "select " + ", ".join(["a < 1", "b > 2"] * 500) + " from t",
    "statements": "select 1 from t;" * 1_000,
}  # fmt: skip


@pytest.mark.rule("10.13")
@pytest.mark.parametrize(
    ("name", "dialect"),
    [
        (name, dialect)
        for name in LEGITIMATE
        for dialect in ("duckdb", "snowflake", None)
        if name != "types" or dialect == "duckdb"
    ],
)
def test_common_and_generated_sql_is_parsed(name: str, dialect: str | None) -> None:
    assert parse(LEGITIMATE[name], dialect)


@pytest.mark.rule("10.13")
@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("select " + "(" * 201, "nested deeper than 200 levels"),
        ("select " + "case when a then " * 201, "nested deeper than 200 levels"),
        ("select cast(a as " + "array<" * 201, "nested deeper than 200 levels"),
        ("select " + "not " * 51 + "a", "more than 50 signs or NOT in a row"),
        ("select " + "- " * 51 + "1", "more than 50 signs or NOT in a row"),
        ("select * from " * 20 + "t", "queries in each other's FROM"),
        ("select * from t" + " natural join t" * 9, "more than 8 joins in a row"),
        ("select * from t" + " join t" * 9 + " on a = b" * 9, "more than 8 joins in a row"),
        ("select " + "row(" * 25 + "1" + ")" * 25, "brackets behind types"),
        ("select a" + "[1]" * 3_000, "indexes within each other"),
        ("select " + "1," * 125_000 + "1", "words and signs"),
    ],
)
def test_sql_that_would_crash_the_parser_is_refused(sql: str, reason: str) -> None:
    with pytest.raises(UnparsableError, match=reason):
        parse(sql, "duckdb")


@pytest.mark.rule("10.13")
def test_a_text_of_more_than_a_mebibyte_is_not_parsed() -> None:
    with pytest.raises(UnparsableError, match=r"has 1,048,588 characters; 1,048,576 can be checked"):
        parse("select 1 -- " + "a" * 1024 * 1024, "duckdb")


UNITS = [
    "select",
    "from",
    "where",
    "join",
    "on",
    "using",
    "natural",
    "cross",
    "left",
    "not",
    "-",
    "+",
    "~",
    "*",
    "/",
    "::",
    ".",
    ",",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "<",
    ">",
    "->",
    ":",
    "=",
    "and",
    "or",
    "is",
    "null",
    "in",
    "case",
    "when",
    "then",
    "else",
    "end",
    "cast(",
    "as",
    "array<",
    "struct<",
    "interval",
    "distinct",
    "union",
    "all",
    "with",
    "values",
    "exists",
    "any",
    "a",
    "1",
    "'x'",
    "f(",
    "if(",
    "row(",
    "decimal(",
    ";",
    "@",
    "!",
]


@pytest.mark.rule("10.13")
@given(
    st.sampled_from(
        ["duckdb", "postgres", "bigquery", "snowflake", "clickhouse", "tsql", "mysql", "trino", None]
    ),
    st.sampled_from(["select ", "select * from t ", "select * from ", "", "select cast(a as "]),
    st.lists(st.sampled_from(UNITS), min_size=1, max_size=4).map(" ".join),
    st.sampled_from(["", ") ", "] ", "> ", " end ", " on a = b"]),
    st.sampled_from([12, 45, 190, 3_000]),
)
def test_sql_within_the_limits_is_parsed_or_refused_within_seconds(
    dialect: str | None, begin: str, unit: str, end: str, times: int
) -> None:
    sql = f"{begin}{f'{unit} ' * times}a {end * times}"
    began = time.process_time()
    with suppress(SqlglotError):
        for tree in parse(sql, dialect):
            read_and_written(tree)
    assert time.process_time() - began < MAX_SECONDS


def test_lineage_of_many_nested_withs_is_linear() -> None:
    names = ", ".join(f"c{i} as (select * from c{i - 1} join t{i} on a = b)" for i in range(1, 2_000))
    sql = f"with c0 as (select * from s), {names} select * from c1999 union all select * from c5"
    (tree,) = parse(sql, "duckdb")
    assert read_and_written(tree)[0] == {"s", *(f"t{i}" for i in range(1, 2_000))}
