"""What is told: a change of source, the end of a run, a test."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from dataspec.models import SourceType, WorkflowRun
from dataspec.spec.model import Target

Event = Literal["source_change", "failure", "success", "test"]


@dataclass(frozen=True, kw_only=True)
class SourceChange:
    """A dataset whose effective source has changed."""

    dataset: str
    before: SourceType
    after: SourceType
    file: str
    """The coming spec's key in the store."""
    previous_file: str
    """The going one's."""
    spec_hash: str
    """The version that is effective now."""
    commit: str | None = None
    """The commit that the coming spec was published from."""
    repository: str | None = None
    """Where that commit is."""
    next_run: datetime | None = None
    """When the next scheduled run is due, in the schedule's zone; None if none is."""
    at: datetime
    """When the change was found."""
    occurrence: str
    """What tells this change from an equal one on another day; the same however often it is found."""

    @property
    def key(self) -> str:
        """What tells this change from every other."""
        return f"{self.dataset}/{self.before}/{self.after}/{self.occurrence}"


@dataclass(frozen=True, kw_only=True)
class RunEnd:
    """A run that has ended."""

    run: WorkflowRun
    """As the API shows it, with the last line of its error."""

    @property
    def event(self) -> Event:
        """What it is called in a spec, without ``on_``; a stopped run counts as a failure."""
        return "success" if self.run.status == "COMPLETED" else "failure"

    @property
    def key(self) -> str:
        """What tells this end from the run's end after a retry."""
        finished = self.run.finished_at
        return f"{self.run.dataset_name}/{self.run.run_id}/{finished.isoformat() if finished else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A page to look at."""

    text: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What is told, whichever channel it goes through."""

    event: Event
    dataset: str | None
    """None where it is about several."""
    title: str
    lines: tuple[str, ...] = ()
    links: tuple[Link, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    """The same for programs: what a webhook gets as ``data``."""

    @property
    def body(self) -> str:
        """The lines, then the links, as plain text."""
        return "\n".join([*self.lines, *(f"{link.text}: {link.url}" for link in self.links)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A message on its way to one channel."""

    id: str
    target: Target
    message: Message
    told: tuple[str, ...]
    """What it tells of, so that nothing is told twice."""
    created_at: datetime


def target_json(target: Target) -> dict[str, Any]:
    """Return a target as its spec has it."""
    return target.model_dump(mode="json")


def notice_id(target: Target, *parts: str | int) -> str:
    """Return the same id whenever the same is told to the same channel."""
    identity = json.dumps([target_json(target), *parts], sort_keys=True)
    return hashlib.sha256(identity.encode()).hexdigest()[:32]
