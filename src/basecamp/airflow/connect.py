"""Finds out which line of Airflow answers, and makes the gateway to it (specification 15.1)."""

from __future__ import annotations

import re
from typing import Any, cast

from basecamp.airflow.gateway import AirflowGateway
from basecamp.airflow.http.transport import AirflowTransport
from basecamp.airflow.v1 import Airflow2
from basecamp.airflow.v2 import Airflow3
from dataspec.errors import AirflowUnreachable

_VERSION = re.compile(r"(\d+)\.(\d+)[\w.+-]*")


FIRST_OF_AIRFLOW_3 = (3, 3)
"""The first version whose lists go on from a cursor and are filtered by prefixes."""

AIRFLOW_2 = (2, 11)
"""The last version of Airflow 2."""


class NotAirflow(AirflowUnreachable):
    """The address is no Airflow's, or one of a line that Basecamp does not speak to."""


class LateGateway:
    """The gateway to an Airflow that may not be up yet: the first call that reaches it finds out which it is.

    Each call raises what :func:`connect` raises, until one has reached it.
    """

    def __init__(self, transport: AirflowTransport) -> None:
        self._transport = transport
        self._gateway: AirflowGateway | None = None

    @property
    def url(self) -> str:
        """Airflow's address, free of credentials."""
        return self._transport.url

    def __getattr__(self, name: str) -> Any:
        """Return a call of the gateway to the line that answers."""
        if self._gateway is None:
            self._gateway = connect(self._transport)
        return getattr(self._gateway, name)


def late_gateway(transport: AirflowTransport) -> AirflowGateway:
    """Return the gateway to an Airflow that may come up later."""
    return cast("AirflowGateway", LateGateway(transport))


def connect(transport: AirflowTransport) -> AirflowGateway:
    """Ask the server which Airflow it is, and return the gateway to it.

    Raises:
        NotAirflow: When it is another server, or an Airflow of another line.
        AirflowUnreachable: When there is no answer.
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
            "Basecamp works with Airflow 2.11, and with 3.3 and later.",
        )
    raise NotAirflow(
        "This is not an Airflow.",
        detail=f"{transport.url} knows neither /api/v2/version nor /api/v1/version.\n"
        "Check BASECAMP_AIRFLOW_URL: it is the address of Airflow's API server, without /api.",
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
