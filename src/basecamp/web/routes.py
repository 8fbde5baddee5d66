"""The routes of the page: they ask the services, and hand what they answer to a template."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from basecamp.api.dependencies import Caller, ServicesOf
from basecamp.runs.start import RunRequest
from basecamp.services import Services
from basecamp.web.forms import Form, RunForm
from basecamp.web.pages import HEADERS, LastRoute, PageRoute, links_of, page
from basecamp.web.queries import LIMITS, RUN_TYPES, STATES, DatasetQuery, RunQuery, attempt_of, source_of
from basecamp.web.static_files import static_file
from basecamp.web.views import read_backfill, read_dataset, read_datasets, read_run, read_runs
from dataspec.errors import DliError, NotFound
from dataspec.models import SourceType, WorkflowInfo

router = APIRouter(route_class=PageRoute, include_in_schema=False, default_response_class=Response)

SEE_OTHER = 303
MAX_REASON = 500
A_YEAR = "public, max-age=31536000, immutable"
UNPROVEN = "no-cache"


@router.get("/")
def show_datasets(request: Request, services: ServicesOf) -> Response:
    """Show the datasets."""
    query = DatasetQuery.of(request.query_params)
    headers = _address(request, links_of(request).datasets(**query.fields()))
    return page(request, "datasets.html", headers=headers, view=read_datasets(services, query), states=STATES)


@router.get("/workflows/{name}")
def show_dataset(request: Request, services: ServicesOf, name: str) -> Response:
    """Show a dataset."""
    return _dataset_page(request, services, name, RunForm(), source=source_of(request.query_params))


@router.post("/workflows/{name}/runs")
def start_run(request: Request, services: ServicesOf, caller: Caller, name: str, form: Form) -> Response:
    """Start a run and go to its page; or show what it would do, or why it can't be."""
    filled = RunForm.of(form)
    order = RunRequest(dataset=name, parameters=filled.parameters())
    try:
        if form.get("do") == "preview":
            filled = replace(filled, preview=services.run_starter.preview(order))
            return _dataset_page(request, services, name, filled)
        run = services.run_starter.start(order, requested_by=caller, idempotency_key=form.get("key") or None)
    except DliError as error:
        return _dataset_page(request, services, name, replace(filled, error=error))
    return _go_to(links_of(request).run(run))


@router.post("/workflows/{name}/pause")
def pause(request: Request, services: ServicesOf, name: str, form: Form) -> Response:  # noqa: ARG001 - it proves where it comes from
    """Pause a dataset."""
    return _change(request, services, name, lambda: services.pauses.pause(name))


@router.post("/workflows/{name}/unpause")
def unpause(request: Request, services: ServicesOf, name: str, form: Form) -> Response:
    """Resume a dataset."""
    key = form.get("key") or None
    return _change(request, services, name, lambda: services.pauses.unpause(name, idempotency_key=key))


@router.get("/workflows/{name}/{order}")
async def show_dataset_again(request: Request, name: str, order: str) -> Response:
    """Lead back from the address of an order, where a page may have been shown in answer to it."""
    if order not in {"runs", "pause", "unpause"}:
        return await show_no_page(request)
    return _go_to(links_of(request).dataset(name))


@router.get("/runs")
def show_runs(request: Request, services: ServicesOf) -> Response:
    """Show the history."""
    query = RunQuery.of(request.query_params)
    headers = _address(request, links_of(request).runs(**query.fields(), cursor=query.cursor))
    view = read_runs(services, query)
    return page(request, "runs.html", headers=headers, view=view, limits=LIMITS, run_types=RUN_TYPES)


@router.get("/runs/{run_id}")
def show_run(request: Request, services: ServicesOf, run_id: str) -> Response:
    """Show a run."""
    query = request.query_params
    view = read_run(services, run_id, query.get("dataset"), attempt_of(query))
    return page(request, "run.html", view=view, attempt=attempt_of(query))


@router.post("/runs/{run_id}/stop")
def stop_run(request: Request, services: ServicesOf, caller: Caller, run_id: str, form: Form) -> Response:
    """Stop a run and go to its page."""
    dataset = request.query_params.get("dataset")
    run = services.run_stopper.stop(run_id, stopped_by=caller, reason=_reason(form), dataset=dataset)
    return _go_to(links_of(request).run(run))


@router.get("/runs/{run_id}/stop")
async def show_run_again(request: Request, run_id: str) -> Response:
    """Lead back from the address of the order to stop a run."""
    return _go_to(links_of(request).run_id(run_id, request.query_params.get("dataset")))


@router.get("/backfills/{backfill_id}")
def show_backfill(request: Request, services: ServicesOf, backfill_id: str) -> Response:
    """Show a backfill."""
    return page(request, "backfill.html", view=read_backfill(services, backfill_id))


@router.post("/backfills/{backfill_id}/stop")
def stop_backfill(
    request: Request, services: ServicesOf, caller: Caller, backfill_id: str, form: Form
) -> Response:
    """Stop a backfill and go to its page."""
    services.backfill_stopper.stop(backfill_id, stopped_by=caller, reason=_reason(form))
    return _go_to(links_of(request).backfill(backfill_id))


@router.get("/backfills/{backfill_id}/stop")
async def show_backfill_again(request: Request, backfill_id: str) -> Response:
    """Lead back from the address of the order to stop a backfill."""
    return _go_to(links_of(request).backfill(backfill_id))


@router.get("/static/{digest}/{name}")
async def get_static_file(digest: str, name: str) -> Response:
    """Give one of the page's own files; for ever, if it is the very one that was asked for."""
    file = static_file(name)
    caching = A_YEAR if digest == file.digest else UNPROVEN
    headers = HEADERS | {"Cache-Control": caching, "ETag": f'"{file.digest}"'}
    return Response(file.body, media_type=file.media_type, headers=headers)


async def show_no_page(request: Request) -> Response:
    """Say that there is no such page."""
    raise NotFound("There is no such page.", detail=f"GET {request.url.path}")


router.add_api_route("/{path:path}", show_no_page, route_class_override=LastRoute)


def _dataset_page(
    request: Request, services: Services, name: str, form: RunForm, *, source: SourceType | None = None
) -> Response:
    view = read_dataset(services, name, source)
    status = form.error.http_status if form.error else 200
    return page(request, "dataset.html", status=status, view=view, form=form)


def _change(request: Request, services: Services, name: str, change: Callable[[], WorkflowInfo]) -> Response:
    try:
        change()
    except NotFound:
        raise
    except DliError as error:
        return _dataset_page(request, services, name, RunForm(error=error))
    return _go_to(links_of(request).dataset(name))


def _reason(form: Mapping[str, str]) -> str | None:
    return form.get("reason", "").strip()[:MAX_REASON] or None


def _go_to(address: str) -> Response:
    return RedirectResponse(address, SEE_OTHER, HEADERS)


def _address(request: Request, address: str) -> dict[str, str]:
    """Let the reader's address bar follow the filter, without the fields that are empty."""
    return {"HX-Replace-Url": address} if "hx-request" in request.headers else {}
