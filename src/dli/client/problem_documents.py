"""From the API's problem documents (RFC 9457) back to the errors that they were."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from dataspec.errors import (
    Conflict,
    DliError,
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
    403: Unauthorized,
    404: NotFound,
    409: Refused,
    412: Conflict,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}
_CLIENT_ERRORS = range(400, 500)


def error_from(status: int, body: bytes) -> DliError | None:
    """Return the error that a problem document says, with its wording kept.

    A code that this version does not know becomes the kind that its HTTP status means.

    Args:
        status: The answer's HTTP status.
        body: The answer's body.

    Returns:
        None if the body is no problem document: the answer is not Basecamp's.
    """
    document = _document(body)
    if document is None:
        return None
    kind = _kinds().get(str(document.get("code"))) or _kind_of(status)
    # The kinds' constructors make the wording; here it has been made already.
    error = kind.__new__(kind)
    DliError.__init__(
        error, document["title"], detail=_text(document, "detail"), text=_text(document, "text")
    )
    if problems := tuple(_problems(document.get("problems"))):
        vars(error).update(problems=problems, problem=problems[0])
    if isinstance(error, RunsActive):
        runs = document.get("runs")
        error.runs = tuple(map(str, runs)) if isinstance(runs, list) else ()
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
    """Return the kinds of errors by code; one without a code of its own is not told from its parent."""
    found = {root.code: root}
    for kind in root.__subclasses__():
        found = _kinds(kind) | found
    return found
