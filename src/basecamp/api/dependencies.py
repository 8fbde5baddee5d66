"""Dependencies of the routes: the services, the caller, common parameters and the header of warnings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal
from urllib.parse import quote, unquote

from fastapi import Depends, Header, Path, Query, Request, Response
from pydantic import Field, WithJsonSchema

from basecamp.api import PREFIX
from basecamp.services import Services
from basecamp.shared.idempotency import MAX_KEY_LENGTH
from dataspec.models import SourceType
from dataspec.spec.identity import MAX_NAME_LENGTH

ANONYMOUS = "anonymous"
MAX_CALLER_LENGTH = 100
NAME_PATTERN = r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$"

SourceChoice = Literal["code", "manual", "all"]
"""A source as a filter; ``all`` means no filter."""


async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


def caller_name(
    dli_user: Annotated[
        str | None, Header(description="The caller's name, for notes and logs; percent-encoded if not ASCII.")
    ] = None,
) -> str:
    """Return the caller's name from the header ``Dli-User``.

    The name is not authenticated: it is for notes and logs only. Unprintable characters are removed.
    """
    name = "".join(letter for letter in unquote(dli_user or "") if letter.isprintable()).strip()
    return name[:MAX_CALLER_LENGTH] or ANONYMOUS


def source_of(choice: SourceChoice | None) -> SourceType | None:
    """Return the source of a filter; None for ``all``."""
    return None if choice in {None, "all"} else SourceType(choice)


Name = Annotated[
    str, WithJsonSchema({"type": "string", "pattern": NAME_PATTERN, "maxLength": MAX_NAME_LENGTH})
]
"""A dataset's name. The services check it, by rules that a pattern can't say."""

DatasetName = Annotated[Name, Path(description="The dataset's name.")]
RunId = Annotated[str, Path(description="The run's id.")]
BackfillId = Annotated[str, Path(description="The backfill's id.")]
Cursor = Annotated[
    Annotated[str, WithJsonSchema({"type": "string", "format": "cursor"})] | None,
    Query(description="The `next_cursor` of a response of the same list; the first page by default."),
]

ServicesOf = Annotated[Services, Depends(_services)]
Caller = Annotated[str, Depends(caller_name)]
IdempotencyKey = Annotated[
    Annotated[str, Field(min_length=1, max_length=MAX_KEY_LENGTH)] | None,
    Header(description="A repeated request with the same key has no further effect."),
]


def _if_match(
    request: Request,
    if_match: Annotated[  # noqa: ARG001 - documents the header in OpenAPI
        str | None, Header(description="ETags of which the manual spec must have one; `*` for any.")
    ] = None,
) -> str | None:
    return _all_lines(request, "if-match")


def _if_none_match(
    request: Request,
    if_none_match: Annotated[  # noqa: ARG001 - documents the header in OpenAPI
        str | None, Header(description="ETags of which the manual spec must have none; `*` to create only.")
    ] = None,
) -> str | None:
    return _all_lines(request, "if-none-match")


def _all_lines(request: Request, name: str) -> str | None:
    """Return a header that is a list, also if it was sent in several lines."""
    lines = request.headers.getlist(name)
    return ", ".join(lines) if lines else None


IfMatch = Annotated[str | None, Depends(_if_match)]
IfNoneMatch = Annotated[str | None, Depends(_if_none_match)]


CREATED: dict[str, Any] = {
    "description": "Created",
    "headers": {"Location": {"description": "The path of what was created.", "schema": {"type": "string"}}},
}
"""The response 201 in the OpenAPI document."""


def put_location(request: Request, response: Response, kind: str, identifier: str) -> None:
    """Set the address of what a request has created, without a host: a proxy may have replaced it."""
    root = request.scope["root_path"]
    response.headers["Location"] = f"{root}{PREFIX}/{kind}/{quote(identifier, safe='')}"


WARNING_HEADER = "Dli-Warning"


def put_warnings(response: Response, warnings: Sequence[str]) -> None:
    """Set the header for warnings, such as the age of cached data; lists have a field instead."""
    if warnings:
        response.headers[WARNING_HEADER] = " ".join(warnings).encode("ascii", "replace").decode()
