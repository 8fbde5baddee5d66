"""What the server answers beside the models of :mod:`dataspec.models`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLog:
    """The log of one attempt of a run, or a piece of it."""

    run_id: str
    attempt: int
    """0 while none has started."""
    attempts: int
    """How many attempts have started."""
    lines: list[str] = field(default_factory=list)
    more: bool = False
    """Whether further lines are to be had now."""
    next_cursor: str | None = None
    """Where they go on; None when the run has ended and these are its last ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """What the server found in a spec; ``problems`` is empty for a valid one."""

    valid: bool
    name: str | None = None
    problems: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class TriedChannel:
    """What became of one test message."""

    channel: str
    sent: bool
    events: list[str] = field(default_factory=list)
    """What the spec uses the channel for; empty for a named target."""
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationTest:
    """What became of the test messages to a dataset's channels, or to a named target."""

    name: str
    channels: list[TriedChannel]
