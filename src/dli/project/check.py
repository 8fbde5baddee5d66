"""Check all specs of a project: each by itself, in child processes, then together."""

from __future__ import annotations

import gc
import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dataspec.isolation import restart_clock
from dataspec.problems import Problem, unexpected
from dataspec.project.cross_checks import check_project
from dataspec.project.spec_checks import CheckedSpec, check_invalid, check_valid
from dataspec.spec.detection import tags_of
from dataspec.spec.unit_tests import fixture_files
from dli.project.isolated import isolated_batches
from dli.project.paths import shown
from dli.project.project import Project

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dataspec.isolation import LimitExceeded
    from dataspec.spec.dialects import ConnectionDialect
    from dli.project.project import LocalDataset

MANY = 150
"""Minimum number of files for which more processes are faster."""
MAX_BATCH = 100
"""Maximum number of specs in one call, to stay within the memory limit."""
_BATCHES_EACH = 8
"""Batches for each process, so that all end at about the same time."""


def check_datasets(
    project: Project, dialects: Mapping[str, ConnectionDialect], *, also: Sequence[LocalDataset] = ()
) -> list[CheckedSpec]:
    """Check every spec of a project, by itself and together, in the order of the files.

    Args:
        project: The project.
        dialects: The SQL dialects of this machine's connections, by name.
        also: Specs that the user named; those outside the project's folder are checked too.
    """
    checked = _check_files(project, dialects)
    inside = {spec.file for spec in checked}
    outside = [[Path(dataset.file)] for dataset in also if dataset.file not in inside]
    checked += _check_batches(project, dialects, outside, 1)
    return check_project(checked)


def unstored_rows(
    project: Project, dialects: Mapping[str, ConnectionDialect], paths: Sequence[Path]
) -> list[Problem]:
    """Return the warnings of specs whose rows no statement stores (specification 10.14)."""
    checked = _check_batches(project, dialects, _batches(paths, MAX_BATCH), os.cpu_count() or 1)
    lineages = [spec.dataset.lineage for spec in checked if spec.dataset is not None]
    return [lineage.not_stored for lineage in lineages if lineage.not_stored is not None]


def check_local(dataset: LocalDataset, dialects: Mapping[str, ConnectionDialect]) -> CheckedSpec:
    """Check one spec by itself; an unexpected error becomes a problem of this spec."""
    try:
        files = known.files if (known := dataset.spec or dataset.part) else ()
        tags = tags_of(dataset.document) if dataset.document else ()
        checked = _check_local(dataset, dialects)
        tests = dataset.spec.tests if dataset.spec else ()
        return replace(
            checked,
            tags=tags,
            sql_files=files,
            shared_files=dataset.shared,
            has_tests=bool(tests),
            fixture_files=fixture_files(tests),
        )
    except MemoryError:
        raise  # the limit of this child process
    except Exception as error:  # noqa: BLE001 - reported as a problem
        problems = (*dataset.problems, unexpected(error, dataset.file))
        return CheckedSpec(file=dataset.file, name=dataset.name, problems=problems)


def _check_local(dataset: LocalDataset, dialects: Mapping[str, ConnectionDialect]) -> CheckedSpec:
    if dataset.document is None:
        return CheckedSpec(file=dataset.file, name=dataset.name, problems=dataset.problems)
    if dataset.spec is not None:
        return check_valid(dataset.spec, dataset.sql, dataset.document, dataset.problems, dialects)
    return check_invalid(dataset.document, dataset.problems, dataset.part, dataset.sql, dialects)


def _check_files(project: Project, dialects: Mapping[str, ConnectionDialect]) -> list[CheckedSpec]:
    paths = list(project.yaml_files())
    workers = os.cpu_count() or 1 if len(paths) >= MANY else 1
    size = max(1, min(MAX_BATCH, len(paths) // (workers * _BATCHES_EACH)))
    return _check_batches(project, dialects, _batches(paths, size), workers)


def _check_batches(
    project: Project,
    dialects: Mapping[str, ConnectionDialect],
    batches: Sequence[Sequence[Path]],
    workers: int,
) -> list[CheckedSpec]:
    check = partial(_check_batch, project.root, project.folder, dialects)
    found = isolated_batches(check, batches, workers=workers, failed=_not_checked)
    return [spec for spec in found if spec is not None]


def _batches(paths: Sequence[Path], size: int) -> list[Sequence[Path]]:
    return [paths[begin : begin + size] for begin in range(0, len(paths), size)]


def _not_checked(path: Path, exceeded: LimitExceeded) -> CheckedSpec:
    file = shown(path)
    return CheckedSpec(file=file, name=None, problems=(exceeded.problem(file),))


def _check_batch(
    root: Path, folder: Path, dialects: Mapping[str, ConnectionDialect], paths: Sequence[Path]
) -> list[CheckedSpec | None]:
    """Check specs in a child process; None for a YAML file that is not a spec."""
    gc.set_threshold(100_000, 20, 20)  # the process is short-lived
    project = Project(root, folder)
    return [_check_file(project, path, dialects) for path in paths]


def _check_file(
    project: Project, path: Path, dialects: Mapping[str, ConnectionDialect]
) -> CheckedSpec | None:
    restart_clock()
    dataset = project.read_if_dataset(path)
    return check_local(dataset, dialects) if dataset is not None else None
