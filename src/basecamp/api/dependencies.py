"""Dependencies of the routes: the services, the caller, common parameters and the header of warnings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import Depends, Header, Path, Query, Request, Response
from pydantic import Field, WithJsonSchema

from basecamp.access.principal import Principal
from basecamp.api import PREFIX
from basecamp.api.authorization import Admitted
from basecamp.api.query_values import Several
from basecamp.datasets.dataset_teams import PermittedDatasets
from basecamp.services import Services
from basecamp.shared.idempotency import MAX_KEY_LENGTH
from dataspec.models import SourceType
from dataspec.spec.identity import MAX_NAME_LENGTH

NAME_PATTERN = r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$"

SourceChoice = Literal["code", "manual", "all"]
"""A source as a filter; ``all`` means no filter."""


async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


async def _admitted(request: Request) -> Admitted:
    """Return what the route's check of rights has found."""
    admitted: Admitted = request.state.admitted
    return admitted


async def _caller(
    request: Request,
    dli_user: Annotated[  # noqa: ARG001 - documents the header in OpenAPI
        str | None,
        Header(
            description="The caller's name, for notes and logs; percent-encoded if not ASCII. "
            "Ignored on a server with sign-in."
        ),
    ] = None,
) -> Principal:
    return (await _admitted(request)).caller


async def _permitted(request: Request) -> PermittedDatasets:
    return (await _admitted(request)).permitted


async def _dataset_of_run(
    request: Request,
    dataset: Annotated[
        str | None, Query(description="The run's dataset, if the run id is not unique.")
    ] = None,
) -> str | None:
    return (await _admitted(request)).dataset or dataset


def source_of(choice: SourceChoice | None) -> SourceType | None:
    """Return the source of a filter; None for ``all``."""
    return None if choice in {None, "all"} else SourceType(choice)


Name = Annotated[
    str, WithJsonSchema({"type": "string", "pattern": NAME_PATTERN, "maxLength": MAX_NAME_LENGTH})
]
"""A dataset's name. The services check it, by rules that a pattern can't say."""

DatasetName = Annotated[Name, Path(description="The dataset's name.")]
VersionHash = Annotated[str, Path(description="The first digits of the version's hash, or all.")]
RunId = Annotated[str, Path(description="The run's id.")]
BackfillId = Annotated[str, Path(description="The backfill's id.")]
Cursor = Annotated[
    Annotated[str, WithJsonSchema({"type": "string", "format": "cursor"})] | None,
    Query(description="The `next_cursor` of a response of the same list; the first page by default."),
]

DatasetFilter = Annotated[
    Several[str], Query(description="Names, or patterns with `*`, repeated or with commas.")
]

ServicesOf = Annotated[Services, Depends(_services)]
Caller = Annotated[Principal, Depends(_caller)]
"""Who sent the request."""
Permitted = Annotated[PermittedDatasets, Depends(_permitted)]
"""The datasets for which the caller has the route's role."""
DatasetOfRun = Annotated[str | None, Depends(_dataset_of_run)]
IdempotencyKey = Annotated[
    Annotated[str, Field(min_length=1, max_length=MAX_KEY_LENGTH)] | None,
    Header(description="A repeated request with the same key has no further effect."),
]


EntityTags = Annotated[
    str, WithJsonSchema({"type": "string", "pattern": r'^(\*|(W/)?"[!#-~]*"(, *(W/)?"[!#-~]*")*)$'})
]
"""``*``, or a list of ETags. Older clients send one without quotes, which is accepted as well."""


def _if_match(
    request: Request,
    if_match: Annotated[  # noqa: ARG001 - documents the header in OpenAPI
        EntityTags | None, Header(description="ETags of which the manual spec must have one; `*` for any.")
    ] = None,
) -> str | None:
    return _all_lines(request, "if-match")


def _if_none_match(
    request: Request,
    if_none_match: Annotated[  # noqa: ARG001 - documents the header in OpenAPI
        EntityTags | None,
        Header(description="ETags of which the manual spec must have none; `*` to create only."),
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
