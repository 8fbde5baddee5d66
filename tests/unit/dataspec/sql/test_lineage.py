from __future__ import annotations

import pytest

from dataspec.spec.parse import parse_spec
from dataspec.spec.sql_texts import SqlPlaces
from dataspec.spec.yaml_reader import read_document
from dataspec.sql.lineage.dataset_lineage import Lineage, lineage_of

HEAD = "name: sales.daily\ntype: Dataset\nowner: ann@example.com\n"
DUCKDB = "execution: {dialect: duckdb}\n"


def lineage(yaml: str, files: dict[str, str] | None = None) -> Lineage:
    body = (HEAD + yaml).encode()
    places = SqlPlaces(read_document(body, "d/a.yaml"))
    return lineage_of(parse_spec(body, file="d/a.yaml"), files or {}, places)


def of_sql(sql: str, *, more: str = "", dialect: str = "duckdb") -> tuple[set[str], set[str]]:
    """Return the tables that a query file reads and writes."""
    found = lineage(f"execution: {{dialect: {dialect}}}\nquery_file: q.sql\n{more}", {"q.sql": sql})
    return {use.name for use in found.reads}, {use.name for use in found.writes}


@pytest.mark.rule("10.6")
@pytest.mark.parametrize(
    ("sql", "reads", "writes"),
    [
        ("delete from a.x; insert into a.x select * from a.x join b.y using (i)", {"b.y"}, {"a.x"}),
        ("insert into A.X select * from a.x join wh.a.x using (i)", set(), {"A.X"}),
        ("create temp table t as select * from raw; insert into a.x select * from t", {"raw"}, {"a.x"}),
        ("create temp view t as select 1; select * from t, temp.t, T", set(), set()),
        ("create temp table raw as select * from raw; select * from raw", {"raw"}, set()),
        ("create table n as select * from r; drop table n; select 1", {"r"}, set()),
        ("drop table if exists a.x; create table a.x as select 1", set(), {"a.x"}),
        (
            "create table a.new as select * from r; drop table a.x; alter table a.new rename to x",
            {"r"},
            {"a.x"},
        ),
        ("insert into a.x select * from 'f.parquet' join read_csv('g.csv') on true", set(), {"a.x"}),
        ("select * from '/data/f', \"s.csv.gz\", range(3), c", {"c"}, set()),
        ("copy a.x from 'f.csv'", set(), {"a.x"}),
        ("copy a.x to 'f.csv'", {"a.x"}, set()),
        ("copy (select * from a.x) to 'f.csv'", {"a.x"}, set()),
        ("create schema a; create sequence a.s; use memory.main; create index i on a.x (y)", set(), set()),
        ("create table a.x (y int references b.y (y))", set(), {"a.x"}),
        ("create macro f(a) as table select * from q; select * from f(1)", {"q"}, set()),
        ("comment on table a.x is 'y'; analyze a.x; set z = 1; describe a.x", set(), set()),
        ("with a as (select * from b), b as (select 1) select * from a, b", {"b"}, set()),
        ("with b as (select 1), a as (select * from b) select * from a", set(), set()),
        ("with a as (select * from b) insert into c select * from a", {"b"}, {"c"}),
    ],
)
def test_lineage_has_tables_read_from_others_and_tables_left_after_a_run(
    sql: str, reads: set[str], writes: set[str]
) -> None:
    assert of_sql(sql) == (reads, writes)


@pytest.mark.rule("10.6")
@pytest.mark.parametrize(
    ("dialect", "sql", "reads", "writes"),
    [
        ("tsql", "select * into #t from raw; insert into dbo.x select * from #t", {"raw"}, {"dbo.x"}),
        ("tsql", "update a set x = 1 from dbo.x as a join dbo.y as b on a.i = b.i", {"dbo.y"}, {"dbo.x"}),
        ("postgres", "select * into temp t from raw", {"raw"}, set()),
        ("postgres", "select * into a.x from raw", {"raw"}, {"a.x"}),
        ("bigquery", "select * from p.d.t, t.items", {"p.d.t"}, set()),
        ("spark", "insert overwrite table a.x select * from parquet.`/f`", set(), {"a.x"}),
        ("hive", "from raw insert overwrite table a select 1 insert into b select 2", {"raw"}, {"a", "b"}),
        ("snowflake", "alter table a.x swap with a.y", set(), {"a.x", "a.y"}),
    ],
)
def test_lineage_reads_statements_of_other_engines(
    dialect: str, sql: str, reads: set[str], writes: set[str]
) -> None:
    assert of_sql(sql, dialect=dialect) == (reads, writes)


@pytest.mark.rule("10.6")
def test_the_statements_of_a_run_share_one_session_in_their_order() -> None:
    found = lineage(
        f"{DUCKDB}query_file: q.sql\n"
        "pre_statements:\n  - name: stage\n    sql: create temp table t as select * from raw.a\n"
        "post_statements:\n  - name: log\n    sql: insert into sales.log select count(*) from sales.daily\n",
        {"q.sql": "insert into sales.daily\nselect *\nfrom t, raw.b"},
    )
    assert [(use.name, use.file, use.line, use.column) for use in found.reads] == [
        ("raw.a", "d/a.yaml", 8, 10),
        ("raw.b", "d/q.sql", 3, 13),
    ]
    assert [use.name for use in found.writes] == ["sales.daily", "sales.log"]


@pytest.mark.rule("10.6")
def test_lineage_needs_no_parameters() -> None:
    sql = (
        "{% if full %}insert into all_of.x{% else %}insert into day_of.x{% endif %}\n"
        "\nselect * from raw.{{ kind | identifier }} where d = date '{{ execution_date }}' and t > '{{ data_interval_start }}'\n"
        "and n = {{ n }} and f = {{ f }} and c in ({{ codes }}) and s = '{{ s }}' and m < '{{ moment }}'"
    )
    more = (
        "parameters: [{name: full, type: boolean}, {name: execution_date, type: string}, {name: n, type: integer},"
        " {name: f, type: float}, {name: codes, type: list}, {name: s, type: string},"
        " {name: moment, type: datetime}, {name: kind, type: string, default: clicks}]\n"
    )
    assert of_sql(sql, more=more) == ({"raw.clicks"}, {"all_of.x", "day_of.x"})


@pytest.mark.rule("10.7")
@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("select * from {{ t | identifier }}", "A run alone tells which table it reads: {{ t }}."),
        ("insert into {{ t | identifier }} select 1", "A run alone tells which table it writes: {{ t }}."),
        ("select * from events_{{ n }}", "A run alone tells which table it reads: events_{{ n }}."),
        ("select * from raw.{{ t | identifier }}", "A run alone tells which table it reads: {{ t }}."),
        ("call refresh()", "What CALL reads and writes is not known."),
        (
            "select {{ t }}",
            "The tables in it are not known: 't': the text 'dli_sample' is not in quotes",
        ),
        ("select 1 = = 2", "The tables in it are not known: Required keyword"),
        ("select {{ n[3].x }}", "The tables in it are not known: "),
    ],
)
def test_table_named_by_a_run_value_is_unknown_and_no_error(sql: str, message: str) -> None:
    found = lineage(
        f"{DUCKDB}query_file: q.sql\nparameters: [{{name: t, type: string}}, {{name: n, type: integer}}]\n",
        {"q.sql": sql},
    )
    assert (found.reads, found.writes) == ((), ())
    (problem,) = found.unknown
    assert problem.message.startswith(message.replace("Required keyword", "Something is missing"))
    assert problem.file == "d/q.sql"


@pytest.mark.rule("10.7")
def test_table_named_by_a_default_or_a_first_choice_is_known() -> None:
    more = "parameters: [{name: t, type: string, default: raw.a}, {name: u, type: string, choices: [b, c]}]\n"
    reads, _ = of_sql("select * from {{ t | identifier }}, raw.x_{{ t | length }}", more=more)
    assert reads == {"raw.a", "raw.x_5"}


@pytest.mark.rule("10.8")
def test_dataset_builds_the_tables_it_writes_or_that_of_its_name_where_that_is_unknown() -> None:
    assert lineage("query_statement: select * from raw\n").builds("sales.daily") == ()
    assert lineage("query_statement: call build()\n").builds("sales.daily") == ("sales.daily",)
    assert lineage("query_statement: insert into a.b select 1\n").builds("sales.daily") == ("a.b",)
    unnamed = (
        "query_statement: insert into {{ t | identifier }} select 1\nparameters: [{name: t, type: string}]\n"
    )
    assert lineage(unnamed).builds("sales.daily") == ()
