"""How every page is made: rendered from a template, safe headers, errors as pages too."""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Callable, Coroutine, Mapping
from functools import cache, partial
from typing import Any

from fastapi.routing import APIRoute
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Match
from starlette.types import Scope

from basecamp.api.problems import RETRY_AFTER_SECONDS, report_mistake
from basecamp.shared.page_links import Links
from basecamp.web import forms, times
from basecamp.web.static_files import static_address
from dataspec.errors import DliError, Unavailable
from dataspec.models import RunStatus, SourceType, WorkflowStatus

log = logging.getLogger(__name__)

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    # Not "no-referrer": with that, browsers hide the origin of the page's own forms.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


_JOINTS = re.compile(r"([._/@])(?=.)")


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("basecamp.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "moment": times.moment,
        "in_own_zone": times.in_own_zone,
        "as_text": forms.as_text,
        "breakable": breakable,
    }
    environment.globals |= {
        "duration": times.duration,
        "input_attributes": forms.input_attributes,
        "choices": forms.choices,
        "field_prefix": forms.PREFIX,
        "new_key": lambda: uuid.uuid4().hex,
        "sources": tuple(SourceType),
        "workflow_statuses": tuple(WorkflowStatus),
        "run_statuses": tuple(RunStatus),
    }
    return environment


def breakable(text: str) -> Markup:
    """Return a name that a line may break after its ``.``, ``_``, ``/`` and ``@``."""
    return Markup(_JOINTS.sub(r"\1<wbr>", str(escape(text))))  # noqa: S704 - it was escaped


def links_of(request: Request) -> Links:
    """Return the addresses of the pages as this request's reader sees them."""
    return Links(request.scope.get("root_path", ""))


def page(
    request: Request,
    template: str,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **context: Any,
) -> HTMLResponse:
    """Render a page."""
    text = (
        _templates()
        .get_template(template)
        .render(links=links_of(request), static=partial(static_address, links_of(request).root), **context)
    )
    return HTMLResponse(text, status, {**HEADERS, **(headers or {})})


def error_page(request: Request, error: DliError) -> HTMLResponse:
    """Render an error, with the wording and the status that the API gives it."""
    retry = RETRY_AFTER_SECONDS if isinstance(error, Unavailable) and request.method == "GET" else None
    headers = {"Retry-After": str(retry)} if retry else {}
    return page(request, "error.html", status=error.http_status, headers=headers, error=error, retry=retry)


class PageRoute(APIRoute):
    """A route whose errors are pages."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler, with a page for whatever it raises."""
        handle = super().get_route_handler()

        async def handle_with_pages(request: Request) -> Response:
            try:
                return await handle(request)
            except Unavailable as error:
                log.warning("%s %s: %s %s", request.method, request.url.path, error.title, error.detail or "")
                return error_page(request, error)
            except DliError as error:
                return error_page(request, error)
            except Exception as error:  # noqa: BLE001 - it is logged, and the reader gets a page
                return error_page(request, report_mistake(request, error))

        return handle_with_pages


class LastRoute(PageRoute):
    """A route for what a browser asks for and no other route has; programs get the API's answer."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match what a person asks for."""
        wanted = scope["type"] == "http" and not scope["path"].startswith("/api/")
        if wanted and "text/html" in Headers(scope=scope).get("accept", ""):
            return super().matches(scope)
        return Match.NONE, {}
