"""A template's conditions: every way that values can lead is read, not that of the samples alone."""

from __future__ import annotations

import pytest

from dataspec.spec.model import Parameter
from dataspec.spec.parse import parse_spec
from dataspec.sql.samples import MAX_SINGLE_VARIATIONS, other_ways, sampled_texts
from unit.dataspec.project.test_checking import DUCKDB, of_sql
from unit.dataspec.sql.test_lineage import of_sql as tables_of

READS_BY_CONDITION = [
    ("{type: boolean}", "{% if p %}select * from a{% else %}select * from b{% endif %}", {"a", "b"}),
    ("{type: boolean, default: true}", "select * from a{% if not p %}, b{% endif %}", {"a", "b"}),
    ("{type: boolean, default: true}", "select * from {{ ('a' if p else 'b') | identifier }}", {"a", "b"}),
    (
        "{type: string}",
        "select * from a{% if p == 'full' %}, b{% elif p == 'part' %}, c{% endif %}",
        set("abc"),
    ),
    ("{type: string, default: full}", "select * from a{% if p != 'full' %}, b{% endif %}", {"a", "b"}),
    ("{type: string, choices: [x, y]}", "select * from a{% if p == 'y' %}, b{% endif %}", {"a", "b"}),
    ("{type: string, choices: [x, y]}", "select * from a{% if p == 'z' %}, b{% endif %}", {"a"}),
    ("{type: string, required: false}", "select * from a{% if p is none %}, b{% endif %}", {"a", "b"}),
    ("{type: string}", "select * from a{% if not p %}, b{% endif %}", {"a", "b"}),
    ("{type: integer}", "select * from a{% if p > 10 %}, b{% endif %}", {"a", "b"}),
    ("{type: integer, default: 50}", "select * from a{% if p < 10 %}, b{% endif %}", {"a", "b"}),
    ("{type: integer}", "select * from a{% if p == 0 %}, b{% endif %}", {"a", "b"}),
    ("{type: date}", "select * from a{% if p < '2024-01-01' %}, b{% endif %}", {"a", "b"}),
    ("{type: date}", "select * from a{% if p > '2024-07-01' %}, b{% endif %}", {"a", "b"}),
    ("{type: date}", "select * from a{% if p == '9999-12-31' %}, b{% endif %}", {"a", "b"}),
    ("{type: list}", "select * from a{% if 'x' in p %}, b{% endif %}", {"a", "b"}),
    ("{type: list}", "select * from a{% if not p %}, b{% endif %}", {"a", "b"}),
    ("{type: boolean}", "{% set full = not p %}select * from a{% if full %}, b{% endif %}", {"a", "b"}),
    (
        "{type: boolean}",
        "{% if p %}create temp table t as select 1{% else %}drop table if exists t; select * from t{% endif %}",
        set(),
    ),
]


@pytest.mark.rule("10.3")
@pytest.mark.parametrize(("parameter", "sql", "reads"), READS_BY_CONDITION)
def test_lineage_has_the_tables_of_every_branch(parameter: str, sql: str, reads: set[str]) -> None:
    more = f"parameters: [{{name: p, {parameter[1:]}]\n"
    assert tables_of(sql, more=more)[0] == reads


TWO = "parameters: [{name: p, type: boolean, default: true}, {name: q, type: boolean, default: true}]\n"


def test_nested_conditions_are_combined() -> None:
    sql = "select * from a{% if not p %}{% if not q %}, b{% endif %}{% endif %}"
    assert tables_of(sql, more=TWO)[0] == {"a", "b"}


def test_table_dropped_in_one_branch_exists_after_another() -> None:
    sql = "create table x as select 1; {% if not p %}drop table x;{% endif %} select 2"
    assert tables_of(sql, more=TWO)[1] == {"x"}


@pytest.mark.rule("10.3")
def test_above_the_limit_of_combinations_one_value_varies_at_a_time() -> None:
    names = [f"p{number}" for number in range(12)]
    parameters = ", ".join(f"{{name: {name}, type: boolean, default: false}}" for name in names)
    sql = "select * from a" + "".join(f"{{% if {name} %}}, t_{name}{{% endif %}}" for name in names)
    assert tables_of(sql, more=f"parameters: [{parameters}]\n")[0] == {"a", *(f"t_{name}" for name in names)}
    declared = [Parameter(name=name, type="boolean") for name in names]
    assert len(other_ways(sql, declared, dict.fromkeys(names, False))) == len(names)


@pytest.mark.rule("10.3")
def test_branches_with_equal_sql_are_parsed_once() -> None:
    sql = 'query_statement: "{% if p %}{% endif %}select 1{% if q %}, 2{% endif %}"\n'
    spec = parse_spec(f"name: a\ntype: Dataset\nowner: a@example.com\n{TWO}{sql}".encode(), file="a.yaml")
    (text,) = sampled_texts(spec, {})
    assert [way.parsed.sql for way in text.all_ways] == ["select 1, 2", "select 1"]


def test_number_of_tried_values_is_limited() -> None:
    choices = [f"c{number}" for number in range(1000)]
    declared = [Parameter(name="p", type="string", choices=choices)]
    ways = other_ways("{% if p == 'c777' %}a{% endif %}", declared, {"p": "c0"})
    assert len(ways) == MAX_SINGLE_VARIATIONS
    assert ways[0] == {"p": "c777"}


def test_template_that_is_too_deep_has_no_other_branches() -> None:
    deep = "{% if p %}" * 2000 + "{% endif %}" * 2000
    assert other_ways(deep, [Parameter(name="p", type="boolean")], {"p": True}) == []


@pytest.mark.rule("10.3")
def test_error_in_one_branch_names_the_values_of_the_branch() -> None:
    sql = "select 1\n{% if not p %}\nfrom a where = = 1\n{% endif %}\n{% if q %}order by 1{% endif %}"
    assert of_sql(sql, yaml=DUCKDB + TWO) == [
        "error d/q.sql:3:16: not valid duckdb with p=false: Something is missing after '='."
    ]


def test_statement_in_one_branch_alone_is_not_missing() -> None:
    assert of_sql("{% if not p %}select '{{ q }}' as a{% endif %}", yaml=DUCKDB + TWO) == []


def test_query_that_builds_in_one_branch_builds() -> None:
    sql = "{% if p and q %}drop table x{% else %}create table x as select 1{% endif %}"
    assert of_sql(sql, yaml=DUCKDB + TWO) == []
