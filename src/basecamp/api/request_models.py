"""Request bodies, and the responses that are not in :mod:`dataspec.models`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from basecamp.access.principal import Principal
from basecamp.api.dependencies import SourceChoice
from basecamp.datasets.submitted_specs import SubmittedSpec
from basecamp.notifications.channel_test import SpecEvent, TriedChannel
from dataspec.errors import InvalidUsage
from dataspec.models import (
    AuditEntry,
    Backfill,
    Every,
    RegisteredDataset,
    RunStatus,
    WorkflowInfo,
    WorkflowRun,
)

MAX_FILES = 200
MAX_PATH = 500

_DATE_YEARS = "^([1-8][0-9]{3}|9[0-8][0-9]{2}|99[0-8][0-9]|999[0-8])-"


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class SourceBody(_Body):
    """The source; the effective one by default."""

    source: SourceChoice | None = None


class PauseBody(SourceBody):
    """The source, and the reason for pausing a dataset."""

    reason: Annotated[str, Field(max_length=500)] | None = None


class SpecBody(_Body):
    """A Dataset Spec with its SQL."""

    yaml: str
    files: Annotated[dict[str, str], Field(max_length=MAX_FILES)] = {}
    """The SQL files' texts, by their paths in the spec."""
    file: Annotated[str, Field(max_length=MAX_PATH)] | None = None
    """The YAML file's name on the client, for problems."""

    def candidate(self, caller: Principal) -> SubmittedSpec:
        """Return the spec for the services."""
        file = self.file or "dataset.yaml"
        return SubmittedSpec(caller=caller, yaml=self.yaml, files=self.files, file=file)


class BuildBody(SourceBody):
    """What runs and backfills share."""

    parameters: dict[str, Any] = {}
    dry_run: bool = False
    """Start nothing; return the resolved parameters and the rendered SQL."""
    wait_for_upstream: bool = False
    """Wait for missing partitions of the upstream datasets, as a scheduled run does."""
    adopt: bool = False
    """Take over a table that the dataset has not built; of a chain, that of the requested dataset."""
    full_refresh: bool = False
    """Build the table anew. A backfill fills a new table, which replaces the old one after the last partition."""
    spec: SpecBody | None = None
    """Only for a dry run: a spec to use instead of the registered one."""

    def candidate(self, caller: Principal) -> SubmittedSpec | None:
        """Return the spec in the request, if any.

        Raises:
            InvalidUsage: When this is not a dry run.
        """
        if self.spec is not None and not self.dry_run:
            raise InvalidUsage(
                "A request may contain a spec only for a dry run.",
                detail="Register it first, or set 'dry_run' to true.",
            )
        return self.spec.candidate(caller) if self.spec else None


_Date = Annotated[
    str, WithJsonSchema({"type": "string", "format": "date", "pattern": _DATE_YEARS}), Field(max_length=40)
]
"""A date from 1000-01-01 to 9998-12-31, or a relative one, which the backfill checks."""


class RunBody(BuildBody):
    """A run to start."""

    checks_only: bool = False
    """Check the rows of the table, and build nothing."""


class BackfillBody(BuildBody):
    """A backfill to start."""

    start: _Date
    """The first date, as YYYY-MM-DD, or as `today`, `yesterday` or `7d` by the clock of the schedule's zone."""
    end: _Date
    """The last date. A partition that is finer than a day is given as both."""
    every: Every = "partition"
    """``partition``, or ``schedule`` with the same meaning, or ``day`` for every date."""
    reverse: bool = False
    """Start with the last date."""
    keep_going: bool = False
    """Continue after a failed date."""
    resume: bool = False
    """Skip the dates that the last backfill of this range, with these parameters, has built."""
    missing: bool = False
    """Leave out the partitions that are built."""
    with_upstream: bool = False
    """Build all upstream datasets as well, in the order of the graph."""
    with_downstream: bool = False
    """Build all downstream datasets as well, in the order of the graph."""


class StopBody(_Body):
    """The reason for stopping a run or a backfill."""

    reason: Annotated[str, Field(max_length=500)] | None = None


class RegistrationBody(SpecBody):
    """A Dataset Spec to register."""

    accept_override: bool = False
    """Store it although code has a spec with this name."""
    accept_dependents: bool = False
    """Store it although other datasets would wait in vain."""


class RollbackBody(_Body):
    """The version to register again."""

    version: Annotated[str, Field(min_length=1, max_length=64)]
    """The first digits of its hash, or all."""
    accept_override: bool = False
    """Register it although code has a spec with this name."""
    accept_dependents: bool = False
    """Store it although other datasets would wait in vain."""
    reason: Annotated[str, Field(max_length=500)] | None = None
    """Why, for the audit log."""


class UpdateBody(SourceBody):
    """New values for a manual spec's schedule; null keeps the current value."""

    cron: str | None = None
    timezone: str | None = None
    enabled: bool | None = None
    catch_up: bool | None = None
    retry_max_attempts: int | None = None
    retry_delay_seconds: int | None = None
    accept_dependents: bool = False
    """Store it although other datasets would wait in vain."""


class WorkflowPage(BaseModel):
    """A page of workflows."""

    items: list[WorkflowInfo]
    next_cursor: str | None
    warnings: list[str]


class RunPage(BaseModel):
    """A page of runs, newest first."""

    items: list[WorkflowRun]
    next_cursor: str | None
    warnings: list[str]


class BackfillPage(BaseModel):
    """A page of backfills, newest first."""

    items: list[Backfill]
    next_cursor: str | None
    warnings: list[str]


class DatasetPage(BaseModel):
    """A page of registered specs."""

    items: list[RegisteredDataset]
    next_cursor: str | None
    warnings: list[str]


class AuditPage(BaseModel):
    """A page of the audit log, newest first."""

    items: list[AuditEntry]
    next_cursor: str | None
    warnings: list[str]


class LoginBody(_Body):
    """The machine that logs in."""

    machine: Annotated[str, Field(min_length=1, max_length=200)]
    """Its name, which the page and the list of tokens show."""


class LoginTokenBody(_Body):
    """The login whose result is fetched."""

    device_code: Annotated[str, Field(min_length=1, max_length=200)]


class NotificationTestBody(_Body):
    """A request for test messages."""

    name: Annotated[str, Field(min_length=1, max_length=MAX_PATH)]
    """A dataset, or a target from the server's settings."""
    event: SpecEvent | None = None
    """Test only the channels of this event."""


class NotificationTest(BaseModel):
    """The results of the test messages."""

    name: str
    channels: list[TriedChannel]


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


Status = Annotated[RunStatus, BeforeValidator(_upper)]
"""A run's status; case-insensitive."""
