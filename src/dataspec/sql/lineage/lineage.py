"""Lineage: the tables that a dataset reads from others, and those that it builds.

Read from its SQL, which need not run for that and takes no parameters: sample values
stand for them, and others that go each way of its conditions. What they can't tell is
said to be unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dataspec.problems import Problem
from dataspec.sql.lineage.table_names import Endings, parts_of
from dataspec.sql.lineage.tables import Access, access_of, table_name
from dataspec.sql.source_map import in_template
from dataspec.sql.template.samples import sampled_texts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlglot import exp

    from dataspec.spec.model import DatasetSpec
    from dataspec.sql.lineage.table_names import Parts
    from dataspec.sql.source_map import SqlPlaces
    from dataspec.sql.template.samples import SampledText
    from dataspec.sql.values.binding import WrittenName

MAX_PARTS = 10
"""Parts of a table's name that may be one that a run gives."""
_TEMPORARY_SCHEMAS = {"temp", "pg_temp"}
_HARMLESS_COMMANDS = {"CHECKPOINT", "EXPLAIN", "LOAD", "REFRESH", "VACUUM"}
"""Statements that sqlglot does not take apart, and that move no rows from table to table."""


@dataclass(frozen=True, slots=True)
class TableUse:
    """A table that a dataset's SQL names, and where it first does."""

    name: str
    file: str = ""
    line: int | None = None
    column: int | None = None

    def problem(self, message: str, *, hint: str | None = None) -> Problem:
        """Return a problem at this place."""
        return Problem(message, self.file, self.line, self.column, hint)


@dataclass(frozen=True, slots=True)
class Lineage:
    """What a dataset's SQL reads and writes, by name."""

    reads: tuple[TableUse, ...] = ()
    """The tables of others; what it writes itself is not among them."""
    writes: tuple[TableUse, ...] = ()
    """The tables that are there, or changed, after a run."""
    unknown: tuple[Problem, ...] = ()
    """What can't be told without a run, and why."""
    writes_unnamed: bool = False
    """Whether it writes a table that only a run gives a name."""

    def builds(self, name: str) -> tuple[str, ...]:
        """Return the tables that the dataset of a name builds: its own name's if its SQL writes none."""
        if self.writes:
            return tuple(use.name for use in self.writes)
        return () if self.writes_unnamed else (name,)


def lineage_of(
    spec: DatasetSpec,
    files: Mapping[str, str],
    places: SqlPlaces | None = None,
    *,
    dialect: str | None = None,
) -> Lineage:
    """Return the lineage of a dataset; never raises for SQL that can't be read.

    Args:
        spec: The spec.
        files: The text of each SQL file, by the path that the spec names it with.
        places: The spec's YAML, where places in the user's files are wanted.
        dialect: That of the spec's connection, where it is known; the spec's own comes first.
    """
    return lineage_in(sampled_texts(spec, files, dialect), places)


def lineage_in(texts: Iterable[SampledText], places: SqlPlaces | None = None) -> Lineage:
    """Return the lineage of a dataset whose SQL was read, as :func:`lineage_of` does."""
    session = _Session(places)
    for text in texts:
        session.take(text)
    return session.lineage()


class _Session:
    """The tables of one run, statement after statement."""

    def __init__(self, places: SqlPlaces | None) -> None:
        self._places = places
        self._reads: dict[str, TableUse] = {}
        self._writes: dict[str, TableUse] = {}
        self._own: set[str] = set()
        """All that were written, though they may be gone by the end."""
        self._temporary: set[str] = set()
        self._unknown: list[Problem] = []
        self._named: Mapping[Parts, tuple[int, WrittenName]] = {}
        """The names that a run gives, of the text that is taken."""
        self._writes_unnamed = False

    def take(self, sampled: SampledText) -> None:
        if problem := sampled.unrendered or sampled.parsed.problem:
            self._say_unknown(
                sampled, Problem(f"The tables in it are not known: {problem.message}", "", problem.line)
            )
        self._take_trees(sampled)
        for other in sampled.others:
            self._take_trees(other)

    def lineage(self) -> Lineage:
        own = Endings(map(parts_of, self._own))
        reads = [use for name, use in self._reads.items() if not own.hold(parts_of(name))]
        unknown = tuple(dict.fromkeys(self._unknown))
        return Lineage(_by_name(reads), _by_name(self._writes.values()), unknown, self._writes_unnamed)

    def _take_trees(self, sampled: SampledText) -> None:
        self._named = _by_parts(sampled.names)
        for tree in sampled.parsed.trees:
            if tree.key == "command" and str(tree.this).upper() not in _HARMLESS_COMMANDS:
                message = f"What {str(tree.this).upper()} reads and writes is not known."
                self._say_unknown(sampled, Problem(message, ""))
            self._take_access(access_of(tree), sampled)

    def _take_access(self, access: Access, sampled: SampledText) -> None:
        for table in access.reads:
            self._note(self._reads, table, sampled)
        # What one way drops is there after another.
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
        """Remember the use of a table; return whether it is one that a name tells."""
        name = table_name(table)
        if name.lower() in uses:
            return True
        if self._is_temporary(table):
            return False
        if written := _written_by(self._named, name):
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


def _by_parts(names: Iterable[WrittenName]) -> dict[Parts, tuple[int, WrittenName]]:
    """Return names by their parts, each with its number."""
    found: dict[Parts, tuple[int, WrittenName]] = {}
    for number, name in enumerate(names):
        found.setdefault(parts_of(name.name), (number, name))
    return found


def _written_by(named: Mapping[Parts, tuple[int, WrittenName]], table: str) -> WrittenName | None:
    """Return the first name that a run gives, if a table's name has it as one or some of its parts."""
    parts = parts_of(table)[:MAX_PARTS] if named else ()
    within = (parts[begin:end] for begin in range(len(parts)) for end in range(begin + 1, len(parts) + 1))
    found = [named[some] for some in within if some in named]
    return min(found, key=lambda numbered: numbered[0])[1] if found else None


def _by_name(uses: Iterable[TableUse]) -> tuple[TableUse, ...]:
    return tuple(sorted(uses, key=lambda use: use.name.lower()))
