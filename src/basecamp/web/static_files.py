"""The page's own files, each under an address that carries the hash of what is in it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from dataspec.errors import NotFound

MEDIA_TYPES = {
    "app.css": "text/css; charset=utf-8",
    "app.js": "text/javascript; charset=utf-8",
    "htmx.min.js": "text/javascript; charset=utf-8",
    "htmx.LICENSE.txt": "text/plain; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file, whole."""

    body: bytes
    media_type: str
    digest: str
    """The beginning of the SHA-256 of the body."""


@cache
def static_file(name: str) -> StaticFile:
    """Return one of the page's files.

    Raises:
        NotFound: When the page has no such file.
    """
    if name not in MEDIA_TYPES:
        raise NotFound("There is no such page.")
    body = files("basecamp.web").joinpath("static", name).read_bytes()
    return StaticFile(body, MEDIA_TYPES[name], hashlib.sha256(body).hexdigest()[:12])


def static_address(root: str, name: str) -> str:
    """Return the address of one of the page's files, below the path that a proxy serves Basecamp under."""
    return f"{root}/static/{static_file(name).digest}/{name}"
