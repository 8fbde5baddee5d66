"""Check one spec by itself, and collect what the checks across a project need of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING

from dataspec.problems import MAX_PROBLEMS, Problem, first_of, in_reading_order
from dataspec.project.graph import GraphDataset
from dataspec.schedule.advice import schedule_advice
from dataspec.spec.sql_texts import SqlPlaces
from dataspec.sql.check_lint import check_sql_problems
from dataspec.sql.lineage.column_uses import BuiltTable, ColumnUse, built_table, column_uses
from dataspec.sql.lineage.dataset_lineage import Lineage, lineage_in
from dataspec.sql.lint import condition_problems, sql_problems, unused_parameters
from dataspec.sql.materialization_lint import engine_problems, materialized_sql_problems
from dataspec.sql.samples import sampled_checks, sampled_conditions, sampled_texts
from dataspec.sql.validation import checked_templates

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dataspec.schedule.upstream_clock import Declared
    from dataspec.spec.dialects import ConnectionDialect
    from dataspec.spec.model import DatasetSpec
    from dataspec.spec.yaml_reader import Document, Path, Place

CRON: Path = ("schedule", "cron")
_KEPT = {("name",), ("depends_on",)}


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedSpec:
    """The result of the checks of one spec, without its YAML and SQL."""

    file: str
    name: str | None
    """None if it is missing or invalid."""
    tags: tuple[str, ...] = ()
    sql_files: tuple[str, ...] = ()
    """The paths of its SQL files, relative to its YAML."""
    shared_files: tuple[str, ...] = ()
    """The paths of the macro files and seeds that it uses, relative to the project."""
    has_tests: bool = False
    """Whether it has unit tests."""
    fixture_files: tuple[str, ...] = ()
    """The paths of the CSV files of its unit tests, relative to its YAML."""
    problems: tuple[Problem, ...] = ()
    dataset: GraphDataset | None = None
    """None for a spec without a name."""
    places: Mapping[Path, Place] = field(default_factory=dict, repr=False)
    """The places of the name, of what is under ``depends_on``, and of the schedule's ``cron``."""
    upstream: Mapping[str, Path] = field(default_factory=dict, repr=False)
    """The YAML path of the first entry for each dataset of ``depends_on``."""
    clock: Declared = None
    """What the spec says of its clock; None for an invalid spec as well."""
    depends_on_at: Place | None = None
    """The place of the key ``depends_on``; None if it is missing."""
    column_uses: tuple[ColumnUse, ...] = field(default=(), repr=False)
    """The columns that it reads of tables of others."""
    built: BuiltTable | None = field(default=None, repr=False)
    """The table that it makes anew, with all its columns; None where these are not certain."""

    @property
    def valid(self) -> bool:
        """Whether it has no error."""
        return all(problem.severity != "error" for problem in self.problems)

    def problem(self, path: Path, message: str, *, hint: str | None = None) -> Problem:
        """Return a problem at one of the places."""
        line, column = self.places.get(path, (1, 1))
        return Problem(message, self.file, line, column, hint)


def check_valid(
    spec: DatasetSpec,
    files: Mapping[str, str],
    document: Document,
    known: tuple[Problem, ...] = (),
    dialects: Mapping[str, ConnectionDialect] = MappingProxyType({}),
) -> CheckedSpec:
    """Check a valid spec: its SQL in its dialect, its parameters, its lineage.

    Args:
        spec: The spec.
        files: The text of each existing SQL file, by its path in the spec.
        document: Its YAML document.
        known: The problems found so far.
        dialects: The dialects of the known connections, by name.
    """
    places = SqlPlaces(document)
    dialect = dialects.get(spec.execution.connection)
    texts = sampled_texts(spec, files, dialect.name if dialect else None)
    conditions = sampled_conditions(spec, files, dialects)
    checks = sampled_checks(spec, files, dialect.name if dialect else None)
    templates = list(checked_templates(spec, files))
    broken = frozenset(number for number, (_, problems, _) in enumerate(templates) if problems)
    problems = [*known, *sql_problems(spec, texts, places, skip=broken, dialect=dialect)]
    if spec.materialization:
        problems += materialized_sql_problems(spec, texts, places, skip=broken, connection=dialect)
    broken = frozenset(number - len(texts) for number in broken)
    problems += condition_problems(spec, conditions, places, skip=broken, dialects=dialects)
    broken = frozenset(number - len(conditions) for number in broken)
    problems += check_sql_problems(spec, checks, texts, places, skip=broken, dialect=dialect)
    if not known and all(names is not None for _, _, names in templates):
        names = (name for _, _, used in templates for name in used or ())
        problems += unused_parameters(spec, names, document)
    problems += _schedule_problems(spec, document)
    problems += engine_problems(spec, document, dialect)
    lineage = lineage_in(spec, texts, places)
    if lineage.not_stored is not None and not any(problem.severity == "error" for problem in problems):
        problems.append(lineage.not_stored)
    if len(problems) > MAX_PROBLEMS:  # keep errors rather than warnings
        problems = first_of(sorted(problems, key=lambda problem: problem.severity))
    dataset = GraphDataset(spec.name, spec.upstream, lineage, spec.execution.connection)
    return replace(
        _checked(document, dataset, tuple(problems)),
        clock=spec.declared_clock,
        column_uses=column_uses(texts, places) if lineage.reads else (),
        built=built_table(spec, texts),
    )


def materialization_errors(
    spec: DatasetSpec, files: Mapping[str, str], document: Document, dialect: ConnectionDialect | None
) -> list[Problem]:
    """Return what is wrong with a materialization by its SQL and its engine, for a valid spec.

    Args:
        spec: The spec.
        files: The text of each SQL file, by its path in the spec.
        document: Its YAML document.
        dialect: The dialect of its connection, where it is known.
    """
    texts = sampled_texts(spec, files, dialect.name if dialect else None)
    problems = [
        *materialized_sql_problems(spec, texts, SqlPlaces(document)),
        *engine_problems(spec, document, dialect),
    ]
    return [problem for problem in problems if problem.severity == "error"]


def _schedule_problems(spec: DatasetSpec, document: Document) -> Iterator[Problem]:
    if spec.schedule is None or spec.schedule.follows_upstream:
        return
    for message, hint in schedule_advice(spec.schedule.cron, spec.schedule.timezone, datetime.now(UTC)):
        yield document.problem(("schedule", "cron"), message, hint=hint).as_warning()


def check_invalid(
    document: Document,
    problems: tuple[Problem, ...],
    part: DatasetSpec | None = None,
    files: Mapping[str, str] | None = None,
    dialects: Mapping[str, ConnectionDialect] = MappingProxyType({}),
) -> CheckedSpec:
    """Check an invalid spec as far as possible.

    Args:
        document: Its YAML document.
        problems: The problems that made it invalid.
        part: The valid part with the SQL, if there is one; problems of the SQL are then added.
        files: As for :func:`check_valid`.
        dialects: As for :func:`check_valid`.
    """
    lineage = Lineage()
    if part is not None:
        found = check_valid(part, files or {}, document, problems, dialects)
        errors = (problem for problem in found.problems if problem.severity == "error")
        problems = in_reading_order(errors, document.file)
        lineage = found.dataset.lineage if found.dataset else lineage
    data = document.data if isinstance(document.data, dict) else {}
    name = data.get("name")
    if not isinstance(name, str):
        return CheckedSpec(file=document.file, name=None, problems=problems)
    return _checked(document, GraphDataset(name, tuple(_upstream_paths(document)), lineage), problems)


def _checked(document: Document, dataset: GraphDataset, problems: tuple[Problem, ...]) -> CheckedSpec:
    return CheckedSpec(
        file=document.file,
        name=dataset.name,
        problems=problems,
        dataset=dataset,
        places={path: at for path, at in document.values.items() if path[:1] in _KEPT or path == CRON},
        upstream=_upstream_paths(document),
        depends_on_at=document.keys.get(("depends_on",)),
    )


def _upstream_paths(document: Document) -> dict[str, Path]:
    """Return the YAML path of the first entry for each dataset of ``depends_on``, also of an invalid spec."""
    found = document.data.get("depends_on")
    paths: dict[str, Path] = {}
    for index, entry in enumerate(found if isinstance(found, list) else []):
        if isinstance(entry, str):
            paths.setdefault(entry, ("depends_on", index))
        elif isinstance(entry, dict) and isinstance(name := entry.get("dataset"), str):
            paths.setdefault(name, ("depends_on", index, "dataset"))
    return paths
