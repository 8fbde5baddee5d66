"""Notifications: a source change, the end of a run, or a test, as a message to one channel."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from dataspec.models import PartitionReason, SourceType, WorkflowRun
from dataspec.schedule.deadlines import LatePartition
from dataspec.spec.model import Target
from dataspec.stored_document import Moment, StoredPart

Event = Literal[
    "source_change", "failure", "success", "test", "late", "slow", "recovered", "backfill_end", "alert"
]


@dataclass(frozen=True, kw_only=True)
class SourceChange:
    """A change of a dataset's effective source."""

    dataset: str
    before: SourceType
    after: SourceType
    file: str
    """Store key of the spec that is effective now."""
    previous_file: str
    """Store key of the spec that was effective before."""
    spec_hash: str
    """Version of the spec that is effective now."""
    commit: str | None = None
    """Commit that the effective spec was published from."""
    repository: str | None = None
    """Repository of that commit."""
    next_run: datetime | None = None
    """Due time of the next scheduled run, in the schedule's time zone; None without one."""
    at: datetime
    """Time at which the change was detected."""
    occurrence: str
    """Distinguishes this change from an equal one at another time; the same at every detection of this one."""

    @property
    def key(self) -> str:
        """Unique key of the change."""
        return f"{self.dataset}/{self.before}/{self.after}/{self.occurrence}"


@dataclass(frozen=True, kw_only=True)
class RunEnd:
    """The end of a run."""

    run: WorkflowRun
    """The run as the API shows it, with the last line of its error."""
    streak: Streak | None = None
    """Of a reminder, the failures since the first message."""

    @property
    def event(self) -> Event:
        """Name of the event in a spec, without ``on_``; a stopped run counts as a failure."""
        return "success" if self.run.status == "COMPLETED" else "failure"

    @property
    def key(self) -> str:
        """Unique key of this end; a retried run ends again, with another key."""
        finished = self.run.finished_at
        return f"{self.run.dataset_name}/{self.run.run_id}/{finished.isoformat() if finished else ''}"


@dataclass(frozen=True, kw_only=True)
class LateNotice:
    """Partitions of a dataset that are late."""

    dataset: str
    late: tuple[LatePartition, ...]
    """All that are late now, oldest first."""
    labels: tuple[str, ...]
    """Their names as tables show them."""
    reason: PartitionReason | None = None
    """Why the oldest one is not there; None if that is not known."""
    as_known: str | None = None
    """Why what Airflow has may be old; None if it is not."""


@dataclass(frozen=True, kw_only=True)
class SlowRun:
    """A run that takes longer than its dataset's limit."""

    dataset: str
    run_id: str
    since: datetime
    """When its attempt started."""
    limit_seconds: int


@dataclass(frozen=True, kw_only=True)
class Streak:
    """What a message says of failures in a row."""

    runs: int
    """How many runs have failed, this one included."""
    since: datetime


class Link(NamedTuple):
    """A link to a page."""

    text: str
    url: str


class Message(StoredPart):
    """The content of a notification, equal for every channel."""

    event: Event
    dataset: str | None
    """None for a message about several datasets."""
    title: str
    lines: tuple[str, ...] = ()
    links: tuple[Link, ...] = ()
    data: Mapping[str, Any] = {}
    """The content for programs: a webhook's ``data``."""

    @property
    def body(self) -> str:
        """The lines, then the links, as plain text."""
        return "\n".join([*self.lines, *(f"{link.text}: {link.url}" for link in self.links)])


class Notification(Message):
    """A message to one channel."""

    id: str
    target: Target
    subjects: Annotated[tuple[str, ...], Field(alias="told")] = ()
    """Keys of the changes or run ends in the message; none is sent to a channel twice."""
    created_at: Moment

    @classmethod
    def of(
        cls,
        message: Message,
        target: Target,
        *,
        identifier: str,
        created_at: datetime,
        subjects: tuple[str, ...] = (),
    ) -> Notification:
        """Address a message to a channel."""
        content = {name: getattr(message, name) for name in Message.model_fields}
        return cls(id=identifier, target=target, subjects=subjects, created_at=created_at, **content)


def notification_id(target: Target, *parts: str | int) -> str:
    """Return an id that is the same for the same content and channel."""
    identity = json.dumps([target.model_dump(mode="json", exclude_none=True), *parts], sort_keys=True)
    return hashlib.sha256(identity.encode()).hexdigest()[:32]
