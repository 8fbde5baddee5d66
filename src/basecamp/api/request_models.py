"""What goes over the wire beside the dataclasses of :mod:`dataspec.models`."""

from __future__ import annotations

import json
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictInt, model_validator

from basecamp.api.dependencies import SourceChoice
from basecamp.datasets.submitted_specs import SubmittedSpec
from basecamp.notifications.channel_test import On, TriedChannel
from dataspec.errors import InvalidUsage
from dataspec.models import Backfill, Every, RegisteredDataset, RunStatus, WorkflowInfo, WorkflowRun

MAX_FILES = 200
MAX_PATH = 500


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="after")
    def _is_text(self) -> Self:
        # JSON can name halves of characters, such as \ud800, which no file and no database takes.
        try:
            json.dumps(self.model_dump(), ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"the text holds {error.object[error.start]!r}, which is no character") from None
        return self


class SourceBody(_Body):
    """Which source is meant; the effective one if none is named."""

    source: SourceChoice | None = None


class SpecBody(_Body):
    """A Dataset Spec with its SQL."""

    yaml: str
    files: Annotated[dict[str, str], Field(max_length=MAX_FILES)] = {}
    """The text of each SQL file, by the path that the spec names it with."""
    file: Annotated[str, Field(max_length=MAX_PATH)] | None = None
    """The YAML's name on the sender's machine, for problems."""

    def candidate(self) -> SubmittedSpec:
        """Return the spec as the services take it."""
        return SubmittedSpec(yaml=self.yaml, files=self.files, file=self.file or "dataset.yaml")


class RunBody(SourceBody):
    """What to run."""

    parameters: dict[str, Any] = {}
    dry_run: bool = False
    """Start nothing; answer the parameters and the SQL as they would be."""
    spec: SpecBody | None = None
    """For a dry run: the spec to try out, registered or not, in place of the registered one."""

    def candidate(self) -> SubmittedSpec | None:
        """Return the spec that was sent along.

        Raises:
            InvalidUsage: When this is no dry run.
        """
        if self.spec is not None and not self.dry_run:
            raise InvalidUsage(
                "A spec can be sent along with a dry run alone.",
                detail="Register it first, or set 'dry_run' to true.",
            )
        return self.spec.candidate() if self.spec else None


class BackfillBody(RunBody):
    """What to build, date by date."""

    start: Annotated[str, Field(max_length=40)]
    """The first date, as YYYY-MM-DD."""
    end: Annotated[str, Field(max_length=40)]
    """The last date."""
    every: Every = "day"
    reverse: StrictBool = False
    """Begin with the last date."""
    keep_going: StrictBool = False
    """Go on after a date that failed."""
    resume: StrictBool = False
    """Leave out what the last backfill of this range, with these parameters, has built."""


class StopBody(_Body):
    """Why a run or a backfill is stopped."""

    reason: Annotated[str, Field(max_length=500)] | None = None


class RegistrationBody(SpecBody):
    """A Dataset Spec to register."""

    accept_override: bool = False
    """Store it although code has a spec of that name."""


class UpdateBody(SourceBody):
    """New values of a manual spec's schedule; null leaves one as it is."""

    cron: str | None = None
    timezone: str | None = None
    enabled: StrictBool | None = None
    retry_max_attempts: StrictInt | None = None
    retry_delay_seconds: StrictInt | None = None


class WorkflowPage(BaseModel):
    """Some workflows."""

    items: list[WorkflowInfo]
    next_cursor: str | None
    warnings: list[str]


class RunPage(BaseModel):
    """Some runs, newest first."""

    items: list[WorkflowRun]
    next_cursor: str | None
    warnings: list[str]


class BackfillPage(BaseModel):
    """Some backfills, newest first."""

    items: list[Backfill]
    next_cursor: str | None
    warnings: list[str]


class DatasetPage(BaseModel):
    """Some registered specs."""

    items: list[RegisteredDataset]
    next_cursor: str | None
    warnings: list[str]


class NotificationTestBody(_Body):
    """Where test messages go."""

    name: Annotated[str, Field(min_length=1, max_length=MAX_PATH)]
    """A dataset, or a target of the server's settings."""
    event: On | None = None
    """Only the channels of this event."""


class NotificationTest(BaseModel):
    """What became of the test messages."""

    name: str
    channels: list[TriedChannel]


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


Status = Annotated[RunStatus, BeforeValidator(_upper)]
"""A run's status, in capital letters or not."""
