"""Build datasets in a developer's own schema, and read from it what is there (docs/local-runs.md)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from dataspec.engines.materialization.attempt import Attempt
from dataspec.errors import InvalidUsage, Refused
from dataspec.sql.materialization.supported import engine_sql
from dataspec.sql.rendering import RenderedStatement
from dataspec.sql.table_places import named_tables
from dli.project.isolated import isolated
from dli.project.project import Project

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dataspec.engines.session import Execute
    from dataspec.spec.model import DatasetSpec
    from dataspec.sql.materialization.engine_sql import EngineSql
    from dataspec.sql.table_places import NamedTables, TablePlace
    from dli.config.settings import Settings


@dataclass(frozen=True, slots=True)
class OwnSchema:
    """A developer's schema: ``shop.orders`` becomes ``<schema>.orders``.

    Where datasets of several schemas have one name, it becomes ``<schema>.shop__orders``.
    """

    name: str
    tables: Mapping[str, str]
    """The table in this schema for each table of the project, by that table's name in lower case."""

    @classmethod
    def of(cls, settings: Settings) -> OwnSchema | None:
        """Return the schema that the chosen environment names; None if it names none."""
        name = settings.schema
        return cls(name, _tables(settings, name)) if name else None

    def moved(self, spec: DatasetSpec) -> DatasetSpec:
        """Return a spec that builds its table in this schema.

        Raises:
            InvalidUsage: When its own SQL decides what it writes.
        """
        if spec.materialization is None or spec.target is None:
            raise InvalidUsage(
                f"'{spec.name}' writes its tables itself, so it can't be built in the schema '{self.name}'.",
                detail="Give it a 'materialization', or choose an environment without 'schema'.",
            )
        table = self.tables.get(spec.target.lower()) or _moved(spec.target, self.name, whole=False)
        form = spec.materialization.model_copy(update={"table": table})
        return spec.model_copy(update={"materialization": form})


@lru_cache(maxsize=1)
def _tables(settings: Settings, schema: str) -> dict[str, str]:
    """Return the table in the schema for each table of the project; the same for all runs of a command."""
    project = Project(settings.root, settings.datasets_dir)
    specs = (dataset.spec for dataset in project.datasets())
    targets = sorted({spec.target or spec.name for spec in specs if spec})
    ends = Counter(_end(target) for target in targets)
    return {target.lower(): _moved(target, schema, whole=ends[_end(target)] > 1) for target in targets}


def _end(target: str) -> str:
    return target.rpartition(".")[2].lower()


def _moved(target: str, schema: str, *, whole: bool) -> str:
    *catalog, table = target.split(".")
    above = catalog.pop() if catalog else ""
    return ".".join((*catalog, schema, f"{above}__{table}" if whole and above else table))


class OwnReads:
    """Lets the statements of one run read the tables that are in the developer's schema in place of the real ones.

    Args:
        schema: The developer's schema.
        dialect: The dialect of the SQL.
        connected: The dialect of the connection.
        file: The YAML file's name, for problems.
    """

    def __init__(self, schema: OwnSchema, dialect: str | None, connected: str | None, file: str) -> None:
        self._schema = schema
        self._dialect = dialect
        self._engine = engine_sql(connected)
        self._file = file
        self._there: dict[str, bool] = {}
        self._done: list[str] = []
        """The statements that were rewritten; others contain them, such as one that creates a table of a query."""

    def rewritten(self, statement: RenderedStatement, execute: Execute) -> RenderedStatement:
        """Return a statement that reads the developer's tables where these are there.

        Raises:
            Refused: When it would write a table elsewhere.
        """
        engine, sql = self._engine, statement.sql
        is_of_spec = statement.kind in {"pre", "post"} and statement.origin is not None
        named = {table for table in self._schema.tables if _end(table) in sql.lower()}
        if engine is None or statement.kind in {"materialization", "seed"} or not (named or is_of_spec):
            return statement
        if any(done in sql for done in self._done):
            return statement
        found = isolated(self._file, named_tables, sql, self._dialect, named)
        if is_of_spec:
            self._check_writes(statement, found)
        mine = [place for place in found.reads if self._is_there(engine, place.table, execute)]
        self._done.append(self._replaced(engine, sql, mine))
        return replace(statement, sql=self._done[-1])

    def _check_writes(self, statement: RenderedStatement, found: NamedTables) -> None:
        for table in found.writes:
            if self._schema.name.lower() not in table.lower().split(".")[:-1]:
                raise Refused(
                    f"The statement '{statement.name}' writes {table}, which is not in the schema '{self._schema.name}'.",
                    detail="Write to {{ this }}, or choose an environment without 'schema'.",
                )

    def _is_there(self, engine: EngineSql, table: str, execute: Execute) -> bool:
        if table not in self._there:
            attempt = Attempt.outside_a_run(engine, execute)
            parts = tuple(map(engine.stored, self._schema.tables[table].split(".")))
            *schema, exists = attempt.ask(engine.locate(parts))[0]
            self._there[table] = bool(exists) and attempt.inspect((*schema, parts[-1])) is not None
        return self._there[table]

    def _replaced(self, engine: EngineSql, sql: str, places: Iterable[TablePlace]) -> str:
        written, done = [], 0
        for place in places:
            parts = tuple(map(engine.stored, self._schema.tables[place.table].split(".")))
            own = engine.named(parts)
            if place.of_column:
                own = engine.quoted(engine.stored(place.called or ""))
            elif place.called is not None:
                own += f" as {engine.quoted(engine.stored(place.called))}"
            written += [sql[done : place.start], own]
            done = place.end
        return "".join((*written, sql[done:]))
