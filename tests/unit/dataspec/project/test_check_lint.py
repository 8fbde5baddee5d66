"""What ``validate`` finds in ``checks`` before any run, each at its place."""

from __future__ import annotations

import pytest

from dataspec.errors import InvalidSpec
from dataspec.project.spec_checks import check_invalid, check_valid
from dataspec.spec.checks import check_names
from dataspec.spec.parse import parse_spec
from dataspec.spec.yaml_reader import read_document
from dataspec.sql.validation import check_document, sql_part

HEAD = "name: shop.orders\ntype: Dataset\nowner: e@example.com\nexecution: {dialect: duckdb}\n"
QUERY = "materialization: table\nquery_statement: select 1 as id, 'x' as status, 2 as amount\n"


def problems(*checks: str, query: str = QUERY, more: str = "") -> list[str]:
    """Return the problems; the first check is in line 8."""
    listed = "".join(f"  - {check}\n" for check in checks)
    document = read_document(f"{HEAD}{query}checks:\n{listed}{more}".encode(), "a.yaml")
    try:
        spec = check_document(document, {})
    except InvalidSpec as error:
        found = check_invalid(document, tuple(error.problems), sql_part(document), {})
    else:
        found = check_valid(spec, {}, document)
    return [str(problem) for problem in found.problems]


@pytest.mark.rule("37.1")
@pytest.mark.parametrize(
    ("check", "problem"),
    [
        (
            "{foo: 1, not_null: [id]}",
            "8:6: unknown key 'foo'. Known keys here: name, severity, where, not_null,",
        ),
        ("{not_nul: [id]}", "8:6: unknown key 'not_nul'. Did you mean 'not_null'?"),
        ("{not_null: id}", "8:16: 'checks[0].not_null': expected a list, got 'id'."),
        ("{not_null: []}", "8:16: 'checks[0].not_null': "),
        ("{severity: warn}", "8:5: 'checks[0]': give exactly one of not_null, unique,"),
        ("{not_null: [id], unique: [id]}", "8:5: 'checks[0]': give exactly one of not_null, unique,"),
        (
            "{not_null: [id], severity: fatal}",
            "8:32: 'checks[0].severity': 'fatal' is not one of 'error', 'warn'.",
        ),
        ("{not_null: [id], name: a b}", "8:28: 'checks[0].name': 'a b' is not a name;"),
        ("{accepted_values: {column: id, valuez: [1]}}", "8:6: the key 'values' is missing"),
        ("{accepted_values: {column: id, values: []}}", "8:44: 'checks[0].accepted_values.values': "),
        (
            "{accepted_values: {column: status, values: [a, 1]}}",
            "8:52: values of mixed types: 1 is a number, and 'a'",
        ),
        (
            "{accepted_values: {column: id, values: [1, true]}}",
            "8:48: values of mixed types: True is true or false",
        ),
        (
            "{accepted_values: {column: id, values: [1, null]}}",
            "8:48: null is no accepted value: it always passes.",
        ),
        (
            "{accepted_values: {column: id, values: [[1]]}}",
            "8:45: expected text, a number, true or false, got [1].",
        ),
        ("{relationships: {column: id, to: shop.ref}}", "8:6: the key 'field' is missing"),
        (
            "{relationships: {column: id, to: 'a b', field: c}}",
            "8:38: 'checks[0].relationships.to': 'a b' is not a name",
        ),
        ("{row_count: {}}", "8:17: 'checks[0].row_count': give 'min', 'max' or both."),
        ("{row_count: {min: 3, max: 1}}", "8:17: 'checks[0].row_count': 'min' is 3, more than 'max', 1."),
        ("{row_count: {min: -1}}", "8:23: 'checks[0].row_count.min': "),
    ],
)
def test_a_check_of_another_form_is_told_at_its_place(check: str, problem: str) -> None:
    assert problems(check)[0].startswith(f"a.yaml:{problem}")


@pytest.mark.rule("37.2")
def test_a_check_has_a_name_that_no_other_has() -> None:
    yaml = (
        f"{HEAD}{QUERY}checks: [{{not_null: [a, b]}}, {{not_null: [a, b]}}, {{sql: select 1, name: row_count}}, "
        "{row_count: {min: 1}}, {relationships: {column: a, to: b, field: c}}]\n"
    )
    names = check_names(parse_spec(yaml.encode(), file="a.yaml").checks)
    assert names == ("not_null_a_b", "not_null_a_b_2", "row_count", "row_count_2", "relationships_a")
    twice = problems("{name: x, not_null: [id]}", "{name: x, unique: [id]}")
    assert twice == ["a.yaml:9:12: two checks have the name 'x'. Give each its own."]


@pytest.mark.rule("37.3")
@pytest.mark.parametrize(
    ("check", "problem"),
    [
        ("{not_null: [id, statu]}", "8:21: the query has no column 'statu'. Did you mean 'status'?"),
        (
            "{accepted_values: {column: xyz, values: [1]}}",
            "8:32: the query has no column 'xyz'. It has: id, status, amount.",
        ),
        ("{expression: amonut > 0}", "8:18: the query has no column 'amonut'. Did you mean 'amount'?"),
        (
            "{where: statu = 'x', not_null: [id]}",
            "8:13: the query has no column 'statu'. Did you mean 'status'?",
        ),
    ],
)
def test_a_column_that_the_query_lacks_is_told(check: str, problem: str) -> None:
    assert problems(check) == [f"a.yaml:{problem}"]


@pytest.mark.rule("37.3")
def test_columns_are_those_of_the_schema_where_there_is_one() -> None:
    schema = "schema: [{name: id, type: integer}]\n"
    assert problems("{unique: [ID, amount]}", more=schema) == [
        "a.yaml:8:19: 'schema' has no column 'amount'. 'schema' has: id."
    ]
    unknown = "materialization: table\nquery_statement: select * from shop.raw\n"
    assert problems("{unique: [whatever]}", "{expression: nobody > knows}", query=unknown) == []


@pytest.mark.rule("37.4")
@pytest.mark.parametrize(
    ("check", "problem"),
    [
        ("{expression: 'amount >='}", "8:18: not valid duckdb: Something is missing after '>='."),
        ("{expression: 'amount > 0) or (1 = 1'}", "8:18: not valid duckdb: Invalid expression"),
        ("{expression: 'amount >= 0; drop table x'}", "8:18: a condition has no ';'."),
        ("{expression: 'amount >= 0;'}", "8:18: a condition has no ';'."),
        ("{where: 'id > 0;', unique: [id]}", "8:13: a condition has no ';'."),
        ("{expression: select 1}", "8:18: it is no condition: select 1"),
        ("{expression: amount as x}", "8:18: it is no condition: amount as x"),
        ("{expression: sum(amount) > 0}", "8:18: SUM(amount) is computed from several rows"),
        ("{expression: '{{ nope }} > 1'}", "8:18: 'nope' is not a parameter of this dataset."),
        ("{sql: drop table x}", "8:11: a check is one SELECT, and it holds DROP TABLE."),
        (
            "{sql: 'select * from {{ this }}; select 1'}",
            "8:11: a check is one SELECT, and it holds 2 statements.",
        ),
        ("{sql: 'select from where'}", "8:11: not valid duckdb: "),
    ],
)
def test_sql_that_is_no_condition_or_query_is_told(check: str, problem: str) -> None:
    assert problems(check)[0].startswith(f"a.yaml:{problem}")


@pytest.mark.rule("37.4")
@pytest.mark.parametrize(
    "check",
    [
        "{expression: \"status = 'a;b' and amount is not null\"}",
        "{expression: 'id in (select id from {{ this }} group by id having count(*) = 1)'}",
        "{expression: 'case when id > 0 then true end'}",
        "{sql: 'with a as (select 1) select * from a'}",
    ],
)
def test_sql_of_any_condition_or_query_is_valid(check: str) -> None:
    assert problems(check) == []
