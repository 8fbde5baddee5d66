"""Responses beside the models of :mod:`dataspec.models`: logs, validations, test messages, and errors.

Loaded by the few calls that get one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dataspec.errors import (
    BreaksDependents,
    Conflict,
    DliError,
    Forbidden,
    InternalError,
    InvalidUsage,
    NotFound,
    Refused,
    RunsActive,
    Unauthorized,
    Unavailable,
)
from dataspec.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

_BY_STATUS: dict[int, type[DliError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Refused,
    412: Conflict,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}
_CLIENT_ERRORS = range(400, 500)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLog:
    """The log of one attempt of a run, or a piece of it."""

    run_id: str
    attempt: int
    """0 before the first attempt starts."""
    attempts: int
    """Number of attempts that have started."""
    lines: list[str] = field(default_factory=list)
    more: bool = False
    """Whether further lines are available now."""
    next_cursor: str | None = None
    """The cursor of the following lines; None when the run has ended and these are its last ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """The problems that the server found in a spec; ``problems`` is empty for a valid one."""

    valid: bool
    name: str | None = None
    problems: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class TriedChannel:
    """The result of one test message."""

    channel: str
    sent: bool
    events: list[str] = field(default_factory=list)
    """The events for which the spec names the channel; empty for a named target."""
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationTest:
    """The results of the test messages to a dataset's channels, or to a named target."""

    name: str
    channels: list[TriedChannel]


def error_from(status: int, body: bytes) -> DliError | None:
    """Return the error of a problem document (RFC 9457), with its wording kept.

    A code that this version does not know becomes the error of the HTTP status.

    Returns:
        None if the body is not a problem document: the response is not Basecamp's.
    """
    document = _document(body)
    if document is None:
        return None
    kind = _kinds().get(str(document.get("code"))) or _kind_of(status)
    # The constructors of the kinds write the wording; here the server has written it.
    error = kind.__new__(kind)
    detail, request_id = _text(document, "detail"), _text(document, "request_id")
    if request_id:
        detail = "\n".join(filter(None, (detail, f"The server's log has it under the request {request_id}.")))
    DliError.__init__(error, document["title"], detail=detail, text=_text(document, "text"))
    if problems := tuple(_problems(document.get("problems"))):
        vars(error).update(problems=problems, problem=problems[0])
    if isinstance(error, RunsActive):
        runs = document.get("runs")
        error.runs = tuple(map(str, runs)) if isinstance(runs, list) else ()
    if isinstance(error, BreaksDependents):
        names = document.get("datasets")
        error.datasets = tuple(map(str, names)) if isinstance(names, list) else ()
    return error


def _document(body: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(body)
    except ValueError:
        return None
    well_formed = isinstance(document, dict) and isinstance(document.get("title"), str)
    return document if well_formed else None


def _text(document: dict[str, Any], key: str) -> str | None:
    value = document.get(key)
    return value if isinstance(value, str) and value else None


def _problems(listed: Any) -> Iterator[Problem]:
    for entry in listed if isinstance(listed, list) else ():
        if isinstance(entry, dict) and {"message", "file"} <= entry.keys():
            rest: dict[str, Any] = {key: entry.get(key) for key in ("line", "column", "hint")}
            yield Problem(entry["message"], entry["file"], **rest)


def _kind_of(status: int) -> type[DliError]:
    return _BY_STATUS.get(status) or (InvalidUsage if status in _CLIENT_ERRORS else InternalError)


def _kinds(root: type[DliError] = DliError) -> dict[str, type[DliError]]:
    """Return the error classes by code; a class without a code of its own counts as its parent."""
    found = {root.code: root}
    for kind in root.__subclasses__():
        found = _kinds(kind) | found
    return found
