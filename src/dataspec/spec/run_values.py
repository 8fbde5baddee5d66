"""Resolve what the SQL of one run sees: its parameters, and the data interval of its partition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from dataspec.parameters.resolve import EXECUTION_DATE, resolve_parameters
from dataspec.schedule.cron import interval_of_date

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dataspec.schedule.cron import Interval
    from dataspec.spec.model import DatasetSpec


class RunValues(NamedTuple):
    """The values of one run."""

    parameters: dict[str, Any]
    """Every declared parameter, safe for JSON."""
    template: dict[str, Any]
    """The parameters, with ``data_interval_start`` and ``data_interval_end`` in UTC as ISO text."""


def resolve_run(
    spec: DatasetSpec, given: Mapping[str, Any], *, data_interval: Interval | None = None
) -> RunValues:
    """Resolve the parameters of a run and its data interval.

    A run that was not scheduled has the interval of the scheduled run for its ``execution_date``;
    without an ``execution_date`` it has none.

    Args:
        spec: The run's spec.
        given: The parameters of the request, or of the run's conf.
        data_interval: The interval that a run of the timetable builds.

    Raises:
        InvalidParameters: As :func:`dataspec.parameters.resolve.resolve_parameters`.
    """
    parameters = resolve_parameters(spec.parameters, given)
    cron, zone = (spec.schedule.cron, spec.schedule.timezone) if spec.schedule else (None, "UTC")
    date = parameters.get(EXECUTION_DATE)
    interval = data_interval or (interval_of_date(cron, zone, date) if date is not None else None)
    if interval is None:
        return RunValues(parameters, parameters)
    start, end = interval
    times = {"data_interval_start": start.isoformat(), "data_interval_end": end.isoformat()}
    return RunValues(parameters, {**parameters, **times})
