"""What a run's SQL sees beside its parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dataspec.parameters.resolve import EXECUTION_DATE
from dataspec.schedule.cron import Interval, interval_of_date

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dataspec.spec.model import DatasetSpec


def run_values(
    spec: DatasetSpec, parameters: Mapping[str, Any], *, data_interval: Interval | None = None
) -> dict[str, Any]:
    """Return the values that the SQL templates of one run see.

    They are the parameters, and ``data_interval_start`` and ``data_interval_end`` in UTC as
    ISO text. A run that was not scheduled has the interval that a scheduled run for its
    ``execution_date`` would have; without an ``execution_date`` it has none.

    Args:
        spec: The run's spec.
        parameters: What :func:`dataspec.parameters.resolve.resolve_parameters` returned.
        data_interval: The interval of a scheduled run.
    """
    interval = data_interval or _interval(spec, parameters.get(EXECUTION_DATE))
    times = zip(("data_interval_start", "data_interval_end"), interval or (), strict=False)
    return {**parameters, **{name: moment.isoformat() for name, moment in times}}


def _interval(spec: DatasetSpec, date: str | None) -> Interval | None:
    if date is None:
        return None
    cron, zone = (spec.schedule.cron, spec.schedule.timezone) if spec.schedule else (None, "UTC")
    return interval_of_date(cron, zone, date)
