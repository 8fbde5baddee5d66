"""The SQL condition for the rows of a run's partition, by the type of the partition column (docs/partitions.md)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from datetime import datetime

    from dataspec.schedule.partitions import Partition
    from dataspec.sql.materialization.engine_sql import Column, EngineSql, TypeKind

_DAY = timedelta(days=1)


class NoConditionError(ValueError):
    """A column of this type can't tell the rows of this partition; the message says what would."""


def partition_condition(
    engine: EngineSql, column: Column, partition: Partition, zone: str, *, alias: str = ""
) -> str:
    """Return the condition for the rows that a run builds.

    Args:
        engine: The engine's SQL.
        column: The partition column.
        partition: What the run builds.
        zone: The zone of the schedule: a time without zone is on its clock.
        alias: The alias of the table, for a statement with several.

    Raises:
        NoConditionError: When the type of the column can't be compared with the partition.
    """
    kind = engine.kind_of(column)
    name = f"{alias}.{engine.quoted(column.name)}" if alias else engine.quoted(column.name)
    if kind is None:
        raise NoConditionError(
            f"the partition column '{column.name}' is {column.type}; "
            "make it a date, a timestamp, or text with the date (2024-01-15)."
        )
    first, end = _bounds(kind, column, partition, zone)
    begin = f"{name} {'=' if end is None else '>='} {_written(engine, kind, first)}"
    return begin if end is None else f"{begin} and {name} < {_written(engine, kind, end)}"


def _bounds(kind: TypeKind, column: Column, partition: Partition, zone: str) -> tuple[str, str | None]:
    """Return the first value, and the value after the last one; None where the first is the only one."""
    if kind == "instant":
        return partition.start.isoformat(" "), partition.end.isoformat(" ")
    if kind == "timestamp":
        start, end = (_on_clock(moment, zone, column) for moment in (partition.start, partition.end))
        return start.isoformat(" "), end.isoformat(" ")
    if not partition.dates:
        raise NoConditionError(
            f"the partition {partition.name} is finer than a day, and the partition column '{column.name}' "
            f"is {column.type}: the run would replace the rows of the whole day. Use a column with the time."
        )
    if len(partition.dates) == 1:
        return partition.name, None
    if kind == "text":
        raise NoConditionError(
            f"the partition {partition.name} covers {len(partition.dates)} dates, and the partition column "
            f"'{column.name}' is text, which has no order of dates. Make it a date."
        )
    return partition.name, (partition.dates[-1] + _DAY).isoformat()


def _on_clock(moment: datetime, zone: str, column: Column) -> datetime:
    """Return a bound of the partition as the clock shows it.

    At the second of two equal times, rows on both sides of the bound have the same value.
    """
    shown = moment.astimezone(ZoneInfo(zone))
    if shown.fold:
        raise NoConditionError(
            f"the clock of {zone} shows {shown:%Y-%m-%d %H:%M} twice, and the partition column '{column.name}' "
            f"is {column.type}, which can't tell one from the other. Use a timestamp with time zone."
        )
    return shown.replace(tzinfo=None)


def _written(engine: EngineSql, kind: TypeKind, text: str) -> str:
    return engine.typed_literals[kind].format(engine.literal(text))
