"""Seeds: CSV files of a project as tables in FROM, their fields as data, their columns with strict types."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import duckdb
import pytest
import sqlglot
from hypothesis import given
from hypothesis import strategies as st
from sqlglot import exp

from dataspec.errors import InvalidTemplate
from dataspec.sql.template.render import check_template, render
from dataspec.sql.values.seeds import MAX_INLINE_BYTES, MAX_SEED_BYTES, read_seed
from hostile_values import FRAGMENTS

COUNTRIES = """\
code,name,people,area,eu,since,seen_at,zip,order
DE,"Germany, ""the""\nland",83000000,357.02,true,1990-10-03,2024-01-01 10:00:00,01067,1
KR,O'Korea,-51,100,FALSE,,,,x

"""
FILES = {"seeds/countries.csv": COUNTRIES}
_CONNECTION = duckdb.connect(config={"threads": 1})


def sql_of(template: str, text: str = COUNTRIES, dialect: str | None = "duckdb", **values: Any) -> str:
    files = {"seeds/countries.csv": text}
    return render(template, values, dialect=dialect, file="q.sql", shared=files).sql


def rows_of(sql: str) -> list[tuple[Any, ...]]:
    return _CONNECTION.execute(sql).fetchall()


def problems(template: str, *known: str, **seeds: str) -> list[str]:
    files = FILES | {f"seeds/{name}.csv": text for name, text in seeds.items()}
    return [str(problem) for problem in check_template(template, known, file="q.sql", shared=files)[0]]


@pytest.mark.rule("36.10")
def test_a_seed_is_a_table_with_names_and_strict_types() -> None:
    found = duckdb.sql(sql_of("select * from {{ seed('countries') }}"))
    assert found is not None
    assert found.columns == ["code", "name", "people", "area", "eu", "since", "seen_at", "zip", "order"]
    assert [str(kind) for kind in found.types] == [
        *(
            "VARCHAR",
            "VARCHAR",
            "BIGINT",
            "DECIMAL(5,2)",
            "BOOLEAN",
            "DATE",
            "TIMESTAMP",
            "VARCHAR",
            "VARCHAR",
        )
    ]
    seen = datetime(2024, 1, 1, 10)  # noqa: DTZ001 - a timestamp without a zone
    assert found.fetchall() == [
        (
            "DE",
            'Germany, "the"\nland',
            83000000,
            Decimal("357.02"),
            True,
            date(1990, 10, 3),
            seen,
            "01067",
            "1",
        ),
        ("KR", "O'Korea", -51, Decimal(100), False, None, None, None, "x"),
    ]


@pytest.mark.rule("36.11")
@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        (["1", "-20", "", "0"], "bigint"),
        (["9223372036854775807"], "bigint"),
        (["9223372036854775808"], "decimal(19, 0)"),
        (["1", "2.50", "-30.1"], "decimal(4, 2)"),
        (["0.00001"], "decimal(6, 5)"),
        (["1" * 39], "text"),
        (["007"], "text"),
        (["+1"], "text"),
        (["1e3"], "text"),
        (["1", "x"], "text"),
        (["٣"], "text"),
        (["true", "False", "TRUE"], "boolean"),
        (["true", "1"], "text"),
        (["yes"], "text"),
        (["2024-02-29"], "date"),
        (["2023-02-29"], "text"),
        (["20240101"], "bigint"),
        (["2024-01-01 10:00", "2024-01-01T10:00:00.123456"], "timestamp"),
        (["2024-01-01", "2024-01-01 10:00"], "text"),
        (["2024-01-01 10:00:00+09:00"], "text"),
        (["", ""], "text"),
        ([" 1"], "text"),
    ],
)
def test_a_column_has_the_strictest_type_that_each_of_its_fields_has(fields: list[str], kind: str) -> None:
    seed, wrong = read_seed("a,b\n" + "".join(f"{field},x\n" for field in fields))
    assert wrong == ()
    assert seed is not None
    assert seed.columns[0].type == kind


@pytest.mark.rule("36.10")
@pytest.mark.parametrize(
    ("following", "alias"),
    [
        ("", True),
        (" where 1 = 1", True),
        (" JOIN t using (code)", True),
        (", t", True),
        (") as x", True),
        ("{% if true %} order by 1{% endif %}", True),
        (" c where 1 = 1", False),
        (" as c", False),
        ("\nAS c", False),
        (' "c"', False),
    ],
)
def test_a_seed_has_its_own_name_where_the_sql_gives_it_none(following: str, alias: bool) -> None:
    template = (
        ("(" if following.startswith(")") else "") + "select code from {{ seed('countries') }}" + following
    )
    assert sql_of(template).count('as "countries"') == (2 if alias else 1)


@pytest.mark.rule("36.12")
@pytest.mark.parametrize(
    "dialect",
    ["duckdb", "postgres", "mysql", "bigquery", "snowflake", "trino", "spark", "databricks", "sqlite", "clickhouse", "tsql"],
)  # fmt: skip
def test_the_rows_are_literals_of_each_dialect(dialect: str) -> None:
    text = "code,n\nO'Hare \\ --,1\n" + "x,\n"
    (tree,) = sqlglot.parse(sql_of("select * from {{ seed('countries') }}", text, dialect), dialect=dialect)
    assert tree is not None
    texts = [found.this for found in tree.find_all(exp.Literal) if found.is_string]
    assert [found for found in texts if "Nullable" not in found] == ["O'Hare \\ --", "1", "x"]


@pytest.mark.rule("36.12")
@given(
    st.lists(
        st.lists(st.sampled_from(FRAGMENTS), min_size=1, max_size=4).map("".join), min_size=1, max_size=4
    )
)
def test_a_hostile_field_comes_back_as_it_was_or_is_refused(fields: list[str]) -> None:
    fields = [field for field in fields if field and "\ud800" not in field]
    quoted = ['"' + field.replace('"', '""') + '"' for field in fields]
    text = "a\nthe column is text\n" + "".join(f"{field}\n" for field in quoted)
    try:
        sql = sql_of("select a from {{ seed('countries') }}", text)
    except InvalidTemplate:
        assert any("\0" in field for field in fields)
    else:
        assert [field for (field,) in rows_of(sql)[1:]] == fields


@pytest.mark.rule("36.13")
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a,b\n1,2\n3\n4,5,6\n", ["3:1: the line has 1 field, and the header has 2 fields.",
                                   "4:1: the line has 3 fields, and the header has 2 fields."]),
        ('a,b\n"1\n1",2\n3\n', ["4:1: the line has 1 field, and the header has 2 fields."]),
        ("a,A\n1,2\n", ["1:1: two columns are called 'A'."]),
        ("a;b\n1;2\n", [("1:1: the name of column 1, 'a;b', is not made of letters, digits and '_'. "
                        "The first line has the names of the columns.")]),
        ("a,\n1,2\n", [("1:1: the name of column 2, '', is not made of letters, digits and '_'. "
                       "The first line has the names of the columns.")]),
        ("", ["1:1: the seed is empty; its first line has the names of the columns."]),
        ("a\n", ["1:1: the seed has no rows."]),
        ('a,b\n1,2\n1,"x\n', ["3:1: the line is not CSV: unexpected end of data."]),
        ("a\nx\0y\n", ["2:1: the line holds U+0000, which SQL can't hold."]),
        ("a\n" + "x" * MAX_SEED_BYTES, [("1:1: the seed has 10,240 KiB; at most 10,240 are allowed. Load it into a table of "
                                        "its own: a dataset can read it with the engine's CSV functions.")]),
    ],
)  # fmt: skip
def test_a_wrong_seed_is_told_at_its_line_and_at_its_use(text: str, told: list[str]) -> None:
    *there, use = problems("select 1\nfrom {{ seed('bad') }}", bad=text)
    assert there == [f"seeds/bad.csv:{problem}" for problem in told]
    assert use.startswith(f"q.sql:2:9: the seed can't be used: {there[0].partition('. ')[0]}")
    with pytest.raises(InvalidTemplate) as refused:
        sql_of("select 1\nfrom {{ seed('countries') }}", text)
    problem = refused.value.problem
    assert (problem.file, problem.line, problem.column) == ("q.sql", 2, 6)


@pytest.mark.rule("36.13")
@pytest.mark.parametrize(
    ("template", "problem"),
    [
        (
            "{{ seed('country') }}",
            "1:18: there is no seed file 'seeds/country.csv' in the project's folder. Did you mean",
        ),
        ("{{ seed(x) }}", "1:18: 'seed' takes the name of a file of the folder seeds/, as a text in quotes."),
        ("{{ seed('../countries') }}", "1:18: 'seed' takes the name"),
        ("{{ seed('countries', 1) }}", "1:18: 'seed' takes the name"),
        ("{{ seed() }}", "1:18: 'seed' takes the name"),
        ("{{ seed('countries') }} {{ seed }}", "1:18: 'seed' is not a parameter of this dataset."),
    ],
)
def test_a_seed_is_named_by_a_literal_text(template: str, problem: str) -> None:
    (found,) = problems("select * from " + template, "x")
    assert found.startswith(f"q.sql:{problem}")


@pytest.mark.rule("36.13")
def test_a_parameter_may_be_called_seed() -> None:
    assert problems("select '{{ seed }}' from {{ seed('countries') }}", "seed") == []
    assert "select 7" in sql_of("select {{ seed }} from {{ seed('countries') }}", seed=7)


@pytest.mark.rule("36.3")
def test_a_macro_takes_a_seed_as_an_argument_and_sees_none_by_itself() -> None:
    files = FILES | {"macros/m.sql": "{% macro codes(t) %}select code from {{ t }} as t{% endmacro %}"}
    use = "{% import 'macros/m.sql' as m %}{{ m.codes(seed('countries')) }}"
    sql = render(use, {}, dialect="duckdb", file="q.sql", shared=files).sql
    assert rows_of(sql) == [("DE",), ("KR",)]
    files["macros/m.sql"] = "{% macro codes() %}select * from {{ seed('countries') }}{% endmacro %}"
    found, _ = check_template(
        "{% import 'macros/m.sql' as m %}{{ m.codes() }}", [], file="q.sql", shared=files
    )
    assert str(found[0]).startswith("macros/m.sql:1:37: 'seed' is not defined")


@pytest.mark.rule("36.14")
def test_the_largest_seed_that_is_written_into_the_sql_is_within_the_limits_of_a_rendering() -> None:
    rows = (MAX_INLINE_BYTES - 4) // 4
    sql = sql_of("select sum(a), count(b) from {{ seed('countries') }}", "a,b\n" + "1,2\n" * rows)
    assert rows_of(sql) == [(rows, rows)]


@pytest.mark.rule("36.12")
def test_a_dialect_without_rows_in_from_is_refused() -> None:
    with pytest.raises(InvalidTemplate) as refused:
        sql_of("select * from {{ seed('countries') }}", dialect="redshift")
    assert "a seed can't be written into the SQL of redshift" in str(refused.value.problem)
