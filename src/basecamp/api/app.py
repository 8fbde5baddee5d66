"""The ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import Any

from anyio.to_thread import current_default_thread_limiter
from fastapi import APIRouter, FastAPI
from starlette.middleware import Middleware

from basecamp.access.credentials import Credentials
from basecamp.api.authorization import Gate
from basecamp.api.checked_route import CheckedRoute
from basecamp.api.methods import HeadRequests
from basecamp.api.middleware import (
    BodyLimit,
    HostGuard,
    LastRequests,
    OriginGuard,
    RequestBudget,
    RequestIds,
    RequestLog,
    Traces,
)
from basecamp.api.problems import DOCUMENT_SCHEMA, MEDIA_TYPE, install_problem_handlers
from basecamp.api.public_paths import PublicPaths
from basecamp.api.routes import (
    access,
    audit,
    backfills,
    datasets,
    documentation,
    graph,
    operations,
    runs,
    workflows,
)
from basecamp.api.security_headers import SecurityHeaders
from basecamp.monitoring.metrics import Metrics
from basecamp.outages.request_budget import REQUEST_SECONDS
from basecamp.services import Services
from basecamp.shared.public_address import PublicAddress
from basecamp.shared.waiting import READ_THREADS
from dataspec.distribution import version
from dataspec.tracing import is_on

DESCRIPTION = """Registers datasets, and starts and monitors their runs on Airflow.

Errors are problem documents (RFC 9457) with a stable `code`. Times are RFC 3339 with offset.
"""


def create_app(
    services: Services,
    *,
    credentials: Credentials | None = None,
    metrics: Metrics | None = None,
    hosts: Collection[str] | None = None,
    public: PublicAddress | None = None,
    pages: APIRouter | None = None,
    request_seconds: float = REQUEST_SECONDS,
    on_start: Callable[[], None] | None = None,
) -> FastAPI:
    """Create the application.

    Args:
        services: The services.
        credentials: The sign-in that is on; without one every caller may do everything.
        metrics: The metrics; new ones by default.
        hosts: Accepted host names beside the public one; any by default.
        public: The address at which users open the pages.
        pages: The routes of the web interface.
        request_seconds: How long one request may wait for the store and Airflow, in sum.
        on_start: Called before the first request.
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        current_default_thread_limiter().total_tokens = READ_THREADS
        if on_start is not None:
            on_start()
        yield

    metrics = metrics or Metrics()
    metrics.watch(services.collectors)
    prefix = public.prefix if public else ""
    app = FastAPI(
        title="Basecamp",
        version=version(),
        description=DESCRIPTION,
        openapi_url=None,  # with the page that shows it in routes/documentation.py
        servers=[{"url": prefix or "/"}],
        responses={"default": _problem()},
        lifespan=lifespan,
        middleware=[
            Middleware(RequestIds),
            *([Middleware(Traces)] if is_on() else []),
            Middleware(RequestLog, metrics=metrics, has_sign_in=credentials is not None),
            Middleware(SecurityHeaders),
            Middleware(LastRequests),
            *([Middleware(HostGuard, hosts=hosts, public=public)] if hosts else []),
            Middleware(OriginGuard, public=public),
            Middleware(BodyLimit),
            Middleware(PublicPaths, prefix=prefix),
            Middleware(HeadRequests),
            Middleware(RequestBudget, seconds=request_seconds),
        ],
    )
    app.state.services = services
    app.state.metrics = metrics
    app.state.gate = Gate(credentials)
    app.state.public = public
    install_problem_handlers(app)
    for module in (workflows, graph, runs, backfills, datasets, audit, operations, access, documentation):
        _include(app, module.router)
    if pages is not None:
        _include(app, pages)
    return app


def _include(app: FastAPI, router: APIRouter) -> None:
    """Add routes, each of which must have its row in the table of rights.

    Raises:
        LookupError: With the first route that has none.
    """
    for route in router.routes:
        assert isinstance(route, CheckedRoute), f"{route} does not check rights"  # noqa: S101
        route.right  # noqa: B018 - raises without a row
    app.include_router(router)


def _problem() -> dict[str, Any]:
    return {"description": "A problem", "content": {MEDIA_TYPE: {"schema": DOCUMENT_SCHEMA}}}
