"""Where the columns of a dataset come from: known answers, and sqlglot's own answers for longer queries."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlglot
from sqlglot import exp
from sqlglot.lineage import lineage as sqlglot_lineage

from dataspec.isolation import LIMITS, LimitExceeded, Worker
from dataspec.spec.parse import parse_spec
from dataspec.sql.lineage.column_lineage import ColumnLineage, column_lineage_of
from dataspec.sql.lineage.query_columns import query_columns
from dataspec.sql.lineage.tree_size import TOO_LARGE
from dataspec.sql.lineage.written_queries import written_queries
from dataspec.sql.parser import parse_sql
from dataspec.sql.samples import sampled_texts
from tpcds.tables import TABLES as TPCDS
from tpch.tables import SCHEMA as TPCH_SCHEMA

TPCH_FOLDER = Path(__file__).parents[3] / "tpch" / "datasets"
TPCDS_QUERIES = sorted((Path(__file__).parents[3] / "tpcds").glob("*.sql"))
TPCH = {
    table.this.name: [column.name for column in table.expressions]
    for table in (tree.this for tree in sqlglot.parse(TPCH_SCHEMA, dialect="duckdb") if tree)
}
T: Mapping[str, Sequence[str]] = {"t": ["a", "b"], "u": ["a", "c"]}
UNKNOWN = "?"


def columns(
    query: str, known: Mapping[str, Sequence[str]] | None = None, *, dialect: str = "duckdb", **more: Any
) -> ColumnLineage:
    """Return the column lineage of a dataset with a query."""
    spec = {
        "name": "sales.daily",
        "type": "Dataset",
        "owner": "ann@example.com",
        "execution": {"dialect": dialect},
        "query_statement": query,
        **more,
    }
    return column_lineage_of(parse_spec(json.dumps(spec).encode(), file="a.yaml"), {}, known or {})


def told(found: ColumnLineage) -> dict[str, str]:
    """Return the sources of each column as text; a question mark for what is not known."""
    told = {
        column.name: " ".join(
            [f"{source.table}.{source.column}" for source in column.sources]
            + ([UNKNOWN] if column.unknown else [])
        )
        for column in found.columns
    }
    return told | ({"*": UNKNOWN} if found.unknown else {})


def statement(name: str, sql: str) -> list[dict[str, str]]:
    return [{"name": name, "sql": sql}]


@pytest.mark.rule("10.16")
@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (
            "select a, b + 1 as c, 1 as one, count(*) as n from t",
            {"a": "t.a", "c": "t.b", "one": "", "n": ""},
        ),
        ("select T.A as x, y.B from wh.s.T as y join T on true", {"x": "T.A", "B": "wh.s.T.B"}),
        ("select s.x + s.y as z from (select a as x, b as y from t) s", {"z": "t.a t.b"}),
        ("with s as (select a as x from t), r as (select x + 1 as y from s) select y from r", {"y": "t.a"}),
        ("with orders as (select * from orders) select id from orders", {"id": "orders.id"}),
        ("with s as (select *, a + b as c from t) select v, c from s", {"v": "t.v", "c": "t.a t.b"}),
        ("select a from t union all select c from u union select d from v", {"a": "t.a u.c v.d"}),
        ("select a, b from t union all by name select b, a from u", {"a": "t.a u.a", "b": "t.b u.b"}),
        ("select a, b from t union by name select c from u", {"a": "t.a", "b": "t.b", "c": "u.c"}),
        ("select t.a, (select max(u.v) from u where u.k = t.k) as m from t", {"a": "t.a", "m": "u.v"}),
        ("select sum(a) over (partition by b order by c) as s from t", {"s": "t.a t.b t.c"}),
        ("select e.x from t, unnest(t.items) as e(x)", {"x": "t.items"}),
        ("select a as x, x.a from x", {"x": "x.a", "a": "x.a"}),
        ("select upper(a), a from t", {"UPPER(a)": "t.a", "a": "t.a"}),
        ("select k, l.v from l join r using (k)", {"k": "l.k r.k", "v": "l.v"}),
        ("(select a from t)", {"a": "t.a"}),
        ("from t select a", {"a": "t.a"}),
    ],
)
def test_each_column_comes_from_the_columns_that_its_values_are_made_of(
    sql: str, expected: dict[str, str]
) -> None:
    assert told(columns(sql)) == expected


@pytest.mark.rule("10.16")
@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("with recursive n as (select 1 as i union all select i + 1 from n) select i from n", {"i": ""}),
        (
            (
                "with recursive r as (select id, up from t union all select t.id, r.up from t join r on t.up = r.id) "
                "select * from r"
            ),
            {"id": "t.id", "up": "t.up"},
        ),
        (
            "with recursive r(a, b, c) as (select x, y, z from t union all select b, c, a from r) select a from r",
            {"a": "t.x t.y t.z"},
        ),
    ],
)
def test_a_recursive_query_leads_to_the_columns_that_it_starts_from(
    sql: str, expected: dict[str, str]
) -> None:
    """sqlglot itself follows a recursive query no further than its first part."""
    assert told(columns(sql)) == expected


@pytest.mark.rule("10.16")
@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("select * from t", {"a": "t.a", "b": "t.b"}),
        ("select t.*, u.c from t join u on true", {"a": "t.a", "b": "t.b", "c": "u.c"}),
        ("select * from t join u using (a)", {"a": "t.a u.a", "b": "t.b", "c": "u.c"}),
        ("select b, c from t join u using (a)", {"b": "t.b", "c": "u.c"}),
        ("select * exclude (a) from t", {"b": "t.b"}),
        ("select * replace (a + b as a) from t", {"a": "t.a t.b", "b": "t.b"}),
        ("select * from (select * from t) s(x, y)", {"x": "t.a", "y": "t.b"}),
        ("select * from t union all select * from u", {"a": "t.a u.a", "b": "t.b u.c"}),
        ("select a as x, x + 1 as y from t", {"x": "t.a", "y": "t.a"}),
        ("select (select max(c) from u) as m", {"m": "u.c"}),
    ],
)
def test_known_tables_expand_stars_and_tell_the_table_of_a_column(sql: str, expected: dict[str, str]) -> None:
    assert told(columns(sql, T)) == expected


@pytest.mark.rule("10.17")
@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("select a from t join u on true", {"a": "?"}),  # of which table?
        ("select t.a, c from t, u", {"a": "t.a", "c": "?"}),
        ("select * from t", {"*": "?"}),
        ("select t.*, u.c from t join u on true", {"c": "u.c", "*": "?"}),
        ("select v from (select * from t join u on true)", {"v": "?"}),
        ("select b from (select * from t union all select a, b from u)", {"b": "?"}),  # of which position?
        ("select x from (select * from t) s(x)", {"x": "?"}),
        ("select a + 1 as b, b as c from t", {"b": "t.a", "c": "?"}),  # the alias, or a column of t?
        ("select (select max(v) from u where u.k = t.k) as m from t", {"m": "?"}),  # of u or t?
        ("select s.z, s.a from (select a from t) s", {"z": "?", "a": "t.a"}),  # sqlglot names all of s
        ("select columns('a.*') from t", {"*": "?"}),
        ("select y from read_csv('f.csv')", {"y": "?"}),
        ("select y from 'f.parquet'", {"y": "?"}),
    ],
)
def test_what_is_not_certain_is_unknown(sql: str, expected: dict[str, str]) -> None:
    assert told(columns(sql)) == expected


@pytest.mark.rule("10.17")
def test_a_column_that_a_known_table_lacks_is_unknown() -> None:
    (found,) = columns("select z from t", T).columns
    assert (found.sources, found.unknown) == ((), "No column 'z' of t is known.")


@pytest.mark.rule("10.16")
@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("create or replace table sales.daily as select a from t", {"a": "t.a"}),
        ("create view sales.daily (x, y) as select a, b from t", {"x": "t.a", "y": "t.b"}),
        (
            "insert into sales.daily (x, y) with q as (select a, b from t) select * from q",
            {"x": "t.a", "y": "t.b"},
        ),
        ("with q as (select a from t) insert into sales.daily select * from q", {"a": "t.a"}),
        ("insert into sales.daily (x) select * from t", {"x": "?"}),
        (
            (
                "merge into sales.daily d using (select a, b from t) s on d.k = s.a "
                "when matched then update set x = d.x + s.b when not matched then insert (k, x) values (s.a, s.b)"
            ),
            {"k": "t.a", "x": "sales.daily.x t.b"},
        ),
        ("update sales.daily set x = t.a + 1 from t where t.k = daily.k", {"x": "t.a"}),
    ],
)
def test_the_query_may_be_inside_a_statement_that_stores_its_rows(sql: str, expected: dict[str, str]) -> None:
    found = columns(sql)
    assert (told(found), found.table) == (expected, "sales.daily")


@pytest.mark.rule("10.16")
def test_tables_of_the_dataset_s_own_lead_to_the_tables_behind_them() -> None:
    staged = columns(
        "create table sales.daily__new as select *, s + 1 as next from stage",
        pre_statements=statement("stage", "create temp table stage as select a + b as s from raw.t"),
        post_statements=statement(
            "swap", "drop table if exists sales.daily; alter table sales.daily__new rename to daily"
        ),
    )
    assert told(staged) == {"s": "raw.t.a raw.t.b", "next": "raw.t.a raw.t.b"}
    filled = columns(
        "insert into sales.daily select b, a from t",
        pre_statements=statement("make", "create table if not exists sales.daily (x integer, y integer)"),
    )
    assert told(filled) == {"x": "t.b", "y": "t.a"}


@pytest.mark.rule("10.16")
@pytest.mark.parametrize(
    ("materialization", "names"),
    [
        ("table", ("a", "n")),
        ({"type": "view", "table": "sales.daily"}, ("a", "n")),
        ({"type": "incremental", "strategy": "merge", "unique_key": ["a"]}, ("a", "n")),
        ({"type": "incremental", "strategy": "append", "on_schema_change": "ignore"}, None),
    ],
)
def test_a_select_with_a_materialization_fills_its_table(
    materialization: Any, names: tuple[str, ...] | None
) -> None:
    found = columns("select a, count(*) as n from t group by a", materialization=materialization)
    assert (told(found), found.table, found.names) == ({"a": "t.a", "n": ""}, "sales.daily", names)


@pytest.mark.rule("10.16")
def test_every_branch_of_a_template_counts() -> None:
    sql = "select a{% if more %}, z{% endif %} from {% if more %}t{% else %}u{% endif %}"
    found = columns(sql, parameters=[{"name": "more", "type": "boolean", "default": False}])
    assert told(found) == {"a": "t.a u.a", "z": "t.z"}


@pytest.mark.rule("10.17")
def test_names_from_values_of_a_run_are_unknown() -> None:
    found = columns(
        "select {{ measure | identifier }}, b, c as {{ measure }}_c from {{ source | identifier }}",
        parameters=[{"name": "measure", "type": "string"}, {"name": "source", "type": "string"}],
    )
    assert [column.unknown for column in found.columns] == ["A run alone tells which table it reads."] * 3
    assert [column.name for column in found.columns] == ["…", "b", "…_c"]
    assert "dli_sample" not in str(found)
    assert found.names is None


@pytest.mark.rule("10.17")
@pytest.mark.parametrize(
    ("sql", "dialect", "reason"),
    [
        ("call fill()", "snowflake", "What CALL reads and writes is not known."),
        ("select a from", "duckdb", "A statement can't be read: "),
        ("delete from sales.daily", "duckdb", "The query yields no rows whose columns are known."),
        (
            "create table sales.daily as select 1 as a; alter table sales.daily add column z int",
            "duckdb",
            "ALTER",
        ),
    ],
)
def test_statements_that_can_t_be_followed_make_the_columns_unknown(
    sql: str, dialect: str, reason: str
) -> None:
    found = columns(sql, dialect=dialect)
    assert found.unknown is not None
    assert found.unknown.startswith(reason)


@pytest.mark.rule("10.18")
@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("select a, b as c from t", ("a", "c")),
        ("create table sales.daily as select a from t", ("a",)),
        ("insert into sales.daily select a from t", ("a",)),
        ("insert into sales.daily (a) select a from t", None),  # the table may have others
        ("select a, b + 1 from t", None),  # an engine's own name
        ("select * from t", None),
    ],
)
def test_all_columns_of_the_table_are_known_where_nothing_else_fills_it(
    sql: str, names: tuple[str, ...] | None
) -> None:
    assert columns(sql).names == names


def _own_answer(query: exp.Query, name: str, tables: Mapping[str, Sequence[str]]) -> set[str]:
    """Return the columns that sqlglot's lineage of one column ends at."""
    schema = {table: dict.fromkeys(names, "text") for table, names in tables.items()}
    root = sqlglot_lineage(name, query, schema, dialect="duckdb")
    ends = [node for node in root.walk() if isinstance(node.expression, exp.Table)]
    return {f"{node.expression.name}.{exp.to_column(node.name).name}" for node in ends}


def _compared(found: ColumnLineage, query: exp.Query, tables: Mapping[str, Sequence[str]]) -> None:
    assert found.columns
    assert found.unknown is None
    for column in found.columns:
        assert column.unknown is None
        if column.named:
            ours = {f"{source.table}.{source.column}" for source in column.sources}
            assert ours == _own_answer(query, column.name, tables)


@pytest.mark.rule("10.16")
@pytest.mark.parametrize("path", TPCDS_QUERIES, ids=lambda path: path.stem)
def test_queries_in_the_manner_of_tpc_ds_have_sqlglot_s_own_lineage(path: Path) -> None:
    sql = path.read_text()
    query = sqlglot.parse_one(sql, dialect="duckdb")
    assert isinstance(query, exp.Query)
    _compared(columns(sql, TPCDS), query, TPCDS)


@pytest.mark.rule("10.16")
@pytest.mark.parametrize("path", sorted(TPCH_FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_queries_of_tpc_h_have_sqlglot_s_own_lineage(path: Path) -> None:
    spec = parse_spec(path.read_bytes(), file=path.name)
    files = {name: (TPCH_FOLDER / name).read_text() for name in spec.files}
    found = column_lineage_of(spec, files, TPCH)
    text = next(text for text in sampled_texts(spec, files) if text.text.kind == "query")
    (query,) = text.parsed.trees
    assert isinstance(query, exp.Query)
    if path.stem.endswith("q15"):  # it reads a view of its own: known by the tables behind it
        assert told(found)["total_revenue"] == "lineitem.l_discount lineitem.l_extendedprice"
        return
    _compared(found, query, TPCH)


@pytest.mark.rule("10.13")
@pytest.mark.parametrize(
    "sql",
    [
        "select 1" + "::int" * 5_000 + " as a",
        "select a from t" + " union all select a from t" * 1_000,
        "select a.a from t a" + "".join(f" join t t{number} on a.a = t{number}.a" for number in range(1_000)),
    ],
    ids=["casts", "unions", "joins"],
)
def test_the_columns_of_a_deep_query_or_one_of_many_tables_are_not_looked_for(sql: str) -> None:
    (tree,) = parse_sql(sql, sql, "duckdb").trees
    assert isinstance(tree, exp.Query)
    assert query_columns(tree, {}, "duckdb").unknown == TOO_LARGE
    assert [*written_queries(tree)] == []


@pytest.mark.rule("10.12")
@pytest.mark.parametrize(
    "sql",
    [
        "select " + ",\n".join(f"c{number} + {number} as x{number}" for number in range(5_000)) + "\nfrom t",
        "with q0 as (select a, b, c from t)"
        + "".join(
            f",\nq{number} as (select l.a + r.b as a,\nl.b, r.c from q{number - 1} l\njoin q{number - 1} r on l.a = r.a)"
            for number in range(1, 1_700)
        )
        + "\nselect * from q1699",
    ],
    ids=["wide", "deep"],
)
def test_a_query_of_5_000_lines_ends_within_the_limits(sql: str) -> None:
    """It is either told in time, or its child process ends at the limit: the caller goes on."""
    assert sql.count("\n") >= 4_999
    spec = {"name": "a.b", "type": "Dataset", "owner": "ann@example.com", "query_file": "q.sql"}
    parsed = parse_spec(json.dumps(spec).encode(), file="a.yaml")
    worker = Worker(LIMITS)
    try:
        found = worker.call(partial(column_lineage_of, parsed, {"q.sql": sql}, {}))
    except LimitExceeded as exceeded:
        found = ColumnLineage(unknown=exceeded.unknown)
    finally:
        worker.end()
    if found.unknown is None:
        assert len(found.columns) in {3, 5_000}
    else:
        assert found.unknown.startswith(("Not known: ", TOO_LARGE))
