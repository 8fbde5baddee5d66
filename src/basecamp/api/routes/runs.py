"""Routes of runs: list, show, stop, retry, log."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import WithJsonSchema

from basecamp.api import PREFIX
from basecamp.api.checked_route import CheckedRoute
from basecamp.api.dependencies import (
    Caller,
    Cursor,
    DatasetFilter,
    DatasetOfRun,
    IdempotencyKey,
    Permitted,
    RunId,
    ServicesOf,
    SourceChoice,
    put_warnings,
    source_of,
)
from basecamp.api.query_values import Positive, Several, Timestamp
from basecamp.api.request_models import RunPage, Status, StopBody
from basecamp.runs.history import HistoryFilter, PartitionFilter
from basecamp.runs.logs import RunLog
from basecamp.runs.waiting import shown_to
from dataspec.errors import InvalidUsage
from dataspec.models import RunType, WorkflowRun

router = APIRouter(route_class=CheckedRoute, prefix=f"{PREFIX}/runs", tags=["runs"])

PAGE = 20
MAX_PAGE = 500
CURSOR_COVERS_ATTEMPTS = "A cursor covers all attempts: use 'start', or the 'next_cursor' of a response."

DateOrTime = Annotated[
    str, WithJsonSchema({"type": "string", "anyOf": [{"format": "date"}, {"format": "date-time"}]})
]
LogCursor = Annotated[
    Annotated[str, WithJsonSchema({"type": "string", "format": "log-cursor"})] | None,
    Query(description="Return only what follows: a response's `next_cursor`, or `start` for the first line."),
]


@router.get("")
def list_runs(
    *,
    services: ServicesOf,
    permitted: Permitted,
    dataset: DatasetFilter = (),
    source: SourceChoice = "all",
    status: Annotated[Several[Status], Query(description="Any of these, repeated or with commas.")] = (),
    run_type: Annotated[Several[RunType], Query(description="Any of these, repeated or with commas.")] = (),
    since: Annotated[Timestamp | None, Query(description="Due or created at this time or later.")] = None,
    until: Annotated[Timestamp | None, Query(description="Due or created before this time.")] = None,
    partition: Annotated[
        DateOrTime | None,
        Query(description="A date, or a time, that the run's partition covers, in its time zone."),
    ] = None,
    limit: Annotated[Positive, Query(description=f"At most {MAX_PAGE} per page.")] = PAGE,
    cursor: Cursor = None,
) -> RunPage:
    """List runs, newest first."""
    wanted = HistoryFilter(
        datasets=dataset,
        source=source_of(source),
        statuses=status,
        run_types=run_type,
        since=since,
        until=until,
        partition=PartitionFilter.of(partition) if partition is not None else None,
        permitted=permitted,
    )
    page = services.run_history.page(wanted, limit=min(limit, MAX_PAGE), cursor=cursor)
    return RunPage(items=list(page.items), next_cursor=page.next_cursor, warnings=list(page.warnings))


@router.get("/{run_id}")
def get_run(
    services: ServicesOf,
    permitted: Permitted,
    response: Response,
    run_id: RunId,
    dataset: DatasetOfRun = None,
) -> WorkflowRun:
    """Show a run."""
    known = services.run_lookup.get(run_id, dataset)
    put_warnings(response, known.warnings)
    return replace(known.value, waiting_for=shown_to(known.value.waiting_for, permitted))


@router.post("/{run_id}/stop")
async def stop_run(
    *,
    services: ServicesOf,
    caller: Caller,
    run_id: RunId,
    body: StopBody | None = None,
    dataset: DatasetOfRun = None,
    idempotency_key: IdempotencyKey = None,
) -> WorkflowRun:
    """Stop a run, and respond when it has ended; an ended run is returned unchanged."""
    stopping = services.run_stopper.stop(
        run_id,
        stopped_by=caller.name,
        reason=body.reason if body else None,
        dataset=dataset,
        idempotency_key=idempotency_key,
    )
    return await services.work.finish(stopping)


@router.post("/{run_id}/retry")
async def retry_run(
    services: ServicesOf,
    caller: Caller,
    run_id: RunId,
    dataset: DatasetOfRun = None,
    idempotency_key: IdempotencyKey = None,
) -> WorkflowRun:
    """Retry a failed or killed run: same id and parameters, with the spec that is effective then."""
    retrying = services.run_retrier.retry(
        run_id, retried_by=caller.name, idempotency_key=idempotency_key, dataset=dataset
    )
    return await services.work.finish(retrying)


@router.get("/{run_id}/logs")
def get_log(
    services: ServicesOf,
    run_id: RunId,
    attempt: Annotated[Positive | None, Query(description="The last attempt by default.")] = None,
    cursor: LogCursor = None,
    dataset: DatasetOfRun = None,
) -> RunLog:
    """Show the log of one attempt of a run, or follow the logs of all attempts by a cursor."""
    if cursor is not None:
        if attempt is not None:
            raise InvalidUsage("'attempt' and 'cursor' can't be combined.", detail=CURSOR_COVERS_ATTEMPTS)
        return services.run_logs.read_on(run_id, cursor, dataset=dataset)
    return services.run_logs.read(run_id, attempt=attempt, dataset=dataset)
