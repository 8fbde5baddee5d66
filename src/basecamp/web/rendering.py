"""Rendering of pages: templates, times, static files, security headers, and errors as pages."""

from __future__ import annotations

import hashlib
import logging
import re
import uuid
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from importlib.resources import files
from typing import Any, Literal
from urllib.parse import parse_qsl, quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Match
from starlette.types import Scope

from basecamp.api.checked_route import CheckedRoute
from basecamp.api.problems import RETRY_AFTER_SECONDS, challenge, log_internal_error
from basecamp.api.public_paths import path_of
from basecamp.shared.page_links import Links
from basecamp.web import forms
from basecamp.web.viewer import Viewer
from dataspec.errors import DliError, InvalidUsage, NotFound, Unauthorized, Unavailable
from dataspec.models import IN_AIRFLOW, RunStatus, SourceType, WorkflowStatus

log = logging.getLogger(__name__)

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}

_TRACKING = frozenset({"fbclid", "gclid", "msclkid", "mc_cid", "mc_eid"})
"""Query parameters that mail programs and other sites add to links, beside those that begin with ``utm_``."""

_NOT_ENTERED = frozenset({forms.CSRF_FIELD, "key", "do", "token", "next"})
"""Fields of forms that their user has not typed, or must not see."""

SEE_OTHER = 303

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
        "moment": moment,
        "in_own_zone": in_own_zone,
        "as_text": forms.as_text,
        "breakable": breakable,
    }
    environment.globals |= {
        "duration": duration,
        "input_attributes": forms.input_attributes,
        "choices": forms.choices,
        "field_prefix": forms.PREFIX,
        "in_airflow": IN_AIRFLOW,
        "new_key": lambda: uuid.uuid4().hex,
        "sources": tuple(SourceType),
        "workflow_statuses": tuple(WorkflowStatus),
        "run_statuses": tuple(RunStatus),
    }
    return environment


def breakable(text: str) -> Markup:
    """Return a name with optional line breaks after ``.``, ``_``, ``/`` and ``@``."""
    return Markup(_JOINTS.sub(r"\1<wbr>", str(escape(text))))  # noqa: S704 - escaped


def links_of(request: Request) -> Links:
    """Return the URLs of the pages, under the proxy's path prefix of this request."""
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
    links = links_of(request)
    static = partial(static_address, links.root)
    template_context = {"links": links, "static": static, "viewer": Viewer.of(request), **context}
    text = _templates().get_template(template).render(template_context)
    return HTMLResponse(text, status, {**HEADERS, **(headers or {})})


def error_page(request: Request, error: DliError) -> HTMLResponse:
    """Render an error, with the API's message and status."""
    retry = RETRY_AFTER_SECONDS if isinstance(error, Unavailable) and request.method == "GET" else None
    headers = {"Retry-After": str(retry)} if retry else {}
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = challenge(error)
    return page(request, "error.html", status=error.http_status, headers=headers, error=error, retry=retry)


async def form_not_sent_page(request: Request, error: DliError, *, back: str) -> HTMLResponse:
    """Render that a form had no effect, with what was entered, so that nothing is lost.

    Args:
        request: The request.
        error: Why it had none.
        back: The address at which the user goes on.
    """
    form = getattr(request.state, "form", None)
    if form is None:
        with suppress(InvalidUsage):
            form = dict(forms.parse_form(request, await request.body()))
    entered = {
        name.removeprefix(forms.PREFIX): text
        for name, text in (form or {}).items()
        if text and name not in _NOT_ENTERED
    }
    return page(
        request,
        "form_not_sent.html",
        status=error.http_status,
        error=error,
        entered=entered,
        back=back,
        signed_out=isinstance(error, Unauthorized),
    )


async def signed_out_page(request: Request, error: Unauthorized) -> Response:
    """Send a person who is not signed in to the sign-in, and back to this page afterwards."""
    has_sign_in = request.app.state.services.page_sign_in is not None
    if not has_sign_in or "authorization" in request.headers or "hx-request" in request.headers:
        return error_page(request, error)  # to a program; the page's script says what to do
    links = links_of(request)
    sign_in = links.sign_in(next=links.own_target(_address_of(request)))
    if request.method == "GET":
        return redirect(sign_in)
    return await form_not_sent_page(request, error, back=sign_in)


def redirect(address: str) -> Response:
    """Redirect to a page, with GET."""
    return RedirectResponse(address, SEE_OTHER, HEADERS)


def _address_of(request: Request) -> str:
    query = request.url.query
    return quote(request.url.path) + (f"?{query}" if query else "")


class PageRoute(CheckedRoute):
    """A route that renders its errors as pages."""

    takes_cookie = True

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler, with a page for each error that it raises."""
        handle = super().get_route_handler()

        async def handle_with_pages(request: Request) -> Response:
            try:
                return await handle(request)
            except Unauthorized as error:
                return await signed_out_page(request, error)
            except forms.OutdatedForm as error:
                return await form_not_sent_page(request, error, back=_address_of(request))
            except Unavailable as error:
                log.warning("%s %s: %s %s", request.method, request.url.path, error.title, error.detail or "")
                return error_page(request, error)
            except DliError as error:
                return error_page(request, error)
            except Exception as error:  # noqa: BLE001 - logged, and shown as a page
                return error_page(request, log_internal_error(request, error))

        return handle_with_pages

    async def check(self, request: Request) -> None:
        """Refuse unknown and repeated query parameters; the forms check their bodies."""
        self.check_names(request)

    async def sent_fields(self, request: Request) -> Mapping[str, Any]:
        """Return the fields of a request's query and form; the form's own reader refuses what it does not have."""
        form = (await request.body()).decode("utf-8", "replace")
        return dict(request.query_params) | dict(parse_qsl(form, max_num_fields=forms.MAX_FIELDS))

    def is_preview(self, sent: Mapping[str, Any]) -> bool:
        """Return whether the button of the preview was pressed."""
        return sent.get("do") == "preview"

    def ignores(self, name: str) -> bool:
        """Ignore what is added to a link to a page, to count where its readers come from."""
        return name.startswith("utm_") or name in _TRACKING


class FallbackRoute(PageRoute):
    """The route of all paths that no other route has, for browsers; programs get the API's response."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match requests to read a page outside the API; a path with a slash at its end is redirected."""
        path = path_of(scope)
        wanted = scope["method"] == "GET" and not path.startswith("/api/") and not path.endswith("/")
        if wanted and "text/html" in Headers(scope=scope).get("accept", ""):
            return super().matches(scope)
        return Match.NONE, {}

    async def check(self, request: Request) -> None:
        """Accept every query: that the page does not exist says more."""


Style = Literal["absolute", "relative", "since"]
"""How the script shows a time: as it is, as ``3 min ago``, or as the duration since."""

NONE = "–"  # noqa: RUF001 - an en dash

_TIME = Markup('<time datetime="{}" data-style="{}">{}</time>')


def moment(at: datetime | None, style: Style = "absolute") -> Markup | str:
    """Return a ``<time>`` element in UTC, which the script shows in the browser's time zone; a dash for None."""
    if at is None:
        return NONE
    at = at.astimezone(UTC)
    return _TIME.format(at.isoformat(timespec="seconds"), style, f"{at:%Y-%m-%d %H:%M:%S} UTC")


def in_own_zone(at: datetime | None) -> Markup | str:
    """Return a ``<time>`` element as ``YYYY-MM-DD HH:MM`` in the time's own zone (specification 24.5)."""
    if at is None:
        return NONE
    return _TIME.format(at.isoformat(timespec="seconds"), "kept", f"{at:%Y-%m-%d %H:%M}")


def duration(start: datetime | None, end: datetime | None) -> str:
    """Return a duration in its two largest units, such as ``1h 02m`` or ``4s``."""
    if start is None or end is None:
        return NONE
    minutes, seconds = divmod(max(0, round((end - start).total_seconds())), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h {minutes:02}m"
    return f"{minutes}m {seconds:02}s" if minutes else f"{seconds}s"


MEDIA_TYPES = {
    "app.css": "text/css; charset=utf-8",
    "app.js": "text/javascript; charset=utf-8",
    "htmx.min.js": "text/javascript; charset=utf-8",
    "htmx.LICENSE.txt": "text/plain; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A static file."""

    body: bytes
    media_type: str
    digest: str
    """First 12 hex digits of the body's SHA-256; part of the URL, so that browsers can cache for ever."""


@cache
def static_file(name: str) -> StaticFile:
    """Return a static file.

    Raises:
        NotFound: When there is no such file.
    """
    if name not in MEDIA_TYPES:
        raise NotFound("There is no such page.")
    body = files("basecamp.web").joinpath("static", name).read_bytes()
    return StaticFile(body, MEDIA_TYPES[name], hashlib.sha256(body).hexdigest()[:12])


def static_address(root: str, name: str) -> str:
    """Return the URL of a static file, under a proxy's path prefix."""
    return f"{root}/static/{static_file(name).digest}/{name}"
