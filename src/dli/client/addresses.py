"""Addresses of servers and of the proxies that lead to them."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit

from dataspec.errors import InvalidSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_SERVER_URL = "http://127.0.0.1:8800"
"""The address on which ``basecamp dev`` and ``basecamp serve`` listen by default."""

PORTS = {"http": 80, "https": 443}

PLAIN_HTTP_HOSTS = "DLI_PLAIN_HTTP_HOSTS"
"""The variable that names hosts, separated by commas, to which a token may go without TLS."""


class Address(NamedTuple):
    """The parts of an ``http`` or ``https`` URL; its text never shows the credentials."""

    scheme: str
    host: str
    port: int
    path: str = ""
    """The path above all routes, without a slash at its end."""
    credentials: str | None = None
    """``user:password``, decoded."""

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"

    @property
    def authority(self) -> str:
        """The host, with the port unless it is the scheme's default."""
        return self.host_in_url if self.port == PORTS[self.scheme] else f"{self.host_in_url}:{self.port}"

    @property
    def host_in_url(self) -> str:
        """The host; an IPv6 address in brackets."""
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def basic(self) -> str | None:
        """The value of an ``Authorization`` header for the credentials."""
        if self.credentials is None:
            return None
        return "Basic " + b64encode(self.credentials.encode()).decode()


def parse_address(url: str, *, what: str = "server URL") -> Address:
    """Split a URL into its parts.

    Raises:
        InvalidSettings: When it is not an ``http`` or ``https`` URL with a host; never shows credentials.
    """
    try:
        parts = urlsplit(url.strip())
        scheme, host, port = parts.scheme.lower(), parts.hostname, parts.port
    except ValueError:
        # Python's own message quotes the URL, which may contain a password.
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


def proxy_for(server: Address, environ: Mapping[str, str]) -> Address | None:
    """Return the proxy for a server; None if the server is reached directly.

    The proxy is ``HTTP_PROXY`` or ``HTTPS_PROXY`` by the server's scheme, else ``ALL_PROXY``, in lower case
    first; ``NO_PROXY`` names the hosts that are reached directly. A server on this machine always is.

    Raises:
        InvalidSettings: When the variable does not hold an ``http`` URL.
    """
    variables = [f"{server.scheme}_proxy", f"{server.scheme}_proxy".upper(), "all_proxy", "ALL_PROXY"]
    if "REQUEST_METHOD" in environ:
        # In a CGI script HTTP_PROXY is the caller's header "Proxy".
        variables = [name for name in variables if name != "HTTP_PROXY"]
    name = next((name for name in variables if environ.get(name)), None)
    if name is None or is_loopback(server.host) or _is_excepted(server, environ):
        return None
    url = environ[name]
    proxy = parse_address(url if "://" in url else f"http://{url}", what=f"proxy in {name}")
    if proxy.scheme != "http":
        raise InvalidSettings(f"Invalid proxy in {name}: only proxies at http:// URLs are supported.")
    return proxy


def check_token_is_safe(server: Address, environ: Mapping[str, str]) -> None:
    """Refuse to send a token where others can read it on the way (specification 26.66).

    Raises:
        InvalidSettings: For a server that is reached by ``http://`` and is not on this machine.
    """
    named = {host.strip().lower() for host in (environ.get(PLAIN_HTTP_HOSTS) or "").split(",")}
    if server.scheme == "https" or is_loopback(server.host) or server.host in named:
        return
    raise InvalidSettings(
        f"No token is sent to {server}, because http:// is not encrypted.",
        detail=f"Use https://, or, in a network that you trust, set {PLAIN_HTTP_HOSTS}={server.host}",
    )


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine."""
    return host in {"localhost", "::1"} or (host.startswith("127.") and host.replace(".", "").isdigit())


def _is_excepted(server: Address, environ: Mapping[str, str]) -> bool:
    """Return whether ``NO_PROXY`` names a server: as ``urllib`` reads it, with ``*`` and networks beside."""
    # Imported here: only a user with a proxy pays its 5 ms.
    from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined] # typeshed lacks it

    excepted = [
        entry.strip() for entry in (environ.get("no_proxy") or environ.get("NO_PROXY") or "").split(",")
    ]
    names = ",".join(entry.removeprefix("*") for entry in excepted)
    return (
        "*" in excepted
        or bool(proxy_bypass_environment(f"{server.host_in_url}:{server.port}", {"no": names}))
        or any(_in_network(server.host, entry) for entry in excepted)
    )


def _in_network(host: str, network: str) -> bool:
    from ipaddress import ip_address, ip_network

    try:
        return ip_address(host) in ip_network(network, strict=False)
    except ValueError:
        return False
