"""Times that are compared with Airflow's: replicas, Airflow and the store have clocks that may differ by minutes."""

from __future__ import annotations

from datetime import datetime, timedelta

from basecamp.airflow.gateway import AirflowGateway
from basecamp.shared.clock import Clock

AIRFLOW_TIME_PRECISION = timedelta(seconds=1)
"""How late Airflow's time may be: a ``Date`` header has no fractions of a second."""


def airflow_now(gateway: AirflowGateway, clock: Clock) -> datetime:
    """Return the time to compare with Airflow's times: Airflow's own, or ours before its first response."""
    return gateway.now() or clock.now()


def earlier_now(gateway: AirflowGateway, clock: Clock) -> datetime:
    """Return the earlier one of our time and Airflow's: what was before it is over by both clocks.

    A logical date must be such a time, because Airflow starts no run before it (specification 12.2). Airflow's time is
    known to the second, so ours counts unless it is ahead by more than that.
    """
    ours, theirs = clock.now(), airflow_now(gateway, clock)
    return theirs if ours - theirs > AIRFLOW_TIME_PRECISION else ours
