"""What DuckDB's own parser finds that sqlglot lets pass."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from dataspec.sql import parser
from dataspec.sql.parser import engine_problem, parse_sql


@pytest.mark.rule("10.2")
@pytest.mark.parametrize(
    ("sql", "place", "reason"),
    [
        ("select a,\n, b from t", (2, 1), 'syntax error at or near ","'),
        ("create tabel x as select 1", (1, 8), 'syntax error at or near "tabel"'),
        ("create table x (a int,, b int)", (1, 23), 'syntax error at or near ","'),
        ("delete t where a = 1", (1, 8), 'syntax error at or near "t"'),
        ("insert into t values 1, 2", (1, 22), 'syntax error at or near "1"'),
        ("select date 2024-01-01", (1, 13), 'syntax error at or near "2024"'),
        ("begin transactoin", (1, 7), 'syntax error at or near "transactoin"'),
        ("select * from t join u", (1, 22), 'syntax error at or near "u"'),
        ("drop tabel x", (1, 6), 'syntax error at or near "tabel"'),
        ("alter table x add colum y int", (1, 27), 'syntax error at or near "int"'),
        ("create or replace table x as", (1, 27), 'syntax error at or near "as"'),
        ("select distinct on a from t", (1, 20), 'syntax error at or near "a"'),
        ("select a from t where a is not nul", (1, 32), 'syntax error at or near "nul"'),
        ("select from t", (None, None), "SELECT clause without selection list"),
    ],
)
def test_error_that_sqlglot_accepts_is_reported_at_its_place(
    sql: str, place: tuple[int | None, int | None], reason: str
) -> None:
    parsed = parse_sql(sql, sql, "duckdb")
    assert parsed.problem is None
    problem = engine_problem(sql, sql, parsed.trees, "duckdb")
    assert problem is not None
    assert (problem.line, problem.column) == place
    assert problem.message == f"{reason}."


def test_place_of_an_engine_error_is_in_the_template() -> None:
    template = "{% if true %}\nselect '{{ day }}' as day,, 1\n{% endif %}\n"
    problem = engine_problem(template, "select '2024-01-15' as day,, 1\n", [], "duckdb")
    assert problem is not None
    assert problem.line == 2


def test_missing_table_is_no_parser_error() -> None:
    assert engine_problem("", "select 'a,,b' from no_such_table; from 'x.csv'", [], "duckdb") is None


def test_sql_without_doubt_is_not_parsed_by_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parser, "_duckdb", lambda: pytest.fail("read twice"))
    for sql in (
        "insert into a select b.x from b left join c on b.i = c.i where x is not null and y is null",
        "delete from a where day = date '2024-01-15'",
        "begin transaction; commit",
        "select * from a cross join b natural join c",
    ):
        parsed = parse_sql(sql, sql, "duckdb")
        assert engine_problem(sql, sql, parsed.trees, "duckdb") is None


def test_engine_parser_is_skipped_for_other_dialects_and_without_duckdb(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert engine_problem("", "select a,, b", [], "postgres") is None
    parser._duckdb.cache_clear()
    monkeypatch.setitem(sys.modules, "duckdb", None)
    assert engine_problem("", "select a,, b", [], "duckdb") is None
    parser._duckdb.cache_clear()


def test_threads_parse_concurrently() -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: engine_problem("", f"select {n},, 1", [], "duckdb"), range(200)))
    assert None not in found
