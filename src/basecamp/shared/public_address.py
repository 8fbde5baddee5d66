"""The address at which users open Basecamp's pages, from ``BASECAMP_PUBLIC_URL``."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

import idna

from dataspec.errors import InvalidSettings

PUBLIC_URL = "BASECAMP_PUBLIC_URL"
OWN_PATHS = frozenset(
    {"api", "audit", "backfills", "device", "docs", "healthz", "metrics", "openapi.json", "readyz", "runs"}
    | {"schemas", "sign-in", "sign-out", "static", "static-offline-docs", "workflows"}
)
"""First parts of Basecamp's own paths: a prefix must differ, since a proxy may pass it on or remove it."""

_DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[a-z0-9_]([a-z0-9._-]*[a-z0-9_.])?|[0-9a-f:.]*:[0-9a-f:.]*")
_PREFIX = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+)*")


@dataclass(frozen=True, slots=True)
class PublicAddress:
    """The parts of a public URL, such as ``https://data.example.com/basecamp``."""

    origin: str
    """Scheme, host and port as a browser's header ``Origin`` has them."""
    host: str
    """The host's name in lower case."""
    prefix: str = ""
    """The path under which a proxy serves Basecamp; empty if it is the root."""

    @classmethod
    def parse(cls, url: str) -> PublicAddress:
        """Split a public URL into its parts.

        Raises:
            InvalidSettings: When it is not an address of pages.
        """
        parts = urlsplit(url) if _is_http(url) else None
        if parts is None:
            raise InvalidSettings(
                f"{PUBLIC_URL} is not a URL. It must begin with https:// or http://, then a host."
            )
        if parts.query or parts.fragment or "@" in parts.netloc:
            raise InvalidSettings(f"{PUBLIC_URL} must be scheme, host, port and path alone.")
        prefix = parts.path.rstrip("/")
        if not _PREFIX.fullmatch(prefix):
            raise InvalidSettings(
                f"{PUBLIC_URL}: the path '{prefix}' may have letters A-Z a-z, digits, '.', '_', '~' and '-'."
            )
        if (first := prefix.split("/")[1] if prefix else "") in OWN_PATHS:
            raise InvalidSettings(f"{PUBLIC_URL}: the path must not begin with /{first}, a path of Basecamp.")
        return cls(_origin(parts), _host(parts), prefix)

    @property
    def url(self) -> str:
        """The URL without a slash at its end."""
        return self.origin + self.prefix


def origin_of(text: str) -> str | None:
    """Return a header ``Origin`` in its normal form; None if it names no web site."""
    if not _is_http(text):
        return None
    parts = urlsplit(text)
    return None if parts.path or parts.query or parts.fragment or "@" in parts.netloc else _origin(parts)


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        known = parts.scheme in _DEFAULT_PORTS and parts.port != 0
        return known and _HOST.fullmatch(_host(parts)) is not None
    except ValueError:
        return False


def _origin(parts: SplitResult) -> str:
    host = _host(parts)
    shown = f"[{host}]" if ":" in host else host
    is_default = parts.port in {None, _DEFAULT_PORTS[parts.scheme]}
    return f"{parts.scheme}://{shown}" + ("" if is_default else f":{parts.port}")


def _host(parts: SplitResult) -> str:
    """Return the host as a browser sends it: in lower case, other letters than ASCII in Punycode.

    Raises:
        ValueError: When its letters can't be part of a host's name.
    """
    host = parts.hostname or ""
    return host if host.isascii() else idna.encode(host, uts46=True).decode()


def is_loopback(host: str) -> bool:
    """Return whether a host is reachable from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
