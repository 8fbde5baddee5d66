"""Collect the unit tests of datasets, planned in child processes, before any of them runs."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from dataspec.errors import DliError, InvalidSpec
from dataspec.project.spec_checks import CheckedSpec
from dataspec.spec.unit_tests import OWN_TABLE
from dli.project.isolated import isolated_batches
from dli.unit_tests.planning import Planned, PlanRequest, not_planned, plan_batch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from dataspec.spec.model import DatasetSpec
    from dli.project.project import LocalDataset
    from dli.session import Session
    from dli.unit_tests.planning import UnitTestPlan
    from dli.unit_tests.sources import UnitTestFiles, UnitTestSource

_MANY = 20
"""Minimum number of datasets with tests for which more processes are faster."""


def planned_tests(
    session: Session, datasets: Sequence[LocalDataset], files: UnitTestFiles
) -> list[UnitTestPlan]:
    """Return the unit tests of datasets.

    Args:
        session: The command's session.
        datasets: Valid datasets, with their clocks.
        files: The project's files of tests.

    Raises:
        InvalidSpec: With the problems of all tests.
    """
    planned = _planned(session, datasets, files)
    if problems := dict.fromkeys(problem for found in planned.values() for problem in found.problems):
        raise InvalidSpec(list(problems))
    return [plan for found in planned.values() for plan in found.plans]


def with_test_problems(
    session: Session, checked: Sequence[CheckedSpec], files: UnitTestFiles, *, everything: bool
) -> list[CheckedSpec]:
    """Return checked specs with the problems of their unit tests.

    Args:
        session: The command's session.
        checked: The specs.
        files: The project's files of tests.
        everything: Whether these are all of the project: a file of tests for no dataset is a problem then.
    """
    tested = (spec for spec in checked if spec.valid and (spec.has_tests or files.has(spec.name)))
    read = (session.project.read(Path(spec.file)) for spec in tested)
    datasets = [dataset for dataset in read if dataset.spec is not None and not dataset.problems]
    planned = _planned(session, datasets, files)
    found = [
        replace(spec, problems=(*spec.problems, *planned[spec.file].problems))
        if spec.file in planned
        else spec
        for spec in checked
    ]
    lost = files.of_no_dataset({spec.name for spec in checked if spec.name}) if everything else ()
    return [*found, *(CheckedSpec(file=problem.file, name=None, problems=(problem,)) for problem in lost)]


def _planned(session: Session, datasets: Sequence[LocalDataset], files: UnitTestFiles) -> dict[str, Planned]:
    """Return what was planned for the datasets that have tests, by the file of the spec."""
    spec_of = _finder(session)
    requests, problems = [], {}
    for dataset in datasets:
        spec = dataset.checked()
        problems[dataset.file] = files.problems_of(spec)
        if sources := files.of(dataset):
            requests.append(
                PlanRequest(
                    dataset=dataset,
                    sources=tuple(sources),
                    dialect=session.dialect_of(spec),
                    declared=dict(_declared(session, sources, spec_of)),
                )
            )
    workers = os.cpu_count() or 1 if len(requests) >= _MANY else 1
    found = isolated_batches(
        plan_batch, [[request] for request in requests], workers=workers, failed=not_planned
    )
    planned = {request.dataset.file: plan for request, plan in zip(requests, found, strict=True)}
    for file, unread in problems.items():
        if unread:
            own = planned.get(file, Planned())
            planned[file] = replace(own, problems=(*unread, *own.problems))
    return planned


def _finder(session: Session) -> Callable[[str], DatasetSpec | None]:
    """Return what finds the spec of a dataset of the project by its name."""

    @cache
    def spec_of(name: str) -> DatasetSpec | None:
        try:
            return session.project.find(name).spec
        except DliError:
            return None

    return spec_of


def _declared(
    session: Session, sources: Sequence[UnitTestSource], spec_of: Callable[[str], DatasetSpec | None]
) -> Iterator[tuple[str, tuple[dict[str, str], str | None]]]:
    """Yield the tables of tests whose datasets declare their columns, each with the types and their dialect."""
    given = dict.fromkeys(name for source in sources for test in source.tests for name in test.given)
    for name in given:
        spec = spec_of(name) if name != OWN_TABLE else None
        if spec is not None and spec.columns:
            types = {column.name: column.type for column in spec.columns if column.type}
            yield name, (types, session.dialect_of(spec))
