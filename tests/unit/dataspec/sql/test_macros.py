"""Macro files of a project: what a template may import, that arguments stay data, and where mistakes are told."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dataspec.errors import InvalidSpec, InvalidTemplate
from dataspec.sql.rendering import render_condition, render_statements
from dataspec.sql.template.macro_files import MAX_IMPORT_DEPTH, used_shared_files
from dataspec.sql.template.render import check_template, render
from dataspec.sql.validation import check_spec
from hostile_values import rendered, typed
from unit.dataspec.sql.test_break_outs import DIALECTS, PLACES

DATES = """\
-- Dates, by the calendar.
{% macro month_start(day) %}date_trunc('month', date '{{ day }}'){% endmacro %}
{% macro bare(value) %}
  {{ value }}
{% endmacro %}
{% macro between(column, first, last=none) -%}
  {{ column | identifier }} >= '{{ first }}'{% if last is not none %} and {{ column | identifier }} < '{{ last }}'{% endif %}
{%- endmacro %}
{% set codes = ['a', "b'"] %}
{% macro _own() %}{% endmacro %}
"""
RANGES = """\
{% import 'macros/dates.sql' as dates %}
{% macro month(column, day) %}{{ column | identifier }} = {{ dates.month_start(day) }}{% endmacro %}
"""
FILES = {"macros/dates.sql": DATES, "macros/ranges.sql": RANGES}
IMPORT = "{% import 'macros/dates.sql' as dates %}\n"


def sql_of(template: str, files: dict[str, str] | None = None, **values: Any) -> str:
    return render(template, values, dialect="duckdb", file="q.sql", shared=files or FILES).sql


def problems(template: str, *known: str, **more: str) -> list[str]:
    """Return the problems of a template that may import the macro files and further ones."""
    files = FILES | {f"macros/{name}.sql": text for name, text in more.items()}
    found, _ = check_template(template, known, file="q.sql", shared=files)
    return [str(problem) for problem in found]


@pytest.mark.rule("36.1")
@pytest.mark.parametrize(
    ("template", "sql"),
    [
        (IMPORT + "select {{ dates.month_start(x) }}", "select date_trunc('month', date '2024-01-15')"),
        (
            (
                "{% from 'macros/dates.sql' import month_start as start, between %}"
                "select {{ start(x) }} where {{ between('at', x, last='2025-01-01') }}"
            ),
            "select date_trunc('month', date '2024-01-15') where at >= '2024-01-15' and at < '2025-01-01'",
        ),
        (
            "{% import 'macros/ranges.sql' as ranges %}select {{ ranges.month('t.day', x) }}",
            "select t.day = date_trunc('month', date '2024-01-15')",
        ),
        (IMPORT + "select 1 where c in ({{ dates.codes }})", "select 1 where c in ('a', 'b''')"),
    ],
)
def test_a_template_calls_macros_of_the_project_by_either_import(template: str, sql: str) -> None:
    assert sql_of(template, x="2024-01-15") == sql
    assert problems(template, "x") == []


@pytest.mark.rule("36.2")
@given(typed(), st.sampled_from(PLACES), st.sampled_from(DIALECTS))
@example(("string", "2024' or 1=1 --"), "select '{{ x }}' as v", "postgres")
@example(("string", "t; drop table canary"), "select * from {{ x | identifier }}", "duckdb")
@example(("string", "\\"), "select '{{ x }}' as v", "mysql")
def test_a_hostile_argument_of_a_macro_is_bound_as_it_is_outside(
    given_: tuple[str, Any], template: str, dialect: str | None
) -> None:
    """A macro's text is SQL; its argument has the same SQL, or the same refusal, as a value without a macro."""
    _, value = given_
    files = {"macros/m.sql": "{% macro m(x) %}" + template + "{% endmacro %}"}
    through = "{% from 'macros/m.sql' import m %}{{ m(x) }}"
    try:
        text = render(through, {"x": value}, dialect=dialect, file="q.sql", shared=files).sql
    except InvalidTemplate:
        text = None
    assert text == rendered(template, dialect, value)


@pytest.mark.rule("36.2")
def test_text_that_a_macro_made_of_values_can_not_be_changed() -> None:
    for template in (
        "select '{{ dates.month_start(x) | upper }}'",
        "select {{ dates.bare(dates.bare(x) ~ '') }}",
    ):
        with pytest.raises(InvalidTemplate) as refused:
            sql_of(IMPORT + template, x="a")
        assert "a block's text that holds values was changed or joined" in refused.value.problem.message


@pytest.mark.rule("36.3")
@pytest.mark.parametrize("name", ["execution_date", "partition_start", "secret", "_dli_slots"])
def test_a_macro_sees_its_arguments_alone(name: str) -> None:
    files = {"leak": "{% macro leak() %}'{{ " + name + " }}'{% endmacro %}"}
    use = "{% import 'macros/leak.sql' as leak %}select {{ leak.leak() }}"
    first = problems(use, name, **files)[0]
    assert first.startswith(
        f"macros/leak.sql:1:23: '{name}' is not defined: a macro sees its arguments alone."
    )
    with pytest.raises(InvalidTemplate):
        sql_of(use, {"macros/leak.sql": files["leak"]}, **{name: "seen"})
    assert (
        "'with context' is refused"
        in problems("{% import 'macros/dates.sql' as d with context %}select 1")[0]
    )


@pytest.mark.rule("36.4")
@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("x", "q.sql:1:4: the path of an import is a text in quotes, not an expression."),
        ("'macros/' ~ x", "q.sql:1:4: the path of an import is a text in quotes, not an expression."),
        (
            "'macros/dates.sql' as e %}{{ (x | _imported(1, 1)).codes }}{% import 'macros/dates.sql'",
            "q.sql:1:45: there is no filter '_imported'.",
        ),
        (
            "'macros/dates.sql' as e %}{{ x | _seeded(1, 1) }}{% import 'macros/dates.sql'",
            "q.sql:1:44: there is no filter '_seeded'.",
        ),
        ("'../dates.sql'", "q.sql:1:4: '../dates.sql' is no macro file"),
        ("'macros/../dates.sql'", "q.sql:1:4: 'macros/../dates.sql' is no macro file"),
        ("'/etc/passwd'", "q.sql:1:4: '/etc/passwd' is no macro file"),
        ("'macros/dates.txt'", "q.sql:1:4: 'macros/dates.txt' is no macro file"),
        (
            "'macros/date.sql'",
            (
                "q.sql:1:12: there is no macro file 'macros/date.sql' in the project's folder. "
                "Did you mean 'macros/dates.sql'?"
            ),
        ),
    ],
)
def test_an_import_names_a_file_that_exists_in_the_folder_macros(path: str, problem: str) -> None:
    template = "{% import " + path + " as d %}select '{{ x }}'"
    (found,) = problems(template, "x")
    assert found.startswith(problem)
    with pytest.raises(InvalidTemplate):
        sql_of(template, x="dates.sql")


@pytest.mark.rule("36.5")
@pytest.mark.parametrize(
    ("use", "problem"),
    [
        ("{{ dates.month_strat(x) }}", "q.sql:2:11: there is no macro 'month_strat' in 'dates'. Did you mean"),
        ("{{ dates._own() }}", "q.sql:2:11: there is no macro '_own' in 'dates'."),
        ("{{ dates.month_start() }}", "takes 1 argument (day), and does not get day."),
        ("{{ dates.month_start(x, x) }}", "takes 1 argument (day), and gets 2."),
        ("{{ dates.month_start(date=x) }}", "has no argument 'date'; it takes 1 argument (day)."),
        ("{{ dates.month_start(x, day=x) }}", "gets 'day' twice."),
        ("{{ dates.between('c') }}", "takes 3 arguments (column, first, last), and does not get first."),
        ("{% from 'macros/dates.sql' import months %}{{ months(x) }}", "there is no macro 'months' in 'macros/dates.sql'"),
        ("{% macro own(a) %}{{ a }}{% endmacro %}{{ own(1, 2) }}", "the macro 'own' takes 1 argument (a), and gets 2."),
    ],
)  # fmt: skip
def test_a_missing_macro_and_wrong_arguments_are_found_before_a_run(use: str, problem: str) -> None:
    (found,) = problems(IMPORT + "select " + use, "x")
    assert found.startswith("q.sql:2:")
    assert problem in found
    if "dates." in use and "there is no" not in problem:
        assert "It is defined in macros/dates.sql:" in found


@pytest.mark.rule("36.5")
def test_arguments_that_a_macro_does_not_need_may_be_left_out() -> None:
    more = (
        "{% macro a(x, y) %}{% if y is defined %}{{ y }}{% endif %}{% endmacro %}"
        "{% macro b() %}{{ varargs | length }}, {{ kwargs | length }}{% endmacro %}"
        "{% macro c(x) %}{{ x | default(1) }}{% endmacro %}"
    )
    use = "{% import 'macros/more.sql' as m %}select {{ m.a(1) }}, {{ m.b(1, 2, z=3) }}, {{ m.c() }}"
    assert problems(use, more=more) == []
    assert sql_of(use, {"macros/more.sql": more}) == "select , 2, 1, 1"


@pytest.mark.rule("36.6")
@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("{% macro f(a) %}\n{{ a | upcase }}{% endmacro %}", "2:8", "there is no filter 'upcase'."),
        ("{% macro f(a) %}\n{{ a ", "2", "unexpected end of template"),
        ("\n-- fine\nselect 1", "3:1", "a macro file holds macros, imports, {% set %} and comments"),
        ("{% if true %}{% macro f() %}{% endmacro %}{% endif %}", "1:1", "a macro file holds macros"),
        ("{% macro f() %}{{ g() }}{% endmacro %}{% macro g() %}{{ f() }}{% endmacro %}", "1:10",
         "the macro 'f' calls itself through 'g' without an end."),
        ("{% macro f(n) %}{{ f(n - 1) }}{% endmacro %}", "1:10", "the macro 'f' calls itself without an end."),
        ("{% import 'macros/broken.sql' as me %}", "1:12", "the macro file 'macros/broken.sql' imports itself"),
    ],
)  # fmt: skip
def test_a_macros_mistake_is_told_at_its_place_and_at_its_use(text: str, place: str, message: str) -> None:
    through = {"broken": text, "between": "{% import 'macros/broken.sql' as b %}"}
    found = problems("select 1\n{% import 'macros/between.sql' as b %}", **through)
    assert found[0].startswith(f"macros/broken.sql:{place}: {message}")
    assert found[-2].startswith(
        f"macros/between.sql:1:12: the macro file can't be used: macros/broken.sql:{place}:"
    )
    assert found[-1].startswith(
        f"q.sql:2:12: the macro file can't be used: macros/broken.sql:{place}: {message}"
    )


@pytest.mark.rule("36.6")
def test_a_value_that_does_not_fit_in_a_macro_is_told_with_both_places() -> None:
    with pytest.raises(InvalidTemplate) as refused:
        sql_of(IMPORT + "select 1,\n  {{ dates.bare(x) }}", x="drop table t")
    problem = refused.value.problem
    assert (problem.file, problem.line, problem.column) == ("q.sql", 3, 3)
    assert problem.message.startswith(
        "macros/dates.sql:4:3: 'value': the text 'drop table t' is not in quotes"
    )


@pytest.mark.rule("36.6")
@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("{% if n %}{{ f(n) }}{% endif %}", "macros/m.sql:1:27: a macro calls itself without an end."),
        ("{% if n %}{{ g(n) }}{% endif %}", "macros/m.sql:1:107: a macro calls itself without an end."),
        ("{% for i in range(2000) %}{% for j in range(2000) %}{% endfor %}{% endfor %}", "more than 1,000,000 steps"),
        ("{{ n | add_days(1) }}", "macros/m.sql:1:24: 1 is not a date"),
        ("{{ n.x.y }}", "macros/m.sql:1: 'int object' has no attribute 'x'."),
        ("{{ n // 0 }}", "macros/m.sql:1: integer division or modulo by zero."),
    ],
)  # fmt: skip
def test_a_run_of_a_macro_is_bounded_and_its_error_has_both_places(body: str, message: str) -> None:
    files = {"macros/m.sql": "{% macro f(n) %}" + body + "{% endmacro %}"}
    files["macros/m.sql"] += (
        " " * (80 - len(files["macros/m.sql"]))
        + "{% macro g(n) %}{% if n %}{{ f(n) }}{% endif %}{% endmacro %}"
    )
    with pytest.raises(InvalidTemplate) as refused:
        sql_of("{% from 'macros/m.sql' import f %}select 1,\n '{{ f(1) }}'", files)
    problem = refused.value.problem
    assert (problem.file, problem.line, problem.column) == ("q.sql", 2, 3)
    assert message in problem.message


@pytest.mark.rule("36.6")
def test_a_chain_of_imports_is_bounded_and_checked_once_for_each_file() -> None:
    """Each file imports the next one twice: without a memory of checked files this takes 2 to the power of 40 steps."""
    files = {
        f"m{at}": "{% import 'macros/m"
        + str(at + 1)
        + ".sql' as a %}{% import 'macros/m"
        + str(at + 1)
        + ".sql' as b %}"
        for at in range(40)
    } | {"m40": ""}
    assert (
        problems("{% import 'macros/m" + str(41 - MAX_IMPORT_DEPTH) + ".sql' as m %}select 1", **files) == []
    )
    found = problems("{% import 'macros/m0.sql' as m %}select 1", **files)
    assert f"more than {MAX_IMPORT_DEPTH} macro files import each other in a row." in found[0]


@pytest.mark.rule("36.7")
def test_a_spec_uses_the_files_that_it_imports_directly_or_through_others_and_no_other() -> None:
    files = FILES | {"macros/other.sql": "{% macro o() %}{% endmacro %}"}
    assert used_shared_files(["{% import 'macros/ranges.sql' as r %}"], files.get) == FILES
    gone = "{% import 'macros/gone.sql' as g %}"
    assert used_shared_files([gone], files.get) == {"macros/gone.sql": None}
    assert (
        used_shared_files(["select 'import' from {{ t }}", "{% import", "{% import x as y %}"], files.get)
        == {}
    )


SPEC = """\
name: shop.days
type: Dataset
owner: ann@example.com
query_file: q.sql
execution: {dialect: duckdb}
depends_on:
  - {name: ready, sql: "{% import 'macros/dates.sql' as d %}select {{ d.month_start('2024-01-15') }}"}
"""


@pytest.mark.rule("36.1")
def test_every_text_of_a_spec_may_import_macros() -> None:
    files = FILES | {
        "q.sql": "{% import 'macros/ranges.sql' as r %}select {{ r.month('day', '2024-01-15') }}"
    }
    yaml = SPEC.replace("{name: ready, sql:", "{sql:")
    spec = check_spec(yaml.encode(), files, file="a.yaml")
    (statement,) = render_statements(spec, files, {}, dialect="duckdb", file="a.yaml")
    assert statement.sql == "select day = date_trunc('month', date '2024-01-15')"
    condition = render_condition(spec, spec.conditions[0], files, {}, dialect="duckdb", file="a.yaml")
    assert condition == "select date_trunc('month', date '2024-01-15')"
    del files["macros/dates.sql"]
    with pytest.raises(InvalidSpec) as refused:
        check_spec(yaml.encode(), files, file="d/a.yaml")
    told = [str(problem) for problem in refused.value.problems]
    assert told[0].startswith("macros/ranges.sql:1:12: there is no macro file 'macros/dates.sql'")
    assert told[1].startswith("d/q.sql:1:12: the macro file can't be used: macros/ranges.sql:1:12:")
    assert told[2].startswith("d/a.yaml:7:")


@pytest.mark.rule("36.7")
def test_a_path_that_means_a_file_beside_the_yaml_and_one_of_the_project_is_refused() -> None:
    yaml = SPEC.partition("depends_on")[0].replace("q.sql", "macros/dates.sql")
    files = {"macros/dates.sql": "select 1"}
    assert check_spec(yaml.encode(), files, file="a.yaml").files == ("macros/dates.sql",)
    files["macros/dates.sql"] = "{% import 'macros/dates.sql' as d %}select 1"
    with pytest.raises(InvalidSpec) as refused:
        check_spec(yaml.encode(), files, file="a.yaml")
    assert "is a SQL file beside the YAML and a file of the project" in refused.value.problems[0].message


@pytest.mark.rule("36.6")
def test_threads_that_check_one_macro_file_do_not_take_each_other_for_an_import_of_itself() -> None:
    """A server checks the specs of several requests at once."""
    text = "".join(f"{{% macro m{at}(a) %}}{{{{ a }}}}{{% endmacro %}}\n" for at in range(60))
    use = "{% import 'macros/m.sql' as m %}select {{ m.m7(1) }}"
    with ThreadPoolExecutor(8) as threads:
        for turn in range(5):
            found = threads.map(lambda _, turn=turn: problems(use, m=f"{text}{{# {turn} #}}"), range(8))
            assert list(found) == [[]] * 8
