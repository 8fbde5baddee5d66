"""Turn dbt's singular tests, queries in files, into checks of the dataset that is built last of those they read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dataspec.isolation import restart_clock
from dli.dbt.sql.values import THIS, NotKnown
from dli.dbt.testing.checks import TurnedCheck

if TYPE_CHECKING:
    from dli.dbt.outcome import Dataset
    from dli.dbt.source.project import Node
    from dli.dbt.turning import Turning


def turn_singular_tests(turning: Turning) -> None:
    """Turn the singular tests of a project."""
    for node in turning.project.of_kind("test"):
        if node.config.get("enabled", True) is False:
            continue
        restart_clock()
        turning.outcome.found["tests"] += 1
        try:
            _turn(node, turning)
        except NotKnown as reason:
            turning.outcome.lose("tests", node.problem(f"the test '{node.name}' was not turned: {reason}."))


def _turn(node: Node, turning: Turning) -> None:
    dataset = _last_built(_tables_of(node, turning), turning)
    own = dataset.node.table
    sql, tables = _sql_of(node, own, turning)
    check: dict[str, object] = {"name": node.name[:100], "sql": sql}
    if str(node.config.get("severity", "error")).lower() == "warn":
        check["severity"] = "warn"
    if node.config.get("where"):
        check["sql"] = f"select * from (\n{sql}\n) as rows_checked where {node.config['where']}"
    turning.add_check(dataset, TurnedCheck(check=check, tables=tables))


def _tables_of(node: Node, turning: Turning) -> tuple[str, ...]:
    return _sql_of(node, None, turning)[1]


def _sql_of(node: Node, own: str | None, turning: Turning) -> tuple[str, tuple[str, ...]]:
    """Return the query of a test with its own table as ``{{ this }}``, and the other tables."""
    renderer = turning.renderer
    renderer.tables, renderer.config, renderer.own_table = {}, dict(node.config), own
    try:
        sql = renderer.render(node.text, package=node.package.name)
    except NotKnown:
        if (compiled := turning.compiled(node)) is None:
            raise
        return compiled
    finally:
        renderer.own_table = None
    return sql.replace(THIS, "{{ this }}").strip().rstrip(";"), tuple(renderer.tables)


def _last_built(tables: tuple[str, ...], turning: Turning) -> Dataset:
    """Return the dataset of the tables from which no other one of them is built."""
    datasets = {one.node.table: one for one in turning.outcome.datasets.values()}
    built = [table for table in tables if table in datasets]
    graph = turning.graph
    for table in built:
        if not any(other != table and graph.is_built_from(other, table) for other in built):
            return datasets[table]
    raise NotKnown("it reads no table of a model or seed")
