from __future__ import annotations

from collections.abc import Iterator
from functools import wraps
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataspec.errors import InvalidTemplate
from dataspec.spec.parse import parse_spec
from dataspec.spec.run_values import resolve_run
from dataspec.sql.rendering import render_statements
from dataspec.sql.template import render as templates
from dataspec.sql.template import sandbox as template_sandbox
from dataspec.sql.template.compiler import compiled
from dataspec.sql.template.render import check_template, render
from dataspec.sql.template.syntax import names_in, parsed
from dataspec.sql.tokens import split_statements
from unit.dataspec.specs import SPEC, SQL

DIALECTS = ["duckdb", "postgres", "trino", "snowflake", "bigquery", "databricks", "spark", "mysql", "redshift",
            "clickhouse", "tsql", "oracle", None]  # fmt: skip
HOSTILE = ["'; drop table t; --", "' or 1=1 --", "\\'; drop table t; --", "'''", "\\", "*/ drop table t /*", "\n; drop",
           "{{ 7 * 7 }}", "$$; drop table t; $$", '"; drop', "`; drop", "\u2019; drop"]  # fmt: skip


@pytest.fixture(scope="module")
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


def rendered(sql: str, dialect: str | None = "duckdb", /, **values: Any) -> str:
    return render(sql, values, dialect=dialect, file="q.sql").sql


def refusal(sql: str, dialect: str | None = "duckdb", /, **values: Any) -> str:
    with pytest.raises(InvalidTemplate) as caught:
        rendered(sql, dialect, **values)
    assert caught.value.detail is not None
    return caught.value.detail


@pytest.mark.rule("9.3")
def test_value_inside_quotes_is_escaped() -> None:
    assert rendered("select '{{ x }}'", x="O'Hare") == "select 'O''Hare'"
    assert rendered('select "{{ x }}"', x='a"b') == 'select "a""b"'
    assert rendered("select '{{ x }}'", "bigquery", x="O'Hare \\") == "select 'O\\'Hare \\\\'"
    assert rendered("select '{{ x }}'", "snowflake", x="O'Hare \\") == "select 'O''Hare \\\\'"


@pytest.mark.rule("9.4")
def test_numbers_booleans_and_null_become_literals() -> None:
    assert rendered("select {{ a }}, {{ b }}, {{ c }}, {{ d }}", a=-1, b=2.5, c=True, d=None) == (
        "select -1, 2.5, TRUE, NULL"
    )


@pytest.mark.rule("9.4")
def test_list_becomes_literals_separated_by_commas() -> None:
    assert rendered("where c in ({{ x }})", x=["A'A", "UA", 3]) == "where c in ('A''A', 'UA', 3)"


@pytest.mark.rule("9.5")
def test_name_needs_the_identifier_filter() -> None:
    assert rendered("from {{ x | identifier }}", x="sales.daily") == "from sales.daily"
    assert "is not a name such as table or schema.table" in refusal(
        "from {{ x | identifier }}", x="a; drop table b"
    )


@pytest.mark.rule("9.5")
def test_a_value_may_be_part_of_a_name_if_it_is_only_letters_and_digits() -> None:
    assert rendered("from events_{{ x }}", x="20240115") == "from events_20240115"
    assert "would change the SQL around it" in refusal("from events_{{ x }}", x="x y")


@pytest.mark.rule("9.4")
def test_text_without_quotes_is_refused_with_its_place_and_a_hint() -> None:
    assert refusal("select 1,\n  {{ x }}", x="1; drop table t") == (
        "q.sql:2:3: 'x': the text '1; drop table t' is not in quotes, so it would be SQL. "
        "Write '{{ x }}', or {{ x | identifier }} for a name."
    )


def test_place_of_a_value_is_its_own_braces() -> None:
    assert refusal("select {{ n }}, {{ x }}", n=1, x="a").startswith("q.sql:1:17: 'x'")


@pytest.mark.rule("9.4")
@pytest.mark.parametrize("value", [None, ["a"]])
def test_null_and_lists_inside_quotes_are_refused(value: Any) -> None:
    assert "inside the quotes" in refusal("select '{{ x }}'", x=value)


@pytest.mark.rule("9.6")
def test_a_value_in_a_comment_may_not_end_the_comment() -> None:
    assert rendered("-- for {{ x }}\nselect 1", x="2024-01-15") == "-- for 2024-01-15\nselect 1"
    assert "can't stand in a comment" in refusal("-- {{ x }}\nselect 1", x="x\ndrop table t")
    assert "can't stand in a comment" in refusal("/* {{ x }} */ select 1", x="*/ drop table t; /*")


@pytest.mark.rule("9.5")
@pytest.mark.parametrize("word", ["true", "NULL", "current_user", "distinct", "case"])
def test_sql_keyword_is_no_name(word: str) -> None:
    assert f"'{word}' is a word of SQL there, not a name." in refusal("select {{ x | identifier }}", x=word)


@pytest.mark.parametrize("name", ["day", "name", "daily_clicks", "a.true", "Users"])
def test_a_name_may_be_one_that_sql_has_a_meaning_for_elsewhere(name: str) -> None:
    assert rendered("select {{ x | identifier }}", x=name) == f"select {name}"


@pytest.mark.rule("9.9")
@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("{% filter replace('a', x) %}select 'a'{% endfilter %}", "q.sql:1: {% filter %} would make SQL"),
        ("{% call '{}'.format(x) %}{% endcall %}", "q.sql:1: {% call %} would make SQL"),
        ("{% set w %}'{{ a }}'{% endset %}select {{ w ~ x }}", "was changed or joined"),
        ("{% set w %}'{{ a }}'{% endset %}select {{ w | replace('z', x) }}", "was changed or joined"),
        ("{% set w %}'{{ a }}'{% endset %}select {{ w | upper }}", "was changed or joined"),
        ("{% set w %}'{{ a }}'{% endset %}select {{ [w ~ x] }}", "was changed or joined"),
        ("{% macro m() %}'{{ a }}'{% endmacro %}select {{ m() ~ x }}", "was changed or joined"),
        ("{% set w | replace('a', x) %}select 'a'{% endset %}{{ w }}", "block can't have a filter"),
    ],
)
def test_no_block_and_no_filter_makes_sql_of_a_value(sql: str, message: str) -> None:
    assert message in refusal(sql, a="1", x="'; drop table t; --")


def test_a_blocks_text_goes_into_the_sql_as_the_templates_own() -> None:
    assert rendered("{% set w %}a = 1{% endset %}where {{ w }}") == "where a = 1"
    assert rendered("{% macro m(v) %}'{{ v }}'{% endmacro %}select {{ m(x) }}", x="a'b") == "select 'a''b'"


@pytest.mark.rule("9.12")
def test_endless_recursion_of_a_macro_is_refused() -> None:
    assert "calls itself" in refusal("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}")


@pytest.mark.rule("9.9")
def test_conditions_loops_and_blocks_work_and_their_values_are_data_too() -> None:
    assert rendered("{% if x %}where c = '{{ x }}'{% endif %}", x="q'q") == "where c = 'q''q'"
    assert rendered("{% for c in x %}'{{ c }}'{{ ', ' if not loop.last else '' }}{% endfor %}", x=[]) == ""
    assert (
        rendered("{% set w %}d = '{{ x }}'{% endset %}select * where {{ w }}", x="'")
        == "select * where d = ''''"
    )
    assert rendered("select '{{ a ~ b }}'", a="'", b=";") == "select ''';'"


@pytest.mark.rule("9.9", "9.12")
@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("select '{{ y }}'", "'y' is undefined"),
        ("select\n\n{{ x / 0 }}", "q.sql:3: division by zero."),
        ("select {{ x.__class__ }}", "q.sql:1"),
        ("select {{ x | dictsort }}", "q.sql:1"),
        ("{{ 'a' * 100000000 }}", "the repetition is too long"),
        ("{{ 10 ** 1000 }}", "the power is too large"),
        ("{% for i in range(1000000) %}{% endfor %}", "Range too big"),
        ("select '{{ x }}", "Is a quote or a comment left open?"),
        ("select {{ x", "q.sql:1: unexpected end of template"),
    ],
)
def test_invalid_or_unbounded_template_is_refused_with_its_line(sql: str, message: str) -> None:
    assert message in refusal(sql, x=1)


@pytest.mark.rule("9.7")
@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("value", HOSTILE)
def test_a_hostile_value_stays_one_string_or_is_refused_in_every_dialect(
    dialect: str | None, value: str
) -> None:
    for template in (
        "select '{{ x }}' as a",
        "select {{ x }} as a",
        "select 1 -- {{ x }}",
        "select t_{{ x }} as a",
    ):
        try:
            text = rendered(template, dialect, x=value)
        except InvalidTemplate:
            continue
        assert len(split_statements(text, dialect)) == 1


@pytest.mark.rule("9.3")
@given(st.text(alphabet=st.characters(exclude_characters="\x00", exclude_categories=["Cs"])))
def test_duckdb_reads_back_the_same_text(duck: duckdb.DuckDBPyConnection, value: str) -> None:
    sql = rendered("select '{{ x }}', {{ y }}", x=value, y=[value])
    assert duck.execute(sql).fetchall() == [(value, value)]


@pytest.mark.rule("9.8")
@given(
    st.sampled_from(DIALECTS),
    st.text(alphabet="ab'\"`\\;-/*$#\n {}[]%q", max_size=12),
    st.sampled_from(["select '{{ x }}' , 1", 'select "{{ x }}" , 1', "select `{{ x }}` , 1", "select $${{ x }}$$ , 1",
                     "select {{ x }} , 1", "select 1 /* {{ x }} */ , 1", "select 1 -- {{ x }}\n , 1",
                     "call p('{{ x }}')", "select e'{{ x }}' , 1", "select [{{ x }}] , 1", "select :{{ x }} , 1"]),
)  # fmt: skip
def test_no_value_changes_how_many_statements_there_are(
    dialect: str | None, value: str, template: str
) -> None:
    try:
        text = rendered(template, dialect, x=value)
        harmless = rendered(template, dialect, x="a")
    except InvalidTemplate:
        return
    assert len(split_statements(text, dialect)) == len(split_statements(harmless, dialect))


@pytest.mark.rule("9.14")
def test_statements_keep_their_order_names_and_own_text() -> None:
    text = SPEC.replace(
        "parameters:",
        "pre_statements: [{name: begin, sql: begin}]\n"
        "post_statements: [{name: tidy, sql: analyze, continue_on_error: true}]\nparameters:",
    )
    spec = parse_spec(text.encode(), file="a.yaml")
    files = {"daily_clicks.sql": f"delete from t where d = '{{{{ execution_date }}}}';\n{SQL}"}
    values = resolve_run(spec, {"execution_date": "2024-01-15"}).template
    found = render_statements(spec, files, values, dialect="duckdb", file="a.yaml")
    assert [(one.name, one.kind, one.continue_on_error) for one in found] == [
        ("begin", "pre", False),
        ("query (1 of 2)", "query", False),
        ("query (2 of 2)", "query", False),
        ("tidy", "post", True),
    ]
    assert found[1].sql == "delete from t where d = '2024-01-15'"


@pytest.mark.rule("9.14")
def test_semicolons_in_strings_and_comments_end_no_statement() -> None:
    sql = "select ';' -- ;\n; /* ; */ select $$;$$;\n-- the end ;"
    assert split_statements(sql, "duckdb") == ["select ';' -- ;", "/* ; */ select $$;$$"]


@pytest.mark.rule("9.2")
def test_a_run_sees_its_interval_beside_its_parameters() -> None:
    spec = parse_spec(SPEC.encode(), file="a.yaml")
    assert resolve_run(spec, {"execution_date": "2024-01-15"}).template == {
        "execution_date": "2024-01-15",
        "data_interval_start": "2024-01-15T00:00:00+00:00",
        "data_interval_end": "2024-01-16T00:00:00+00:00",
        "partition_start": "2024-01-15T00:00:00+09:00",
        "partition_end": "2024-01-16T00:00:00+09:00",
    }


@pytest.mark.rule("9.1")
@pytest.mark.parametrize(
    "sql",
    [
        "select '{{ a }}', {{n}}\nfrom t where x = '{{ a }}{{\tb }}' -- {{ n }}\n",
        "select '{{{ a }}}'",
        "select '{ {{ a }} }', '}}', '{'",
        "select {{ not }}",
        "select {{ range }}",
        "select {{ none }}, {{ true }}",
        "select {{ a }}",
        "select '{{ unknown }}'",
        "select '{{ a\n}}'",
        "select '{{- a -}}'",
        "select '{{ a }}'\r\nfrom t",
        "select '{{ a }}' {# {{ b }} #}",
        "select 1",
    ],
)
def test_template_of_names_alone_is_rendered_and_checked_like_jinja(
    sql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {"a": "O'Hare", "b": "x", "n": 3, "not": 1, "range": 2, "none": 4}

    def outcome() -> tuple[object, object]:
        templates._checked.cache_clear()
        checked = templates.check_template(sql, list(values), file="q.sql")
        try:
            return checked, render(sql, values, dialect="duckdb", file="q.sql").sql
        except InvalidTemplate as error:
            return checked, str(error.problem)

    quick = outcome()
    monkeypatch.setattr(templates, "_simple_names", lambda sql: None)
    monkeypatch.setattr(templates, "is_plain", lambda sql: False)
    assert outcome() == quick


@pytest.mark.rule("9.12")
@pytest.mark.parametrize("depth", [120, 3000])
@pytest.mark.parametrize(
    ("begin", "end"),
    [("{% if x %}", "{% endif %}"), ("{% for y in x %}", "{% endfor %}"), ("{{ ('a' ~ ", ") }}")],
)
def test_blocks_and_brackets_that_are_nested_too_deep_are_refused(depth: int, begin: str, end: str) -> None:
    inner = begin.removeprefix("{{ "), end.removesuffix(" }}")
    sql = f"{begin}{inner[0] * depth}x{inner[1] * depth}{end}"
    problems, _ = check_template(sql, ["x"], file="q.sql")
    assert [str(problem) for problem in problems] == ["q.sql:1: the template is nested too deep."]
    assert refusal(sql, x=[1]) == "q.sql:1: the template is nested too deep."


def test_blocks_may_be_nested_up_to_the_limit() -> None:
    sql = f"{'{% if x %}' * 60}select 1{'{% endif %}' * 60}"
    assert check_template(sql, ["x"], file="q.sql")[0] == []
    assert rendered(sql, x=[1]) == "select 1"


NOW = "nothing may be computed now"


@pytest.mark.parametrize(
    "expression",
    [
        "1 + 1", "2 - 1", "2 * 3", "1 / 2", "5 // 2", "5 % 2", "2 ** 8", "-(1)", "+(1)", "'a' ~ 'b'", "'%s' % 'a'",
        "'a' | upper", "[1, 2] | join(',')", "1 is even", "1 is odd", "'a' in ['a']", "1 == 1", "range(3) | list",
        "'a'.upper()", "[1, 2][0]", "'abc'[1:]", "('a' | upper) if (1 is odd) else ('b' | lower)", "{'a': 1}['a']",
        "'2024-01-15' | add_days(1)", "[1, 2] | map('string') | list", "not (1 is even)", "dict(a=1)",
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "template",
    ["select {{ {} }}", "{% if {} %}a{% endif %}", "{% set x = {} %}", "{% for x in [{}] %}{% endfor %}"],
)
def test_template_is_not_evaluated_before_it_is_rendered(
    template: str, expression: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def computed(*_: Any, **__: Any) -> None:
        raise AssertionError(NOW)

    environment: Any = template_sandbox.ENVIRONMENT
    for name, filter_ in environment.filters.items():
        monkeypatch.setitem(environment.filters, name, wraps(filter_)(computed))
    for name, test in environment.tests.items():
        monkeypatch.setitem(environment.tests, name, wraps(test)(computed))
    for method in (
        "call",
        "call_binop",
        "call_unop",
        "getattr",
        "getitem",
        "call_filter",
        "call_test",
        "concat",
    ):
        monkeypatch.setattr(type(environment), method, computed)
    for table in (environment.binop_table, environment.unop_table):
        for operator in table:
            monkeypatch.setitem(table, operator, computed)
    sql = template.replace("{}", f"({expression})")
    assert names_in(parsed(sql)) <= {"range", "dict"}
    assert compiled.__wrapped__(sql)
    monkeypatch.undo()
    assert check_template(sql, [], file="q.sql")[0] == []


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("{% for i in range(3) %}{{ i }}{% if not loop.last %}, {% endif %}{% endfor %}", "0, 1, 2"),
        ("{{ '%02d' % 7 }}", None),
        ("'{{ '%02d' % 7 }}{{ '%s-%s' % (1, 'b') }}{{ '%03d' | format(5) }}'", "'071-b005'"),
        ("'{{ xs | join('-') }}{{ xs | length }}{{ xs | first }}{{ xs[1:] | join }}'", "'a-b-c3abc'"),
        ("'{{ 'a,b'.split(',') | last }}{{ 'x'.upper() }}{{ '7'.zfill(3) }}{{ 'aa'.replace('a', 'b') }}'", "'bX007bb'"),
        ("{{ xs | map('upper') | list }}", "'A', 'B', 'C'"),
        ("{{ xs | reject('equalto', 'a') | list }}", "'b', 'c'"),
        ("{{ [3, 1, 2] | sort }}, {{ [1, 2] | sum }}, {{ 2.5 | round | int }}", "1, 2, 3, 3, 2"),
        ("{% for m in [{'name': 'a', 'n': 1}] %}'{{ m.name }}', {{ m.n }}{% endfor %}", "'a', 1"),
        ("{% set n = namespace(total=0) %}{% for i in range(4) if i is odd %}{% set n.total = n.total + i %}{% endfor %}{{ n.total }}", "4"),
        ("{% for k, v in {'a': 1, 'b': 2}.items() %}{{ v }}{{ loop.cycle('x', 'y') | length }}{% endfor %}", None),
        ("{% for a in [1, [2]] recursive %}{% if a is iterable %}{{ loop(a) }}{% else %}{{ a }}{% endif %} {% endfor %}", "1 2  "),
        ("{% macro m(a, b=2) %}{{ a }}, {{ b }}{% endmacro %}{{ m(1) }}, {{ m(3, b=4) }}", "1, 2, 3, 4"),
        ("'{{ missing | default('d') }}'", "'d'"),
        ("{% if 'b' in xs and 1 < 2 <= 3 %}y{% endif %}", "y"),
        ("{{ 2 ** 10 }}, {{ 7 // 2 }}, {{ -(3) }}, {{ 7 % 4 }}", "1024, 3, -3, 3"),
    ],
)  # fmt: skip
def test_common_features_of_sql_templates_work(sql: str, expected: str | None) -> None:
    if expected is None:
        refusal(sql, xs=["a", "b", "c"])
    else:
        assert rendered(sql, xs=["a", "b", "c"]) == expected
