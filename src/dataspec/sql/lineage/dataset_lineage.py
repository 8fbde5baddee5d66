"""Find the tables that a dataset reads and builds, and compare table names.

Lineage is read from the SQL rendered with sample values, through all branches of its conditions. Tables whose
names depend on values of a run are reported as unknown.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlglot import exp

from dataspec.problems import Problem
from dataspec.sql.lineage.statement_tables import (
    Access,
    access_of,
    command_of,
    is_select,
    stores_nothing,
    table_name,
    yields_rows,
)
from dataspec.sql.samples import sampled_texts
from dataspec.sql.source_map import in_template

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dataspec.spec.model import DatasetSpec
    from dataspec.spec.sql_texts import SqlPlaces
    from dataspec.sql.samples import SampledText
    from dataspec.sql.values.binding import WrittenName


MAX_PARTS = 10
"""Maximum number of parts of a table name that are compared with names from run values."""
_TEMPORARY_SCHEMAS = {"temp", "pg_temp"}
HARMLESS_COMMANDS = {"CHECKPOINT", "EXPLAIN", "LOAD", "REFRESH", "RESET", "SET", "SHOW", "VACUUM"}
"""Statements that sqlglot does not parse, and that copy no rows between tables."""


Parts = tuple[str, ...]
_QUALIFIED = 2
"""Number of parts from which a name may omit the parts before them, such as the catalog."""


@dataclass(frozen=True, slots=True)
class TableUse:
    """A table in a dataset's SQL, with the place of its first use."""

    name: str
    file: str = ""
    line: int | None = None
    column: int | None = None

    def problem(self, message: str, *, hint: str | None = None) -> Problem:
        """Return a problem at this place."""
        return Problem(message, self.file, self.line, self.column, hint)


@dataclass(frozen=True, slots=True)
class Lineage:
    """The tables that a dataset's SQL reads and writes, by name."""

    reads: tuple[TableUse, ...] = ()
    """Tables that the dataset does not write itself."""
    writes: tuple[TableUse, ...] = ()
    """Tables that exist or have changed after a run."""
    unknown: tuple[Problem, ...] = ()
    """Problems for tables that are unknown before a run."""
    writes_unnamed: bool = False
    """Whether it writes a table whose name depends on values of a run."""
    target: str | None = None
    """The table or view that the materialization builds, one of ``writes``; None without one."""
    not_stored: Problem | None = None
    """The warning for a query whose rows no statement stores (specification 10.14)."""

    @property
    def warnings(self) -> list[str]:
        """The warning for rows that are not stored, as a sentence without its place."""
        found = self.not_stored
        return [f"{found.message[0].upper()}{found.message[1:]} {found.hint}"] if found else []

    def builds(self, name: str) -> tuple[str, ...]:
        """Return the tables that a dataset builds; the table of its own name if its SQL may write that one."""
        if self.writes:
            return tuple(use.name for use in self.writes)
        return () if self.writes_unnamed or self.not_stored else (name,)


def lineage_of(
    spec: DatasetSpec,
    files: Mapping[str, str],
    places: SqlPlaces | None = None,
    *,
    dialect: str | None = None,
) -> Lineage:
    """Return the lineage of a dataset; SQL with errors makes tables unknown, and raises nothing.

    Args:
        spec: The spec.
        files: The text of each SQL file, by its path in the spec.
        places: The places of the SQL; None to leave places out.
        dialect: The connection's dialect, where it is known; the spec's own takes precedence.
    """
    return lineage_in(spec, sampled_texts(spec, files, dialect), places)


def lineage_in(spec: DatasetSpec, texts: Iterable[SampledText], places: SqlPlaces | None = None) -> Lineage:
    """Return the lineage of a dataset's rendered SQL, like :func:`lineage_of`."""
    session = _Session(spec, places)
    for text in texts:
        session.take(text)
    return session.lineage()


class _Session:
    """Collects the tables of one run, statement by statement."""

    def __init__(self, spec: DatasetSpec, places: SqlPlaces | None) -> None:
        self._name = spec.name
        self._target = spec.target
        self._places = places
        self._reads: dict[str, TableUse] = {}
        self._writes: dict[str, TableUse] = {}
        self._own: set[str] = set()
        """All tables written, including those dropped later."""
        self._temporary: set[str] = set()
        self._unknown: list[Problem] = []
        self._named: Mapping[Parts, tuple[int, WrittenName]] = {}
        """The names in the current text that depend on values of the run."""
        self._writes_unnamed = False
        self._unread = False
        """Whether a statement is unknown that may store rows."""
        self._query: SampledText | None = None
        """The query, if one of its statements returns rows."""
        self._query_stores = False
        """Whether a statement of the query may store rows elsewhere than in a table, such as in a file."""
        self._query_tables: set[str] = set()

    def take(self, sampled: SampledText) -> None:
        self._unread |= any(way.unrendered or way.parsed.problem for way in sampled.all_ways)
        if problem := sampled.unrendered or sampled.parsed.problem:
            self._say_unknown(
                sampled, Problem(f"The tables in it are not known: {problem.message}", "", problem.line)
            )
        self._take_trees(sampled)
        for other in sampled.others:
            self._take_trees(other)

    def lineage(self) -> Lineage:
        if self._target is not None:
            self._writes.setdefault(self._target.lower(), self._target_use(self._target))
            self._own.add(self._target.lower())
        own = Endings(map(parts_of, self._own))
        reads = [use for name, use in self._reads.items() if not own.hold(parts_of(name))]
        unknown = tuple(dict.fromkeys(self._unknown))
        writes = _by_name(self._writes.values())
        return Lineage(
            _by_name(reads), writes, unknown, self._writes_unnamed, self._target, self._not_stored()
        )

    def _target_use(self, target: str) -> TableUse:
        if self._places is None:
            return TableUse(target)
        document = self._places.document
        return TableUse(target, document.file, *document.key_position(("materialization",)))

    def _not_stored(self) -> Problem | None:
        """Return the warning for a query whose rows no statement stores; none where that is unknown."""
        known = not (self._unread or self._writes_unnamed or self._query_stores)
        stored = any(name in self._query_tables or ends_alike(name, self._name) for name in self._writes)
        if self._target or self._query is None or stored or not known:
            return None
        message = "the rows of the query are not stored: no statement writes them to a table."
        hint = f"Write CREATE TABLE {self._name} AS SELECT …, or INSERT INTO {self._name} SELECT …"
        if all(is_select(way.parsed.trees) for way in self._query.all_ways):
            hint = "Add 'materialization: table'."
        return self._place(Problem(message, "", 1, 1, hint, "warning"), self._query)

    def _take_trees(self, sampled: SampledText) -> None:
        self._named = names_by_parts(sampled.names)
        for tree in sampled.parsed.trees:
            command = command_of(tree)
            if command and command not in HARMLESS_COMMANDS:
                message = f"What {command} reads and writes is not known."
                self._say_unknown(sampled, Problem(message, ""))
                self._unread = True
            access = access_of(tree)
            self._take_access(access, sampled)
            if sampled.text.kind == "query":
                self._take_query(tree, access, sampled)

    def _take_query(self, tree: exp.Expr, access: Access, sampled: SampledText) -> None:
        """Record whether a statement of the query returns rows or may store some."""
        if access.writes or access.drops:
            self._query_tables |= {table_name(table).lower() for table in access.writes}
        elif yields_rows(tree):
            self._query = self._query or sampled
        elif not stores_nothing(tree):
            self._query_stores = True

    def _take_access(self, access: Access, sampled: SampledText) -> None:
        for table in access.reads:
            self._note(self._reads, table, sampled)
        # A table dropped in one branch still exists after another branch.
        for table in access.drops if not sampled.values else ():
            name = table_name(table).lower()
            self._writes.pop(name, None)
            self._temporary.discard(name)
        for table in access.temporary:
            self._temporary |= {table_name(table).lower(), table.name.lower()}
        for table in access.writes:
            if self._note(self._writes, table, sampled):
                self._own.add(table_name(table).lower())

    def _note(self, uses: dict[str, TableUse], table: exp.Table, sampled: SampledText) -> bool:
        """Record the use of a table; return whether its name is known."""
        name = table_name(table)
        if name.lower() in uses:
            return True
        if self._is_temporary(table):
            return False
        if written := written_by(self._named, name):
            writes = uses is self._writes
            self._writes_unnamed |= writes
            verb = "writes" if writes else "reads"
            message = f"A run alone tells which table it {verb}: {written.template}."
            self._say_unknown(sampled, self._at(Problem(message, ""), table, sampled))
            return False
        if self._places is None:
            uses[name.lower()] = TableUse(name)
            return True
        place = self._place(self._at(Problem("", ""), table, sampled), sampled)
        uses[name.lower()] = TableUse(name, place.file, place.line, place.column)
        return True

    def _is_temporary(self, table: exp.Table) -> bool:
        name = table_name(table).lower()
        in_schema = table.db.lower() in _TEMPORARY_SCHEMAS and table.name.lower() in self._temporary
        return name in self._temporary or in_schema or bool(table.this.args.get("temporary"))

    def _at(self, problem: Problem, table: exp.Table, sampled: SampledText) -> Problem:
        if self._places is None or not (line := table.this.meta.get("line")):
            return problem
        word = table.name
        line, column = in_template(sampled.text.sql, sampled.parsed.sql, line, table.this.meta["col"], word)
        return problem.at("", line, column)

    def _place(self, problem: Problem, sampled: SampledText) -> Problem:
        if self._places is None:
            return problem.at(sampled.text.file or "", problem.line, problem.column)
        return self._places.placed(problem, sampled.text)

    def _say_unknown(self, sampled: SampledText, problem: Problem) -> None:
        self._unknown.append(self._place(problem, sampled))


def names_by_parts(names: Iterable[WrittenName]) -> dict[Parts, tuple[int, WrittenName]]:
    """Return names by their parts, each with its index."""
    found: dict[Parts, tuple[int, WrittenName]] = {}
    for number, name in enumerate(names):
        found.setdefault(parts_of(name.name), (number, name))
    return found


def written_by(named: Mapping[Parts, tuple[int, WrittenName]], table: str) -> WrittenName | None:
    """Return the first name from run values that is a part, or several parts, of a table's name."""
    parts = parts_of(table)[:MAX_PARTS] if named else ()
    within = (parts[begin:end] for begin in range(len(parts)) for end in range(begin + 1, len(parts) + 1))
    found = [named[some] for some in within if some in named]
    return min(found, key=lambda numbered: numbered[0])[1] if found else None


def _by_name(uses: Iterable[TableUse]) -> tuple[TableUse, ...]:
    return tuple(sorted(uses, key=lambda use: use.name.lower()))


def parts_of(name: str) -> Parts:
    """Return the parts of a table's name in lower case, since names match in any case."""
    return tuple(name.lower().split("."))


def may_be_same(one: Parts, other: Parts) -> bool:
    """Return whether two names may mean the same table: the parts of one end the other.

    A name with one part matches only an equal name, since its schema is unknown.
    """
    shorter = min(len(one), len(other))
    return one == other or (shorter >= _QUALIFIED and one[-shorter:] == other[-shorter:])


def ends_alike(one: str, other: str) -> bool:
    """Return whether two names may mean one table, whatever schema the shorter one is in."""
    parts, others = parts_of(one), parts_of(other)
    shorter = min(len(parts), len(others))
    return parts[-shorter:] == others[-shorter:]


class Endings:
    """A set of table names, searched by :func:`may_be_same`."""

    def __init__(self, names: Iterable[Parts]) -> None:
        self._names = set(names)
        self._endings = {ending for name in self._names for ending in _endings(name)}

    def hold(self, name: Parts) -> bool:
        """Return whether a name may mean one of the tables."""
        shorter = any(ending in self._names for ending in _endings(name))
        return name in self._names or shorter or (len(name) >= _QUALIFIED and name in self._endings)


class TableNames:
    """Tables, found by their full names or by the last parts of these."""

    def __init__(self, names: Iterable[str]) -> None:
        self._written: dict[Parts, str] = {}
        self._ending: defaultdict[Parts, set[Parts]] = defaultdict(set)
        for name in names:
            parts = parts_of(name)
            self._written.setdefault(parts, name)
            for ending in _endings(parts):
                self._ending[ending].add(parts)

    def find(self, name: str) -> str | None:
        """Return the table that a name means; None if there is none, or the name is ambiguous."""
        parts = parts_of(name)
        if parts in self._written:
            return self._written[parts]
        shorter = {ending for ending in _endings(parts) if ending in self._written}
        found = shorter | self._ending.get(parts, set())
        return self._written[found.pop()] if len(found) == 1 else None


def _endings(parts: Parts) -> list[Parts]:
    return [parts[begin:] for begin in range(len(parts) - _QUALIFIED + 1)]
