"""Resolve what the SQL of one run sees: its parameters, and the data interval of its partition.

The command line, the API and Airflow's task all resolve a run's parameters by this module (specification 8.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dataspec.errors import UnknownParameter
from dataspec.parameters import EXECUTION_DATE
from dataspec.problems import nearest
from dataspec.schedule.partitions import Grid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dataspec.schedule.cron import Interval
    from dataspec.spec.model import DatasetSpec, ScheduleConfig


@dataclass(frozen=True, slots=True)
class RunValues:
    """The values of one run."""

    parameters: dict[str, Any]
    """Every declared parameter with its value or default, safe for JSON, in the order of the spec."""
    schedule: ScheduleConfig | None
    data_interval: Interval | None
    """The interval that a run of the timetable builds; None for any other run."""

    @property
    def template(self) -> dict[str, Any]:
        """The parameters, with ``data_interval_start`` and ``data_interval_end`` in UTC as ISO text.

        A run that was not scheduled has the interval of the scheduled run for its ``execution_date``;
        without an ``execution_date`` it has none.
        """
        interval, date = self.data_interval, self.parameters.get(EXECUTION_DATE)
        if interval is None and date is not None:
            grid = Grid.of(self.schedule)
            interval = grid.data_interval(grid.named(date))
        if interval is None:
            return self.parameters
        start, end = interval
        times = {"data_interval_start": start.isoformat(), "data_interval_end": end.isoformat()}
        return {**self.parameters, **times}


def resolve_run(
    spec: DatasetSpec, given: Mapping[str, Any], *, data_interval: Interval | None = None
) -> RunValues:
    """Resolve the parameters of a run: strict in name, presence and type.

    Args:
        spec: The run's spec.
        given: The parameters of the request, or of the run's conf.
        data_interval: The interval that a run of the timetable builds.

    Raises:
        UnknownParameter: For the first name that is not declared.
        MissingParameter: For the first required parameter that is not given.
        InvalidParameters: For the first value of a wrong type, or not among the choices.
    """
    allowed = {parameter.name: parameter.must_be_given for parameter in spec.parameters}
    for name in given:
        if name not in allowed:
            raise UnknownParameter(name, allowed, hint=nearest(name, allowed))
    parameters = {parameter.name: parameter.value(given.get(parameter.name)) for parameter in spec.parameters}
    return RunValues(parameters, spec.schedule, data_interval)
