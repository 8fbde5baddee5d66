"""Write the audit log around the handler of each route that changes something (specification 26.70 to 26.72)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from basecamp.access.audit.records import Actor, Target
from basecamp.access.principal import UNKNOWN, Principal
from basecamp.outages.request_budget import renew_budget
from basecamp.services import Services
from basecamp.shared.request_facts import REQUEST_ID, RequestFacts, collect_facts
from dataspec.errors import DliError, Forbidden, InternalError, InvalidUsage, StoreUnreachable, Unauthorized


def actor_of(request: Request) -> Actor:
    """Return the caller of a request, for the audit log."""
    caller: Principal = getattr(request.state, "caller", UNKNOWN)
    role = max((grant.role for grant in caller.grants), default=None)
    return Actor(
        name=caller.name,
        method=caller.method,
        identity=caller.identity,
        role=role.label if role else "",
        address=request.client.host if request.client else "",
        request_id=REQUEST_ID.get() or "",
    )


async def note_refusal(request: Request, action: str, error: Unauthorized | Forbidden) -> None:
    """Record that a request was refused by the table of rights, or count it if its caller is unknown."""
    services: Services = request.app.state.services
    actor, target = actor_of(request), _target(request, {})
    if isinstance(error, Unauthorized):
        services.refused_requests.count(actor.address, error.title)
    elif services.refused_requests.takes(actor):
        record = partial(services.audit_log.record, actor, action, target)
        with suppress(StoreUnreachable):  # nothing was changed
            await services.work.write(record, status=error.http_status, error=error)


async def audited(
    request: Request,
    action: str,
    sent: Mapping[str, Any],
    handle: Callable[[Request], Awaitable[Response]],
) -> Response:
    """Handle a request that changes something, with its intention stored before and its outcome after.

    Args:
        request: The request.
        action: What it does, in a few words.
        sent: The fields that its body or query names, such as ``reason``.
        handle: Handles it.

    Raises:
        StoreUnreachable: When the intention can't be stored; then the request is not handled.
    """
    services: Services = request.app.state.services
    audit, work = services.audit_log, services.work
    place = await work.write(audit.begin, actor_of(request), action, _target(request, sent))
    with collect_facts() as facts:
        try:
            response = await handle(request)
        except Exception as error:
            status, told = _problem(error)
            await _end(services, place, facts, status=status, error=told)
            raise
    await _end(services, place, facts, status=response.status_code, error=facts.error)
    return response


async def _end(
    services: Services, place: str, facts: RequestFacts, *, status: int, error: DliError | None
) -> None:
    renew_budget()  # the change may have used up the request's time
    await services.work.write(services.audit_log.end, place, facts, status=status, error=error)


def _target(request: Request, sent: Mapping[str, Any]) -> Target:
    named, reason = request.path_params, sent.get("reason")
    return Target(
        dataset=named.get("name") or request.query_params.get("dataset"),
        run_id=named.get("run_id"),
        backfill_id=named.get("backfill_id"),
        reason=reason if isinstance(reason, str) else None,
    )


def _problem(error: Exception) -> tuple[int, DliError]:
    """Return the status and the error of the response that an exception becomes."""
    if isinstance(error, DliError):
        return error.http_status, error
    if isinstance(error, RequestValidationError):
        return InvalidUsage.http_status, InvalidUsage("Invalid request.")
    if isinstance(error, HTTPException):
        return error.status_code, InvalidUsage("Invalid request.")
    return InternalError.http_status, InternalError("Internal server error.")
