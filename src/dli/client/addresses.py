"""Where a server, or a proxy on the way to it, is."""

from __future__ import annotations

from base64 import b64encode
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from dataspec.errors import InvalidSettings

DEFAULT_SERVER_URL = "http://127.0.0.1:8800"
"""Where ``basecamp dev`` and ``basecamp serve`` listen unless they are told otherwise."""

PORTS = {"http": 80, "https": 443}


class Address(NamedTuple):
    """The parts of an ``http`` or ``https`` URL; as text it never shows the credentials."""

    scheme: str
    host: str
    port: int
    path: str = ""
    """The path that all routes stand under, without a slash at its end."""
    credentials: str | None = None
    """``user:password``, decoded."""

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"

    @property
    def authority(self) -> str:
        """The host, with the port where it is not the scheme's own."""
        return self.host_in_url if self.port == PORTS[self.scheme] else f"{self.host_in_url}:{self.port}"

    @property
    def host_in_url(self) -> str:
        """The host, an IPv6 address in brackets."""
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def basic(self) -> str | None:
        """The value of an ``Authorization`` header for the credentials."""
        if self.credentials is None:
            return None
        return "Basic " + b64encode(self.credentials.encode()).decode()


def parse_address(url: str, *, what: str = "server URL") -> Address:
    """Take a URL apart.

    Raises:
        InvalidSettings: When it is not an ``http`` or ``https`` URL with a host; never shows credentials.
    """
    try:
        parts = urlsplit(url.strip())
        scheme, host, port = parts.scheme.lower(), parts.hostname, parts.port
    except ValueError:
        # Python's own words quote the URL, in which there may be a password.
        raise InvalidSettings(
            f"Invalid {what}: its host or its port can't be read.", detail="Write it as http://HOST:PORT."
        ) from None
    if scheme not in PORTS or not host:
        shown = url.rpartition("@")[2]
        raise InvalidSettings(
            f"Invalid {what} '{shown}'.", detail="Write it as http://HOST:PORT or https://HOST."
        )
    if parts.query or parts.fragment:
        raise InvalidSettings(f"Invalid {what}: it has a '?' or a '#'.")
    return Address(scheme, host, port or PORTS[scheme], parts.path.rstrip("/"), _credentials(parts.netloc))


def _credentials(netloc: str) -> str | None:
    userinfo, at, _ = netloc.rpartition("@")
    if not at:
        return None
    user, _, password = userinfo.partition(":")
    return f"{unquote(user)}:{unquote(password)}"
