"""Match the rows that a unit test gives with the tables that the SQL reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlglot import exp

from dataspec.problems import nearest
from dataspec.spec.unit_tests import OWN_TABLE
from dataspec.sql.lineage.dataset_lineage import may_be_same, parts_of
from dataspec.sql.lineage.statement_tables import access_of, table_name
from dli.unit_tests.fixtures import duckdb_type, rows_or_problems

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from dataspec.problems import Problem
    from dataspec.spec.model import DatasetSpec
    from dataspec.spec.sql_texts import SqlPlaces
    from dataspec.spec.unit_tests import UnitTest
    from dataspec.spec.yaml_reader import Path
    from dataspec.sql.lineage.column_uses import ColumnUse
    from dataspec.sql.samples import SampledText
    from dli.unit_tests.fixtures import Rows

_CATALOGS = frozenset({"information_schema", "pg_catalog"})
"""Schemas whose tables each engine has."""

Types = tuple["Mapping[str, str]", "str | None"]
"""The types of columns by their names, with the dialect of the types."""


@dataclass(frozen=True, slots=True)
class UsedTables:
    """The tables of rendered SQL: names as written, by their lower case."""

    reads: dict[str, str] = field(default_factory=dict)
    """Tables that are read before a statement makes them."""
    writes: dict[str, str] = field(default_factory=dict)
    """Tables that are there afterwards."""
    made_schemas: set[str] = field(default_factory=set)
    """Schemas that a statement makes, in lower case."""

    @classmethod
    def of(cls, texts: Sequence[SampledText]) -> UsedTables:
        """Return the tables of SQL texts, in the order in which they run."""
        found, made = cls(), set[str]()
        for tree in (tree for text in texts for tree in text.parsed.trees):
            found._take(tree, made)
        return found

    def schemas(self, given: Iterable[str]) -> tuple[str, ...]:
        """Return the schemas that have to exist before the SQL runs, some below a catalog.

        Args:
            given: The tables that the test gives.
        """
        needed = {name.rpartition(".")[0] for name in given}
        written = {name.rpartition(".")[0] for name in self.writes.values()}
        needed |= {schema for schema in written if schema.lower() not in self.made_schemas}
        return tuple(sorted(needed - {""}))

    def _take(self, tree: exp.Expr, made: set[str]) -> None:
        access = access_of(tree)
        for name in map(table_name, access.reads):
            if name.lower() not in made and _CATALOGS.isdisjoint(parts_of(name)[:-1]):
                self.reads.setdefault(name.lower(), name)
        temporary = {id(table) for table in access.temporary}
        for table in access.writes:
            name = table_name(table)
            if id(table) not in temporary:
                self.writes.setdefault(name.lower(), name)
            if isinstance(tree, exp.Create):
                made.add(name.lower())
        for name in map(table_name, access.drops):
            self.writes.pop(name.lower(), None)
        if isinstance(tree, exp.Create) and str(tree.args.get("kind")).upper() == "SCHEMA":
            self.made_schemas.add(table_name(tree.this).lower())


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenTable:
    """A table of a test, with its rows."""

    name: str
    rows: Rows
    is_own: bool
    """Whether the dataset's SQL may write it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenTables:
    """Reads the tables of one test."""

    spec: DatasetSpec
    test: UnitTest
    at: Path
    """The path of the test in its YAML."""
    places: SqlPlaces
    files: Mapping[str, str]
    """The text of each CSV file, by its path in the YAML."""
    dialect: str | None
    declared: Mapping[str, Types]
    """The types that specs declare, by the name of the table."""
    expect: Rows
    """The expected rows, whose types are those of the dataset's own table where nothing else tells them."""

    def read(self, used: UsedTables, uses: Sequence[ColumnUse]) -> tuple[list[GivenTable], list[Problem]]:
        """Return the tables, and the problems of what the test gives and what it lacks.

        Args:
            used: The tables of the SQL.
            uses: The columns that it reads of them.
        """
        tables: dict[str, GivenTable] = {}
        problems: list[Problem] = []
        for key, fixture in self.test.given.items():
            names = self._meant(key, used)
            problems += self._why_not(key, names, used, tables)
            rows, unread = rows_or_problems(fixture, (*self.at, "given", key), self.places, self.files)
            problems += unread
            for name in names:
                own = name.lower() in {*used.writes, (self.spec.target or "").lower()}
                read = [use for use in uses if may_be_same(parts_of(use.table), parts_of(name))]
                problems += self._lacking(key, rows, read)
                found = self._completed(name, rows, read, own=own)
                if own and not found.columns:
                    message = f"the columns of '{key}' are not known, and the SQL writes it."
                    hint = "Give CSV, whose first line has the columns, or 'schema' in the spec."
                    problems.append(self._problem(("given", key), message, hint))
                tables[name.lower()] = GivenTable(name=name, rows=found, is_own=own)
        problems += (self._not_given(name) for lower, name in used.reads.items() if lower not in tables)
        return [*tables.values()], problems

    def _problem(self, path: Path, message: str, hint: str) -> Problem:
        return self.places.document.problem((*self.at, *path), message, hint=hint, at_key=True)

    def _meant(self, key: str, used: UsedTables) -> list[str]:
        """Return the tables that a key of ``given`` means, as the SQL writes them."""
        own = self.spec.target or self.spec.name
        if key == OWN_TABLE:
            return [own]
        read = [name for name in used.reads.values() if may_be_same(parts_of(name), parts_of(key))]
        written = [name for name in used.writes.values() if may_be_same(parts_of(name), parts_of(key))]
        return read or written[:1] or ([own] if key.lower() == own.lower() else [])

    def _why_not(
        self, key: str, names: Sequence[str], used: UsedTables, tables: Mapping[str, GivenTable]
    ) -> Iterator[Problem]:
        """Yield the problem of a key that means no table of the SQL, or one that another key means."""
        reads = used.reads.values()
        if not names:
            hint = nearest(key, reads) or f"It reads: {', '.join(reads) or 'no table'}."
            yield self._problem(("given", key), f"the SQL does not read '{key}'.", hint)
        if twice := [name for name in names if name.lower() in tables]:
            message = f"'{key}' means {twice[0]}, whose rows another key gives."
            yield self._problem(("given", key), message, "Remove one of the two.")

    def _not_given(self, name: str) -> Problem:
        """Return the problem of a table that the SQL reads and that the test does not give."""
        path: Path = ("given",) if self.test.given else ()
        if self.spec.target and name.lower() == self.spec.target.lower():
            message = f"the SQL reads its own table, {name}, and the test does not give it."
            hint = "Guard it with {% if table_exists %}, or give its rows under 'this'."
        else:
            message = f"the SQL reads {name}, and the test gives no rows of it."
            hint = f"Add to 'given': {name}: []"
        return self._problem(path, message, hint)

    def _lacking(self, key: str, rows: Rows, read: Sequence[ColumnUse]) -> Iterator[Problem]:
        """Yield a problem for each column that the SQL reads and given rows lack."""
        for use in read if rows.columns else ():
            if rows.lacks(use.column):
                place = (use.place.file, use.place.line, use.place.column)
                at = ":".join(str(part) for part in place if part)
                message = f"the rows of '{key}' lack the column '{use.column}', which the SQL reads ({at})."
                hint = nearest(use.column, rows.columns)
                hint = hint or "Add it to one row, as null if its value does not matter."
                yield self._problem(("given", key), message, hint)

    def _completed(self, name: str, rows: Rows, read: Sequence[ColumnUse], *, own: bool) -> Rows:
        """Return the rows with their types; a table without rows gets the columns that are read or declared."""
        declared = self._types(name, own=own)
        columns = [use.column for use in read]
        if not rows.columns:
            columns = [*declared, *columns]
        found = rows.with_columns(columns).typed({key.lower(): kind for key, kind in declared.items()})
        return found.settled(self.expect) if own else found

    def _types(self, name: str, *, own: bool) -> dict[str, str | None]:
        """Return the types of a table's columns that a spec declares, in DuckDB's SQL, by their names."""
        if own:
            declared = {column.name: column.type for column in self.spec.columns if column.type}
            found: Types = declared, self.dialect
        else:
            same = (other for other in self.declared if may_be_same(parts_of(other), parts_of(name)))
            found = self.declared.get(next(same, ""), ({}, None))
        types, dialect = found
        return {column: duckdb_type(kind, dialect) for column, kind in types.items()}
