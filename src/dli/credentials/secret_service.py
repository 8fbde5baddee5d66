"""Read a token from the Secret Service of a Linux desktop (GNOME Keyring, KeePassXC, KWallet).

``keyring`` writes there. To read, it would cost each command some 150 ms of processor time, most of them to import what
encrypts the secret on its way through the user's own socket; this costs some 10 (``bench/kept_tokens.py``).
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any

from jeepney import DBusAddress, MessageType, Properties, new_method_call
from jeepney.io.blocking import open_dbus_connection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jeepney.io.blocking import DBusConnection

BUS = "org.freedesktop.secrets"
NO_OBJECT = "/"
_SERVICE = DBusAddress("/org/freedesktop/secrets", BUS, "org.freedesktop.Secret.Service")


class ServiceError(Exception):
    """The Secret Service is not there, or answered with an error."""


class SecretService:
    """A connection to the Secret Service. It never asks the user for anything: what is locked stays locked.

    Args:
        connection: The connection to the session bus.
        seconds: How long all calls together may take.
    """

    def __init__(self, connection: DBusConnection, seconds: float) -> None:
        self._connection = connection
        self._ends = monotonic() + seconds

    @property
    def is_unlocked(self) -> bool:
        """Whether the collection that new secrets go to is there and unlocked."""
        (path,) = self._call(_SERVICE, "ReadAlias", "s", "default")
        if path == NO_OBJECT:
            return False
        collection = DBusAddress(path, BUS, "org.freedesktop.Secret.Collection")
        ((_, locked),) = self._send(Properties(collection).get("Locked"))
        return not locked

    def find(self, attributes: dict[str, str]) -> tuple[str | None, bool]:
        """Return the secret with these attributes, None without one, and whether one is locked."""
        unlocked, locked = self._call(_SERVICE, "SearchItems", "a{ss}", attributes)
        if not unlocked:
            return None, bool(locked)
        _, session = self._call(_SERVICE, "OpenSession", "sv", "plain", ("s", ""))
        (found,) = self._call(_SERVICE, "GetSecrets", "aoo", unlocked[:1], session)
        secret = found[unlocked[0]][2]
        return bytes(secret).decode(), False

    def _call(self, address: DBusAddress, method: str, signature: str, *values: Any) -> Any:
        return self._send(new_method_call(address, method, signature, values))

    def _send(self, message: Any) -> Any:
        reply = self._connection.send_and_get_reply(message, timeout=max(self._ends - monotonic(), 0))
        if reply.header.message_type is MessageType.error:
            raise ServiceError(str(reply.body[0]) if reply.body else "no reason given")
        return reply.body


@contextmanager
def secret_service(seconds: float) -> Iterator[SecretService]:
    """Connect to the user's Secret Service.

    Raises:
        ServiceError: When the environment names no session bus.
        OSError: When the session bus does not answer in time.
    """
    if "DBUS_SESSION_BUS_ADDRESS" not in os.environ:
        raise ServiceError("there is no session bus")
    with open_dbus_connection("SESSION", auth_timeout=seconds) as connection:
        yield SecretService(connection, seconds)
