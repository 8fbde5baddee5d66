"""Connections to addresses that a spec names: to public ones alone, and within a time.

Whoever may register a spec could otherwise reach, by a webhook's URL, what only this
machine or its network is meant to reach, such as the cloud's metadata service. The
address is checked where the connection is made, so no name can mean one thing when it is
checked and another when it is used.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from collections.abc import Iterable, Sequence
from typing import Any

import httpcore

from basecamp.notifications.channels.channel import SendFailed
from basecamp.notifications.configuration import WEBHOOK_NETWORKS, Network

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class GuardedNetwork(httpcore.NetworkBackend):
    """Connects to what is allowed, until the deadline.

    Args:
        allowed: Networks that are not public and may be reached.
        seconds: How long all of the exchange may take, however slowly the other side answers.
    """

    def __init__(self, allowed: Sequence[Network], seconds: float) -> None:
        self._allowed = allowed
        self._ends = time.monotonic() + seconds
        self._network = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - the deadline stands for it
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address of a host, where all of them are allowed.

        Raises:
            SendFailed: When one is not.
        """
        addresses = self._resolved(host, port)
        for address in addresses:
            if not is_allowed(address, self._allowed):
                raise SendFailed(
                    f"{host} is not public: a webhook may reach no address of this server or its network, "
                    f"except those that {WEBHOOK_NETWORKS} names"
                )
        stream = self._network.connect_tcp(
            str(addresses[0]), port, _left(self._ends), local_address, socket_options
        )
        return _Timed(stream, self._ends)

    def _resolved(self, host: str, port: int) -> list[Address]:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise SendFailed(f"{host} can't be found: {getattr(error, 'strerror', None) or error}") from None
        return [ipaddress.ip_address(str(place[0]).partition("%")[0]) for *_, place in found]


class _Timed(httpcore.NetworkStream):
    """A connection on which every step ends by the deadline."""

    def __init__(self, stream: httpcore.NetworkStream, ends: float) -> None:
        self._stream = stream
        self._ends = ends

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        return self._stream.read(max_bytes, _left(self._ends))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        self._stream.write(buffer, _left(self._ends))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        return _Timed(self._stream.start_tls(ssl_context, server_hostname, _left(self._ends)), self._ends)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def is_allowed(address: Address, allowed: Sequence[Network]) -> bool:
    """Say whether a spec may name an address, in whatever form it hides another."""
    meant = _meant(address)
    if any(meant in network for network in allowed):
        return True
    return meant.is_global and not meant.is_multicast


def _meant(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 one stands for, if it does."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None) or address


def _left(ends: float) -> float:
    left = ends - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout
    return left
