"""Errors as HTTP responses: problem details (RFC 9457) from the table in :mod:`dataspec.errors`."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from basecamp.api.methods import allowed_methods
from basecamp.api.security_headers import SECURITY_HEADERS
from basecamp.shared.request_facts import REQUEST_ID
from dataspec.errors import (
    Conflict,
    DliError,
    InternalError,
    InvalidUsage,
    NotFound,
    Unauthorized,
    Unavailable,
)

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 5
REQUEST_ID_HEADER = "X-Request-Id"

_CONDITIONS = frozenset({"if-match", "if-none-match"})

DOCUMENT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "A problem document (RFC 9457).",
    "required": ["type", "title", "status", "code"],
    "properties": {
        "type": {"type": "string", "const": "about:blank"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "The place and the next step."},
        "code": {"type": "string", "description": "The error's stable name, for programs."},
        "request_id": {"type": "string", "description": "Of an error of the server: as in X-Request-Id."},
        "text": {
            "type": "string",
            "description": "The command line's wording, if it differs from the title.",
        },
        "problems": {
            "type": "array",
            "description": "The problems in a Dataset Spec, with their positions.",
            "items": {
                "type": "object",
                "properties": {
                    "message": {"type": "string"},
                    "file": {"type": "string"},
                    "line": {"type": ["integer", "null"]},
                    "column": {"type": ["integer", "null"]},
                    "hint": {"type": ["string", "null"]},
                },
            },
        },
    },
}


class ProblemResponse(JSONResponse):
    """A problem document."""

    media_type = MEDIA_TYPE


def problem_response(
    error: DliError, *, status: int | None = None, headers: Mapping[str, str] | None = None
) -> ProblemResponse:
    """Return an error as a response, by default with the error's own status."""
    request_id = REQUEST_ID.get()
    document: dict[str, Any] = {
        "type": "about:blank",
        "title": error.title,
        "status": status or error.http_status,
        "code": error.code,
    }
    if request_id and document["status"] >= HTTPStatus.INTERNAL_SERVER_ERROR:
        document["request_id"] = request_id
    if error.detail:
        document["detail"] = error.detail
    if error.text != error.title:
        document["text"] = error.text
    sent = {**SECURITY_HEADERS, **({REQUEST_ID_HEADER: request_id} if request_id else {}), **(headers or {})}
    if isinstance(error, Unauthorized):
        sent["WWW-Authenticate"] = challenge(error)
    if isinstance(error, Unavailable):
        sent["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return ProblemResponse(document | error.extras(), status_code=document["status"], headers=sent)


def challenge(error: Unauthorized) -> str:
    """Return the header ``WWW-Authenticate`` of a refusal (RFC 6750)."""
    return 'Bearer error="invalid_token"' if error.invalid_token else "Bearer"


def install_problem_handlers(app: FastAPI) -> None:
    """Register the handlers that turn errors into problem documents."""
    app.add_exception_handler(DliError, _on_dli_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(Exception, _on_unexpected_error)


def _on_dli_error(request: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, DliError)  # noqa: S101 - registered for this class
    if isinstance(error, InternalError):
        return _on_unexpected_error(request, error)
    if isinstance(error, Unavailable):
        why = f"{error.title} {error.detail or ''}".replace("\n", " ")
        log.warning("%s %s: %s", request.method, _path(request), why)
    # Only a caller that named a version can learn that its condition failed.
    is_conditional = isinstance(error, Conflict) and not _CONDITIONS.isdisjoint(request.headers.keys())
    return problem_response(error, status=HTTPStatus.PRECONDITION_FAILED if is_conditional else None)


def _on_invalid_request(_request: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class
    lines = [_described(details) for details in error.errors()]
    return problem_response(InvalidUsage("Invalid request.", detail="\n".join(lines)))


def _described(details: Mapping[str, Any]) -> str:
    where, *path = details["loc"]
    if details["type"] == "json_invalid":
        return f"body: not JSON: {details['ctx']['error']} (at character {path[0]})"
    if details["type"] == "extra_forbidden":
        return f"{_place(where, path)}: unknown key"
    message = details["msg"].removeprefix("Value error, ")
    return f"{_place(where, path)}: {message[:1].lower()}{message[1:]}"


def _path(request: Request) -> str:
    """Return the path without characters that could break a log line."""
    return quote(request.url.path)


def _place(where: str, path: Sequence[Any]) -> str:
    return ".".join(str(part) for part in (where, *path))


def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return _on_other_method(request)
    if error.status_code == HTTPStatus.NOT_FOUND:
        own: DliError = NotFound("There is no such page.", detail=f"{request.method} {request.url.path}")
    else:
        own = InvalidUsage(str(error.detail))
    return problem_response(own, status=error.status_code, headers=error.headers)


def _on_other_method(request: Request) -> Response:
    """Answer a method for which an address has no route: OPTIONS with those that it has."""
    allowed = ", ".join(allowed_methods(request))
    if request.method == "OPTIONS":
        return Response(status_code=204, headers={"Allow": allowed})
    error = InvalidUsage(f"{request.method} is not allowed here.", detail=f"Allowed: {allowed}")
    return problem_response(error, status=405, headers={"Allow": allowed})


def _on_unexpected_error(request: Request, error: Exception) -> ProblemResponse:
    return problem_response(log_internal_error(request, error))


def log_internal_error(request: Request, error: Exception) -> InternalError:
    """Log an unexpected error under a number; return the error that shows the number."""
    number = uuid.uuid4().hex[:8]
    log.error("%s %s failed; error %s", request.method, _path(request), number, exc_info=error)
    return InternalError(
        "Internal server error.",
        detail=f"The server's log has the details under error {number}. Please report them.",
    )
