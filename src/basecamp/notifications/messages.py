"""Texts of the messages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from basecamp.notifications.notification import Event, Link, Message, RunEnd, SourceChange
from basecamp.shared.page_links import Links
from dataspec.models import CheckResult, RunStatus, SourceType, WorkflowRun

MAX_LISTED = 20
"""Maximum number of datasets that a message lists; it counts the rest."""
_OUTCOMES = ("passed", "failed", "warned")
MAX_VALUE = 300
"""Maximum length of an error or of the parameters in a message."""

_EVENTS: dict[Event, str] = {
    "source_change": "changes of the source",
    "failure": "failed runs",
    "success": "completed runs",
}


class Messages:
    """Writes messages, with links to Basecamp's pages if its address is configured.

    Args:
        public_url: Base URL of Basecamp's pages.
    """

    def __init__(self, public_url: str | None) -> None:
        self._links = Links(public_url) if public_url else None

    def of_changes(self, changes: Sequence[SourceChange]) -> Message:
        """Return the message about source changes of one or more datasets."""
        if len(changes) == 1:
            return self._of_change(changes[0])
        listed = [f"{_headline(change)} (next run: {_next_run(change)})" for change in changes[:MAX_LISTED]]
        more = len(changes) - len(listed)
        return Message(
            event="source_change",
            dataset=None,
            title=f"{len(changes)} datasets changed their source",
            lines=(*listed, *([f"… and {more} more"] if more else [])),
            links=(Link(text="Datasets", url=self._links.datasets()),) if self._links else (),
            data={"changes": [_change_data(change) for change in changes]},
        )

    def of_end(self, end: RunEnd) -> Message:
        """Return the message about the end of a run, with the command to retry it."""
        run = end.run
        failed = end.event == "failure"
        fields = (
            ("Run", f"{run.run_id} ({run.run_type})"),
            ("Source", f"{run.source_type}, spec {run.spec_hash}" if run.source_type else None),
            ("Partition", run.partition_label),
            ("Parameters", " ".join(f"{name}={_text(value)}" for name, value in run.parameters.items())),
            ("Attempts", f"{run.attempts} of {run.max_attempts}" if run.max_attempts else None),
            ("Ended", _moment(run.finished_at)),
            ("Error", run.error),
            ("Checks", _checks(run.checks)),
            ("Note", run.note),
            ("Log", f"dli workflow logs {run.run_id}" if failed else None),
            ("Run it again", f"dli workflow retry {run.run_id}" if failed else None),
        )
        return Message(
            event=end.event,
            dataset=run.dataset_name,
            title=f"{run.dataset_name} {_ending(run)}",
            lines=tuple(f"{label}: {_short(value)}" for label, value in fields if value),
            links=self._run_links(run),
            data={"run": _run_data(run)},
        )

    def of_test(self, name: str, event: Event | None) -> Message:
        """Return a test message."""
        about = f" about {_EVENTS[event]}" if event else ""
        return Message(
            event="test",
            dataset=name,
            title=f"Test message for {name}",
            lines=(f"This is a test. Messages{about} will arrive here.",),
            links=self._dataset_links(name),
            data={"tested_event": event},
        )

    def _of_change(self, change: SourceChange) -> Message:
        taken_over = (
            "Code has taken over; the manual file is kept."
            if change.after is SourceType.CODE
            else "Code no longer has this dataset; the manual spec is effective again."
        )
        fields = (
            ("File", f"{change.file} (spec {change.spec_hash})"),
            ("Before", change.previous_file),
            ("Commit", " in ".join(filter(None, (change.commit, change.repository)))),
            ("Next run", _next_run(change)),
        )
        return Message(
            event="source_change",
            dataset=change.dataset,
            title=_headline(change),
            lines=(taken_over, *(f"{label}: {value}" for label, value in fields if value)),
            links=self._dataset_links(change.dataset),
            data={"changes": [_change_data(change)]},
        )

    def _dataset_links(self, name: str) -> tuple[Link, ...]:
        return (Link(text="Dataset", url=self._links.dataset(name)),) if self._links else ()

    def _run_links(self, run: WorkflowRun) -> tuple[Link, ...]:
        own = [Link(text="Run", url=self._links.run(run))] if self._links else []
        return (*own, *([Link(text="In Airflow", url=run.url)] if run.url else []))


def _headline(change: SourceChange) -> str:
    return f"{change.dataset}: {change.before} → {change.after}"


def _next_run(change: SourceChange) -> str:
    return f"{change.next_run:%Y-%m-%d %H:%M} {change.next_run.tzinfo}" if change.next_run else "-"


def _ending(run: WorkflowRun) -> str:
    words = {RunStatus.COMPLETED: "completed", RunStatus.KILLED: "was stopped"}
    return words.get(run.status, "failed")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MAX_VALUE else f"{line[:MAX_VALUE]}…"


def _checks(results: Sequence[CheckResult]) -> str | None:
    """Return how many checks had each outcome, with the names of those that did not pass."""
    named = ((status, [one.name for one in results if one.status == status]) for status in _OUTCOMES)
    found = [
        f"{len(names):,} {status}" + ("" if status == "passed" else f" ({', '.join(names)})")
        for status, names in named
        if names
    ]
    return ", ".join(found) or None


def _moment(at: datetime | None) -> str | None:
    return at.isoformat(timespec="seconds") if at else None


def _change_data(change: SourceChange) -> dict[str, Any]:
    return {
        "dataset": change.dataset,
        "before": change.before.value,
        "after": change.after.value,
        "file": change.file,
        "previous_file": change.previous_file,
        "spec_hash": change.spec_hash,
        "commit": change.commit,
        "repository": change.repository,
        "next_run": _moment(change.next_run),
        "at": _moment(change.at),
    }


def _partition(run: WorkflowRun) -> dict[str, Any] | None:
    found = run.partition
    if found is None:
        return None
    return {"name": found.name, "start": _moment(found.start), "end": _moment(found.end)}


def _run_data(run: WorkflowRun) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "dataset_name": run.dataset_name,
        "status": run.status.value,
        "run_type": run.run_type,
        "source_type": run.source_type.value if run.source_type else None,
        "spec_hash": run.spec_hash,
        "partition": _partition(run),
        "parameters": json.loads(json.dumps(run.parameters, default=str)),
        "started_at": _moment(run.started_at),
        "finished_at": _moment(run.finished_at),
        "attempts": run.attempts,
        "error": run.error,
        "checks": [asdict(one) for one in run.checks],
        "note": run.note,
        "url": run.url,
    }
