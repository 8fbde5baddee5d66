"""Why a partition is there or not: one answer, down to the root causes (docs/waiting.md, "Why a partition is not there").

What is built is read as runs that wait read it, the runs are those of the history, and what a pending run waits for is
what its status shows.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from basecamp.airflow.gateway import AirflowGateway
from basecamp.datasets.catalog_cache import CatalogCache, find_spec
from basecamp.datasets.dataset_teams import EVERY_DATASET, PermittedDatasets
from basecamp.datasets.upstream_needs import UpstreamNeeds, upstream_of
from basecamp.lateness.pause_records import PauseRecord, PauseRecords
from basecamp.runs.history import HistoryFilter, PartitionFilter, RunHistory
from basecamp.runs.lookup import RunLookup
from basecamp.runs.waiting import shown_to
from basecamp.shared.clock import Clock, airflow_now
from basecamp.shared.last_known import LastAnswers, ValueWithWarnings
from basecamp.workflows.partition_facts import PartitionFacts
from basecamp.workflows.rows import ALSO_PAUSED, NOT_LOADED_NOTE, Workflows, is_switched_off
from dataspec.catalog.effective import Catalog, SpecFile
from dataspec.errors import DatasetNotFound, InvalidSpec, InvalidUsage
from dataspec.models import (
    Explanation,
    PartitionReason,
    PartitionState,
    RunStatus,
    WaitingFor,
    WorkflowInfo,
    WorkflowRun,
)
from dataspec.parameters import ParameterValueError
from dataspec.schedule.cron import NoTick
from dataspec.schedule.partitions import Grid, Partition
from dataspec.schedule.relative_dates import absolute_date
from dataspec.spec.connection_teams import ConnectionTeams

MAX_UPSTREAM = 10
"""Maximum number of upstream partitions that one answer explains."""
MAX_RUNS = 20
"""Maximum number of runs of a partition that are looked at."""
EARLY = timedelta(days=7)
"""How long before its start a run of a partition may have been requested and still be found."""
LONG_AFTER = timedelta(days=7)
"""How long after its due time the runs of a partition are looked for, if the newest runs have none of it."""

_ENDED_BADLY: dict[RunStatus, PartitionState] = {RunStatus.FAILED: "failed", RunStatus.KILLED: "killed"}


class PartitionReasons:
    """Says why partitions are built or not. Safe to share between threads.

    Args:
        specs: The specs.
        workflows: The rows of the datasets, with their pauses.
        pauses: Who paused each dataset last.
        connections: The teams whose specs may use each connection.
        needs: Reads what datasets have built.
        history: Finds the runs of a partition.
        lookup: Finds a run with its error, and what it waits for.
        gateway: The Airflow that runs the datasets.
        clock: The clock.
    """

    def __init__(
        self,
        *,
        specs: CatalogCache,
        workflows: Workflows,
        pauses: PauseRecords,
        connections: ConnectionTeams,
        needs: UpstreamNeeds,
        history: RunHistory,
        lookup: RunLookup,
        gateway: AirflowGateway,
        clock: Clock,
    ) -> None:
        self._specs = specs
        self._workflows = workflows
        self._pauses = pauses
        self._connections = connections
        self._needs = needs
        self._history = history
        self._lookup = lookup
        self._gateway = gateway
        self._clock = clock
        self._last: LastAnswers[Explanation] = LastAnswers(clock)

    def explain(
        self, name: str, partition: str | None = None, permitted: PermittedDatasets = EVERY_DATASET
    ) -> ValueWithWarnings[Explanation]:
        """Return why a partition is there or not, with the upstream partitions that it waits for.

        Args:
            name: The dataset.
            partition: The partition; the last one that is due if not given.
            permitted: The datasets that the caller may see.

        Raises:
            DatasetNotFound: When there is no such dataset.
            InvalidUsage: When no partition has this name.
            AirflowUnreachable: When Airflow does not answer, and did not answer this before.
            StoreUnreachable: When the store does not answer, and did not answer this before.
        """

        def ask() -> ValueWithWarnings[Explanation]:
            first, warnings = self._reason(name, partition, permitted)
            upstream, left = self._upstream(first, permitted)
            fields = {one: getattr(first, one) for one in PartitionReason.__slots__}
            told = [f"{left:,} more upstream partitions are not looked at."] if left else []
            return ValueWithWarnings(Explanation(**fields, upstream=upstream, warnings=told), warnings)

        return self._last.read((name, partition, permitted), ask)

    def _upstream(
        self, first: PartitionReason, permitted: PermittedDatasets
    ) -> tuple[list[PartitionReason], int]:
        """Return what a partition waits for, the nearest first, and the number of partitions left out."""
        found: dict[tuple[str, str | None], PartitionReason] = {}
        waiting = deque(_one_of_each_first(first.waiting_for))
        while waiting and len(found) < MAX_UPSTREAM:
            one = waiting.popleft()
            key = one.dataset or "", one.partition
            if one.dataset is None or one.state in {"hidden", "unregistered"} or key in found:
                continue
            with suppress(DatasetNotFound):
                found[key], _ = self._reason(one.dataset, one.partition, permitted)
                waiting.extend(_one_of_each_first(found[key].waiting_for))
        return list(found.values()), len(waiting)

    def _reason(
        self, name: str, partition: str | None, permitted: PermittedDatasets
    ) -> tuple[PartitionReason, tuple[str, ...]]:
        catalog = self._specs.known().value
        try:
            file = find_spec(catalog, name)
        except InvalidSpec as error:
            return _invalid(name, error), ()
        row = self._workflows.get(name)
        asked = self._asked(file, row.value, catalog, partition)
        found = self._by_runs(asked, permitted) or self._without_run(asked)
        return replace(found, note=_note(asked, found, catalog)), row.warnings

    def _asked(
        self, file: SpecFile, row: WorkflowInfo, catalog: Catalog, named: str | None
    ) -> PartitionFacts:
        spec = file.spec
        if spec is None:
            raise DatasetNotFound(row.dataset_name)
        grid, now = Grid.of(spec.schedule), airflow_now(self._gateway, self._clock)
        return PartitionFacts(
            file=file,
            spec=spec,
            row=row,
            grid=grid,
            partition=_named(grid, named, now) if named else _last_due(grid, now),
            pause=self._pauses.known().get(spec.name) or PauseRecord(),
            registered_at=upstream_of(spec.name, catalog).registered_at,
            now=now,
        )

    def _by_runs(self, asked: PartitionFacts, permitted: PermittedDatasets) -> PartitionReason | None:
        """Return the answer that the runs of a partition give; None if it is not built and has no run."""
        runs, partition = self._runs(asked, permitted), asked.partition
        is_built = partition is not None and self._needs.built([asked.name])[asked.name].covers(partition)
        done = next((run for run in runs if _has_built(run, partition, is_built=is_built)), None)
        if is_built or done:
            return asked.reason(
                "built", run_id=done.run_id if done else None, at=done.finished_at if done else None
            )
        last = next((run for run in runs if run.status is not RunStatus.COMPLETED), None)
        return self._of_run(asked, last, permitted) if last else None

    def _runs(self, asked: PartitionFacts, permitted: PermittedDatasets) -> Sequence[WorkflowRun]:
        """Return the runs of a partition, newest first; of a dataset without one the last run."""
        wanted = HistoryFilter(datasets=(asked.name,), permitted=permitted)
        partition = asked.partition
        if partition is None:
            return self._history.page(wanted, limit=1).items
        wanted = replace(wanted, since=partition.start - EARLY, partition=PartitionFilter.of(partition.name))
        page = self._history.page(wanted, limit=MAX_RUNS)
        if page.items or page.next_cursor is None:
            return page.items
        until = (asked.due or partition.end) + LONG_AFTER
        return self._history.page(replace(wanted, until=until), limit=MAX_RUNS).items

    def _of_run(
        self, asked: PartitionFacts, listed: WorkflowRun, permitted: PermittedDatasets
    ) -> PartitionReason:
        """Return the answer that the last run of a partition gives, which has not completed."""
        run = self._lookup.get(listed.run_id, asked.name).value
        retry = f"dli workflow retry {run.run_id}"
        if run.status in _ENDED_BADLY:
            return asked.reason(
                _ENDED_BADLY[run.status],
                run_id=run.run_id,
                at=run.finished_at,
                by=run.stopped_by,
                reason=run.stop_reason,
                error=_first_line(run.error),
                next_step=retry,
            )
        if run.status is RunStatus.RUNNING:
            return asked.reason("running", run_id=run.run_id, at=run.started_at)
        if run.status is RunStatus.COMPLETED:  # since it was listed
            return asked.reason("built", run_id=run.run_id, at=run.finished_at)
        if asked.row.paused:
            return asked.paused(run.run_id)
        waiting_for = shown_to(run.waiting_for, permitted)
        state: PartitionState = "waiting" if waiting_for else "pending"
        return asked.reason(state, run_id=run.run_id, at=run.created_at, waiting_for=waiting_for)

    def _without_run(self, asked: PartitionFacts) -> PartitionReason:
        """Return why a partition that is not built has no run."""
        row, due = asked.row, asked.due
        if row.taken_over_by is not None:
            return asked.reason("taken_over", error=_first_line(row.error))
        if refused := self._connections.why_not(asked.spec):
            return asked.reason("refused", error=refused)
        if row.note is not None and NOT_LOADED_NOTE in row.note:
            return asked.reason("not_loaded", next_step="dli workflow sync")
        if due is None:
            return asked.reason("no_schedule", error=asked.file.no_clock, next_step=asked.run_command)
        if asked.registered_at is not None and due <= asked.registered_at:
            step = asked.backfill_command
            return asked.reason("before_registration", at=asked.registered_at, next_step=step)
        if due > asked.now:
            return asked.reason("not_due")
        if is_switched_off(asked.file):
            return asked.reason("schedule_off", next_step=asked.run_command)
        if asked.is_passed_over:
            return asked.passed_over()
        return asked.paused() if row.paused else asked.reason("due")


def _named(grid: Grid, text: str, now: datetime) -> Partition:
    try:
        return grid.named(absolute_date(text, grid.zone, now))
    except ParameterValueError as error:
        raise InvalidUsage(f"Invalid partition: {error}", detail=error.hint) from None


def _last_due(grid: Grid, now: datetime) -> Partition | None:
    with suppress(NoTick):
        return grid.last_due(now) if grid.cron else None
    return None


def _has_built(run: WorkflowRun, partition: Partition | None, *, is_built: bool) -> bool:
    """Return whether a run of a partition has built it, whole."""
    if run.status is not RunStatus.COMPLETED:
        return False
    if partition is None or is_built:
        return True
    built = run.partition
    return built is not None and built.start <= partition.start and partition.end <= built.end


def _invalid(name: str, error: InvalidSpec) -> PartitionReason:
    return PartitionReason(
        dataset_name=name,
        state="invalid",
        error=_first_line(error.detail or error.title),
        next_step=f"dli dataset validate {name}",
    )


def _note(asked: PartitionFacts, found: PartitionReason, catalog: Catalog) -> str | None:
    """Return what keeps further runs of a dataset from starting, beside the state of the partition."""
    if found.state == "built":
        return None
    notes = [asked.row.note] if asked.row.note and found.state not in {"not_loaded", "refused"} else []
    if asked.row.paused and found.state != "paused":
        notes += [] if is_switched_off(asked.file) else [ALSO_PAUSED]
        notes.append(_pause(asked.row))
    broken = next((file for file in catalog.invalid if file.name == asked.name), None)
    if broken is not None and broken.error is not None:
        why = _first_line(broken.error.detail or broken.error.title)
        notes.append(f"The last good version runs, as {broken.key} can't be used: {why}")
    return " ".join(notes) or None


def _pause(row: WorkflowInfo) -> str:
    """Return who paused a dataset, and why."""
    reason = f": {row.pause_reason}" if row.pause_reason else ""
    sentence = f"Paused by {row.paused_by}{reason}"
    return sentence if sentence.endswith((".", "!", "?")) else f"{sentence}."


def _first_line(text: str | None) -> str | None:
    return next(iter(text.splitlines()), None) if text else None


def _one_of_each_first(waiting_for: Iterable[WaitingFor]) -> list[WaitingFor]:
    """Return what a run waits for, first what needs help, and of each dataset one before the rest: those are alike."""
    seen: Counter[str | None] = Counter()
    placed = []
    for one in sorted(waiting_for, key=lambda one: not one.needs_help):
        placed.append((seen[one.dataset], one))
        seen[one.dataset] += 1
    return [one for _, one in sorted(placed, key=lambda pair: pair[0])]
