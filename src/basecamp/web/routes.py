"""Routes of the pages: call the services, and render templates."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from basecamp.api.dependencies import Caller, DatasetOfRun, Permitted, ServicesOf
from basecamp.runs.start import RunRequest
from basecamp.services import Services
from basecamp.shared.request_facts import note_facts
from basecamp.web import audit, device, sign_in
from basecamp.web.forms import PauseForm, RunFields, RunForm, StopForm, UnpauseForm, wants_preview
from basecamp.web.queries import (
    LIMITS,
    RUN_TYPES,
    STATES,
    DatasetQuery,
    RunQuery,
    attempt_of,
    datasets_query,
    runs_query,
    source_of,
)
from basecamp.web.rendering import HEADERS, FallbackRoute, PageRoute, links_of, page, redirect, static_file
from basecamp.web.viewer import may_operate, viewed_datasets
from basecamp.web.views import read_backfill, read_dataset, read_datasets, read_run, read_runs
from dataspec.errors import DliError, NotFound
from dataspec.models import SourceType, WorkflowInfo

router = APIRouter(route_class=PageRoute, include_in_schema=False, default_response_class=Response)

MAX_REASON = 500
IMMUTABLE = "public, max-age=31536000, immutable"
REVALIDATE = "no-cache"


@router.get("/")
def show_datasets(
    request: Request,
    services: ServicesOf,
    permitted: Permitted,
    query: Annotated[DatasetQuery, Depends(datasets_query)],
) -> Response:
    """Show the datasets."""
    headers = _address(request, links_of(request).datasets(**query.fields()))
    return page(
        request,
        "datasets.html",
        headers=headers,
        view=read_datasets(services, query, permitted),
        states=STATES,
    )


@router.get("/workflows/{name}")
def show_dataset(request: Request, services: ServicesOf, name: str, source: str = "") -> Response:
    """Show a dataset."""
    return _dataset_page(request, services, name, RunForm(), source=source_of({"source": source}))


@router.post("/workflows/{name}/runs")
async def start_run(
    request: Request, services: ServicesOf, caller: Caller, name: str, form: RunFields
) -> Response:
    """Start a run and redirect to its page; or show a preview, or the error."""
    filled = RunForm.of(form)
    run_request = RunRequest(dataset=name, parameters=filled.parameters())
    try:
        if wants_preview(form):
            preview = await services.work.write(services.run_starter.preview, run_request)
            return await _show_form(request, services, name, replace(filled, preview=preview))
        starting = services.run_starter.start(
            run_request, requested_by=caller.name, idempotency_key=form.get("key") or None
        )
        run = await services.work.finish(starting)
    except DliError as error:
        return await _show_form(request, services, name, replace(filled, error=error))
    return redirect(links_of(request).run(run))


@router.post("/workflows/{name}/pause")
async def pause(
    request: Request, services: ServicesOf, caller: Caller, name: str, form: PauseForm
) -> Response:
    """Pause a dataset."""
    key = form.get("key") or None
    pausing = services.work.write(
        services.pauses.pause, name, paused_by=caller.name, reason=_reason(form), idempotency_key=key
    )
    return await _change(request, services, name, pausing)


@router.post("/workflows/{name}/unpause")
async def unpause(
    request: Request, services: ServicesOf, caller: Caller, name: str, form: UnpauseForm
) -> Response:
    """Resume a dataset."""
    key = form.get("key") or None
    unpausing = services.work.write(
        services.pauses.unpause, name, resumed_by=caller.name, idempotency_key=key
    )
    return await _change(request, services, name, unpausing)


@router.get("/workflows/{name}/runs")
@router.get("/workflows/{name}/pause")
@router.get("/workflows/{name}/unpause")
async def redirect_to_dataset(request: Request, name: str) -> Response:
    """Redirect a GET of an action's URL, such as a reload of its error page, to the dataset."""
    return redirect(links_of(request).dataset(name))


@router.get("/runs")
def show_runs(
    request: Request,
    services: ServicesOf,
    permitted: Permitted,
    query: Annotated[RunQuery, Depends(runs_query)],
) -> Response:
    """Show the history."""
    headers = _address(request, links_of(request).runs(**query.fields(), cursor=query.cursor))
    view = read_runs(services, query, permitted)
    return page(request, "runs.html", headers=headers, view=view, limits=LIMITS, run_types=RUN_TYPES)


@router.get("/runs/{run_id}")
def show_run(  # noqa: PLR0917 - FastAPI passes them by name
    request: Request,
    services: ServicesOf,
    permitted: Permitted,
    run_id: str,
    dataset: DatasetOfRun,
    attempt: str = "",
) -> Response:
    """Show a run."""
    number = attempt_of({"attempt": attempt})
    view = read_run(services, run_id, dataset, number, permitted)
    can_operate = may_operate(request, services, view.run.dataset_name)
    return page(request, "run.html", view=view, attempt=number, can_operate=can_operate)


@router.post("/runs/{run_id}/stop")
async def stop_run(
    *,
    request: Request,
    services: ServicesOf,
    caller: Caller,
    run_id: str,
    form: StopForm,
    dataset: DatasetOfRun,
) -> Response:
    """Stop a run and redirect to its page."""
    stopping = services.run_stopper.stop(
        run_id, stopped_by=caller.name, reason=_reason(form), dataset=dataset
    )
    run = await services.work.finish(stopping)
    return redirect(links_of(request).run(run))


@router.get("/runs/{run_id}/stop")
async def redirect_to_run(request: Request, run_id: str, dataset: str | None = None) -> Response:
    """Redirect a GET of the stop URL to the run."""
    return redirect(links_of(request).run_id(run_id, dataset))


@router.get("/backfills/{backfill_id}")
def show_backfill(request: Request, services: ServicesOf, backfill_id: str) -> Response:
    """Show a backfill."""
    view = read_backfill(services, backfill_id, viewed_datasets(request, services))
    can_operate = all(may_operate(request, services, name) for name in view.backfill.datasets)
    return page(request, "backfill.html", view=view, can_operate=can_operate)


@router.post("/backfills/{backfill_id}/stop")
async def stop_backfill(
    *,
    request: Request,
    services: ServicesOf,
    caller: Caller,
    permitted: Permitted,
    backfill_id: str,
    form: StopForm,
) -> Response:
    """Stop a backfill and redirect to its page."""
    stopping = services.backfill_stopper.stop(
        backfill_id, permitted, stopped_by=caller.name, reason=_reason(form)
    )
    await services.work.finish(stopping)
    return redirect(links_of(request).backfill(backfill_id))


@router.get("/backfills/{backfill_id}/stop")
async def redirect_to_backfill(request: Request, backfill_id: str) -> Response:
    """Redirect a GET of the stop URL to the backfill."""
    return redirect(links_of(request).backfill(backfill_id))


@router.get("/static/{digest}/{name}")
async def get_static_file(digest: str, name: str) -> Response:
    """Return a static file; cacheable for ever if the URL has its current digest."""
    file = static_file(name)
    caching = IMMUTABLE if digest == file.digest else REVALIDATE
    return Response(file.body, media_type=file.media_type, headers=HEADERS | {"Cache-Control": caching})


async def raise_not_found(request: Request) -> Response:
    """Answer that the page does not exist."""
    raise NotFound("There is no such page.", detail=f"GET {request.url.path}")


for part in (sign_in, device, audit):
    router.routes.extend(part.router.routes)
router.add_api_route("/{path:path}", raise_not_found, route_class_override=FallbackRoute)


def _dataset_page(
    request: Request, services: Services, name: str, form: RunForm, *, source: SourceType | None = None
) -> Response:
    note_facts(error=form.error)
    view = read_dataset(services, name, source, viewed_datasets(request, services))
    status = form.error.http_status if form.error else 200
    can_operate = may_operate(request, services, name)
    return page(request, "dataset.html", status=status, view=view, form=form, can_operate=can_operate)


async def _show_form(request: Request, services: Services, name: str, form: RunForm) -> Response:
    """Show a dataset with its form as it was sent, in a thread: it reads from the store and from Airflow."""
    return await services.work.write(_dataset_page, request, services, name, form)


async def _change(
    request: Request, services: Services, name: str, change: Awaitable[WorkflowInfo]
) -> Response:
    try:
        await change
    except NotFound:
        raise
    except DliError as error:
        return await _show_form(request, services, name, RunForm(error=error))
    return redirect(links_of(request).dataset(name))


def _reason(form: Mapping[str, str]) -> str | None:
    return form.get("reason", "").strip()[:MAX_REASON] or None


def _address(request: Request, address: str) -> dict[str, str]:
    """Return the header that makes the browser's URL follow the filter, without empty fields."""
    return {"HX-Replace-Url": address} if "hx-request" in request.headers else {}
