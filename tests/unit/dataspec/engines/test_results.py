from __future__ import annotations

import duckdb
import pytest

from dataspec.engines.results import read_result
from dataspec.engines.statement_log import FIRST_ROWS, in_words


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("create table t (n int)", "done."),
        ("set threads = 2", "done."),
        ("create table u as select * from range(3)", "3 rows affected."),
        ("insert into numbers values (4)", "1 row affected."),
        ("delete from numbers where n > 100", "0 rows affected."),
        ("select n from numbers where n > 100", "no rows."),
        ("select n, null as empty from numbers where n = 1", "1 row:\nn  empty\n1  NULL"),
        ("select count(*) as count from numbers", "1 row:\ncount\n3"),
        ("select repeat('x', 80) as long", f"1 row:\nlong\n{'x' * 59}…"),
        ("select 'two\nlines' as text", "1 row:\ntext\ntwo lines"),
    ],
)
def test_a_result_is_told_in_a_few_lines(sql: str, said: str) -> None:
    with duckdb.connect() as connection:
        connection.execute("create table numbers as select * from (values (1), (2), (3)) as v(n)")
        connection.execute(sql)
        assert in_words(read_result(connection, FIRST_ROWS)) == said


def test_ten_rows_are_shown_and_all_are_counted() -> None:
    with duckdb.connect() as connection:
        connection.execute("select range as n from range(25000)")
        lines = in_words(read_result(connection, FIRST_ROWS)).splitlines()
    assert lines[0] == "25,000 rows, of which the first:"
    assert lines[1:] == ["n", *map(str, range(10))]
