"""All specs of a project, checked: each by itself, on every core where that pays, then together."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

from dataspec.checking import CheckedSpec, check_broken, check_sound
from dataspec.project_checks import check_project
from dli.project import Project

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from dataspec.engines.dialects import ConnectionDialect
    from dli.project import LocalDataset

MANY = 150
"""From so many files on, the time that another process takes to start is made up for."""

_CHUNKS_EACH = 8
"""Shares of the work for each process, so that none waits long for another at the end."""


def check_datasets(
    project: Project, dialects: Mapping[str, ConnectionDialect], *, also: Sequence[LocalDataset] = ()
) -> list[CheckedSpec]:
    """Return every spec of a project, checked by itself and together, in the order of the files.

    Args:
        project: The project.
        dialects: Those of the connections of this machine, by the connection's name.
        also: Specs that a person named; those that lie elsewhere are checked as the project's.
    """
    checked = _check_files(project, dialects)
    inside = {spec.file for spec in checked}
    checked += [check_local(dataset, dialects) for dataset in also if dataset.file not in inside]
    return check_project(checked)


def check_local(dataset: LocalDataset, dialects: Mapping[str, ConnectionDialect]) -> CheckedSpec:
    """Check one spec by itself."""
    if dataset.document is None:
        return CheckedSpec(file=dataset.file, name=dataset.name, problems=dataset.problems)
    spec = dataset.spec or dataset.part
    dialect = dialects.get(spec.execution.connection) if spec else None
    if dataset.spec is not None:
        return check_sound(dataset.spec, dataset.sql, dataset.document, dataset.problems, dialect)
    return check_broken(dataset.document, dataset.problems, dataset.part, dataset.sql, dialect)


def _check_files(project: Project, dialects: Mapping[str, ConnectionDialect]) -> list[CheckedSpec]:
    paths = list(project.yaml_files())
    workers = os.cpu_count() or 1
    # A process with threads must not fork, and elsewhere a new process costs more than it saves.
    if len(paths) < MANY or workers == 1 or sys.platform != "linux" or threading.active_count() > 1:
        return _check_share(project.root, project.folder, paths, dialects)
    return _check_in_processes(project, paths, workers, dialects)


def _check_in_processes(
    project: Project, paths: list[Path], workers: int, dialects: Mapping[str, ConnectionDialect]
) -> list[CheckedSpec]:
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    size = -(-len(paths) // (workers * _CHUNKS_EACH))
    shares = [paths[begin : begin + size] for begin in range(0, len(paths), size)]
    pool = ProcessPoolExecutor(workers, get_context("fork"), initializer=_begin)
    try:
        results = [
            pool.submit(_check_share, project.root, project.folder, share, dialects) for share in shares
        ]
        return [spec for result in results for spec in result.result()]
    finally:
        pool.shutdown(cancel_futures=True)


def _begin() -> None:
    """Leave Ctrl-C to the first process, and look for garbage seldom: this one lives for seconds."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


def _check_share(
    root: Path, folder: Path, paths: Sequence[Path], dialects: Mapping[str, ConnectionDialect]
) -> list[CheckedSpec]:
    project = Project(root, folder)
    datasets = (project.read_if_dataset(path) for path in paths)
    return [check_local(dataset, dialects) for dataset in datasets if dataset is not None]
