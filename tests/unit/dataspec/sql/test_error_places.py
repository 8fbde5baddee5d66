"""Where engines say that a mistake is, each in its own words."""

from __future__ import annotations

from types import SimpleNamespace

import duckdb
import pytest

from dataspec.sql.source_map import PlaceInStatement, place_in

SQL = "select 1 as one,\n  two\nfrom numbers"


class DriverError(Exception):
    """An error of a driver that is not installed here."""

    def __init__(self, message: str, position: str | None = None) -> None:
        super().__init__(message)
        self.diag = SimpleNamespace(statement_position=position)


@pytest.mark.rule("23.6")
@pytest.mark.parametrize(
    "error",
    [
        DriverError('column "two" does not exist', "20"),  # PostgreSQL
        DriverError("TrinoUserError: line 2:3: Column 'two' cannot be resolved"),
        DriverError(
            "SQL compilation error: error line 2 at position 2\ninvalid identifier 'TWO'"
        ),  # Snowflake
        DriverError("[UNRESOLVED_COLUMN] … SQLSTATE: 42703; line 2, pos 2"),  # Databricks
        DriverError("400 Unrecognized name: two at [2:3]"),  # BigQuery
    ],
)
def test_the_place_is_that_of_the_word(error: DriverError) -> None:
    assert place_in(SQL, error) == PlaceInStatement(2, 3, "two")


def error_of(sql: str) -> duckdb.Error:
    with pytest.raises(duckdb.Error) as failed:
        duckdb.execute(sql).fetchall()
    return failed.value


def test_duckdb_points_into_the_line_that_it_shows() -> None:
    sql = "select 1 as one,\n  two\nfrom range(3)"
    assert place_in(sql, error_of(sql)) == PlaceInStatement(2, 3, "two")


def test_duckdb_shows_of_a_long_line_the_middle_alone() -> None:
    sql = f"select {', '.join(f'{n} as c{n}' for n in range(60))}, nothing, {', '.join('12345678' for _ in range(40))} from range(3)"
    assert "..." in str(error_of(sql))
    assert place_in(sql, error_of(sql)) == PlaceInStatement(1, sql.index("nothing") + 1, "nothing")


def test_an_error_without_a_place_has_none() -> None:
    assert place_in(SQL, DriverError("the disk is full")) is None


def test_a_place_that_is_not_in_the_statement_is_its_line_alone() -> None:
    assert place_in(SQL, DriverError("line 9:99: somewhere else")) == PlaceInStatement(9, None, "")
