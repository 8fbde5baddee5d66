from __future__ import annotations

import pytest

from dataspec.errors import InvalidSpec
from dataspec.problems import Problem
from dataspec.project.cross_checks import check_project
from dataspec.project.spec_checks import CheckedSpec, check_invalid, check_valid
from dataspec.spec.dialects import _BY_CONNECTION_TYPE, ConnectionDialect
from dataspec.spec.parse import parse_document
from dataspec.spec.sql_texts import SqlText
from dataspec.spec.yaml_reader import read_document
from dataspec.sql.materialization.supported import engine_sql
from dataspec.sql.rendering import why_not_materialized
from dataspec.sql.template.filters import FILTERS
from dataspec.sql.validation import sql_file_problems

DUCKDB = "execution: {dialect: duckdb}\n"
OPTIONAL = "parameters: [{name: d, type: string, required: false}]\n"
DATE = "parameters: [{name: execution_date, type: date}]\n"


def checked(name: str, yaml: str, *, file: str | None = None, **files: str) -> CheckedSpec:
    """Check a spec; SQL files are named without their ending."""
    body = f"name: {name}\ntype: Dataset\nowner: ann@example.com\n{yaml}".encode()
    document = read_document(body, file or f"d/{name}.yaml")
    sql = {f"{key}.sql": text for key, text in files.items()}
    try:
        spec = parse_document(document)
    except InvalidSpec as error:
        return check_invalid(document, error.problems)
    return check_valid(spec, sql, document, tuple(sql_file_problems(spec, sql, document)))


def told(problems: tuple[Problem, ...]) -> list[str]:
    """Return problems as text, without the warning of rows that are not stored: many specs here are a lone SELECT."""
    return [f"{problem.severity} {problem}" for problem in problems if not is_of_rows(problem)]


def is_of_rows(problem: Problem) -> bool:
    return "are not stored" in problem.message


def of_sql(sql: str, *, yaml: str = DUCKDB) -> list[str]:
    return told(checked("a", f"{yaml}query_file: q.sql\n", q=sql).problems)


def test_valid_spec_has_no_problem() -> None:
    assert of_sql("insert into a select * from b where d = '{{ execution_date }}'", yaml=DUCKDB + DATE) == []


@pytest.mark.rule("11.13")
def test_schedule_that_surprises_is_a_warning_at_its_place() -> None:
    found = checked("a", "query_statement: select 1\nschedule:\n  cron: 0 0 */2 * 1\n")
    [warning] = told(found.problems)
    assert warning.startswith("warning d/a.yaml:6:9: '0 0 */2 * 1' fires on days that match both")
    assert found.valid


@pytest.mark.rule("10.1")
def test_syntax_error_in_the_dialect_is_an_error_at_its_place() -> None:
    assert of_sql("select a\nfrom b where x = = 1") == [
        "error d/q.sql:2:18: not valid duckdb: Something is missing after '='."
    ]


@pytest.mark.rule("10.2")
def test_error_of_duckdbs_own_parser_is_reported_once() -> None:
    assert of_sql("select a,\n, b from t") == [
        'error d/q.sql:2:1: not valid duckdb: syntax error at or near ",".'
    ]
    found = checked("a", f"{DUCKDB}query_statement: |\n  select a,\n  , b from t\n")
    assert [(problem.file, problem.line, problem.column) for problem in found.problems] == [
        ("d/a.yaml", 7, 3)
    ]


@pytest.mark.rule("10.1")
def test_syntax_error_in_generic_sql_is_a_warning_about_the_dialect() -> None:
    (warning,) = of_sql("select a\nfrom b where x = = 1", yaml="")
    assert warning.startswith("warning d/q.sql:2:18: Something is missing after '='.")
    assert "'execution.dialect'" in warning


def test_problem_of_sql_in_the_yaml_has_its_place_in_the_yaml() -> None:
    found = checked("a", f"{DUCKDB}query_statement: |\n  select 1\n  from b where = = 2\n")
    assert [(problem.file, problem.line, problem.column) for problem in found.problems] == [
        ("d/a.yaml", 7, 18)
    ]


@pytest.mark.rule("10.5")
def test_a_parameter_that_no_sql_uses_is_a_warning() -> None:
    parameters = "parameters: [{name: execution_date, type: date}, {name: n, type: integer}]\n"
    assert of_sql("select {{ n }}", yaml=DUCKDB + parameters) == [
        (
            "warning d/a.yaml:5:21: no SQL uses the parameter 'execution_date'. "
            "Write {{ execution_date }} where it belongs, or remove it."
        )
    ]


@pytest.mark.rule("10.5")
@pytest.mark.parametrize(
    "sql",
    [
        "select '{{ data_interval_start }}'",
        "{% if execution_date %}select 1{% endif %}",
        "select '{{ execution_date | upper }}'",
        "{% set d = execution_date %}select '{{ d }}'",
    ],
)
def test_a_parameter_is_used_wherever_a_template_needs_it(sql: str) -> None:
    assert of_sql(sql, yaml=DUCKDB + DATE) == []


@pytest.mark.rule("9.1")
def test_all_problems_of_a_template_are_reported_at_once() -> None:
    sql = "select {{ a | foo }}\nfrom {{ b }} where {{ a }}\nand {{ c is bar }} {% include 'x' %}"
    assert of_sql(sql) == [
        f"error d/q.sql:1:15: there is no filter 'foo'. Filters for dates and names: {', '.join(FILTERS)}.",
        "error d/q.sql:1:11: 'a' is not a parameter of this dataset. Declare it under 'parameters'.",
        "error d/q.sql:2:9: 'b' is not a parameter of this dataset. Declare it under 'parameters'.",
        "error d/q.sql:3: a SQL template can't include another; it can import macros.",
        "error d/q.sql:3: there is no test 'bar'.",
        "error d/q.sql:3:8: 'c' is not a parameter of this dataset. Declare it under 'parameters'.",
    ]


@pytest.mark.rule("9.13")
def test_problem_of_a_template_in_the_yaml_has_its_line_in_the_yaml() -> None:
    found = checked("a", "query_statement: |\n  select 1\n  from {{ nowhere }}\n")
    assert told(found.problems) == [
        "error d/a.yaml:6:11: 'nowhere' is not a parameter of this dataset. Declare it under 'parameters'."
    ]


@pytest.mark.rule("10.1")
def test_template_that_fails_with_sample_values_is_a_warning() -> None:
    (warning,) = of_sql("select {{ t }}", yaml=f"{DUCKDB}parameters: [{{name: t, type: string}}]\n")
    assert warning.startswith(
        "warning d/q.sql:1:8: the SQL is not checked, since sample values don't fit: 't'"
    )
    assert "| identifier" in warning


def test_the_sample_of_a_parameter_with_choices_is_one_of_them() -> None:
    unit = "parameters: [{name: d, type: date}, {name: unit, type: string, choices: [week, month]}]\n"
    assert of_sql("select '{{ d | start_of(unit) }}'", yaml=DUCKDB + unit) == []


@pytest.mark.rule("10.4")
@pytest.mark.parametrize(
    ("sql", "problem"),
    [
        ("-- only a comment", "error d/q.sql:1:1: the query holds no statement, only comments."),
        ("{% if false %}select 1{% endif %}", "warning d/q.sql:1:1: the query holds no statement with"),
        ("select 1; select 2", "warning d/q.sql:1:1: the query holds 2 statements."),
        ("commit", "error d/q.sql:1:1: the query builds nothing: COMMIT neither"),
        ("drop table a", "error d/q.sql:1:1: the query builds nothing: DROP TABLE neither"),
        ("show tables", "warning d/q.sql:1:1: SHOW returns rows that are discarded."),
        ("drop schema s; select 1", "warning d/q.sql:1:1: DROP SCHEMA drops the tables of other datasets"),
    ],
)
def test_statement_that_can_not_be_a_query_is_reported(sql: str, problem: str) -> None:
    assert of_sql(sql)[0].startswith(problem)


@pytest.mark.rule("10.4")
@pytest.mark.parametrize(
    "sql", ["vacuum", "call f()", "copy t to 'f.csv'", "select 1;", "with a as (select 1) from a"]
)
def test_statement_that_may_be_a_query_is_accepted(sql: str) -> None:
    assert of_sql(sql) == []


@pytest.mark.rule("10.4")
def test_empty_pre_statement_is_reported_by_its_name() -> None:
    found = checked("a", "query_statement: select 1\npre_statements: [{name: todo, sql: '-- todo'}]\n")
    assert told(found.problems) == [
        "error d/a.yaml:5:36: the statement 'todo' holds no statement, only comments. Write its SQL, or remove it."
    ]


def project(*specs: CheckedSpec) -> list[str]:
    return [text for spec in check_project(specs) for text in told(spec.problems)]


def sound(name: str, sql: str, yaml: str = "") -> CheckedSpec:
    return checked(name, f"{DUCKDB}query_file: q.sql\n{yaml}", file=f"d/{name}.yaml", q=sql)


@pytest.mark.rule("10.11")
def test_unknown_dependency_is_a_warning_with_the_nearest_name() -> None:
    assert project(sound("s.a", "select 1"), sound("s.b", "select 1", "depends_on: [s.aa, gone]\n")) == [
        "warning d/s.b.yaml:6:14: this project has no dataset 's.aa'. Did you mean 's.a'?",
        "warning d/s.b.yaml:6:20: this project has no dataset 'gone'.",
    ]


@pytest.mark.rule("10.11")
@pytest.mark.parametrize(
    ("yaml", "place", "hint"),
    [
        ("", "1:7", "Add: depends_on: [s.a, s.b]"),
        ("depends_on: []\n", "6:1", "Add: depends_on: [s.a, s.b]"),
        ("depends_on: [s.c]\n", "6:1", "Add to the list: s.a, s.b"),
        ("depends_on:\n  - s.c\n", "6:1", "Add: - s.a and - s.b"),
    ],
)
def test_undeclared_dependency_is_a_warning_with_the_line_to_add(yaml: str, place: str, hint: str) -> None:
    others = [sound(name, f"create table {name} as select 1") for name in ("s.a", "s.b", "s.c")]
    assert project(*others, sound("s.d", "select * from s.a, s.b", yaml)) == [
        (
            f"warning d/s.d.yaml:{place}: the SQL reads s.a, s.b, which 's.a' and 's.b' build, "
            f"and 'depends_on' does not say so. {hint}"
        )
    ]


@pytest.mark.rule("10.11")
@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ("shop.ordrs", "in its schema. Did you mean 'shop.orders'?"),
        ("shop.customers", "in its schema."),
        ("iceberg.SHOP.ordrs", "in its schema. Did you mean 'shop.orders'?"),
        ("shpo.orders", "builds 'shpo.orders'. Did you mean 'shop.orders'?"),
    ],
)
def test_unknown_table_in_or_near_a_schema_of_the_project_is_a_warning(table: str, problem: str) -> None:
    (warning,) = project(sound("shop.orders", "select 1"), sound("b", f"select *\nfrom {table}"))
    assert warning.startswith(
        f"warning d/q.sql:2:{6 + table.rfind('.') + 1}: no dataset of this project builds"
    )
    assert warning.endswith(problem)


@pytest.mark.rule("10.11")
@pytest.mark.parametrize("table", ["raw.orders", "orders", "other.customers", "shpo.customers"])
def test_table_of_another_schema_is_no_problem(table: str) -> None:
    assert project(sound("shop.orders", "select 1"), sound("b", f"select * from {table}")) == []


@pytest.mark.rule("10.11")
def test_cycle_is_an_error_that_shows_the_whole_cycle() -> None:
    datasets = [sound(name, "select 1", f"depends_on: [{other}]\n") for name, other in ("ab", "bc", "ca")]
    assert project(*datasets) == [
        "error d/a.yaml:6:1: these datasets depend on each other: a → b → c → a. One of these steps has to go."
    ]


@pytest.mark.rule("10.11")
def test_two_datasets_that_write_one_table_are_a_warning_at_the_second() -> None:
    assert project(sound("a", "insert into s.t select 1"), sound("b", "insert into\nS.T select 1")) == [
        "warning d/q.sql:2:3: the dataset 'a' writes the table S.T as well."
    ]
    assert project(sound("a", "insert into b select 1"), sound("b", "create table b as select 1")) == [
        "warning d/q.sql:1:14: the dataset 'a' writes the table b as well."
    ]


@pytest.mark.rule("10.11")
def test_duplicate_name_is_an_error_at_the_second_spec() -> None:
    second = checked("a", "query_statement: select 1\n", file="d/second.yaml")
    assert project(sound("a", "select 1"), second) == [
        "error d/second.yaml:1:7: duplicate dataset name 'a': already defined in d/a.yaml."
    ]


def test_broken_spec_takes_part_in_the_checks_across_specs() -> None:
    broken = checked("s.a", "tagz: []\ndepends_on: [s.gone]\n")
    (unknown, *_, missing) = project(broken, sound("s.b", "select * from s.a", "depends_on: [s.a]\n"))
    assert "unknown key 'tagz'" in unknown
    assert "no dataset 's.gone'" in missing


STORED_NOWHERE = [
    "select 1",
    "with a as (select 1) select * from a",
    "values (1), (2)",
    "select 1 union all select 2",
    "(select 1)",
    "select 1; select 2",
    "set x = 1; select 1",
    "create temp table t as select 1; select * from t",
    "create table t as select 1; drop table t; select 1",
    "from t",
    "show tables",
    "describe t",
    "explain select 1",
    "explain analyze select 1",
    "install httpfs; load httpfs; select 1",
    "reset threads; select 1",
    "{% if d %}select 1{% else %}select 2{% endif %}",
]


LONE_SELECTS = {
    "select 1",
    "with a as (select 1) select * from a",
    "select 1 union all select 2",
    "(select 1)",
    "from t",
    "{% if d %}select 1{% else %}select 2{% endif %}",
}


@pytest.mark.rule("10.14")
@pytest.mark.parametrize("sql", STORED_NOWHERE)
def test_a_query_whose_rows_no_statement_stores_is_a_warning_with_what_to_write(sql: str) -> None:
    found = checked("s.daily", f"{DUCKDB}{OPTIONAL}query_file: q.sql\n", q=sql)
    (warning,) = filter(is_of_rows, found.problems)
    what = "Write CREATE TABLE s.daily AS SELECT …, or INSERT INTO s.daily SELECT …"
    if sql in LONE_SELECTS:
        what = "Add 'materialization: table'."
    assert str(warning) == (
        f"d/q.sql:1:1: the rows of the query are not stored: no statement writes them to a table. {what}"
    )
    assert (warning.severity, found.valid) == ("warning", True)
    assert found.dataset is not None
    assert found.dataset.lineage.builds("s.daily") == ()


@pytest.mark.rule("10.14")
@pytest.mark.parametrize("dialect", sorted({*_BY_CONNECTION_TYPE.values()}))
def test_rows_that_are_not_stored_are_found_in_each_dialect(dialect: str) -> None:
    head = f"execution: {{dialect: {dialect}}}\n"
    for sql in (
        "with a as (select 1 as b) select b from a",
        "show tables",
        "explain select 1 as b",
        "select 1 as b union all select 2 as b",
    ):
        found = checked("a", f"{head}query_file: q.sql\n", q=sql)
        assert any(map(is_of_rows, found.problems)), sql


@pytest.mark.rule("10.14")
@pytest.mark.parametrize(
    "sql",
    [
        "create table s.daily as select 1",
        "create or replace view s.daily as select 1",
        "insert into other select 1",
        "select * into s.other from t",
        "with a as (select 1) insert into t select * from a",
        "merge into t using u on t.a = u.a when matched then delete",
        "delete from t",
        "copy (select 1) to 'x.csv'",
        "call build()",
        "explain analyze insert into t select 1",
        "explain (analyze, buffers)\ninsert into t select 1",
        "select build_daily()",
        "select dwh.build_daily('x')",
        "select from where = =",
        "{% if d %}select 1{% else %}insert into t select 1{% endif %}",
        "insert into {{ d | identifier }} select 1",
    ],
)
def test_no_warning_where_rows_are_stored_or_nobody_knows(sql: str) -> None:
    found = checked("s.daily", f"execution: {{dialect: postgres}}\n{OPTIONAL}query_file: q.sql\n", q=sql)
    assert [problem for problem in found.problems if is_of_rows(problem)] == []


@pytest.mark.rule("10.14")
@pytest.mark.parametrize(
    ("before", "is_told"),
    [
        ("insert into s.daily select 1", False),
        ("insert into daily select 1", False),
        ("call load()", False),
        ("insert into audit.log select 1", True),
        ("create schema s", True),
    ],
)
def test_statements_around_the_query_count_if_they_may_write_the_dataset(before: str, is_told: bool) -> None:
    yaml = f"{DUCKDB}query_statement: select 1\npre_statements: [{{name: before, sql: {before}}}]\n"
    assert any(map(is_of_rows, checked("s.daily", yaml).problems)) is is_told


@pytest.mark.rule("10.14")
def test_a_file_that_is_loaded_into_the_dataset_counts() -> None:
    load = "load data into s.daily from files (format = 'csv')"
    yaml = f'execution: {{dialect: bigquery}}\nquery_statement: select 1 as a\npre_statements: [{{name: l, sql: "{load}"}}]\n'
    assert not any(map(is_of_rows, checked("s.daily", yaml).problems))


@pytest.mark.rule("10.14")
def test_a_dataset_that_stores_nothing_is_not_said_to_build_what_others_read() -> None:
    (warning,) = project(sound("s.a", "select 1"), sound("s.b", "select * from s.a"))
    assert "the SQL reads s.a, a name of 's.a', and 'depends_on'" in warning


@pytest.mark.rule("31.32")
@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("select 1 from b where x = = 1", "9:30: not valid duckdb: Something is missing after '='."),
        ("delete from b", "9:4: DELETE is no query."),
        ("drop table b", "9:4: DROP TABLE is no query."),
        ("set x = 1", "9:4: SET is no query."),
        ("select 1; select 2", "9:4: the condition holds 2 statements."),
    ],
)
def test_a_condition_of_depends_on_is_one_query_in_its_dialect(sql: str, told: str) -> None:
    found = checked(
        "a", f"{DUCKDB}query_statement: insert into a select 1\ndepends_on:\n- c\n- sql: |\n   {sql}\n"
    )
    (problem,) = [text for text in found.problems if text.severity == "error"]
    assert str(problem).startswith(f"d/a.yaml:{told}")


@pytest.mark.rule("31.32")
def test_a_parameter_that_a_condition_uses_is_used_and_its_tables_are_no_lineage() -> None:
    condition = "depends_on: [{sql: \"select 1 from c where d = '{{ execution_date }}'\"}]\n"
    found = checked("a", f"{DATE}{condition}query_statement: insert into a select 1\n")
    assert told(found.problems) == []
    assert found.dataset is not None
    assert [use.name for use in found.dataset.lineage.reads] == []


@pytest.mark.rule("31.32")
def test_a_condition_on_another_connection_is_checked_in_the_dialect_of_that_one() -> None:
    yaml = f"{DUCKDB}query_statement: insert into a select 1\ndepends_on: [{{connection: lake, sql: select `x` from b}}]\n"
    document = read_document(f"name: a\ntype: Dataset\nowner: ann@example.com\n{yaml}".encode(), "a.yaml")
    spec = parse_document(document)
    assert check_valid(spec, {}, document, (), {"lake": ConnectionDialect("bigquery")}).valid
    refused = check_valid(spec, {}, document, (), {"lake": ConnectionDialect("postgres")})
    assert "not valid postgres" in str(refused.problems[0])


@pytest.mark.rule("10.11", "31.30")
def test_an_upstream_with_a_partition_is_a_dependency_like_a_name() -> None:
    nothing = "query_statement: insert into x select 1\n"
    specs = [
        checked(
            "a",
            f"depends_on: [{{sql: select 1}}, {{dataset: b, partition: latest}}, {{dataset: bb}}]\n{nothing}",
        ),
        checked("b", f"depends_on: [{{dataset: a}}]\n{nothing}"),
    ]
    found = [str(problem) for spec in check_project(specs) for problem in spec.problems]
    assert "d/a.yaml:4:74: this project has no dataset 'bb'. Did you mean 'b'?" in found
    assert any("these datasets depend on each other: a → b → a." in text for text in found)


NO_CLOCK = (
    "'@upstream' gives no clock: none of its upstream datasets has a schedule. "
    "Give one of them a schedule, or write a cron expression."
)


@pytest.mark.rule("31.38")
def test_a_schedule_that_follows_datasets_without_one_is_an_error_at_its_cron() -> None:
    specs = [
        checked(
            "down",
            f'depends_on: [up]\nschedule: {{cron: "@upstream"}}\n{OPTIONAL}query_statement: select 1\n',
        ),
        checked("up", "query_statement: select 1\n"),
        checked(
            "other", 'depends_on: [elsewhere]\nschedule: {cron: "@upstream"}\nquery_statement: select 1\n'
        ),
    ]
    found = {
        spec.name: [str(p) for p in spec.problems if p.severity == "error"] for spec in check_project(specs)
    }
    assert found == {
        "down": [
            f"d/down.yaml:5:18: {NO_CLOCK}",
        ],
        "up": [],
        "other": [],
    }


TABLE = f"{DUCKDB}materialization: table\n"


@pytest.mark.rule("35.4")
@pytest.mark.parametrize(
    ("sql", "problem"),
    [
        ("insert into s.t select 1", "it is INSERT. Write the SELECT alone: a run stores its rows in a."),
        ("create table s.t as select 1", "it is CREATE. Write the SELECT alone: a run stores its rows in a."),
        (
            "select 1;\nselect 2",
            "it holds 2 statements. Put the others under 'pre_statements' or 'post_statements'.",
        ),
        (
            "{% if true %}delete from s.t{% endif %}",
            "it is DELETE. Write the SELECT alone: a run stores its rows in a.",
        ),
    ],
)
def test_a_query_that_is_no_select_can_not_be_materialized(sql: str, problem: str) -> None:
    found = of_sql(sql, yaml=TABLE)
    assert f"error d/q.sql:1:1: with 'materialization' the query is one SELECT, and {problem}" in found


@pytest.mark.rule("35.4")
@pytest.mark.parametrize("sql", ["/**/" * 40 + "select 1", "/**/" * 250_000 + "select 1", "/*" * 500_000])
def test_comments_before_a_query_are_read_once(sql: str) -> None:
    """Going back over forty comments would take for ever."""
    text = SqlText("query", sql, "query", continue_on_error=False, file=None, path=("query_statement",))
    assert why_not_materialized(text, [sql], None, "shop.orders") is None


@pytest.mark.rule("35.4")
@pytest.mark.parametrize(
    ("keys", "column", "problem"),
    [
        ("strategy: replace_partition, partition_column: dai", 85, "'dai'. Did you mean 'day'?"),
        ("strategy: merge, unique_key: [n, id]", 71, "'id'. It has: n, day."),
    ],
)
@pytest.mark.parametrize("sql", ["select 1 as n, date '{{ execution_date }}' as day", "from s.t"])
def test_columns_of_a_materialization_are_those_of_the_query(
    keys: str, column: int, problem: str, sql: str
) -> None:
    date = "parameters: [{name: execution_date, type: date}]\n"
    yaml = f"{DUCKDB}{date}materialization: {{type: incremental, {keys}}}\n"
    found = [line for line in of_sql(sql, yaml=yaml) if "no column" in line]
    known = sql.startswith("select")
    assert found == [f"error d/a.yaml:6:{column}: the query has no column {problem}"] * known


@pytest.mark.rule("35.4", "35.7")
@pytest.mark.parametrize(
    "sql",
    [
        "select 1 as a",
        "with x as (select 1 as a) select * from x",
        "(select 1 as a) union all select 2",
        "from t",
    ],
)
def test_a_select_is_materialized_and_its_rows_are_stored(sql: str) -> None:
    found = checked("s.daily", f"{TABLE}query_file: q.sql\n", q=sql)
    assert [*map(str, found.problems)] == []
    assert found.dataset is not None
    assert (found.dataset.lineage.builds("s.daily"), found.dataset.lineage.target) == (
        ("s.daily",),
        "s.daily",
    )


@pytest.mark.rule("35.7")
def test_a_table_of_another_name_and_those_of_the_other_statements_are_what_is_written() -> None:
    yaml = (
        f"{DUCKDB}materialization: {{type: table, table: s.other}}\nquery_statement: select * from s.source\n"
    )
    found = checked("s.daily", f"{yaml}post_statements: [{{name: log, sql: insert into s.log select 1}}]\n")
    assert found.dataset is not None
    lineage = found.dataset.lineage
    assert [use.name for use in lineage.writes] == ["s.log", "s.other"]
    assert [use.name for use in lineage.reads] == ["s.source"]


@pytest.mark.rule("35.2")
def test_statements_that_control_transactions_are_an_error_with_a_materialization() -> None:
    yaml = f"{TABLE}query_statement: select 1 as a\n"
    found = checked("a", f"{yaml}pre_statements: [{{name: x, sql: start transaction}}]\n")
    assert [problem.message for problem in found.problems if problem.severity == "error"] == [
        "'start transaction' is refused with 'materialization': a run publishes in a transaction of its own."
    ]


@pytest.mark.rule("35.8")
def test_an_engine_without_an_atomic_act_is_refused_and_an_unknown_one_is_not() -> None:
    query = "query_statement: select 1 as a\nmaterialization: table\n"
    (problem,) = checked("a", f"execution: {{dialect: mysql}}\n{query}").problems
    assert problem.message.startswith("no materialization on mysql: ")
    assert checked("a", query).problems == ()


@pytest.mark.rule("35.4")
def test_a_comment_after_the_last_semicolon_is_no_statement() -> None:
    query = "query_statement: |\n  select 1 as a;\n  -- the end\n"
    assert checked("a", f"{query}materialization: table\n").problems == ()
    (problem,) = checked("a", query).problems
    assert "rows of the query are not stored" in problem.message


@pytest.mark.rule("35.8")
def test_the_spec_says_which_engine_is_behind_a_connection_of_another_type() -> None:
    assert engine_title("postgres", "redshift") == "Redshift"
    assert engine_title("hive", "spark") == "Spark"
    assert engine_title("postgres", "trino") == "PostgreSQL"
    assert engine_title(None, "trino") == "Trino"
    assert engine_sql("hive") is None


def engine_title(connected: str | None, named: str) -> str:
    engine = engine_sql(connected, named)
    assert engine is not None
    return engine.title


@pytest.mark.rule("35.21")
def test_the_names_of_a_materialization_are_known_with_one_alone() -> None:
    query = "{% if table_exists %}select a from {{ this }}{% else %}select a from s.first{% endif %}"
    found = checked("s.daily", f"{TABLE}query_file: q.sql\n", q=query)
    assert found.problems == ()
    assert found.dataset is not None
    assert [use.name for use in found.dataset.lineage.reads] == ["s.first"]
    assert of_sql("select a from {{ this }}") != []
    wrong = checked(
        "s.daily", f"{TABLE}query_file: q.sql\n", q="{% if not table_exists %}delete from x{% endif %}"
    )
    assert "it is DELETE" in wrong.problems[0].message


@pytest.mark.rule("35.15")
def test_the_query_of_a_view_has_no_values_of_a_run() -> None:
    view = f"{DUCKDB}materialization: view\nquery_file: q.sql\n"
    for name in ("partition_start", "this", "table_exists"):
        found = checked("s.daily", view, q=f"select '{{{{ {name} }}}}' as a")
        assert name in found.problems[0].message
        assert not found.valid


@pytest.mark.rule("35.22")
def test_two_datasets_with_one_table_are_an_error_where_a_run_replaces_it() -> None:
    first = sound("s.a", "select 1 as a", "materialization: table\n")
    second = sound("s.b", "select 1 as a", "materialization: {type: table, table: s.A}\n")
    (problem,) = project(first, second)
    assert problem.startswith("error d/s.b.yaml:")
    assert "the dataset 's.a' writes the table s.A as well. Each table has one dataset" in problem
    by_hand = sound("s.b", "insert into s.a select 1 as a")
    (problem,) = project(first, by_hand)
    assert problem.startswith("error ")
    (problem,) = project(sound("s.a", "insert into s.a select 1 as a"), by_hand)
    assert problem.startswith("warning ")
    form = "materialization: {type: table, table: s.a}\nexecution: {connection: x, dialect: duckdb}\n"
    elsewhere = checked("s.b", f"query_statement: select 1 as a\n{form}")
    (problem,) = project(first, elsewhere)
    assert problem.startswith("warning ")


@pytest.mark.rule("35.4")
def test_a_query_that_is_stored_is_read_in_the_dialect_of_its_connection() -> None:
    yaml = b"name: a.b\ntype: Dataset\nowner: ann@example.com\nquery_file: q.sql\nmaterialization: table\n"
    document = read_document(yaml, "d/a.b.yaml")
    spec, sql = parse_document(document), {"q.sql": "select 'it\\'s' as word"}
    found = check_valid(spec, sql, document, dialects={"dli_default": ConnectionDialect("bigquery")})
    assert [str(problem) for problem in found.problems if "on bigquery" not in problem.message] == []
