"""Routes of registered specs: list, show, register, change, remove, check."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from basecamp.api import PREFIX
from basecamp.api.checked_route import CheckedRoute
from basecamp.api.dependencies import (
    CREATED,
    Caller,
    Cursor,
    DatasetName,
    IdempotencyKey,
    IfMatch,
    IfNoneMatch,
    Permitted,
    ServicesOf,
    SourceChoice,
    VersionHash,
    put_location,
    source_of,
)
from basecamp.api.query_values import Flag, NotNegative, Positive, Seconds
from basecamp.api.request_models import DatasetPage, RegistrationBody, RollbackBody, SpecBody, UpdateBody
from basecamp.registration.register import Validation
from dataspec.models import (
    DatasetLineage,
    DatasetVersions,
    RegisteredDataset,
    UnregisteredDataset,
    VersionDetails,
)
from dataspec.spec.yaml_editor import ScheduleChanges

router = APIRouter(route_class=CheckedRoute, prefix=f"{PREFIX}/datasets", tags=["datasets"])

PAGE = 50
MAX_PAGE = 200

Wait = Annotated[Seconds, Query(description="Seconds to wait for Airflow to load the spec.")]


@router.get("")
def list_datasets(
    services: ServicesOf,
    permitted: Permitted,
    source: SourceChoice = "all",
    limit: Annotated[Positive, Query(description=f"At most {MAX_PAGE} per page.")] = PAGE,
    cursor: Cursor = None,
) -> DatasetPage:
    """List the valid registered specs, with their YAML and SQL."""
    page = services.registered_specs.page(
        source_of(source), permitted=permitted, limit=min(limit, MAX_PAGE), cursor=cursor
    )
    return DatasetPage(items=list(page.items), next_cursor=page.next_cursor, warnings=list(page.warnings))


@router.get("/{name}")
def get_dataset(
    services: ServicesOf, response: Response, name: DatasetName, source: SourceChoice | None = None
) -> RegisteredDataset:
    """Show a dataset's effective spec, or that of one source."""
    dataset = services.registered_specs.get(name, source_of(source))
    if (version := services.registered_specs.manual_etag(name)) is not None:
        response.headers["ETag"] = quoted(version)
    return dataset


@router.get("/{name}/lineage")
def get_lineage(
    services: ServicesOf, permitted: Permitted, name: DatasetName, source: SourceChoice | None = None
) -> DatasetLineage:
    """Show the tables that a dataset reads and writes, and the columns that each of its columns comes from."""
    return services.lineage.of(name, source_of(source), permitted)


@router.put("/{name}", responses={201: {"model": RegisteredDataset, **CREATED}})
async def register(
    *,
    request: Request,
    services: ServicesOf,
    caller: Caller,
    response: Response,
    name: DatasetName,
    body: RegistrationBody,
    wait: Wait = 60,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
    idempotency_key: IdempotencyKey = None,
) -> RegisteredDataset:
    """Register a manual spec, and respond when Airflow has loaded it."""
    registering = services.registration.register(
        name,
        body.candidate(caller),
        accept_override=body.accept_override,
        accept_dependents=body.accept_dependents,
        if_match=if_match,
        if_none_match=if_none_match,
        wait_seconds=wait,
        idempotency_key=idempotency_key,
    )
    registered = await services.work.finish(registering)
    if registered.created:
        response.status_code = 201
        put_location(request, response, "datasets", name)
    response.headers["ETag"] = quoted(registered.dataset.etag)
    return registered.dataset


@router.patch("/{name}")
async def update(
    *,
    services: ServicesOf,
    caller: Caller,
    response: Response,
    name: DatasetName,
    body: UpdateBody,
    wait: Wait = 60,
    if_match: IfMatch = None,
    idempotency_key: IdempotencyKey = None,
) -> RegisteredDataset:
    """Change the schedule of a manual spec in place, and respond when Airflow has loaded it."""
    changes = ScheduleChanges(**body.model_dump(exclude={"source", "accept_dependents"}))
    updating = services.changes.update(
        name,
        changes,
        caller=caller,
        source=source_of(body.source),
        accept_dependents=body.accept_dependents,
        if_match=if_match,
        wait_seconds=wait,
        idempotency_key=idempotency_key,
    )
    dataset = await services.work.finish(updating)
    response.headers["ETag"] = quoted(dataset.etag)
    return dataset


@router.delete("/{name}")
async def unregister(
    *,
    services: ServicesOf,
    caller: Caller,
    name: DatasetName,
    source: SourceChoice | None = None,
    stop: Annotated[Flag, Query(description="Stop active runs.")] = False,
    accept_active: Annotated[Flag, Query(description="Let active runs finish.")] = False,
    accept_dependents: Annotated[
        Flag, Query(description="Remove it although other datasets depend on it.")
    ] = False,
    reason: Annotated[
        str | None, Query(max_length=500, description="Why, for the audit log and notes.")
    ] = None,
    if_match: IfMatch = None,
    idempotency_key: IdempotencyKey = None,
) -> UnregisteredDataset:
    """Remove a manual spec; with active runs, only if `stop` or `accept_active` is set."""
    unregistering = services.changes.unregister(
        name,
        caller=caller,
        source=source_of(source),
        stop=stop,
        accept_active=accept_active,
        accept_dependents=accept_dependents,
        reason=reason,
        if_match=if_match,
        idempotency_key=idempotency_key,
    )
    return await services.work.finish(unregistering)


@router.get("/{name}/versions")
def get_versions(
    services: ServicesOf,
    name: DatasetName,
    limit: Annotated[NotNegative, Query(description=f"At most {MAX_PAGE} per page; 0 for no items.")] = PAGE,
    cursor: Cursor = None,
) -> DatasetVersions:
    """Show a dataset's versions: manual, code, the one loaded in Airflow, and as items all that are kept."""
    return services.versions.of(name, limit=min(limit, MAX_PAGE), cursor=cursor)


@router.get("/{name}/versions/{version}")
def get_version(services: ServicesOf, name: DatasetName, version: VersionHash) -> VersionDetails:
    """Show one version of a dataset, with its YAML and SQL."""
    return services.versions.get(name, version)


@router.post("/{name}/rollback")
async def rollback(
    *,
    services: ServicesOf,
    caller: Caller,
    response: Response,
    name: DatasetName,
    body: RollbackBody,
    wait: Wait = 60,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
    idempotency_key: IdempotencyKey = None,
) -> RegisteredDataset:
    """Register an earlier version of a manual spec again, and respond when Airflow has loaded it."""
    rolling_back = services.rollback.roll_back(
        name,
        body.version,
        caller=caller,
        accept_override=body.accept_override,
        accept_dependents=body.accept_dependents,
        if_match=if_match,
        if_none_match=if_none_match,
        wait_seconds=wait,
        idempotency_key=idempotency_key,
    )
    registered = await services.work.finish(rolling_back)
    response.headers["ETag"] = quoted(registered.dataset.etag)
    return registered.dataset


@router.post("/validate")
async def validate(services: ServicesOf, caller: Caller, body: SpecBody) -> Validation:
    """Validate a spec as a registration does, without storing it."""
    return await services.work.write(services.registration.validate, body.candidate(caller))


def quoted(etag: str) -> str:
    """Return an ETag in quotes, as in a header."""
    return '"' + etag.strip('"') + '"'
