"""Routes of the API's description, and of the page that shows it with files from this server alone."""

from __future__ import annotations

import re
from base64 import b64encode
from functools import cache
from hashlib import sha256
from importlib.resources import files

from fastapi import APIRouter, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import HTMLResponse, JSONResponse

from basecamp.api.checked_route import CheckedRoute
from dataspec.errors import NotFound

router = APIRouter(route_class=CheckedRoute, include_in_schema=False, default_response_class=Response)

STATIC_PATH = "/static-offline-docs"
MEDIA_TYPES = {
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
    "favicon.png": "image/png",
}

_SCRIPT = re.compile(rb"<script>(.*?)</script>", re.DOTALL)


@router.get("/openapi.json")
async def get_openapi(request: Request) -> JSONResponse:
    """Return the OpenAPI document."""
    return JSONResponse(request.app.openapi())


@router.get("/docs")
async def show_documentation(request: Request) -> HTMLResponse:
    """Show the OpenAPI document; other sites can't put the page into a frame."""
    root, static = request.scope["root_path"], request.scope["root_path"] + STATIC_PATH
    page = get_swagger_ui_html(
        openapi_url=f"{root}/openapi.json",
        title=f"{request.app.title} - Swagger UI",
        oauth2_redirect_url=None,
        swagger_js_url=f"{static}/swagger-ui-bundle.js",
        swagger_css_url=f"{static}/swagger-ui.css",
        swagger_favicon_url=f"{static}/favicon.png",
    )
    page.headers["Content-Security-Policy"] = _policy(bytes(page.body))
    return page


@router.get(STATIC_PATH + "/{name}")
async def get_file(name: str) -> Response:
    """Return a file of the page."""
    if name not in MEDIA_TYPES:
        raise NotFound("There is no such page.")
    return Response(_file(name), media_type=MEDIA_TYPES[name])


def _policy(page: bytes) -> str:
    """Return the policy of the page: its own script by its hash; Swagger UI sets styles and images inline."""
    hashes = " ".join(
        f"'sha256-{b64encode(sha256(script).digest()).decode()}'" for script in _SCRIPT.findall(page)
    )
    return (
        f"default-src 'none'; script-src 'self' {hashes}; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


@cache
def _file(name: str) -> bytes:
    return files("fastapi_offline").joinpath("static", name).read_bytes()
