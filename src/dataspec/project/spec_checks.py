"""One spec, checked as far as it can be by itself, and what others have to know of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dataspec.problems import MAX_PROBLEMS, Problem, first_of, in_reading_order
from dataspec.project.graph import GraphDataset
from dataspec.spec.parse import checked_templates
from dataspec.sql.lineage.lineage import Lineage, lineage_in
from dataspec.sql.lint import sql_problems, unused_parameters
from dataspec.sql.source_map import SqlPlaces
from dataspec.sql.template.samples import sampled_texts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dataspec.spec.model import DatasetSpec
    from dataspec.spec.yaml_reader import Document, Path, Place
    from dataspec.sql.dialects import ConnectionDialect


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedSpec:
    """What a check of one spec found; small, and free of what it was found with."""

    file: str
    name: str | None
    """None if it can't be read."""
    problems: tuple[Problem, ...] = ()
    dataset: GraphDataset | None = None
    """None if it has no name."""
    places: Mapping[Path, Place] = field(default_factory=dict, repr=False)
    """Where the YAML has the name and what it depends on."""
    depends_on_at: Place | None = None
    """Where the key ``depends_on`` stands; None if it does not."""

    @property
    def valid(self) -> bool:
        """Whether it has no error."""
        return all(problem.severity != "error" for problem in self.problems)

    def problem(self, path: Path, message: str, *, hint: str | None = None) -> Problem:
        """Return a problem at the place of the name, or of one of the datasets that it depends on."""
        line, column = self.places.get(path, (1, 1))
        return Problem(message, self.file, line, column, hint)


def check_sound(
    spec: DatasetSpec,
    files: Mapping[str, str],
    document: Document,
    known: tuple[Problem, ...] = (),
    dialect: ConnectionDialect | None = None,
) -> CheckedSpec:
    """Check a spec that can be read: its SQL in its dialect, its parameters, its lineage.

    Args:
        spec: The spec.
        files: The text of each SQL file that is there, by the path that the spec names it with.
        document: Its YAML, read.
        known: The problems that reading it found.
        dialect: That of the spec's connection, where it is known.
    """
    places = SqlPlaces(document)
    texts = sampled_texts(spec, files, dialect.name if dialect else None)
    templates = list(checked_templates(spec, files))
    broken = frozenset(number for number, (_, problems, _) in enumerate(templates) if problems)
    problems = [*known, *sql_problems(spec, texts, places, skip=broken, dialect=dialect)]
    if not known and all(names is not None for _, _, names in templates):
        names = (name for _, _, used in templates for name in used or ())
        problems += unused_parameters(spec, names, document)
    if len(problems) > MAX_PROBLEMS:  # errors are told before warnings then
        problems = first_of(sorted(problems, key=lambda problem: problem.severity))
    dataset = GraphDataset(spec.name, tuple(spec.depends_on), lineage_in(texts, places))
    return _checked(document, dataset, tuple(problems))


def check_broken(
    document: Document,
    problems: tuple[Problem, ...],
    part: DatasetSpec | None = None,
    files: Mapping[str, str] | None = None,
    dialect: ConnectionDialect | None = None,
) -> CheckedSpec:
    """Return what can be told of a spec that can't be used.

    Args:
        document: Its YAML, read.
        problems: What reading it found.
        part: The part of it that its SQL hangs on, where that can be told; the mistakes in the SQL are told too.
        files: As for :func:`check_sound`.
        dialect: As well.
    """
    lineage = Lineage()
    if part is not None:
        found = check_sound(part, files or {}, document, problems, dialect)
        errors = (problem for problem in found.problems if problem.severity == "error")
        problems = in_reading_order(errors, document.file)
        lineage = found.dataset.lineage if found.dataset else lineage
    data = document.data if isinstance(document.data, dict) else {}
    name, depends_on = data.get("name"), data.get("depends_on")
    if not isinstance(name, str):
        return CheckedSpec(file=document.file, name=None, problems=problems)
    named = depends_on if isinstance(depends_on, list) else []
    upstream = tuple(item for item in named if isinstance(item, str))
    return _checked(document, GraphDataset(name, upstream, lineage), problems)


def _checked(document: Document, dataset: GraphDataset, problems: tuple[Problem, ...]) -> CheckedSpec:
    return CheckedSpec(
        file=document.file,
        name=dataset.name,
        problems=problems,
        dataset=dataset,
        places={path: at for path, at in document.values.items() if path[:1] in {("name",), ("depends_on",)}},
        depends_on_at=document.keys.get(("depends_on",)),
    )
