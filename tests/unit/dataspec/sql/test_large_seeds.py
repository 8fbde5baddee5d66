"""Seeds that are too large for the SQL: a run loads them into a table of its session."""

from __future__ import annotations

import io
import json
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import duckdb
import psycopg
import pytest

from dataspec.errors import InvalidSpec, InvalidTemplate
from dataspec.sql.lineage.column_lineage import column_lineage_of
from dataspec.sql.lineage.dataset_lineage import lineage_of
from dataspec.sql.preview import preview_sql
from dataspec.sql.rendering import RenderedStatement, render_statements
from dataspec.sql.validation import check_spec
from dataspec.sql.values.seeds import MAX_INLINE_BYTES
from postgres import Postgres

HEAD = "name: shop.places\ntype: Dataset\nowner: dana@example.com\n"
QUERY = "select * from {{ seed('places') }} where code <> 'x'"
HOSTILE = "O'Hare \\ -- ;\n${x} ' || '"
LINE = 'K%d,"%s",%d,-1.50,true,2024-01-02,2024-01-02 03:04:05,\n'


def seed(rows: int = 2_000, text: str = HOSTILE) -> str:
    lines = (LINE % (number, text, number) for number in range(rows))
    return "code,name,n,amount,is_open,since,seen_at,nothing\n" + "".join(lines)


SEED = seed()
FILES = {"seeds/places.csv": SEED}


def yaml_of(query: str = QUERY, more: str = "", dialect: str = "duckdb") -> bytes:
    return f"{HEAD}query_statement: {json.dumps(query)}\nexecution: {{dialect: {dialect}}}\n{more}".encode()


def rendered(yaml: bytes, files: dict[str, str] = FILES, dialect: str = "duckdb") -> list[RenderedStatement]:
    spec = check_spec(yaml, files, file="places.yaml")
    return render_statements(spec, files, {}, dialect=dialect, file="places.yaml", yaml=yaml)


def run(statements: list[RenderedStatement]) -> list[tuple[Any, ...]]:
    with duckdb.connect() as connection:
        for statement in statements[:-1]:
            connection.execute(statement.sql)
        return connection.execute(statements[-1].sql).fetchall()


@pytest.mark.rule("36.15")
def test_a_large_seed_is_a_table_of_the_session_with_the_same_rows() -> None:
    assert len(SEED) > MAX_INLINE_BYTES
    statements = rendered(yaml_of())
    assert [statement.kind for statement in statements] == ["seed"] * (len(statements) - 1) + ["query"]
    assert len(statements[-1].sql) < len(QUERY) + 100
    rows = run(statements)
    seen = datetime(2024, 1, 2, 3, 4, 5)  # noqa: DTZ001 - a timestamp without a zone
    assert (len(rows), rows[1]) == (
        2_000,
        ("K1", HOSTILE, 1, Decimal("-1.50"), True, date(2024, 1, 2), seen, None),
    )
    small = rendered(yaml_of(), {"seeds/places.csv": seed(rows=3)})
    assert ([statement.kind for statement in small], run(small)) == (["query"], rows[:3])


@pytest.mark.rule("36.15")
def test_a_seed_that_only_a_check_reads_is_loaded_too() -> None:
    check = "select 1 from {{ seed('places') }} as p where p.n < 0"
    statements = rendered(yaml_of("select 1 as n", f"checks: [{{sql: {json.dumps(check)}}}]\n"))
    assert statements[0].kind == "seed"


@pytest.mark.rule("36.15")
def test_logs_show_no_row_of_a_large_seed_and_dry_run_and_lineage_not_its_table() -> None:
    yaml = yaml_of(more="materialization: table\n")
    statements = rendered(yaml)
    assert max(len(statement.shown) for statement in statements) < 300
    spec = check_spec(yaml, FILES, file="places.yaml")
    preview = preview_sql(spec, FILES, {}, yaml=yaml, file="places.yaml", dialect="duckdb")
    assert (len(preview.statements), preview.reads) == (1, [])
    assert list(lineage_of(spec, FILES).reads) == []
    names = column_lineage_of(spec, FILES, {}).names
    assert names == ("code", "name", "n", "amount", "is_open", "since", "seen_at", "nothing")


@pytest.mark.rule("36.16")
@pytest.mark.parametrize(
    ("query", "more", "told"),
    [
        (QUERY, "materialization: view\n", "4:18: the seed 'seeds/places.csv' can't be used in a view"),
        (
            "select 1 as n",
            "depends_on: [{sql: \"select 1 from {{ seed('places') }}\"}]\n",
            "6:20: the seed 'seeds/places.csv' can't be used in 'depends_on'",
        ),
    ],
)
def test_what_is_read_outside_the_run_can_t_read_a_large_seed(query: str, more: str, told: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        check_spec(yaml_of(query, more), FILES, file="places.yaml")
    assert str(refused.value.problems[0]).startswith(f"places.yaml:{told}")
    check_spec(yaml_of(query, more), {"seeds/places.csv": seed(rows=3)}, file="places.yaml")


@pytest.mark.rule("36.16")
def test_a_dialect_without_temporary_tables_is_refused() -> None:
    with pytest.raises(InvalidTemplate) as refused:
        rendered(yaml_of(dialect="trino"), dialect="trino")
    assert "has more than 64 KiB and can't be loaded: trino has no temporary tables" in str(
        refused.value.problem
    )


@pytest.mark.rule("36.15")
@pytest.mark.parametrize("dialect", ["duckdb", "mysql", "postgres", "redshift", "snowflake", "sqlite"])
def test_the_fields_of_a_large_seed_are_literals_of_each_dialect(dialect: str) -> None:
    import sqlglot

    create, first, *_ = rendered(yaml_of(dialect=dialect), dialect=dialect)
    [made] = sqlglot.parse(create.sql, dialect=dialect)
    assert made is not None
    [filled] = sqlglot.parse(first.sql, dialect=dialect)
    assert filled is not None
    values = filled.expression
    assert isinstance(values, sqlglot.exp.Values)
    assert {row.expressions[1].this for row in values.expressions} == {HOSTILE}


@pytest.mark.rule("36.14")
def test_a_seed_of_nine_mebibytes_is_loaded() -> None:
    text = io.StringIO()
    text.write("a,b\n")
    text.writelines(f"{number},{'x' * 900}\n" for number in range(10_000))
    statements = rendered(
        yaml_of("select count(*), sum(a) from {{ seed('places') }}"), {"seeds/places.csv": text.getvalue()}
    )
    assert run(statements) == [(10_000, sum(range(10_000)))]


@pytest.mark.rule("36.15")
def test_postgresql_reads_the_same_rows_from_a_large_seed_as_from_a_small_one(postgres: Postgres) -> None:
    found = []
    for files in (FILES, {"seeds/places.csv": seed(rows=3)}):
        statements = rendered(yaml_of(dialect="postgres"), files, dialect="postgres")
        with psycopg.connect(postgres.fresh().url, autocommit=True) as connection:
            cursor = connection.cursor()
            for statement in statements:
                cursor.execute(statement.sql.encode())
            found.append(cursor.fetchall())
    large, small = found
    assert (len(large), large[:3]) == (2_000, small)
    assert small[1][:3] == ("K1", HOSTILE, 1)
