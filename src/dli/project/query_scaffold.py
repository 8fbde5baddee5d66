"""Make the spec of a query: with its parameters, its columns, and what a run makes of its rows."""

from __future__ import annotations

from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from dataspec.engines.addresses import MEMORY
from dataspec.errors import DliError
from dataspec.spec.identity import DEFAULT_CONNECTION
from dli.local.engines.opening import open_engine
from dli.project.isolated import isolated
from dli.project.paths import shown
from dli.project.query_facts import QueryFacts, query_facts

if TYPE_CHECKING:
    from dli.session import Session


def facts_of(session: Session, query: Path) -> QueryFacts:
    """Return what a query tells of its dataset; the types of its columns by DuckDB, where it can plan the query.

    Raises:
        InvalidTemplate: When it is no valid template.
    """
    dialect = session.dialects.get(DEFAULT_CONNECTION)
    facts = isolated(shown(query), query_facts, query.read_text(encoding="utf-8"), shown(query), dialect)
    if facts.is_select and dialect is not None and dialect.name == "duckdb":
        with suppress(Exception):  # a table is missing, for example: then the SQL alone tells the columns
            return facts.typed(_planned(session, facts.sample))
    return facts


def _planned(session: Session, sql: str) -> dict[str, str]:
    """Return the columns of a query, as DuckDB plans it."""
    engine = open_engine(DEFAULT_CONNECTION, session.settings, lambda _: None)
    database = engine.address.database or MEMORY
    if database != MEMORY and not Path(database).is_file():
        raise DliError("There is no table yet.")
    with closing(engine.get_conn()) as connection:
        rows = connection.execute(f"describe {sql}").fetchall()
    return {str(row[0]): str(row[1]).lower() for row in rows}


def query_files(
    name: str, owner: str, facts: QueryFacts, partition_column: str | None, query: Path, *, beside: bool
) -> dict[str, str]:
    """Return the files of the dataset of a query: text by path.

    Args:
        name: The dataset's name.
        owner: Its owner.
        facts: What the query tells.
        partition_column: The column with the date of a run; None for a query without one.
        query: The file of the query.
        beside: Whether the spec stands beside this file, so that it is not copied.
    """
    file = query.name if beside else f"{name}.sql"
    spec: dict[str, Any] = {"name": name, "type": "Dataset", "owner": owner, "query_file": file}
    spec["parameters"] = [{"name": one, "type": kind} for one, kind in facts.parameters.items()]
    spec["schema"] = [
        {"name": one, **({"type": kind} if kind else {})} for one, kind in facts.columns.items()
    ]
    spec["materialization"] = _materialization(facts, partition_column)
    text = yaml.safe_dump({key: value for key, value in spec.items() if value}, sort_keys=False, width=100)
    sql = {} if beside else {file: query.read_text(encoding="utf-8")}
    return {f"dataset.{name}.yaml": text, **sql}


def _materialization(facts: QueryFacts, partition_column: str | None) -> Any:
    if not facts.is_select:
        return None
    if partition_column is None:
        return "table"
    return {"type": "incremental", "strategy": "replace_partition", "partition_column": partition_column}
