"""Detects the Airflow version, and creates the gateway to it (specification 15.1)."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, cast

from basecamp.airflow.airflow_2 import Airflow2
from basecamp.airflow.airflow_3 import Airflow3
from basecamp.airflow.gateway import AirflowGateway
from basecamp.airflow.transport import AirflowTransport
from dataspec.errors import AirflowUnreachable

_VERSION = re.compile(r"(\d+)\.(\d+)[\w.+-]*")


FIRST_OF_AIRFLOW_3 = (3, 3)
"""The first version with cursors and prefix filters in lists."""

AIRFLOW_2 = (2, 11)
"""The last version of Airflow 2."""


class NotAirflow(AirflowUnreachable):
    """The address belongs to another server, or to an unsupported Airflow version."""


class LateGateway:
    """A gateway that connects at the first call, so that Basecamp can start before Airflow.

    Until a call has connected, each raises the errors of :func:`connect`.
    """

    def __init__(self, transport: AirflowTransport) -> None:
        self._transport = transport
        self._gateway: AirflowGateway | None = None

    @property
    def url(self) -> str:
        """Airflow's address, without credentials."""
        return self._transport.url

    def now(self) -> datetime | None:
        """Return Airflow's time by its last response; None before the first one."""
        return self._transport.now()

    def __getattr__(self, name: str) -> Any:
        """Return a method of the gateway; connects first."""
        if self._gateway is None:
            self._gateway = connect(self._transport)
        return getattr(self._gateway, name)


def late_gateway(transport: AirflowTransport) -> AirflowGateway:
    """Return a gateway to an Airflow that may start later."""
    return cast("AirflowGateway", LateGateway(transport))


def connect(transport: AirflowTransport) -> AirflowGateway:
    """Request the server's version, and return the gateway for it.

    Raises:
        NotAirflow: When it is another server, or an unsupported Airflow version.
        AirflowUnreachable: When the server does not answer.
    """
    version = _version(transport, "/api/v2/version") or _version(transport, "/api/v1/version")
    if version is not None and _numbers(version) >= FIRST_OF_AIRFLOW_3:
        return Airflow3(transport)
    if version is not None and _numbers(version) == AIRFLOW_2:
        transport.speak_to_airflow_2()
        return Airflow2(transport)
    if version is not None:
        raise NotAirflow(
            f"Airflow {version} is not supported.",
            detail=f"{transport.url} is an Airflow {version}. "
            "Basecamp supports Airflow 2.11, and 3.3 and later.",
        )
    raise NotAirflow(
        "The server is not an Airflow.",
        detail=f"{transport.url} has neither /api/v2/version nor /api/v1/version.\n"
        "Set BASECAMP_AIRFLOW_URL to the address of Airflow's API server, without /api.",
    )


def _numbers(version: str) -> tuple[int, int]:
    match = _VERSION.fullmatch(version)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _version(transport: AirflowTransport, path: str) -> str | None:
    response = transport.request_open(path)
    if response.is_server_error:
        raise AirflowUnreachable(
            "Airflow answered with an error.",
            detail=f"GET {transport.url}{path}: {response.status_code} {response.reason_phrase}",
        )
    try:
        found = response.json()["version"]
    except (ValueError, KeyError, TypeError):
        return None
    return found if response.is_success and isinstance(found, str) and _VERSION.fullmatch(found) else None
