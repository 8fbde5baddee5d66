"""The log of runs on this machine: ``.dli/runs.jsonl`` in the project, a line for each (specification 23.8)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dataspec.spec.content_hash import spec_hash

if TYPE_CHECKING:
    from pathlib import Path

    from dli.local.run import LocalRun

FOLDER = ".dli"
"""What dli keeps of a project on this machine; not for Git."""


def write_down(run: LocalRun, root: Path, outcome: str, error: str | None = None) -> None:
    """Add a run to the log.

    Args:
        run: The run.
        root: The project's folder.
        outcome: ``COMPLETED``, ``FAILED`` or ``KILLED``.
        error: Why it failed.

    Raises:
        OSError: When the log can't be written.
    """
    plan = run.plan
    entry = {
        "finished_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "dataset_name": plan.spec.name,
        "spec_hash": spec_hash(plan.dataset.yaml, plan.dataset.sql),
        "connection": plan.spec.execution.connection,
        "parameters": plan.parameters,
        "status": outcome,
        "seconds": round(run.seconds, 3),
        "rows_written": run.rows_written,
        "error": error,
    }
    folder = root / FOLDER
    if not folder.is_dir():
        folder.mkdir()
        (folder / ".gitignore").write_text("*\n", encoding="utf-8")
    with (folder / "runs.jsonl").open("a", encoding="utf-8") as log:
        log.write(json.dumps(entry, ensure_ascii=False) + "\n")
