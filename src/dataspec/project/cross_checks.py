"""Check the datasets of a project together: names, dependencies, tables, cycles."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from difflib import get_close_matches
from typing import TYPE_CHECKING

from dataspec.problems import Problem, name_taken, nearest
from dataspec.project.graph import DatasetGraph, as_path
from dataspec.project.spec_checks import CRON
from dataspec.schedule.upstream_clock import NoClock, upstream_clocks
from dataspec.sql.lineage.dataset_lineage import may_be_same, parts_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dataspec.project.spec_checks import CheckedSpec
    from dataspec.sql.lineage.dataset_lineage import Parts, TableUse

MAX_HINTS = 50
"""Maximum number of hints with the nearest name, since each compares with all names of the project."""

_NEAR_SCHEMA, _NEAR_TABLE = 0.7, 0.8
"""Minimum similarity of two schemas, and of two tables, for a hint."""


def check_project(checked: Sequence[CheckedSpec]) -> list[CheckedSpec]:
    """Return the specs of a project, with the problems of the checks across specs added."""
    graph = DatasetGraph(spec.dataset for spec in checked if spec.dataset)
    found = _Project(checked, graph).problems()
    return [replace(spec, problems=(*spec.problems, *found.get(spec.file, ()))) for spec in checked]


class _Project:
    def __init__(self, checked: Sequence[CheckedSpec], graph: DatasetGraph) -> None:
        self._graph = graph
        self._checked = checked
        self._first: dict[str, CheckedSpec] = {}
        self._schemas = _Schemas(graph)
        self._hints_left = MAX_HINTS
        for spec in checked:
            if spec.name is not None:
                self._first.setdefault(spec.name, spec)

    def problems(self) -> dict[str, list[Problem]]:
        """Return the problems, by the file of the spec."""
        found: defaultdict[str, list[Problem]] = defaultdict(list)
        for spec in self._checked:
            if spec.name is None or spec.dataset is None:
                continue
            if (first := self._first[spec.name]) is not spec:
                found[spec.file].append(spec.problem(("name",), name_taken(spec.name, first.file)))
                continue
            found[spec.file] += self._missing(spec)
            found[spec.file] += self._undeclared(spec)
            found[spec.file] += self._unknown_tables(spec.dataset.lineage.reads)
            found[spec.file] += self._unknown_columns(spec)
        for file, problem in (*self._cycles(), *self._clocks(), *self._written_twice()):
            found[file].append(problem)
        return found

    def _missing(self, spec: CheckedSpec) -> Iterator[Problem]:
        for name, path in spec.upstream.items():
            if name not in self._graph.datasets:
                message = f"this project has no dataset '{name}'."
                yield spec.problem(path, message, hint=self._nearest(name)).as_warning()

    def _nearest(self, name: str) -> str | None:
        if not self._hints_left:
            return None
        self._hints_left -= 1
        return nearest(name, self._graph.datasets)

    def _undeclared(self, spec: CheckedSpec) -> Iterator[Problem]:
        edges = [edge for edge in self._graph.parents(spec.name or "") if not edge.declared]
        if not edges:
            return
        tables = ", ".join(table for edge in edges for table in edge.tables)
        upstream = [edge.upstream for edge in edges]
        builders = " and ".join(f"'{name}'" for name in upstream)
        how = f"which {builders} {'builds' if len(upstream) == 1 else 'build'}"
        if any(self._graph.datasets[name].lineage.not_stored for name in upstream):
            how = f"{'a name' if len(upstream) == 1 else 'names'} of {builders}"
        message = f"the SQL reads {tables}, {how}, and 'depends_on' does not say so."
        line, column = spec.depends_on_at or spec.places.get(("name",), (1, 1))
        yield Problem(message, spec.file, line, column, _line_to_add(spec, upstream), "warning")

    def _unknown_tables(self, reads: Sequence[TableUse]) -> Iterator[Problem]:
        for use in reads:
            if not self._graph.builders(use.name) and (meant := self._schemas.near(use.name)) is not None:
                message = (
                    f"no dataset of this project builds '{use.name}', and others build tables in its schema."
                )
                if meant.other_schema:
                    message = f"no dataset of this project builds '{use.name}'."
                yield use.problem(message, hint=meant.hint).as_warning()

    def _unknown_columns(self, spec: CheckedSpec) -> Iterator[Problem]:
        """Yield a warning for each column that the dataset which makes its table surely does not build."""
        for use in spec.column_uses:
            builders = self._graph.builders(use.table)
            built = self._first[builders[0]].built if len(builders) == 1 else None
            if built is None or builders[0] == spec.name:
                continue
            is_its = may_be_same(parts_of(built.name), parts_of(use.table))
            if is_its and use.column.lower() not in map(str.lower, built.columns):
                message = f"{use.table} has no column '{use.column}': '{builders[0]}' does not build it."
                hint = nearest(use.column, built.columns)
                yield replace(use.place, message=message, hint=hint, severity="warning")

    def _cycles(self) -> Iterator[tuple[str, Problem]]:
        for cycle in self._graph.cycles():
            spec = self._first[cycle[0]]
            message = f"these datasets depend on each other: {as_path(cycle)}."
            at = spec.depends_on_at or spec.places.get(("name",), (1, 1))
            yield spec.file, Problem(message, spec.file, *at, "One of these steps has to go.")

    def _clocks(self) -> Iterator[tuple[str, Problem]]:
        """Yield a problem for each schedule ``@upstream`` without a clock, unless an upstream dataset is not here."""
        valid = {name: spec for name, spec in self._first.items() if spec.valid}
        for name, clock in upstream_clocks({name: spec.clock for name, spec in valid.items()}).items():
            if isinstance(clock, NoClock) and not clock.unknown:
                hint = "Give one of them a schedule, or write a cron expression."
                problem = valid[name].problem(CRON, f"'@upstream' gives no clock: {clock.reason}.", hint=hint)
                yield valid[name].file, problem

    def _written_twice(self) -> Iterator[tuple[str, Problem]]:
        for table, named in self._graph.tables().items():
            names = [name for name in named if not self._graph.datasets[name].lineage.not_stored]
            for name in names[1:]:
                spec = self._first[name]
                uses = spec.dataset.lineage.writes if spec.dataset else ()
                use = next((use for use in uses if use.name.lower() == table), None)
                message = f"the dataset '{names[0]}' writes the table {use.name if use else table} as well."
                problem = use.problem(message) if use else spec.problem(("name",), message)
                if self._is_replaced(table, names[0], name):
                    hint = "Each table has one dataset: give another name under 'materialization', 'table'."
                    yield spec.file, replace(problem, hint=hint)
                else:
                    yield spec.file, problem.as_warning()

    def _is_replaced(self, table: str, *names: str) -> bool:
        """Return whether datasets of one connection write a table that is the target of one of them."""
        datasets = [self._graph.datasets[name] for name in names]
        targets = {(dataset.lineage.target or "").lower() for dataset in datasets}
        return table in targets and len({dataset.connection for dataset in datasets}) == 1


def _line_to_add(spec: CheckedSpec, upstream: Sequence[str]) -> str:
    at = spec.places.get(("depends_on",))
    if spec.depends_on_at is None or at is None or ("depends_on", 0) not in spec.places:
        return f"Add: depends_on: [{', '.join(upstream)}]"
    if at[0] != spec.depends_on_at[0]:
        return "Add: " + " and ".join(f"- {name}" for name in upstream)
    return f"Add to the list: {', '.join(upstream)}"


class _NearTable:
    """A near table name, for a table that no dataset builds."""

    def __init__(self, hint: str | None, *, other_schema: bool = False) -> None:
        self.hint = hint
        self.other_schema = other_schema


class _Schemas:
    """The tables that a project builds, by schema."""

    def __init__(self, graph: DatasetGraph) -> None:
        self._tables: defaultdict[Parts, dict[str, None]] = defaultdict(dict)
        for table in graph.tables():
            *schema, name = parts_of(table)
            for begin in range(len(schema)):
                self._tables[tuple(schema[begin:])][name] = None
        self._near: dict[str, _NearTable | None] = {}
        self._hints_left = MAX_HINTS

    def near(self, table: str) -> _NearTable | None:
        """Return the near name of a table whose schema, or a similar one, is built by the project; None otherwise."""
        if table.lower() not in self._near:
            *schema, name = parts_of(table)
            self._near[table.lower()] = self._look(tuple(schema), name)
        return self._near[table.lower()]

    def _look(self, schema: Parts, name: str) -> _NearTable | None:
        if not schema:
            return None
        endings = (schema[begin:] for begin in range(len(schema)))
        known = next((ending for ending in endings if ending in self._tables), None)
        if known is not None:
            found = self._like(name, known)
            prefix = ".".join((*known, ""))
            return _NearTable(f"Did you mean '{prefix}{found[0]}'?" if found else None)
        schemas = {".".join(parts): parts for parts in self._tables}
        for other in get_close_matches(".".join(schema), schemas, n=1, cutoff=_NEAR_SCHEMA):
            for found_name in self._like(name, schemas[other], cutoff=_NEAR_TABLE):
                return _NearTable(f"Did you mean '{other}.{found_name}'?", other_schema=True)
        return None

    def _like(self, name: str, schema: Parts, *, cutoff: float = 0.6) -> list[str]:
        if not self._hints_left:
            return []
        self._hints_left -= 1
        return get_close_matches(name, self._tables[schema], n=1, cutoff=cutoff)
