"""Incremental materializations on real engines: which rows are replaced, and which ones are refused."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from warehouses import Warehouse, orders

DAILY = "{type: incremental, strategy: replace_partition, partition_column: day}"
MERGE = "{type: incremental, strategy: merge, unique_key: [id]}"
APPEND = "{type: incremental, strategy: append}"
DATE = "parameters: [{name: execution_date, type: date}]\n"
TIME = "parameters: [{name: execution_date, type: datetime}]\n"
FIRST, SECOND = date(2024, 1, 15), date(2024, 1, 16)


def with_change(form: str, change: str) -> str:
    return form.replace("}", f", on_schema_change: {change}}}")


@pytest.mark.rule("35.10")
def test_a_run_replaces_the_rows_of_its_partition_alone(warehouse: Warehouse) -> None:
    day = "cast('{{ execution_date }}' as date)"
    yaml = f"select {day} as day, 1 as n union all select {day}, 2"
    for given in ("2024-01-15", "2024-01-16", "2024-01-15"):
        warehouse.run(orders(yaml, DAILY, DATE), execution_date=given)
    assert warehouse.orders() == [(FIRST, 1), (FIRST, 2), (SECOND, 1), (SECOND, 2)]
    warehouse.run(
        orders("select cast('2024-01-16' as date) as day, 9 as n", DAILY, DATE), execution_date="2024-01-16"
    )
    assert warehouse.orders() == [(FIRST, 1), (FIRST, 2), (SECOND, 9)]
    warehouse.run(
        orders("select cast('2024-01-16' as date) as day, 9 as n where 1 = 0", DAILY, DATE),
        execution_date="2024-01-16",
    )
    assert warehouse.orders() == [(FIRST, 1), (FIRST, 2)]


@pytest.mark.rule("35.10")
@pytest.mark.parametrize(
    ("value", "reason"),
    [("cast('2024-01-16' as date)", "1 row is outside"), ("cast(null as date)", "1 row is outside")],
)
def test_rows_outside_the_partition_are_refused(warehouse: Warehouse, value: str, reason: str) -> None:
    warehouse.run(
        orders("select cast('2024-01-15' as date) as day", DAILY, DATE), execution_date="2024-01-15"
    )
    query = f"select cast('2024-01-15' as date) as day union all select {value}"
    told = warehouse.refused(orders(query, DAILY, DATE), execution_date="2024-01-15")
    assert told.startswith(f"{reason} the partition 2024-01-15 that the run builds, of 2: ")


@pytest.mark.rule("35.10")
def test_a_run_without_a_partition_is_refused(warehouse: Warehouse) -> None:
    optional = "parameters: [{name: execution_date, type: date, required: false}]\n"
    told = warehouse.refused(orders("select current_date as day", DAILY, optional))
    assert told.startswith("The run has no partition")


WEEKLY = "schedule: {cron: '0 9 * * 1', timezone: Asia/Seoul}\n"
HOURLY = "schedule: {cron: '0 * * * *', timezone: Europe/Berlin}\n"
INSTANT = "cast('{}' as timestamp with time zone)"


@pytest.mark.rule("35.11")
@pytest.mark.parametrize(
    ("values", "schedule", "given", "fits", "outside"),
    [
        (
            "cast('{}' as date)",
            WEEKLY,
            "2024-01-15",
            ("2024-01-15", "2024-01-21"),
            ("2024-01-14", "2024-01-22"),
        ),
        ("cast('{}' as date)", "", "2024-01-15", ("2024-01-15",), ("2024-01-14", "2024-01-16")),
        ("cast('{}' as text)", "", "2024-01-15", ("2024-01-15",), ("2024-01-14", "2024-1-15")),
        (
            "cast('{}' as timestamp)",
            WEEKLY,
            "2024-01-15",
            ("2024-01-15 00:00:00", "2024-01-21 23:59:59.999"),
            ("2024-01-14 23:59:59", "2024-01-22 00:00:00"),
        ),
        (
            INSTANT,
            WEEKLY,
            "2024-01-15",
            ("2024-01-14 15:00:00+00:00", "2024-01-21 14:59:59+00:00"),
            ("2024-01-14 14:59:59+00:00", "2024-01-21 15:00:00+00:00"),
        ),
        (
            "cast('{}' as timestamp)",
            HOURLY,
            "2024-07-15T13:00",
            ("2024-07-15 13:00:00", "2024-07-15 13:59:59"),
            ("2024-07-15 12:59:59", "2024-07-15 14:00:00"),
        ),
        (
            INSTANT,
            HOURLY,
            "2024-10-27T02:00+01:00",
            ("2024-10-27 01:00:00+00:00", "2024-10-27 02:59:59+01:00"),
            ("2024-10-27 00:59:59+00:00", "2024-10-27 02:00:00+00:00"),
        ),
        (
            "cast('{}' as timestamp)",
            HOURLY,
            "2024-10-27T01:00",
            ("2024-10-27 01:00:00", "2024-10-27 01:59:59"),
            ("2024-10-27 02:00:00",),
        ),
    ],
)
def test_the_rows_of_a_partition_are_those_that_it_covers_by_the_type_of_the_column(
    warehouse: Warehouse,
    values: str,
    schedule: str,
    given: str,
    fits: tuple[str, ...],
    outside: tuple[str, ...],
) -> None:
    more = (DATE if "T" not in given else TIME) + schedule
    for value in fits:
        query = f"select {values.format(value)} as day"
        warehouse.run(orders(query, DAILY, more), execution_date=given)
        assert len(warehouse.orders()) == 1, value
    for value in outside:
        query = f"select {values.format(value)} as day"
        assert "is outside the partition" in warehouse.refused(
            orders(query, DAILY, more), execution_date=given
        ), value


@pytest.mark.rule("35.11")
@pytest.mark.parametrize(
    ("value", "more", "given", "reason"),
    [
        ("20240115", DATE, "2024-01-15", "the partition column 'day' is int"),
        ("current_date", TIME + HOURLY, "2024-07-15T13:00", "would replace the rows of the whole day"),
        ("'2024-01-15'", DATE + WEEKLY, "2024-01-15", "covers 7 dates, and the partition column 'day' is"),
        (
            "cast('2024-10-27' as timestamp)",
            TIME + HOURLY,
            "2024-10-27T02:00+02:00",
            "shows 2024-10-27 02:00 twice",
        ),
        (
            "cast('2024-10-27' as timestamp)",
            TIME + HOURLY,
            "2024-10-27T02:00+01:00",
            "shows 2024-10-27 02:00 twice",
        ),
    ],
)
def test_a_column_that_can_not_tell_the_partition_is_refused(
    warehouse: Warehouse, value: str, more: str, given: str, reason: str
) -> None:
    told = warehouse.refused(orders(f"select {value} as day", DAILY, more), execution_date=given)
    assert reason.lower() in told.lower()


@pytest.mark.rule("35.10")
def test_a_partition_column_that_the_query_lacks_is_refused(warehouse: Warehouse) -> None:
    told = warehouse.refused(orders("select 1 as id, 2 as dayz", DAILY, DATE), execution_date="2024-01-15")
    assert told == "The query has no column 'day', which 'partition_column' names; it has id, dayz."


@pytest.mark.rule("35.12")
def test_rows_are_added(warehouse: Warehouse) -> None:
    for _ in range(2):
        warehouse.run(orders("select 1 as id", APPEND))
    assert warehouse.orders() == [(1,), (1,)]


@pytest.mark.rule("35.13")
def test_rows_with_the_same_key_are_replaced_and_the_others_added(warehouse: Warehouse) -> None:
    warehouse.run(orders("select 1 as id, 'a' as v union all select 2, 'b'", MERGE))
    warehouse.run(orders("select 2 as ID, 'B' as v union all select 3, 'c'", MERGE))
    assert warehouse.orders() == [(1, "a"), (2, "B"), (3, "c")]
    two = "{type: incremental, strategy: merge, unique_key: [id, v]}"
    warehouse.run(orders("select 2 as id, 'B' as v union all select 2, 'x'", two))
    assert warehouse.orders() == [(1, "a"), (2, "B"), (2, "x"), (3, "c")]


@pytest.mark.rule("35.13")
@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("select 1 as id, 2 as v union all select 1, 3", "The unique_key (id) is not unique: "),
        ("select 1 as id, 2 as v union all select null, 3", "1 row has null in the unique_key (id), of 2."),
        ("select 1 as nr, 2 as v", "The query has no column 'id', which 'unique_key' names"),
    ],
)
def test_a_key_that_is_null_or_not_unique_is_refused(warehouse: Warehouse, query: str, reason: str) -> None:
    warehouse.run(orders("select 7 as id, 8 as v", MERGE))
    assert warehouse.refused(orders(query, MERGE)).startswith(reason)
    assert len(warehouse.staged()) == 1
    warehouse.run(orders("select 7 as id, 9 as v", MERGE))
    assert (warehouse.orders(), warehouse.staged()) == ([(7, 9)], [])


@pytest.mark.rule("35.14")
@pytest.mark.parametrize("form", [MERGE, APPEND])
def test_a_new_column_fails_or_is_appended_or_ignored(warehouse: Warehouse, form: str) -> None:
    warehouse.run(orders("select 1 as id", form))
    new = "select 2 as id, 'x' as v"
    told = warehouse.refused(orders(new, form))
    assert told.startswith("The query has the column v, which shop.orders lacks. Set 'on_schema_change'")
    warehouse.run(orders(new, with_change(form, "ignore")))
    assert warehouse.orders() == [(1,), (2,)]
    warehouse.run(orders("select 'y' as v, 3 as id", with_change(form, "append_columns")))
    assert warehouse.ask("select id, v from shop.orders order by id") == [(1, None), (2, None), (3, "y")]


@pytest.mark.rule("35.14")
@pytest.mark.parametrize("change", ["fail", "append_columns", "ignore"])
def test_a_missing_column_and_another_type_are_always_refused(warehouse: Warehouse, change: str) -> None:
    form = with_change(APPEND, change)
    warehouse.run(orders("select 1 as id, 2 as v", form))
    assert warehouse.refused(orders("select 1 as id", form)).startswith(
        "The query lacks the column v of shop.orders."
    )
    told = warehouse.refused(orders("select 1 as id, 2.5 as v", form))
    assert told.startswith("The column v of shop.orders is ")
    assert "Cast it in the query" in told


@pytest.mark.rule("35.14")
def test_a_table_that_lacks_the_partition_column_is_refused(warehouse: Warehouse) -> None:
    warehouse.run(orders("select 1 as id", APPEND))
    query = "select 1 as id, cast('2024-01-15' as date) as day"
    form = with_change(DAILY, "append_columns")
    told = warehouse.refused(orders(query, form, DATE), execution_date="2024-01-15")
    assert told == "shop.orders lacks the column day, which tells the rows to replace."


@pytest.mark.rule("35.15")
def test_a_view_shows_the_rows_of_its_query_whatever_they_become(warehouse: Warehouse) -> None:
    warehouse.ask("create schema shop", "create table shop.source as select 1 as id")
    warehouse.run(orders("select id from shop.source", "view"))
    warehouse.ask("insert into shop.source values (2)")
    assert warehouse.orders() == [(1,), (2,)]
    warehouse.run(orders("select id, 'x' as v from shop.source", "view"))
    assert warehouse.orders() == [(1, "x"), (2, "x")]
    warehouse.run(orders("select 'y' as v", "view"))
    assert (warehouse.orders(), warehouse.staged()) == ([("y",)], [])


def test_the_moment_of_a_row_does_not_depend_on_the_zone_of_the_session(warehouse: Warehouse) -> None:
    form, more = DAILY, DATE + WEEKLY
    query = "select cast('2024-01-14 15:00:00+00:00' as timestamp with time zone) as day"
    zone = "pre_statements: [{name: zone, sql: \"set timezone = 'America/New_York'\"}]\n"
    warehouse.run(orders(query, form, more + zone), execution_date="2024-01-15")
    ((moment,),) = warehouse.orders()
    assert isinstance(moment, datetime)
    assert moment.astimezone(UTC) == datetime(2024, 1, 14, 15, tzinfo=UTC)
