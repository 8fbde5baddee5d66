"""Texts of the messages."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from basecamp.notifications.message_data import change_data, moment, run_data
from basecamp.notifications.notification import (
    Event,
    LateNotice,
    Link,
    Message,
    RunEnd,
    SlowRun,
    SourceChange,
)
from basecamp.notifications.wording import Language, Wording
from basecamp.shared.page_links import Links
from dataspec.models import CheckResult, RunStatus, SourceType, WorkflowRun
from dataspec.schedule.backfill_plan import BackfillPlan

MAX_LISTED = 20
"""Maximum number of datasets or partitions that a message lists; it counts the rest."""
_OUTCOMES = {"passed": "{count} passed", "failed": "{count} failed", "warned": "{count} warned"}
MAX_VALUE = 300
"""Maximum length of an error or of the parameters in a message."""

_EVENTS: dict[Event, str] = {
    "source_change": "changes of the source",
    "failure": "failed runs",
    "success": "completed runs",
    "late": "late partitions and slow runs",
    "recovered": "the first success after trouble",
    "backfill_end": "ended backfills",
}

Fields = Iterable[tuple[str, str | None]]


class Messages:
    """Writes messages, with links to Basecamp's pages if its address is configured.

    Args:
        public_url: Base URL of Basecamp's pages.
        language: The language of the messages.
    """

    def __init__(self, public_url: str | None, language: Language = "en") -> None:
        self._links = Links(public_url) if public_url else None
        self._say = Wording(language)

    def of_changes(self, changes: Sequence[SourceChange]) -> Message:
        """Return the message about source changes of one or more datasets."""
        if len(changes) == 1:
            return self._of_change(changes[0])
        listed = [
            self._say("{headline} (next run: {due})", headline=_headline(change), due=_next_run(change))
            for change in changes[:MAX_LISTED]
        ]
        return Message(
            event="source_change",
            dataset=None,
            title=self._say("{count} datasets changed their source", count=len(changes)),
            lines=(*listed, *self._more(len(changes) - len(listed))),
            links=(Link(text=self._say("Datasets"), url=self._links.datasets()),) if self._links else (),
            data={"changes": [change_data(change) for change in changes]},
        )

    def of_end(self, end: RunEnd) -> Message:
        """Return the message about the end of a run, with the command to retry it."""
        run, streak = end.run, end.streak
        failed = end.event == "failure"
        source = self._say("{source}, spec {hash}", source=run.source_type, hash=run.spec_hash)
        fields = (
            ("Run", f"{run.run_id} ({run.run_type})"),
            ("Source", source if run.source_type else None),
            ("Partition", run.partition_label),
            ("Parameters", " ".join(f"{name}={_text(value)}" for name, value in run.parameters.items())),
            (
                "Attempts",
                self._say("{count} of {limit}", count=run.attempts, limit=run.max_attempts)
                if run.max_attempts
                else None,
            ),
            ("Ended", moment(run.finished_at)),
            ("Failing since", moment(streak.since) if streak else None),
            ("Error", run.error),
            ("Checks", self._checks(run.checks)),
            ("Note", run.note),
            ("Log", f"dli workflow logs {run.run_id}" if failed else None),
            ("Run it again", f"dli workflow retry {run.run_id}" if failed else None),
        )
        still = "{dataset} still fails: {count} runs in a row"
        return Message(
            event=end.event,
            dataset=run.dataset_name,
            title=self._say(still, dataset=run.dataset_name, count=streak.runs)
            if streak
            else self._say(_ending(run), dataset=run.dataset_name),
            lines=self._lines(fields),
            links=self._run_links(run),
            data={"run": run_data(run)},
        )

    def of_late(self, notice: LateNotice) -> Message:
        """Return the message about late partitions, with why the oldest one is not there."""
        labels, reason = notice.labels, notice.reason
        several = len(labels) > 1
        title = (
            "{dataset} is late: {count} partitions since {partition}"
            if several
            else "{dataset} is late: {partition}"
        )
        fields = (
            ("Partitions", ", ".join(labels[:MAX_LISTED]) if several else None),
            ("Late since", moment(notice.late[0].since)),
            ("State", reason.state.replace("_", " ") if reason else None),
            ("Run", reason.run_id if reason else None),
            ("Error", reason.error if reason else None),
            ("As last known", notice.as_known),
            ("Next", f"dli workflow why {notice.dataset} {notice.late[0].partition.name}"),
        )
        return Message(
            event="late",
            dataset=notice.dataset,
            title=self._say(title, dataset=notice.dataset, count=len(labels), partition=labels[0]),
            lines=(*self._lines(fields), *self._more(len(labels) - MAX_LISTED)),
            links=self._dataset_links(notice.dataset),
            data={
                "late": [
                    {"partition": one.partition.name, "since": moment(one.since)} for one in notice.late
                ],
                "state": reason.state if reason else None,
            },
        )

    def of_recovery(self, run: WorkflowRun) -> Message:
        """Return the message about the first success after a failure or lateness."""
        fields = (("Run", run.run_id), ("Partition", run.partition_label), ("Ended", moment(run.finished_at)))
        return Message(
            event="recovered",
            dataset=run.dataset_name,
            title=self._say("{dataset} has recovered", dataset=run.dataset_name),
            lines=self._lines(fields),
            links=self._run_links(run),
            data={"run": run_data(run)},
        )

    def of_slow(self, slow: SlowRun) -> Message:
        """Return the message about a run that takes longer than its limit."""
        fields = (
            ("Run", slow.run_id),
            ("Running since", moment(slow.since)),
            ("Limit", self._say("{seconds} s", seconds=slow.limit_seconds)),
            ("Log", f"dli workflow logs {slow.run_id}"),
        )
        return Message(
            event="slow",
            dataset=slow.dataset,
            title=self._say("{dataset} is slow: {run_id}", dataset=slow.dataset, run_id=slow.run_id),
            lines=self._lines(fields),
            links=self._dataset_links(slow.dataset),
            data={
                "run_id": slow.run_id,
                "since": moment(slow.since),
                "max_duration_seconds": slow.limit_seconds,
            },
        )

    def of_backfill(self, plan: BackfillPlan) -> Message:
        """Return the message about a backfill that has ended."""
        outcome = plan.outcome
        assert outcome is not None  # noqa: S101 - it has ended
        titles = {
            RunStatus.COMPLETED: "The backfill of {dataset} completed",
            RunStatus.KILLED: "The backfill of {dataset} was stopped",
        }
        title = titles.get(outcome.status, "The backfill of {dataset} failed")
        span = f"{plan.dates[0]} … {plan.dates[-1]}" if plan.dates else None
        fields = (
            ("Backfill", plan.backfill_id),
            ("Partitions", span),
            ("Ended", moment(outcome.at)),
            ("Error", outcome.error),
            ("Note", outcome.note),
            ("Next", f"dli workflow status {plan.backfill_id}"),
        )
        return Message(
            event="backfill_end",
            dataset=plan.dataset,
            title=self._say(title, dataset=plan.dataset),
            lines=self._lines(fields),
            links=self._dataset_links(plan.dataset),
            data={
                "backfill_id": plan.backfill_id,
                "status": outcome.status.value,
                "error": outcome.error,
                "note": outcome.note,
            },
        )

    def of_scheduler(self, heartbeat: datetime | None, *, lost: bool) -> Message:
        """Return the message about Airflow's scheduler, which is lost or back."""
        title = "Airflow's scheduler is lost" if lost else "Airflow's scheduler is back"
        consequence = (self._say("No scheduled run starts until it is back."),) if lost else ()
        return Message(
            event="alert",
            dataset=None,
            title=self._say(title),
            lines=(*self._lines([("Last heartbeat", moment(heartbeat))]), *consequence),
            data={"scheduler_heartbeat": moment(heartbeat), "lost": lost},
        )

    def of_test(self, name: str, event: Event | None) -> Message:
        """Return a test message."""
        line = (
            self._say(
                "This is a test. Messages about {event} will arrive here.", event=self._say(_EVENTS[event])
            )
            if event
            else self._say("This is a test. Messages will arrive here.")
        )
        return Message(
            event="test",
            dataset=name,
            title=self._say("Test message for {name}", name=name),
            lines=(line,),
            links=self._dataset_links(name),
            data={"tested_event": event},
        )

    def _of_change(self, change: SourceChange) -> Message:
        taken_over = (
            "Code has taken over; the manual file is kept."
            if change.after is SourceType.CODE
            else "Code no longer has this dataset; the manual spec is effective again."
        )
        commit = (
            self._say("{commit} in {repository}", commit=change.commit, repository=change.repository)
            if change.commit and change.repository
            else change.commit or change.repository
        )
        fields = (
            ("File", self._say("{file} (spec {hash})", file=change.file, hash=change.spec_hash)),
            ("Before", change.previous_file),
            ("Commit", commit),
            ("Next run", _next_run(change)),
        )
        return Message(
            event="source_change",
            dataset=change.dataset,
            title=_headline(change),
            lines=(
                self._say(taken_over),
                *(f"{self._say(label)}: {value}" for label, value in fields if value),
            ),
            links=self._dataset_links(change.dataset),
            data={"changes": [change_data(change)]},
        )

    def _lines(self, fields: Fields) -> tuple[str, ...]:
        return tuple(f"{self._say(label)}: {_short(value)}" for label, value in fields if value)

    def _checks(self, results: Sequence[CheckResult]) -> str | None:
        """Return how many checks had each outcome, with the names of those that did not pass."""
        found = []
        for status, text in _OUTCOMES.items():
            names = [one.name for one in results if one.status == status]
            if names:
                named = "" if status == "passed" else f" ({', '.join(names)})"
                found.append(self._say(text, count=f"{len(names):,}") + named)
        return ", ".join(found) or None

    def _more(self, number: int) -> tuple[str, ...]:
        return (self._say("… and {count} more", count=number),) if number > 0 else ()

    def _dataset_links(self, name: str) -> tuple[Link, ...]:
        return (Link(text=self._say("Dataset"), url=self._links.dataset(name)),) if self._links else ()

    def _run_links(self, run: WorkflowRun) -> tuple[Link, ...]:
        own = [Link(text=self._say("Run"), url=self._links.run(run))] if self._links else []
        return (*own, *([Link(text=self._say("In Airflow"), url=run.url)] if run.url else []))


def _headline(change: SourceChange) -> str:
    return f"{change.dataset}: {change.before} → {change.after}"


def _next_run(change: SourceChange) -> str:
    return f"{change.next_run:%Y-%m-%d %H:%M} {change.next_run.tzinfo}" if change.next_run else "-"


def _ending(run: WorkflowRun) -> str:
    words = {RunStatus.COMPLETED: "{dataset} completed", RunStatus.KILLED: "{dataset} was stopped"}
    return words.get(run.status, "{dataset} failed")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MAX_VALUE else f"{line[:MAX_VALUE]}…"
