"""Turn the tests of sources into checks of the dataset that reads the source first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dataspec.isolation import restart_clock
from dli.dbt.sql.values import NotKnown
from dli.dbt.testing.checks import TurnedCheck, tests_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dli.dbt.outcome import Dataset
    from dli.dbt.source.project import Source
    from dli.dbt.testing.checks import Test
    from dli.dbt.turning import Turning


def turn_source_tests(turning: Turning) -> None:
    """Turn the tests of the project's sources."""
    for source in turning.project.sources.values():
        if source.package is not turning.project.root:
            continue
        restart_clock()
        for test in tests_of(source.entry):
            if test.config.get("enabled", True) is False:
                continue
            turning.outcome.found["tests"] += 1
            try:
                _turn(test, source, turning)
            except NotKnown as reason:
                turning.outcome.lose("tests", test.problem(str(reason)))
        if source.entry.get("freshness") or source.group.get("freshness"):
            message = f"the freshness of the source '{'.'.join(source.key)}' was not turned."
            hint = "Wait for its rows: an entry with 'sql' in 'depends_on'."
            turning.outcome.problems.append(source.entry.problem(message, hint))


def _turn(test: Test, source: Source, turning: Turning) -> None:
    table = turning.names.source_table(source)
    turned = turning.checks.turn(test, source.package.name, table)
    own = next((one for one in turning.outcome.datasets.values() if one.node.table == table), None)
    if own is not None:  # a seed loads it
        turning.add_check(own, turned)
        return
    dataset = _first_reader(table, turning)
    name = turned.check.get("name") or "_".join(
        filter(None, ("source", source.key[1], test.kind, test.column))
    )
    check = {"name": name[:100], "sql": failing_rows(turned.check, table)}
    if "severity" in turned.check:
        check["severity"] = turned.check["severity"]
    turning.add_check(dataset, TurnedCheck(check=check, tables=turned.tables, problems=turned.problems))


def _first_reader(table: str, turning: Turning) -> Dataset:
    """Return a dataset that reads a table, and is built from no other one that does."""
    readers = [one for one in turning.outcome.datasets.values() if table in one.translated.tables]
    for reader in readers:
        others = (one.node.table for one in readers if one is not reader)
        if not any(turning.graph.is_built_from(reader.node.table, other) for other in others):
            return reader
    raise NotKnown("no model reads the source")


def failing_rows(check: Mapping[str, Any], table: str) -> str:
    """Return the query of the rows of a table that fail a check.

    Raises:
        NotKnown: When there is none.
    """
    also = f" and ({check['where']})" if "where" in check else ""
    if "sql" in check:
        return str(check["sql"]).replace("{{ this }}", table)
    if "not_null" in check:
        (column,) = check["not_null"]
        return f"select * from {table} where {column} is null{also}"
    if "unique" in check:
        columns = ", ".join(check["unique"])
        known = " and ".join(f"{column} is not null" for column in check["unique"])
        return f"select {columns} from {table} where {known}{also} group by {columns} having count(*) > 1"
    if "accepted_values" in check:
        found = check["accepted_values"]
        values = ", ".join(map(_literal, found["values"]))
        return f"select * from {table} where {found['column']} not in ({values}){also}"
    if "relationships" in check:
        found = check["relationships"]
        column, other = found["column"], f"select {found['field']} from {found['to']}"
        return f"select {column} from {table} where {column} not in ({other} where {found['field']} is not null){also}"
    if "expression" in check:
        return f"select * from {table} where not coalesce({check['expression']}, false){also}"
    raise NotKnown("it counts the rows of a table that no dataset builds")


def _literal(value: Any) -> str:
    if isinstance(value, bool | int | float):
        return str(value).lower()
    return "'" + str(value).replace("'", "''") + "'"
