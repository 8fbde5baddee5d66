"""Routes of workflows: list, run, pause, resume."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from basecamp.api import PREFIX
from basecamp.api.checked_route import CheckedRoute
from basecamp.api.dependencies import (
    CREATED,
    Caller,
    Cursor,
    DatasetFilter,
    DatasetName,
    IdempotencyKey,
    Permitted,
    ServicesOf,
    SourceChoice,
    put_location,
    put_warnings,
    source_of,
)
from basecamp.api.query_values import Flag, Positive
from basecamp.api.request_models import PauseBody, RunBody, SourceBody, WorkflowPage
from basecamp.runs.start import RunRequest
from basecamp.workflows.rows import WorkflowFilter
from dataspec.models import Explanation, RunPreview, RunStatus, WorkflowInfo, WorkflowRun

router = APIRouter(route_class=CheckedRoute, prefix=f"{PREFIX}/workflows", tags=["workflows"])

ResultStatus = Literal["failed", "killed", "completed"]

PAGE = 100
MAX_PAGE = 10_000


@router.get("")
def list_workflows(
    *,
    services: ServicesOf,
    permitted: Permitted,
    source: SourceChoice = "all",
    running: Flag = False,
    waiting: Annotated[
        Flag, Query(description="Only datasets with a run that waits for others, and what it waits for.")
    ] = False,
    enabled_only: Flag = False,
    status: Annotated[
        ResultStatus | None,
        Query(description="Only datasets whose last run that has ended, ended like this."),
    ] = None,
    late: Annotated[
        Flag, Query(description="Only datasets with a partition that was not built in time.")
    ] = False,
    dataset: DatasetFilter = (),
    limit: Annotated[Positive, Query(description=f"At most {MAX_PAGE} per page.")] = PAGE,
    cursor: Cursor = None,
) -> WorkflowPage:
    """List the registered datasets, one row per source."""
    wanted = WorkflowFilter(
        source=source_of(source),
        datasets=dataset,
        running=running,
        waiting=waiting,
        enabled_only=enabled_only,
        result=RunStatus(status.upper()) if status else None,
        late=late,
        permitted=permitted,
    )
    page = services.workflows.page(wanted, limit=min(limit, MAX_PAGE), cursor=cursor)
    return WorkflowPage(items=list(page.items), next_cursor=page.next_cursor, warnings=list(page.warnings))


@router.get("/{name}")
def get_workflow(
    services: ServicesOf, response: Response, name: DatasetName, source: SourceChoice | None = None
) -> WorkflowInfo:
    """Show a dataset's effective row, or that of one source."""
    known = services.workflows.get(name, source_of(source))
    put_warnings(response, known.warnings)
    return known.value


@router.get("/{name}/why")
def explain_partition(
    services: ServicesOf,
    response: Response,
    permitted: Permitted,
    name: DatasetName,
    partition: Annotated[
        str | None,
        Query(
            description="A date or a time, as of `execution_date`; the last partition that is due by default."
        ),
    ] = None,
) -> Explanation:
    """Say why a partition is there or not, with the upstream partitions that it waits for."""
    known = services.partition_reasons.explain(name, partition, permitted)
    put_warnings(response, known.warnings)
    return known.value


@router.post(
    "/{name}/runs",
    status_code=201,
    responses={
        200: {"model": RunPreview, "description": "A dry run"},
        201: {"model": WorkflowRun, **CREATED},
    },
)
async def start_run(
    *,
    request: Request,
    services: ServicesOf,
    caller: Caller,
    response: Response,
    name: DatasetName,
    body: RunBody,
    idempotency_key: IdempotencyKey = None,
) -> WorkflowRun | RunPreview:
    """Start an adhoc run of the effective spec, or preview it."""
    wanted = RunRequest(
        dataset=name,
        parameters=body.parameters,
        source=source_of(body.source),
        wait_for_upstream=body.wait_for_upstream,
        adopt=body.adopt,
        full_refresh=body.full_refresh,
        checks_only=body.checks_only,
        candidate=body.candidate(caller),
    )
    if body.dry_run:
        response.status_code = 200
        return await services.work.write(services.run_starter.preview, wanted)
    starting = services.run_starter.start(wanted, requested_by=caller.name, idempotency_key=idempotency_key)
    run = await services.work.finish(starting)
    put_location(request, response, "runs", run.run_id)
    return run


@router.post("/{name}/pause")
async def pause(
    services: ServicesOf,
    caller: Caller,
    name: DatasetName,
    body: PauseBody | None = None,
    idempotency_key: IdempotencyKey = None,
) -> WorkflowInfo:
    """Pause a dataset: no run starts until it is unpaused."""
    return await services.work.write(
        services.pauses.pause,
        name,
        source_of(body.source if body else None),
        paused_by=caller.name,
        reason=body.reason if body else None,
        idempotency_key=idempotency_key,
    )


@router.post("/{name}/unpause")
async def unpause(
    services: ServicesOf,
    caller: Caller,
    name: DatasetName,
    body: SourceBody | None = None,
    idempotency_key: IdempotencyKey = None,
) -> WorkflowInfo:
    """Unpause a dataset."""
    source = source_of(body.source if body else None)
    return await services.work.write(
        services.pauses.unpause, name, source, resumed_by=caller.name, idempotency_key=idempotency_key
    )
