"""Which proxy leads to a server: the variables that curl, Go and requests read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dataspec.errors import InvalidSettings
from dli.client.addresses import Address, parse_address

if TYPE_CHECKING:
    from collections.abc import Mapping


def proxy_for(server: Address, environ: Mapping[str, str]) -> Address | None:
    """Return the proxy for a server, or None where it is reached directly.

    ``HTTP_PROXY`` or ``HTTPS_PROXY`` by the server's scheme, else ``ALL_PROXY``, in lower
    case first; ``NO_PROXY`` names the hosts that are reached directly. A server on this
    machine always is.

    Raises:
        InvalidSettings: When the variable does not hold an ``http`` URL.
    """
    name, url = _configured(server.scheme, environ)
    if not url or _is_loopback(server.host) or _is_excepted(server, environ):
        return None
    proxy = parse_address(url if "://" in url else f"http://{url}", what=f"proxy in {name}")
    if proxy.scheme != "http":
        raise InvalidSettings(f"Invalid proxy in {name}: only proxies at http:// URLs are known.")
    return proxy


def _configured(scheme: str, environ: Mapping[str, str]) -> tuple[str, str]:
    for name in (f"{scheme}_proxy", f"{scheme}_proxy".upper(), "all_proxy", "ALL_PROXY"):
        # A CGI script's HTTP_PROXY is the header "Proxy" of whoever called it.
        forged = name == "HTTP_PROXY" and "REQUEST_METHOD" in environ
        if environ.get(name) and not forged:
            return name, environ[name]
    return "", ""


def _is_loopback(host: str) -> bool:
    return host in {"localhost", "::1"} or (host.startswith("127.") and host.replace(".", "").isdigit())


def _is_excepted(server: Address, environ: Mapping[str, str]) -> bool:
    excepted = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    return any(_matches(entry.strip().lower(), server) for entry in excepted.split(",") if entry.strip())


def _matches(entry: str, server: Address) -> bool:
    host = server.host.lower()
    if entry == "*":
        return True
    if "/" in entry:
        return _in_network(host, entry)
    name, colon, port = entry.rpartition(":")
    if colon and port.isdigit() and ":" not in name:
        if int(port) != server.port:
            return False
        entry = name
    entry = entry.removeprefix("*").strip("[]")
    return host == entry.lstrip(".") or host.endswith("." + entry.lstrip("."))


def _in_network(host: str, network: str) -> bool:
    from ipaddress import ip_address, ip_network

    try:
        return ip_address(host) in ip_network(network, strict=False)
    except ValueError:
        return False
