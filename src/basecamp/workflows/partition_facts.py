"""A partition with what is known of its dataset: when it is due, and which commands build it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from basecamp.lateness.pause_records import PauseRecord
from dataspec.catalog.effective import SpecFile
from dataspec.models import PartitionReason, PartitionState, RunPartition, WorkflowInfo
from dataspec.parameters import EXECUTION_DATE
from dataspec.schedule.needs import replaced_at
from dataspec.schedule.partitions import Grid, Partition
from dataspec.spec.model import DatasetSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionFacts:
    """A partition, and what is known of its dataset."""

    file: SpecFile
    spec: DatasetSpec
    row: WorkflowInfo
    grid: Grid
    partition: Partition | None
    pause: PauseRecord
    """The dataset's last pause."""
    registered_at: datetime | None
    now: datetime

    @property
    def name(self) -> str:
        """The dataset."""
        return self.spec.name

    @property
    def due(self) -> datetime | None:
        """When the scheduled run of the partition is due; None if the schedule has no such partition."""
        if self.partition is None or self.partition.off_schedule or self.grid.cron is None:
            return None
        return self.grid.data_interval(self.partition)[1].astimezone(ZoneInfo(self.grid.zone))

    @property
    def is_passed_over(self) -> bool:
        """Whether a later scheduled run has taken the place of the partition's one, which does not exist."""
        schedule = self.spec.schedule
        if self.partition is None or schedule is None or schedule.catch_up:
            return False
        at = replaced_at(self.grid, self.partition)
        return at is not None and at <= self.now

    def passed_over(self) -> PartitionReason:
        """Return the answer for a partition that was passed over, with the pause that kept its run from starting."""
        due, step = self.due, self.backfill_command
        if due is None or not self.pause.was_on(due):
            return self.reason("passed_over", next_step=step)
        pause = self.pause
        return self.reason(
            "passed_over", at=pause.paused_at, by=pause.paused_by, reason=pause.reason, next_step=step
        )

    @property
    def run_command(self) -> str:
        """The command that runs the dataset for the partition."""
        named = self.partition and self.spec.takes_execution_date
        return f"dli workflow run {self.name}" + (
            f" -p {EXECUTION_DATE}={self.partition.name}" if self.partition and named else ""
        )

    @property
    def backfill_command(self) -> str:
        """The command that builds the partition among those of its date; of a dataset without dates, its run."""
        if self.partition is None or not self.spec.takes_execution_date:
            return self.run_command
        day = self.partition.local_date
        missing = " --missing" if self.partition.is_finer_than_a_day else ""
        return f"dli workflow backfill {self.name} --start {day} --end {day}{missing}"

    def reason(self, state: PartitionState, **more: Any) -> PartitionReason:
        """Return the answer of a state."""
        one = self.partition
        return PartitionReason(
            dataset_name=self.name,
            partition=RunPartition(name=one.name, start=one.start, end=one.end) if one else None,
            partition_label=self.grid.label(one) if one else None,
            state=state,
            due_at=self.due,
            **more,
        )

    def paused(self, run_id: str | None = None) -> PartitionReason:
        """Return the answer for a dataset that is paused."""
        row = self.row
        return self.reason(
            "paused",
            run_id=run_id,
            at=row.paused_at,
            by=row.paused_by,
            reason=row.pause_reason,
            next_step=f"dli workflow unpause {self.name}",
        )
