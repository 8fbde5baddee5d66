"""Import a dbt project: read it in a child process, then check and complete its specs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from dataspec.errors import InvalidUsage
from dataspec.isolation import MIB, LimitExceeded, Limits
from dataspec.spec.identity import DEFAULT_CONNECTION
from dli.dbt.outcome import Outcome
from dli.dbt.source.manifest import Manifest
from dli.dbt.turning import Turning
from dli.dbt.writing import valid_files
from dli.project.isolated import in_child
from dli.project.paths import shown

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from dataspec.spec.dialects import ConnectionDialect
    from dli.dbt.outcome import Choices

LIMITS = Limits(cpu_seconds=20, wall_seconds=120, memory_bytes=1024 * MIB)
"""The limits for each file of a dbt project; a manifest has tens of megabytes."""


def import_project(
    folder: Path, *, manifest: Path | None, choices: Choices, dialects: Mapping[str, ConnectionDialect]
) -> tuple[Outcome, dict[str, str]]:
    """Turn a dbt project into the files of specs, which ``validate`` accepts.

    Args:
        folder: The folder with ``dbt_project.yml``.
        manifest: The path of dbt's manifest, if there is one.
        choices: What the user chose.
        dialects: The SQL dialects of this machine's connections, by name.

    Returns:
        What became of the project, and the files: text by path.

    Raises:
        InvalidUsage: When the project's templates exceed the limits.
        NotFound: When there is no dbt project, or no manifest.
    """
    connection = dialects.get(DEFAULT_CONNECTION)
    dialect = connection.name if connection else None
    try:
        outcome = in_child(partial(_turned, folder, manifest, choices, dialect), LIMITS)
    except LimitExceeded as exceeded:
        raise InvalidUsage(f"The dbt project in {shown(folder)} can't be read: {exceeded}.") from None
    files = valid_files(outcome, {name: found._replace(defined=True) for name, found in dialects.items()})
    for dataset in outcome.datasets.values():
        if dataset.translated.note is not None:
            outcome.problems.append(dataset.node.problem(dataset.translated.note))
    _count_macros(outcome)
    outcome.problems.sort(key=lambda problem: (problem.file, problem.line or 0))
    return outcome, files


def _count_macros(outcome: Outcome) -> None:
    """Note the macros that are no macros any more: their SQL stands where it was called."""
    if outcome.shared is None or not outcome.called:
        return
    used = {name for dataset in outcome.datasets.values() for name in dataset.translated.macros}
    outcome.found["macros"] = len(outcome.called)
    for name in sorted(outcome.called - used):
        outcome.lose("macros", outcome.shared.written_out(name))


def _turned(folder: Path, manifest: Path | None, choices: Choices, dialect: str | None) -> Outcome:
    known = Manifest.read(manifest) if manifest else Manifest()
    return Turning(folder, known, choices, dialect).turn()
