from __future__ import annotations

import pytest
import sqlglot

from dataspec.errors import InvalidTemplate
from dataspec.spec.parse import parse_spec
from dataspec.sql.lineage.statement_tables import read_and_written
from dataspec.sql.preview import SqlPreview, preview_sql

HEAD = "name: a.b\ntype: Dataset\nowner: ann@example.com\n"
DUCKDB = "execution:\n  dialect: duckdb\n"


def preview(yaml: str, **values: object) -> SqlPreview:
    return preview_files(yaml, {}, **values)


def preview_files(yaml: str, files: dict[str, str], **values: object) -> SqlPreview:
    body = (HEAD + yaml).encode()
    return preview_sql(parse_spec(body, file="d/a.yaml"), files, values, yaml=body, file="d/a.yaml")


def problem_of(yaml: str, files: dict[str, str] | None = None, **values: object) -> tuple[str, str]:
    """Return the title and the place of what is wrong."""
    with pytest.raises(InvalidTemplate) as raised:
        preview_files(yaml, files or {}, **values)
    problem = raised.value.problem
    return raised.value.title, f"{problem.file}:{problem.line}:{problem.column}"


@pytest.mark.rule("12.21")
@pytest.mark.parametrize(
    ("sql", "reads", "writes"),
    [
        ("insert into a.b (x) select x from c join d.e on true", {"c", "d.e"}, {"a.b"}),
        ("create or replace table x as select * from raw", {"raw"}, {"x"}),
        ("create table x (y int)", set(), {"x"}),
        ("create view x as select * from y", {"y"}, {"x"}),
        ("delete from t where a in (select a from u)", {"u"}, {"t"}),
        ("update t set a = 1 from v", {"v"}, {"t"}),
        ("merge into t using s on t.a = s.a when matched then delete", {"s"}, {"t"}),
        ("drop table if exists t, u", set(), {"t", "u"}),
        ("truncate table t", set(), {"t"}),
        ("alter table t add column x int", set(), {"t"}),
        ("with c as (select * from raw), d as (select * from c) select * from d", {"raw"}, set()),
        ("with clicks as (select * from clicks) select * from clicks", {"clicks"}, set()),
        ("with recursive c as (select 1 union all select * from c) select * from c", set(), set()),
        ("select * from (with c as (select 1) select * from c) x join c on true", {"c"}, set()),
        ("select * from range(3), other.c", {"other.c"}, set()),
        ("begin transaction", set(), set()),
    ],
)
def test_the_tables_that_a_statement_reads_and_writes(sql: str, reads: set[str], writes: set[str]) -> None:
    assert read_and_written(sqlglot.parse_one(sql, dialect="duckdb")) == (reads, writes)


def test_a_preview_has_every_statement_and_all_tables() -> None:
    yaml = (
        f"{DUCKDB}pre_statements:\n  - name: clear\n    sql: delete from t; delete from u\n"
        "query_statement: insert into t select * from c where day = '{{ day }}'\n"
        "parameters:\n  - name: day\n    type: date\n"
    )
    found = preview(yaml, day="2024-01-15")
    assert found.statements == [
        "delete from t",
        "delete from u",
        "insert into t select * from c where day = '2024-01-15'",
    ]
    assert (found.reads, found.writes, found.warnings) == (["c"], ["t", "u"], [])


@pytest.mark.rule("9.13")
def test_error_in_a_sql_file_has_line_and_column_of_the_file() -> None:
    yaml = f"{DUCKDB}query_file: q.sql\n"
    assert problem_of(yaml, {"q.sql": "select a,\n  b fromm c where x = = 1\n"}) == (
        "The SQL is not valid duckdb.",
        "d/q.sql:2:11",
    )


def test_error_of_duckdbs_own_parser_has_its_place() -> None:
    yaml = f"{DUCKDB}query_file: q.sql\n"
    assert problem_of(yaml, {"q.sql": "select a,\n, b from t"}) == (
        "The SQL is not valid duckdb.",
        "d/q.sql:2:1",
    )


@pytest.mark.rule("9.13")
def test_lines_added_or_removed_by_the_template_keep_the_place() -> None:
    sql = (
        "{% for name in names %}\nselect {{ name }};\n{% endfor %}\n{# a\ncomment #}\n"
        "select 1\nfrom t\nwhere whereby\n"
    )
    yaml = f"{DUCKDB}query_file: q.sql\nparameters:\n  - name: names\n    type: list\n"
    wrong = sql.replace("where whereby", "where where x")
    assert problem_of(yaml, {"q.sql": wrong}, names=[1, 2, 3])[1] == "d/q.sql:8:7"
    assert preview_files(yaml, {"q.sql": sql}, names=[1, 2, 3]).reads == ["t"]


@pytest.mark.rule("9.13")
def test_error_in_sql_in_the_yaml_has_line_and_column_of_the_yaml() -> None:
    yaml = f"{DUCKDB}query_statement: |\n  select a\n  fromm b = = c\n"
    assert problem_of(yaml)[1] == "d/a.yaml:8:9"
    assert problem_of(f"{DUCKDB}query_statement: select 1 = = 2\n")[1] == "d/a.yaml:6:18"


def test_value_that_does_not_fit_sql_in_the_yaml_has_the_line_of_the_yaml() -> None:
    yaml = f"{DUCKDB}query_statement: |\n  select 1\n  from {{{{ t }}}}\nparameters:\n  - name: t\n    type: string\n"
    assert problem_of(yaml, t="x; drop table y") == ("The SQL can't be rendered.", "d/a.yaml:8:8")


def test_syntax_error_without_a_dialect_is_a_warning() -> None:
    found = preview("query_statement: select 1 = = 2\n")
    assert found.statements == ["select 1 = = 2"]
    assert "d/a.yaml:4:18" in found.warnings[0]
    assert "execution.dialect" in found.warnings[0]
