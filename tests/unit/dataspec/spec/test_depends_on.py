"""What ``depends_on`` of a spec may hold, and what its readers get."""

from __future__ import annotations

import json

import pytest

from dataspec.catalog.cache import spec_to_json
from dataspec.contract import WAIT_PREFIX, wait_task_id
from dataspec.errors import InvalidSpec, InvalidTemplate
from dataspec.spec.connection_teams import ConnectionTeams
from dataspec.spec.model import MAX_CONDITIONS, DatasetSpec, Dependency, SqlDependency
from dataspec.spec.parse import parse_spec
from dataspec.sql.rendering import render_condition
from dataspec.sql.validation import check_spec
from unit.dataspec.specs import spec_text

LISTED = """\
depends_on:
  - sales.orders
  - {dataset: ref.rates, partition: latest, timeout_seconds: 3600}
  - sql: "select 1 from loads where day = '{{ execution_date }}'"
    connection: lake
    every_seconds: 30
parameters: [{name: execution_date, type: date}]
"""


def parsed(text: str, *, name: str = "a") -> DatasetSpec:
    return parse_spec(f"{spec_text(name)}{text}".encode(), file="a.yaml")


def problems(text: str) -> list[str]:
    with pytest.raises(InvalidSpec) as caught:
        check_spec(f"{spec_text('a')}{text}".encode(), {}, file="a.yaml")
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.rule("31.30", "31.31")
def test_an_entry_is_a_name_a_dataset_or_a_query() -> None:
    spec = parsed(LISTED)
    assert spec.dependencies == (
        Dependency(dataset="sales.orders"),
        Dependency(dataset="ref.rates", partition="latest", timeout_seconds=3600),
    )
    assert spec.upstream == ("sales.orders", "ref.rates")
    (query,) = spec.conditions
    assert (query.connection, query.every_seconds, query.timeout_seconds) == ("lake", 30, None)
    assert spec.need_labels == ("sales.orders", "ref.rates (latest partition)", "a query on lake")


@pytest.mark.rule("31.30")
def test_a_wait_is_24_hours_by_default() -> None:
    spec = parsed(LISTED)
    assert [spec.wait_seconds(entry) for entry in spec.needs] == [
        86_400,
        3600,
        86_400,
    ]


@pytest.mark.rule("31.30")
def test_one_dataset_may_be_needed_by_two_partitions_and_counts_once_as_upstream() -> None:
    spec = parsed("depends_on: [b, b, {dataset: b}, {dataset: b, partition: previous}]\n")
    assert [entry.partition for entry in spec.dependencies] == [None, "previous"]
    assert spec.upstream == ("b",)


@pytest.mark.rule("31.30")
def test_the_stored_form_keeps_each_entry_as_it_is_written() -> None:
    stored = json.loads(json.dumps(spec_to_json(parsed(LISTED))))
    assert stored["depends_on"] == [
        "sales.orders",
        {"dataset": "ref.rates", "partition": "latest", "timeout_seconds": 3600},
        {
            "sql": "select 1 from loads where day = '{{ execution_date }}'",
            "connection": "lake",
            "every_seconds": 30,
        },
    ]
    assert DatasetSpec.model_validate(stored) == parsed(LISTED)


@pytest.mark.rule("31.30", "31.31")
@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("^5", "'depends_on[1]': expected text, got 5."),
        ("^[b]", "'depends_on[1]': expected text, got ['b']."),
        ("^a", "a dataset can't depend on itself."),
        ("{dataset: ^a}", "a dataset can't depend on itself."),
        ("{dataset: ^a, partition: previous}", "a dataset can't depend on itself."),
        ("^{partition: same}", "the key 'dataset' is missing in 'depends_on[1]'."),
        (
            "{dataset: c, partition: ^last}",
            "'depends_on[1].partition': 'last' is not one of 'same', 'previous'",
        ),
        ("{dataset: c, timeout_seconds: ^0}", "'depends_on[1].timeout_seconds'"),
        ("{dataset: c, timeout_seconds: ^2678401}", "'depends_on[1].timeout_seconds'"),
        ("{dataset: c, timeout_seconds: ^soon}", "'depends_on[1].timeout_seconds': expected a whole number"),
        ("{dataset: ^c..d}", "'depends_on[1].dataset'"),
        (
            "{dataset: c, ^every_seconds: 5}",
            "unknown key 'every_seconds'. Did you mean 'timeout_seconds'?",
        ),
        ("{dataset: c, ^partion: same}", "unknown key 'partion'. Did you mean 'partition'?"),
        ("{sql: select 1, ^partition: same}", "unknown key 'partition'."),
        ("{sql: ^''}", "'depends_on[1].sql'"),
        ("{sql: ^7}", "'depends_on[1].sql': expected text, got 7."),
        ("{sql: select 1, every_seconds: ^0}", "'depends_on[1].every_seconds'"),
        ("{sql: select 1, connection: ^a b}", "'depends_on[1].connection': 'a b' is not a name"),
    ],
)
def test_a_wrong_entry_is_told_at_its_line_and_column(entry: str, told: str) -> None:
    """The sign ^ marks the place."""
    text = f"depends_on: [b, {entry}]"
    line, column = spec_text("a").count("\n") + 1, text.index("^") + 1
    assert f"a.yaml:{line}:{column}: {told}" in "\n".join(problems(f"{text.replace('^', '')}\n"))


@pytest.mark.rule("31.31")
def test_a_spec_has_a_limited_number_of_queries_to_wait_for() -> None:
    entries = ", ".join(["{sql: select 1}"] * (MAX_CONDITIONS + 1))
    assert "'depends_on' has 21 entries with 'sql'; 20 at most." in problems(f"depends_on: [{entries}]\n")[0]


@pytest.mark.rule("31.32")
@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("select {{ nobody }}", "'nobody'"),
        ("select {{ who.__class__ }}", "a.yaml"),
        ("select {% if %}", "a.yaml"),
    ],
)
def test_the_sql_of_an_entry_is_a_template_like_any_other(sql: str, told: str) -> None:
    found = problems(f"depends_on:\n  - sql: |\n      {sql}\n")
    assert told in found[0]
    assert found[0].startswith(f"a.yaml:{spec_text('a').count(chr(10)) + 3}:")


@pytest.mark.rule("31.32")
def test_a_problem_of_another_key_does_not_hide_that_of_an_entrys_sql() -> None:
    found = problems('depends_on: [5, {sql: "select {{ nobody }}"}]\n')
    assert len(found) == 2
    assert "'nobody'" in found[1]


@pytest.mark.rule("31.32")
def test_values_stay_values_in_an_entrys_sql() -> None:
    spec = parsed(
        "depends_on: [{sql: \"select 1 from t where a = '{{ who }}'\"}]\n"
        "parameters: [{name: who, type: string}]\n"
    )
    (entry,) = spec.conditions
    sql = render_condition(spec, entry, {}, {"who": "x' or 1=1 --"}, dialect="duckdb", file="a.yaml")
    assert sql == "select 1 from t where a = 'x'' or 1=1 --'"


@pytest.mark.rule("31.32")
@pytest.mark.parametrize(("sql", "number"), [("select 1; select 2", 2), ("-- nothing", 0)])
def test_an_entry_that_is_not_one_statement_is_refused_where_it_would_run(sql: str, number: int) -> None:
    text = f"depends_on:\n  - b\n  - sql: '{sql}'\n"
    spec = parsed(text)
    yaml = f"{spec_text('a')}{text}".encode()
    with pytest.raises(InvalidTemplate) as refused:
        render_condition(spec, spec.conditions[0], {}, {}, dialect="duckdb", file="a.yaml", yaml=yaml)
    told = f"the condition holds {number} statements; write one query."
    assert told in str(refused.value.problem)
    assert refused.value.problem.line == spec_text("a").count("\n") + 3


@pytest.mark.rule("31.33")
def test_the_connection_of_an_entry_is_limited_to_its_teams_as_well() -> None:
    teams = ConnectionTeams.parse("lake=@ops", "LIST")
    assert teams.why_not(parsed("team: '@data'\n")) is None
    why = teams.why_not(parsed(f"team: '@data'\n{LISTED}"))
    assert why == "The connection 'lake' is for specs of @ops alone; 'a' has the team @data."
    assert teams.why_not(parsed(f"team: '@ops'\n{LISTED}")) is None


@pytest.mark.rule("31.31")
def test_the_specs_dialect_is_that_of_entries_on_its_own_connection_alone() -> None:
    spec = parsed("execution: {connection: here, dialect: trino}\n")
    assert spec.condition_engine(SqlDependency(sql="select 1")) == ("here", "trino")
    assert spec.condition_engine(SqlDependency(sql="select 1", connection="here")) == ("here", "trino")
    assert spec.condition_engine(SqlDependency(sql="select 1", connection="lake")) == ("lake", None)


@pytest.mark.rule("31.34")
def test_the_waiting_tasks_id_changes_with_what_is_waited_for_alone() -> None:
    of = {
        text: wait_task_id(parsed(f"depends_on: [{text}]\n"))
        for text in ("b, c", "c, b", "b", "{dataset: b}")
    }
    assert of["b, c"] == of["c, b"]
    assert of["b"] == of["{dataset: b}"] == wait_task_id(parsed("depends_on: [b]\ndescription: new\n"))
    changed = ["{dataset: b, partition: same}", "{dataset: b, timeout_seconds: 5}", "{sql: select 1}", "b, c"]
    ids = {wait_task_id(parsed(f"depends_on: [{text}]\n")) for text in changed} | {of["b"]}
    assert len(ids) == len(changed) + 1
    assert all(found.startswith(WAIT_PREFIX) and len(found) == len(WAIT_PREFIX) + 12 for found in ids)
