"""Routes of backfills: start, list, show, stop."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from basecamp.api import PREFIX
from basecamp.api.checked_route import CheckedRoute
from basecamp.api.dependencies import (
    CREATED,
    BackfillId,
    Caller,
    Cursor,
    DatasetName,
    IdempotencyKey,
    Name,
    Permitted,
    ServicesOf,
    put_location,
    put_warnings,
    source_of,
)
from basecamp.api.query_values import Flag, Positive
from basecamp.api.request_models import BackfillBody, BackfillPage, StopBody
from basecamp.backfills.requests import BackfillRequest
from dataspec.models import Backfill, BackfillPreview

router = APIRouter(route_class=CheckedRoute, prefix=PREFIX, tags=["backfills"])

PAGE = 20
MAX_PAGE = 100


@router.post(
    "/workflows/{name}/backfills",
    status_code=201,
    responses={
        200: {"model": BackfillPreview, "description": "A dry run"},
        201: {"model": Backfill, **CREATED},
    },
)
async def start_backfill(
    *,
    request: Request,
    services: ServicesOf,
    caller: Caller,
    response: Response,
    name: DatasetName,
    body: BackfillBody,
    permitted: Permitted,
    idempotency_key: IdempotencyKey = None,
) -> Backfill | BackfillPreview:
    """Start a backfill: one run per partition of a range, in sequence; or preview it."""
    wanted = BackfillRequest(
        dataset=name,
        start=body.start,
        end=body.end,
        parameters=body.parameters,
        source=source_of(body.source),
        every=body.every,
        reverse=body.reverse,
        keep_going=body.keep_going,
        resume=body.resume,
        missing=body.missing,
        wait_for_upstream=body.wait_for_upstream,
        adopt=body.adopt,
        full_refresh=body.full_refresh,
        with_upstream=body.with_upstream,
        with_downstream=body.with_downstream,
        permitted=permitted,
        candidate=body.candidate(caller),
    )
    if body.dry_run:
        response.status_code = 200
        return await services.work.write(services.backfill_starter.preview, wanted)
    backfill = await services.work.write(
        services.backfill_starter.start, wanted, requested_by=caller.name, idempotency_key=idempotency_key
    )
    put_location(request, response, "backfills", backfill.backfill_id)
    return backfill


@router.get("/backfills")
def list_backfills(
    *,
    services: ServicesOf,
    permitted: Permitted,
    dataset: Annotated[
        Name | None, Query(description="Only backfills that build this dataset, chains among them.")
    ] = None,
    active: Annotated[Flag | None, Query(description="Only active backfills, or only ended ones.")] = None,
    limit: Annotated[Positive, Query(description=f"At most {MAX_PAGE} per page.")] = PAGE,
    cursor: Cursor = None,
) -> BackfillPage:
    """List backfills, newest first."""
    page = services.backfill_lookup.page(
        dataset=dataset, active=active, permitted=permitted, limit=min(limit, MAX_PAGE), cursor=cursor
    )
    return BackfillPage(items=list(page.items), next_cursor=page.next_cursor, warnings=list(page.warnings))


@router.get("/backfills/{backfill_id}")
def get_backfill(
    services: ServicesOf, response: Response, permitted: Permitted, backfill_id: BackfillId
) -> Backfill:
    """Show a backfill."""
    known = services.backfill_lookup.get(backfill_id, permitted)
    put_warnings(response, known.warnings)
    return known.value


@router.post("/backfills/{backfill_id}/stop")
async def stop_backfill(
    *,
    services: ServicesOf,
    caller: Caller,
    permitted: Permitted,
    backfill_id: BackfillId,
    body: StopBody | None = None,
    idempotency_key: IdempotencyKey = None,
) -> Backfill:
    """Stop a backfill, and respond when it has ended; an ended backfill is returned unchanged."""
    stopping = services.backfill_stopper.stop(
        backfill_id,
        permitted,
        stopped_by=caller.name,
        reason=body.reason if body else None,
        idempotency_key=idempotency_key,
    )
    return await services.work.finish(stopping)
