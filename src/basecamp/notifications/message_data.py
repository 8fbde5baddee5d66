"""The content of messages for programs: what a webhook has under ``data``."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from typing import Any

from basecamp.notifications.notification import SourceChange
from dataspec.models import WorkflowRun


def moment(at: datetime | None) -> str | None:
    """Return a time as text."""
    return at.isoformat(timespec="seconds") if at else None


def change_data(change: SourceChange) -> dict[str, Any]:
    """Return a change of source as JSON values."""
    return {
        "dataset": change.dataset,
        "before": change.before.value,
        "after": change.after.value,
        "file": change.file,
        "previous_file": change.previous_file,
        "spec_hash": change.spec_hash,
        "commit": change.commit,
        "repository": change.repository,
        "next_run": moment(change.next_run),
        "at": moment(change.at),
    }


def _partition(run: WorkflowRun) -> dict[str, Any] | None:
    found = run.partition
    if found is None:
        return None
    return {"name": found.name, "start": moment(found.start), "end": moment(found.end)}


def run_data(run: WorkflowRun) -> dict[str, Any]:
    """Return a run as JSON values."""
    return {
        "run_id": run.run_id,
        "dataset_name": run.dataset_name,
        "status": run.status.value,
        "run_type": run.run_type,
        "source_type": run.source_type.value if run.source_type else None,
        "spec_hash": run.spec_hash,
        "partition": _partition(run),
        "parameters": json.loads(json.dumps(run.parameters, default=str)),
        "started_at": moment(run.started_at),
        "finished_at": moment(run.finished_at),
        "attempts": run.attempts,
        "error": run.error,
        "checks": [asdict(one) for one in run.checks],
        "note": run.note,
        "url": run.url,
    }
