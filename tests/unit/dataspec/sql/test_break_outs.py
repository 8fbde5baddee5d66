"""Values that are meant to break out of the SQL around them: each ends as data, or is refused.

The statements are parsed, in each dialect, and must be those that a harmless value makes. Four
real engines give the values back in ``tests/integration/engines/test_hostile_values.py``.
"""

from __future__ import annotations

from typing import Any

import pytest
import sqlglot
from hypothesis import example, given
from hypothesis import strategies as st
from sqlglot import exp

from hostile_values import rendered, typed

DIALECTS = [
    "duckdb", "postgres", "mysql", "bigquery", "snowflake", "trino", "spark", "databricks", "sqlite",
    "redshift", "clickhouse", "tsql", "oracle", None,
]  # fmt: skip
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
    "select E'a'\n'{{ x }}' as v", "select U&'a'\n'{{ x }}' UESCAPE '!' as v", "select 'a' \"{{ x }}\" as v",
    "select E'a'\n{{ [x] }} as v", "select _gbk {{ [x] }} as v", "select 1{{ x }} as v", "select 1.{{ x }} as v",
    "select /*+ x('{{ x }}') */ 1", "select '${{ x }}' as v", "select 1 --{{ x }}\n, 2", "select 1 // {{ x }}\n, 2",
]  # fmt: skip
"""Every place where a value may stand."""


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
    if isinstance(node, exp.Expression):
        return type(node).__name__, [(key, shape(part)) for key, part in sorted(node.args.items())]
    return None if isinstance(node, str) or not node else type(node).__name__


@pytest.mark.rule("9.8")
@given(typed(), st.sampled_from(PLACES), st.sampled_from(DIALECTS))
@example(("string", "\\"), "select 1 as `{{ x }}`", "bigquery")
@example(("string", "\\"), "select 1 as `{{ x }}`", "clickhouse")
@example(("string", "a`b"), "select 1 as `{{ x }}`", "bigquery")
@example(("string", "drop table canary"), "select 1 /*! {{ x }} */, 2", "mysql")
@example(("string", "\\'; drop table canary; --"), "select E'{{ x }}' as v", None)
@example(("string", "true"), "select {{ x | identifier }} from t", "postgres")
def test_hostile_value_keeps_the_statements_of_a_harmless_one(
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


@pytest.mark.parametrize("value", ["\x00", "a\ud800"])
@pytest.mark.parametrize("template", ["select '{{ x }}'", "select {{ [x] }}", "select 1 -- {{ x }}"])
def test_characters_that_sql_can_not_contain_are_refused(value: str, template: str) -> None:
    assert rendered(template, "duckdb", value) is None


@pytest.mark.rule("9.6", "9.7")
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
def test_ambiguous_sql_is_refused(template: str, dialect: str | None, value: str) -> None:
    assert rendered(template, dialect, value) is None


BACKSLASH = "\\'; drop table canary; select 1 --"


@pytest.mark.rule("9.7")
@pytest.mark.parametrize("dialect", ["postgres", "redshift", "duckdb", "mysql", "spark", None])
@pytest.mark.parametrize(
    "template",
    [
        "select E'a'\n'{{ x }}'",
        "select e'a'\n'b'\n'{{ x }}'",
        "select E'a' -- more\n'{{ x }}'",
        "select E'a' /* more */\n'{{ x }}'",
        "select 'a'\n'{{ x }}'",
        "select E'a'\n{{ [x] }}",
    ],
)
def test_continued_string_follows_the_rules_of_the_first(template: str, dialect: str | None) -> None:
    assert rendered(template, dialect, BACKSLASH) is None
    assert rendered(template, dialect, "2024-01-15") is not None


@pytest.mark.rule("9.7")
@pytest.mark.parametrize("template", ["select '{{ x }}'", 'select "{{ x }}"'])
@pytest.mark.parametrize("value", [BACKSLASH, "a\\", '\\"; drop table canary; --', "${env:SECRET}"])
def test_ambiguous_sql_is_refused_without_a_dialect(template: str, value: str) -> None:
    assert rendered(template, None, value) is None
    assert rendered(template, None, "it's 100 %") is not None


@pytest.mark.rule("9.7")
@pytest.mark.parametrize(
    "template",
    [
        "select '\\' || '{{ x }}'",
        "select `it's`, '{{ x }}', `it's`",
        "select [it's], '{{ x }}', [it's]",
        "select $$it's$$, '{{ x }}', $$it's$$",
        "select q'[it's]' || {{ [x] }} || q'[it's]'",
        "select 1 # it's\n, '{{ x }}' # it's",
        "select 1 // it's\n, '{{ x }}' // it's",
        "select 1 --it's\n, '{{ x }}' --it's",
        "select 1 # and v = '{{ x }}'",
        "select 1 // and v = '{{ x }}'",
        "select 1 --{{ x }}",
        "select /* /* */ '{{ x }}' /* */ */ 1",
        "select '{{ x }}' /*! it's */ || 'it''s'",
        "select 1 -- more \\\n, '{{ x }}'",
    ],
)
def test_ambiguous_quotes_are_refused_without_a_dialect(
    template: str,
) -> None:
    assert rendered(template, None, "a") is None


@pytest.mark.parametrize(
    "template",
    [
        "select `order`, arr[1], a['k'] from t where x = '{{ x }}'",
        "select regexp_replace(c, '\\d+', ''), c #>> '{a}'\n, '{{ x }}' -- it's\n/* it's */",
        "select x // 2\n, 'https://{{ x }}', '#{{ x }}', '$1', \"it's\"",
        "select x # y\n, {'a': '{{ x }}'}, date '2024-01-15', timestamp '{{ x }}'",
    ],
)
def test_common_sql_is_rendered_without_a_dialect(template: str) -> None:
    assert rendered(template, None, "it's") is not None


@pytest.mark.rule("9.7")
@pytest.mark.parametrize("dialect", ["spark", "databricks", "hive", None])
@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("select '{{ x }}'", "${env:SECRET}"),
        ("select '{{ x }}'", "$${a}"),
        ("select '{{ x }}{{ '{' }}env:SECRET}'", "$"),
        ("select '{{ '$' }}{{ x }}'", "{env:SECRET}"),
        ("select '${env:{{ x }}}'", "SECRET"),
        ("select {{ [x] }}", "${hiveconf:secret}"),
        ('select 1 as "{{ x }}"', "${system:user.name}"),
    ],
)
def test_no_value_names_a_variable_of_the_engine(template: str, value: str, dialect: str | None) -> None:
    assert rendered(template, dialect, value) is None


@pytest.mark.rule("9.7")
@pytest.mark.parametrize(
    ("template", "dialect", "value"),
    [
        ("select '${own}', '{{ x }}'", "spark", "$1 {a}"),
        ("select '${own}', '{{ x }}'", None, "$1 {a}"),
        ("select '{{ x }}'", "postgres", "${a}"),
    ],
)
def test_dollars_and_braces_that_name_no_variable_stay(
    template: str, dialect: str | None, value: str
) -> None:
    assert rendered(template, dialect, value) == template.replace("{{ x }}", value)


@pytest.mark.parametrize(
    ("template", "dialect", "value"),
    [
        ("select U&'a'\n'{{ x }}' UESCAPE '!'", "postgres", "!0041"),
        ("select U&'{{ x }}' UESCAPE 'z'", "postgres", "z0041"),
        ("select U&\"{{ x }}\" UESCAPE 'z'", "postgres", "z0041"),
        ("select U&'a' UESCAPE '{{ x }}'", "postgres", "a"),
        ("select U&{{ [x] }}", "postgres", "\\0041"),
        ("select _gbk '{{ x }}'", "mysql", "\u4e2d\\"),
        ("select _gbk {{ [x] }}", "mysql", "\u4e2d\\"),
        ("select '{{ x }}'", "tsql", "a\\\nb"),
        ("select '{{ x }}'", "tsql", "a\\\r\nb"),
        ("select '{{ x }}'", "athena", "a\\"),
        ("select /*+ x('{{ x }}') */ 1", "mysql", "*/ 2 /*"),
        ("select /*+ x('{{ x }}') */ 1", "oracle", "*/ 2 /*"),
        ("show 'a' {{ x }}", "postgres", "'; drop table canary; --"),
        ("select 1{{ x }}", "postgres", -5),
        ("select 1.{{ x }}", "duckdb", -5),
        ("select 5 -{{ x }}", "postgres", -1),
        ("select 1 /* *{{ x }} */", "mysql", "/ -- a"),
        ("select 1 #{{ x }}\n", "clickhouse", "a"),
        ("select 1 as `{{ x }}`", "mysql", "\U00010000"),
    ],
)
def test_text_around_a_value_may_change_its_reading(template: str, dialect: str, value: Any) -> None:
    assert rendered(template, dialect, value) is None


@pytest.mark.rule("9.17")
@pytest.mark.parametrize(
    ("template", "dialect", "value"),
    [
        ("select '{{ x }}'", "postgres", "a\\"),
        ("select '{{ x }}'", "mysql", "a\\"),
        ("select '{{ x }}'", "spark", "it's"),
        ("select '\\', '{{ x }}'", "postgres", "a"),
        ("select 1 as `{{ x }}`", "mysql", "\u4e2d"),
    ],
)
def test_no_backslash_is_written_where_session_settings_change_strings(
    template: str, dialect: str, value: str
) -> None:
    assert rendered(template, dialect, value, unsettled=True) is None
    assert rendered("select '{{ x }}'", "mysql", "it's", unsettled=True) == "select 'it''s'"


def test_line_break_is_escaped_for_bigquery() -> None:
    assert rendered("select '{{ x }}'", "bigquery", "a\r\nb") == "select 'a\\r\\nb'"


def test_a_template_in_a_value_is_text() -> None:
    assert rendered("select '{{ x }}'", "duckdb", "{{ 7 * 7 }}{% raw %}") == "select '{{ 7 * 7 }}{% raw %}'"


def test_dates_may_stand_right_after_their_word() -> None:
    assert rendered("select date'{{ x }}'", "postgres", "2024-01-15") == "select date'2024-01-15'"
