"""Webhooks: a POST of JSON to a URL from a spec, restricted to public addresses and to a time limit.

Otherwise anyone who may register a spec could make the server call addresses that only its machine
or network should reach, such as the cloud's metadata service. The address is checked when the
connection is made, so that DNS can't return another one between check and use.
"""

from __future__ import annotations

import ipaddress
import json
import socket
import ssl
import time
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit

import httpcore

from basecamp.notifications.channels.channel import SendFailed
from basecamp.notifications.channels.webhook_formats import webhook_content
from basecamp.notifications.notification import Notification
from basecamp.notifications.settings import WEBHOOK_NETWORKS, Network
from dataspec.distribution import version
from dataspec.spec.model import WebhookTarget

TIMEOUT_SECONDS = 15.0


def send_to_webhook(
    notification: Notification,
    target: WebhookTarget,
    networks: Sequence[Network],
    *,
    seconds: float = TIMEOUT_SECONDS,
) -> None:
    """Post a message; statuses 200 to 299 mean that it was accepted, and redirects are not followed.

    Raises:
        SendFailed: When the receiver does not accept it, or its address is not allowed.
    """
    network, url = PublicNetwork(networks, seconds), target.url
    body, accept = webhook_content(notification, target.format)
    headers: dict[bytes | str, bytes | str] = {
        "Content-Type": "application/json",
        "Accept": accept,
        "User-Agent": f"Basecamp/{version()}",
        "Idempotency-Key": notification.id,
        "Host": urlsplit(url).netloc,
        "Connection": "close",
    }
    content = json.dumps(body, ensure_ascii=False).encode()
    try:
        with (
            httpcore.ConnectionPool(network_backend=network) as pool,
            pool.stream("POST", url, headers=headers, content=content) as answer,
        ):
            _check(answer.status, {name.lower(): value for name, value in answer.headers})
    except httpcore.TimeoutException:
        raise SendFailed(f"no answer within {seconds:g} s") from None
    except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol, ValueError) as error:
        raise SendFailed(f"the connection failed: {error}") from None


def _check(status: int, headers: dict[bytes, bytes]) -> None:
    if 200 <= status < 300:  # noqa: PLR2004 - HTTP's own bounds
        return
    if 300 <= status < 400:  # noqa: PLR2004
        raise SendFailed(f"the answer was {status}: a redirect, which is not followed; write the final URL")
    wait = headers.get(b"retry-after", b"")
    raise SendFailed(
        f"the answer was {status}",
        retry_after=float(wait) if wait.isdigit() and len(wait) < 8 else None,  # noqa: PLR2004 - more digits are no wait
    )


Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_PUBLIC_IPV6 = ipaddress.ip_network("2000::/3")
_NOT_PUBLIC = tuple(
    map(
        ipaddress.ip_network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "168.63.129.16/32",  # the platform of Azure, on each of its machines
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",
            "240.0.0.0/4",
            "2001::/23",
            "2001:db8::/32",
            "3fff::/20",
        ),
    )
)
"""Special-purpose networks of IANA's registries: what `is_global` says of them differs by Python's patch release."""


class PublicNetwork(httpcore.NetworkBackend):
    """Connects to allowed addresses, until a deadline.

    Args:
        allowed: Non-public networks that may be reached.
        seconds: Time limit of the whole exchange, however slowly the receiver answers.
    """

    def __init__(self, allowed: Sequence[Network], seconds: float) -> None:
        self._allowed = allowed
        self._deadline = time.monotonic() + seconds
        self._network = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - the deadline replaces it
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address of a host, provided that all its addresses are allowed.

        Raises:
            SendFailed: When one of them is not allowed.
        """
        addresses = self._resolved(host, port)
        for address in addresses:
            if not is_allowed(address, self._allowed):
                raise SendFailed(
                    f"{host} has no public address: webhooks may reach addresses of the server or its network "
                    f"only if {WEBHOOK_NETWORKS} lists them"
                )
        stream = self._network.connect_tcp(
            str(addresses[0]), port, _left(self._deadline), local_address, socket_options
        )
        return _DeadlineStream(stream, self._deadline)

    def _resolved(self, host: str, port: int) -> list[Address]:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise SendFailed(
                f"{host} can't be resolved: {getattr(error, 'strerror', None) or error}"
            ) from None
        return [ipaddress.ip_address(str(place[0]).partition("%")[0]) for *_, place in found]


class _DeadlineStream(httpcore.NetworkStream):
    """A connection whose every operation ends by the deadline."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        return self._stream.read(max_bytes, _left(self._deadline))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        self._stream.write(buffer, _left(self._deadline))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        return _DeadlineStream(
            self._stream.start_tls(ssl_context, server_hostname, _left(self._deadline)), self._deadline
        )

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def is_allowed(address: Address, allowed: Sequence[Network]) -> bool:
    """Say whether webhooks may reach an address; IPv6 forms of an IPv4 address count as that address."""
    effective = _effective(address)
    if any(effective in network for network in allowed):
        return True
    if any(effective in network for network in _NOT_PUBLIC):
        return False
    return isinstance(effective, ipaddress.IPv4Address) or effective in _PUBLIC_IPV6


def _effective(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address embeds, or else the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout
    return left
