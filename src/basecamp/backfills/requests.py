"""Requests for backfills: checked against the effective spec, and previewed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import Any

from basecamp.backfills.chains import chain_of, chained_specs, check_rights, label, steps_of
from basecamp.datasets.catalog_cache import CatalogCache
from basecamp.datasets.dataset_teams import EVERY_DATASET, PermittedDatasets
from basecamp.datasets.spec_sql import SpecSql
from basecamp.datasets.submitted_specs import SubmittedSpec, file_to_run
from basecamp.datasets.table_options import check_table_options
from dataspec.catalog.effective import SpecFile
from dataspec.contract import ADOPT_KEY, REFRESH_KEY, WAIT_KEY
from dataspec.errors import InvalidParameters, InvalidUsage
from dataspec.models import BackfillPreview, Every, SourceType
from dataspec.parameters import EXECUTION_DATE, ParameterValueError
from dataspec.schedule.backfill_plan import BackfillPlan
from dataspec.schedule.chain import ChainedDataset, Step
from dataspec.schedule.date_ranges import MAX_DATES, DateRange
from dataspec.schedule.partitions import Grid
from dataspec.schedule.relative_dates import absolute_date
from dataspec.spec.connection_teams import ConnectionTeams
from dataspec.spec.full_refresh import FullRefresh
from dataspec.spec.materialization import AppendForm
from dataspec.spec.model import DatasetSpec
from dataspec.spec.run_values import RunValues, resolve_run


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillRequest:
    """A request for a backfill."""

    dataset: str
    start: str
    end: str
    parameters: Mapping[str, Any]
    source: SourceType | None = None
    every: Every = "partition"
    reverse: bool = False
    keep_going: bool = False
    resume: bool = False
    missing: bool = False
    """Whether to leave out the partitions that are built."""
    wait_for_upstream: bool = False
    adopt: bool = False
    """Whether the runs of the dataset take over a table that it has not built."""
    full_refresh: bool = False
    """Whether to fill a new table, which takes the place of the old one after the last partition."""
    with_upstream: bool = False
    """Whether to build all upstream datasets as well."""
    with_downstream: bool = False
    """Whether to build all downstream datasets as well."""
    permitted: PermittedDatasets = EVERY_DATASET
    """The datasets that the caller may run."""
    candidate: SubmittedSpec | None = None
    """For a preview: the spec to try out, in place of the registered one."""

    @property
    def by(self) -> Every:
        """What it builds, in one word for each meaning."""
        return "partition" if self.every == "schedule" else self.every

    def identity(self) -> list[Any]:
        """Return the values that are equal in two equal requests."""
        options = [self.by, self.reverse, self.keep_going, self.resume]
        later = [  # not in the requests of earlier versions
            *([WAIT_KEY] if self.wait_for_upstream else []),
            *(["missing"] if self.missing else []),
            *(["with_upstream"] if self.with_upstream else []),
            *(["with_downstream"] if self.with_downstream else []),
            *([ADOPT_KEY] if self.adopt else []),
            *([REFRESH_KEY] if self.full_refresh else []),
        ]
        given = dict(self.parameters)
        return ["backfill", self.dataset, self.source, self.start, self.end, given, *options, *later]


@dataclass(frozen=True, slots=True)
class CheckedRequest:
    """A request that the effective spec allows."""

    request: BackfillRequest
    file: SpecFile
    spec: DatasetSpec
    range: DateRange
    days: tuple[str, ...]
    """The names of the partitions to build, in order."""
    parameters: dict[str, Any]
    """The given parameters, each converted to its type."""
    chain: tuple[ChainedDataset, ...] = ()
    """The datasets of a backfill of several, in the order of the graph."""
    steps: tuple[Step, ...] = ()
    """The partitions of a backfill of several datasets, in order."""

    @property
    def dates(self) -> tuple[str, ...]:
        """What to build, in order, as a plan has it."""
        return tuple(label(step, self.request.dataset) for step in self.steps) or self.days

    @property
    def zone(self) -> str | None:
        """The zone of partitions that are finer than a day; None for dates."""
        grid = Grid.of(self.spec.schedule)
        return grid.zone if grid.is_finer_than_a_day else None

    @property
    def grids(self) -> dict[str, Grid]:
        """The partitions of its datasets, without those that are built once."""
        others = {member.dataset: member.grid for member in self.chain if not member.once}
        return {self.request.dataset: Grid.of(self.spec.schedule)} | others

    def preview(self, plan: BackfillPlan, sql: SpecSql) -> BackfillPreview:
        """Return what a backfill would do.

        Raises:
            InvalidTemplate: When the SQL can't be rendered with the parameters, or parsed.
        """
        steps = [plan.step_of(text) for text in plan.dates]
        dates = [step.partition for step in steps if step.dataset == plan.dataset]
        shown = dates or self.days
        resolved = self._values(shown[0]).parameters
        part = FullRefresh("<id>", begins=len(plan.dates) == 1 and plan.begins_table)
        first = sql.preview(self.spec, self.file, self._values(shown[0]).template)
        last = sql.preview_run(
            self.spec, self.file, self._values(shown[-1]), part if plan.full_refresh else None
        )
        return BackfillPreview(
            dataset_name=self.request.dataset,
            source_type=self.file.source,
            spec_hash=self.file.spec_hash or "",
            parameters={name: value for name, value in resolved.items() if name != EXECUTION_DATE},
            dates=dates,
            steps=plan.shown(plan.dates) if self.chain else [],
            already_built=len(plan.built_before),
            to_confirm=self._to_confirm(plan),
            first_statements=first.statements,
            last_statements=last.statements,
            publishing=last.publishing,
            reads=sorted({*first.reads, *last.reads}),
            writes=sorted({*first.writes, *last.writes}),
            registered=self.request.candidate is None,
            warnings=list(dict.fromkeys((*self.range.left_out(self.days), *first.warnings, *last.warnings))),
        )

    def _to_confirm(self, plan: BackfillPlan) -> list[str]:
        """Return what could surprise the user."""
        table, form = self.spec.target, self.spec.materialization
        if plan.full_refresh:
            count = f"{len(plan.dates) + len(plan.built_before):,}"
            return [
                f"After the last partition a new table replaces {table}: it has the rows of these {count} alone."
            ]
        if isinstance(form, AppendForm):
            return [
                f"{table} is appended to: the rows of a partition that is built already would be in it twice."
            ]
        return []

    def _values(self, day: str) -> RunValues:
        return resolve_run(self.spec, {**self.parameters, EXECUTION_DATE: day})


def check_request(
    specs: CatalogCache, connections: ConnectionTeams, request: BackfillRequest, now: datetime
) -> CheckedRequest:
    """Check a request against the effective spec; relative dates are by the clock of the schedule's zone.

    Raises:
        InvalidUsage: When the range is wrong, or holds no date to build; when the dataset has no table that the
            backfill could take over, or build anew.
        InvalidParameters: When the dataset takes no ``execution_date``, or the parameters don't fit.
        Overridden, DatasetNotFound, InvalidSpec, Forbidden: As for a run, of each dataset of a chain.
        StoreUnreachable: When the store does not answer.
    """
    if EXECUTION_DATE in request.parameters:
        raise InvalidParameters(
            f"A backfill sets '{EXECUTION_DATE}' itself.", detail="Choose the dates with --start and --end."
        )
    file, spec = file_to_run(specs, connections, request.dataset, request.source, request.candidate)
    one = _one_partition(request, Grid.of(spec.schedule))
    dates = DateRange.parse(one[:10], one[:10]) if one else _dates(request, spec, now)
    if len(dates) > MAX_DATES:
        raise InvalidUsage(
            f"The range holds {len(dates):,} dates; a backfill builds at most {MAX_DATES:,}.",
            detail="Is a year mistyped?",
        )
    _check_takes_date(spec)
    _check_table(spec, request)
    days = [one] if one else _days(dates, spec, request)
    if request.reverse:
        days.reverse()
    checked = CheckedRequest(request, file, spec, dates, tuple(days), _given(spec, request, days))
    if not (request.with_upstream or request.with_downstream):
        return checked
    chained = chained_specs(
        specs.catalog(), spec, upstream=request.with_upstream, downstream=request.with_downstream
    )
    check_rights(chained, request.permitted, connections)
    if len(chained) == 1:
        return checked
    chain = chain_of(chained)
    return replace(checked, chain=chain, steps=steps_of(chain, chained, spec.name, days, now))


def _dates(request: BackfillRequest, spec: DatasetSpec, now: datetime) -> DateRange:
    zone = Grid.of(spec.schedule).zone
    return DateRange.parse(absolute_date(request.start, zone, now), absolute_date(request.end, zone, now))


def _one_partition(request: BackfillRequest, grid: Grid) -> str | None:
    """Return the name of the partition finer than a day that is given as start and end; None for a range of dates."""
    if request.start != request.end or not (grid.is_finer_than_a_day and ":" in request.start):
        return None
    try:
        return grid.named(request.start).name
    except ParameterValueError as error:
        raise InvalidUsage(f"Invalid partition: {error}", detail=error.hint) from None


def _check_takes_date(spec: DatasetSpec) -> None:
    if not spec.takes_execution_date:
        raise InvalidParameters(
            f"This dataset has no parameter '{EXECUTION_DATE}', so it can't be built date by date.",
            detail="Declare the parameter in the spec and use it in the SQL, "
            f"or run the dataset once: dli workflow run {spec.name}",
        )


def _check_table(spec: DatasetSpec, request: BackfillRequest) -> None:
    full_refresh = request.full_refresh
    check_table_options(spec, adopt=request.adopt, full_refresh=full_refresh, by_backfill=True)
    if full_refresh and request.missing:
        raise InvalidUsage(
            "A full refresh builds every partition, so none of them is left out.",
            detail="Leave out either --full-refresh or --missing.",
        )
    if full_refresh and (request.with_upstream or request.with_downstream):
        raise InvalidUsage(
            "A full refresh is for one dataset: the others of a chain would read the old table.",
            detail=f"Build '{spec.name}' anew first, then the chain.",
        )


def _days(dates: DateRange, spec: DatasetSpec, request: BackfillRequest) -> list[str]:
    grid = Grid.of(spec.schedule)
    if request.by == "day" and grid.is_finer_than_a_day:
        raise InvalidUsage(
            f"The partitions of '{grid.cron}' are finer than a day, so no run builds a whole day.",
            detail="Leave --every day out to build every partition of each day.",
        )
    if request.by == "day":
        return list(dates.days())
    found = grid.starting_on(dates.start, dates.end)
    days = [partition.name for partition in islice(found, MAX_DATES + 1)]
    if len(days) > MAX_DATES:
        raise InvalidUsage(
            f"The range holds more than {MAX_DATES:,} partitions, which is the most that a backfill builds.",
            detail="Give a shorter range.",
        )
    if not days:
        raise InvalidUsage(
            f"No partition of the schedule '{grid.cron}' starts from {dates.start} to {dates.end}.",
            detail="Add --every day to build every day.",
        )
    return days


def _given(spec: DatasetSpec, request: BackfillRequest, days: Sequence[str]) -> dict[str, Any]:
    """Return the given parameters, converted to their types; check that ``execution_date`` fits as well."""
    limited = any(one.name == EXECUTION_DATE and one.choices is not None for one in spec.parameters)
    resolved: dict[str, Any] = {}
    for day in days if limited else days[:1]:
        resolved = resolve_run(spec, {**request.parameters, EXECUTION_DATE: day}).parameters
    return {name: resolved[name] for name in request.parameters}
