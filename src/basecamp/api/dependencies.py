"""Who asks, what they said about it, and the services that answer: dependencies of the routes."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import unquote

from fastapi import Depends, Header, Request
from starlette.datastructures import Headers
from starlette.types import Scope

from basecamp.services import Services
from dataspec.models import SourceType

NOBODY = "anonymous"
MAX_NAME_LENGTH = 100

SourceChoice = Literal["code", "manual", "all"]
"""A source, as a filter; ``all`` is none."""


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


def caller_name(scope: Scope) -> str:
    """Return who asks, by the header ``Dli-User``: in percent-encoding where it is not plain ASCII.

    Nothing proves it; it is for notes and logs. What could break a line is left out.
    """
    said = unquote(Headers(scope=scope).get("dli-user", ""))
    name = "".join(letter for letter in said if letter.isprintable()).strip()
    return name[:MAX_NAME_LENGTH] or NOBODY


def _caller(
    request: Request,
    dli_user: Annotated[  # noqa: ARG001 - it is here for the description of the API
        str | None, Header(description="Who asks, for notes and logs; percent-encoded where not ASCII.")
    ] = None,
) -> str:
    return caller_name(request.scope)


def source_of(choice: SourceChoice | None) -> SourceType | None:
    """Return the source that a filter asks for, if one."""
    return None if choice in {None, "all"} else SourceType(choice)


ServicesOf = Annotated[Services, Depends(_services)]
Caller = Annotated[str, Depends(_caller)]
IdempotencyKey = Annotated[
    str | None,
    Header(
        description="A second request with the same key has no second effect.", min_length=1, max_length=255
    ),
]
