"""Routes for operators, monitoring and editors: health, metrics, the caller, the store check, test messages, schemas."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from fastapi import APIRouter, Request, Response

from basecamp.access.principal import Role
from basecamp.api import PREFIX
from basecamp.api.checked_route import CheckedRoute
from basecamp.api.dependencies import Caller, IdempotencyKey, Permitted, ServicesOf
from basecamp.api.request_models import NotificationTest, NotificationTestBody
from basecamp.monitoring.metrics import Metrics
from basecamp.monitoring.readiness import Readiness
from dataspec.models import Identity, RoleGrant, SyncReport
from dataspec.spec.json_schema import schema_text

router = APIRouter(route_class=CheckedRoute)

SCHEMA_CACHE_CONTROL = "public, max-age=86400"
"""The schema changes only with the server's version; after a day an editor revalidates it by ETag."""


@router.post(f"{PREFIX}/sync", tags=["server"])
async def sync(
    services: ServicesOf, permitted: Permitted, idempotency_key: IdempotencyKey = None
) -> SyncReport:
    """Check the store now, and report what changed since the last check (specification 19.5)."""
    return await services.work.finish(
        services.check.sync(permitted=permitted, idempotency_key=idempotency_key)
    )


@router.post(f"{PREFIX}/notifications/test", tags=["notifications"])
async def send_test(
    services: ServicesOf,
    caller: Caller,
    permitted: Permitted,
    body: NotificationTestBody,
    idempotency_key: IdempotencyKey = None,
) -> NotificationTest:
    """Send a test message through each channel of a dataset, or to a named target, and report each result."""
    tried = await services.work.write(
        services.channel_test.send,
        body.name,
        body.event,
        caller=caller,
        permitted=permitted,
        idempotency_key=idempotency_key,
    )
    return NotificationTest(name=body.name, channels=tried)


@router.get(f"{PREFIX}/whoami", tags=["server"])
async def whoami(caller: Caller) -> Identity:
    """Show the caller's name and roles."""
    grants = [
        RoleGrant(role=grant.role.label, teams=None if grant.teams is None else sorted(grant.teams))
        for grant in caller.grants
    ]
    return Identity(name=caller.name, method=caller.method, grants=grants, expires_at=caller.expires_at)


@router.get("/schemas/dataset.json", response_class=Response, tags=["schemas"])
def get_dataset_schema() -> Response:
    """Return the JSON Schema of a Dataset Spec; it contains nothing specific to this server."""
    headers = {"Cache-Control": SCHEMA_CACHE_CONTROL}
    return Response(_schema(), media_type="application/schema+json", headers=headers)


@router.get("/healthz", tags=["server"])
async def healthz() -> dict[str, str]:
    """Report that the process is alive."""
    return {"status": "ok"}


@router.get(
    "/readyz",
    tags=["server"],
    responses={503: {"model": Readiness, "description": "Not ready for requests yet"}},
)
async def readyz(request: Request, services: ServicesOf, response: Response) -> Readiness:
    """Report whether this replica is ready for requests, with the state of each dependency as it was last checked.

    With sign-in, only callers who see all datasets get the states: they can name datasets.
    """
    readiness = services.readiness.check()
    response.status_code = 200 if readiness.ready else 503
    caller = await request.app.state.gate.identified(request)
    return readiness if caller.may_everywhere(Role.VIEWER) else replace(readiness, checks={}, age_seconds={})


@router.get("/metrics", response_class=Response, tags=["server"])
async def metrics(request: Request) -> Response:
    """Return the metrics in Prometheus' text format, or in OpenMetrics where the caller accepts it."""
    metrics: Metrics = request.app.state.metrics
    body, content_type = metrics.render(request.headers.get("accept", ""))
    return Response(body, headers={"Content-Type": content_type, "Vary": "Accept"})


@cache
def _schema() -> bytes:
    return schema_text().encode()
