"""Resolve what the SQL of one run sees: its parameters, its partition, and its data interval.

The command line, the API and Airflow's task all resolve a run's parameters by this module (specification 8.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dataspec.errors import UnknownParameter
from dataspec.models import RunPartition
from dataspec.parameters import EXECUTION_DATE, ParameterValueError, check_choice
from dataspec.problems import nearest
from dataspec.schedule.partitions import Grid, Partition
from dataspec.schedule.relative_dates import absolute_date, days_ago

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from dataspec.schedule.cron import Interval
    from dataspec.spec.model import DatasetSpec, Parameter


@dataclass(frozen=True, slots=True)
class RunValues:
    """The values of one run."""

    parameters: dict[str, Any]
    """Every declared parameter with its value or default, safe for JSON, in the order of the spec."""
    grid: Grid
    partition: Partition | None
    """What the run builds; None for a run that is neither scheduled nor has an ``execution_date``."""
    stored_interval: Interval | None = None
    """The data interval of a run of the timetable, as Airflow stores it; None for any other run."""

    @property
    def run_partition(self) -> RunPartition | None:
        """The partition as the API and JSON show it."""
        found = self.partition
        return RunPartition(name=found.name, start=found.start, end=found.end) if found else None

    @property
    def partition_label(self) -> str | None:
        """The partition's name as tables show it."""
        return self.grid.label(self.partition) if self.partition else None

    @property
    def conf(self) -> dict[str, Any]:
        """The parameters for a run's conf: ``execution_date`` is the partition's name, so a retry builds the same."""
        if self.partition is None or EXECUTION_DATE not in self.parameters:
            return self.parameters
        return {**self.parameters, EXECUTION_DATE: self.partition.name}

    @property
    def template(self) -> dict[str, Any]:
        """The parameters, with the times of the partition and of the data interval as ISO text.

        A run that was not scheduled has the data interval of the scheduled run for its partition. A parameter that
        is called ``partition_start`` or ``partition_end`` keeps its own value.
        """
        if self.partition is None:
            return self.parameters
        if self.stored_interval is not None:
            interval = self.grid.interval_of_run(self.stored_interval)
        else:
            interval = self.grid.data_interval(self.partition)
        times = {
            "data_interval_start": interval[0],
            "data_interval_end": interval[1],
            "partition_start": self.partition.start,
            "partition_end": self.partition.end,
        }
        return {**{name: moment.isoformat() for name, moment in times.items()}, **self.parameters}

    @property
    def warnings(self) -> list[str]:
        """What the user should know of the partition."""
        if self.partition is None or not self.partition.off_schedule:
            return []
        schedule = f"the schedule '{self.grid.cron}' in {self.grid.zone}"
        covers = "the run covers that date alone, and does not count as built."
        return [f"No partition of {schedule} starts on {self.partition.name}: {covers}"]


def with_absolute_date(spec: DatasetSpec, given: Mapping[str, Any], now: datetime) -> Mapping[str, Any]:
    """Return the parameters of a request with the date that ``yesterday`` means by the clock of the schedule's zone.

    A request alone may name a relative date. The conf of a run has the date itself, so a retry builds the same.
    """
    if days_ago(given.get(EXECUTION_DATE)) is None:
        return given
    zone = Grid.of(spec.schedule).zone
    return {**given, EXECUTION_DATE: absolute_date(given[EXECUTION_DATE], zone, now)}


def resolve_run(
    spec: DatasetSpec, given: Mapping[str, Any], *, stored_interval: Interval | None = None
) -> RunValues:
    """Resolve the parameters of a run: strict in name, presence and type.

    Args:
        spec: The run's spec.
        given: The parameters of the request, or of the run's conf. An ``execution_date`` names the partition.
        stored_interval: The data interval of a run of the timetable, as Airflow stores it.

    Raises:
        UnknownParameter: For the first name that is not declared.
        MissingParameter: For the first required parameter that is not given.
        InvalidParameters: For the first value of a wrong type, or not among the choices.
    """
    allowed = {parameter.name: parameter.must_be_given for parameter in spec.parameters}
    for name in given:
        if name not in allowed:
            raise UnknownParameter(name, allowed, hint=nearest(name, allowed))
    grid = Grid.of(spec.schedule)
    partition = resolve_partition(spec, given.get(EXECUTION_DATE), stored_interval)
    parameters: dict[str, Any] = {}
    for parameter in spec.parameters:
        if parameter.name == EXECUTION_DATE:
            parameters[EXECUTION_DATE] = partition and _checked(parameter, partition, grid)
        else:
            parameters[parameter.name] = parameter.value(given.get(parameter.name))
    return RunValues(parameters, grid, partition, stored_interval)


def resolve_partition(spec: DatasetSpec, given: Any, stored_interval: Interval | None) -> Partition | None:
    """Return the partition that a run builds, whatever its other parameters are; None if it builds none.

    Args:
        spec: The run's spec.
        given: The run's ``execution_date``; None if it has none.
        stored_interval: The data interval of a run of the timetable, as Airflow stores it.

    Raises:
        InvalidParameters: When ``execution_date`` names no partition of the schedule.
    """
    grid = Grid.of(spec.schedule)
    if stored_interval is not None and given is None:
        return grid.of_run(stored_interval)
    declared = (parameter for parameter in spec.parameters if parameter.name == EXECUTION_DATE)
    return next((_named(parameter, given, grid) for parameter in declared), None)


def _named(parameter: Parameter, given: Any, grid: Grid) -> Partition | None:
    text = parameter.given_or_default(given)
    try:
        return None if text is None else grid.named(text)
    except ParameterValueError as error:
        raise parameter.refusal(error) from None


def _checked(parameter: Parameter, partition: Partition, grid: Grid) -> str:
    """Return the value of ``execution_date``: the partition's name for a ``datetime``, else its local date."""
    value = _value(parameter, partition)
    if parameter.choices is not None:
        try:
            choices = [_value(parameter, grid.named(choice)) for choice in parameter.choices]
            check_choice(value, choices, "string")
        except ParameterValueError as error:
            raise parameter.refusal(error) from None
    return value


def _value(parameter: Parameter, partition: Partition) -> str:
    return partition.name if parameter.type == "datetime" else partition.local_date
