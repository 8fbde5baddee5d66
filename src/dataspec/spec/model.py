"""Model a Dataset Spec: the YAML file that describes a dataset and its schedule (specification 2.1 to 2.23).

The model checks single keys. :mod:`dataspec.spec.parse` checks rules that involve several keys, and
finds the place of each problem.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sized
from datetime import time
from functools import cached_property
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    model_validator,
)
from pydantic import (
    Tag as UnionTag,
)

from dataspec.errors import InvalidParameters, MissingParameter
from dataspec.keys import why_no_key
from dataspec.parameters import (
    COERCIONS,
    EXECUTION_DATE,
    ParameterType,
    ParameterValueError,
    check_choice,
    coerce_choices,
)
from dataspec.schedule.cron import check_cron, check_timezone
from dataspec.schedule.deadlines import TimeLimit
from dataspec.schedule.upstream_clock import UPSTREAM, Clock, Declared, Followed
from dataspec.spec.checks import Check
from dataspec.spec.identity import DEFAULT_CONNECTION, why_invalid
from dataspec.spec.materialization import AppendForm, Materialization
from dataspec.spec.unit_tests import UnitTest

T = TypeVar("T", bound=Sized)

RESERVED_PARAMETERS = frozenset({"data_interval_start", "data_interval_end"})
"""Names in every run's SQL that no parameter may have."""
RUN_TIMES = RESERVED_PARAMETERS | {"partition_start", "partition_end"}
"""The names of the times in every run's SQL, which depend on its partition."""

TARGET_NAMES = frozenset({"this", "table_exists"})
"""The names in the SQL of a spec with a materialization: its table, and whether that is there."""

_TIME_OF_DAY = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")
TEAM_PATTERN = r"^@[A-Za-z0-9_.\-]+$"
MAX_RETRIES = 100
MAX_DELAY_SECONDS = 24 * 3600
MAX_TIMEOUT_SECONDS = 7 * 24 * 3600
MAX_SQL_FILES = 200
DEFAULT_WAIT_SECONDS = 24 * 3600
MAX_WAIT_SECONDS = 31 * 24 * 3600
MAX_CONDITIONS = 20
"""Maximum number of SQL entries of ``depends_on``, since each is a query that repeats while a run waits."""
MAX_OWNER = 100
MAX_DESCRIPTION = 5000
MAX_TAG = 100
MAX_TAGS = 100


def _at_most(limit: int, things: str) -> Callable[[T], T]:
    """Return a validator of the length, whose error does not repeat the value."""

    def check(value: T) -> T:
        if len(value) > limit:
            raise ValueError(f"it has {len(value):,} {things}; {limit:,} at most.")
        return value

    return check


def _check_printable(text: str) -> str:
    """Refuse control characters such as NUL, except tabs and line breaks."""
    for place, letter in enumerate(text):
        if unicodedata.category(letter) == "Cc" and letter not in "\t\n\r":
            raise ValueError(
                f"it holds the control character U+{ord(letter):04X} (letter {place + 1}); remove it."
            )
    return text


def _check_line(text: str) -> str:
    if "\n" in text or "\r" in text or "\t" in text:
        raise ValueError("it must be one line without tabs.")
    return _check_printable(text)


def _check_dataset_name(name: str) -> str:
    if reason := why_invalid(name):
        raise ValueError(reason)
    return name


def _check_parameter_name(name: str) -> str:
    if name in RESERVED_PARAMETERS:
        raise ValueError("every run has this value already; choose another name.")
    return name


def _check_clock(cron: str) -> str:
    return cron if cron == UPSTREAM else check_cron(cron)


def _check_time_of_day(text: str) -> str:
    if _TIME_OF_DAY.fullmatch(text) is None:
        raise ValueError(f"'{text}' is not a time of day; write hours and minutes, such as \"10:00\".")
    return text


def _check_relative(path: str) -> str:
    if path.startswith(("/", "\\")) or ":" in path or "\\" in path or ".." in path.split("/"):
        raise ValueError("the path must be relative to the YAML and stay inside its folder.")
    if reason := why_no_key(path):
        plain = "/".join(part for part in path.split("/") if part not in {"", "."})
        hint = f" Write '{plain}'." if plain != path and why_no_key(plain) is None else ""
        raise ValueError(f"no store can have a file of this path: {reason}.{hint}")
    return path


DatasetName = Annotated[str, AfterValidator(_check_dataset_name)]
ConnectionName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.\-]+$")]
WaitSeconds = Annotated[int, Field(ge=1, le=MAX_WAIT_SECONDS)]
SqlPath = Annotated[str, StringConstraints(min_length=1, max_length=500), AfterValidator(_check_relative)]
SqlText = Annotated[str, StringConstraints(min_length=1, strip_whitespace=False)]
TimeOfDay = Annotated[str, AfterValidator(_check_time_of_day)]
Cron = Annotated[str, AfterValidator(_check_clock)]
TimeZone = Annotated[str, AfterValidator(check_timezone)]
Email = Annotated[str, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+$"), AfterValidator(_check_line)]
Owner = Annotated[Email, AfterValidator(_at_most(MAX_OWNER, "letters"))]
Description = Annotated[
    str, AfterValidator(_at_most(MAX_DESCRIPTION, "letters")), AfterValidator(_check_printable)
]
Tag = Annotated[
    str,
    StringConstraints(min_length=1),
    AfterValidator(_at_most(MAX_TAG, "letters")),
    AfterValidator(_check_line),
]
Tags = Annotated[list[Tag], AfterValidator(_at_most(MAX_TAGS, "entries"))]
MailAddress = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~\-]+@[A-Za-z0-9.\-]+$", max_length=254)
]
"""An address for messages; characters that would split a list or a header are refused."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Statement(_Part):
    """A statement before or after the query, in one session with it."""

    name: str
    sql: SqlText | None = None
    file: SqlPath | None = None
    continue_on_error: bool = False

    @model_validator(mode="after")
    def _one_text(self) -> Statement:
        if (self.sql is None) == (self.file is None):
            raise ValueError("give exactly one of 'sql' and 'file'.")
        return self


class Parameter(_Part):
    """A parameter of a run (specification 2.7)."""

    name: Annotated[
        str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]*$"), AfterValidator(_check_parameter_name)
    ]
    type: ParameterType
    required: bool = True
    """Whether a run must give it, unless it has a default."""
    default: Any = None
    description: Description | None = None
    choices: list[Any] | None = None

    @model_validator(mode="after")
    def _values_fit(self) -> Parameter:
        if self.choices is not None and not self.choices:
            raise ValueError("'choices' must not be empty.")
        try:
            coerce_choices(self.choices or (), self.kind)
            default = None if self.default is None else COERCIONS[self.kind](self.default)
        except ParameterValueError as error:
            raise ValueError(str(error)) from error
        if default is not None and self.choices:
            self._check_default(default, self.choices)
        return self

    def _check_default(self, default: Any, choices: list[Any]) -> None:
        try:
            check_choice(default, choices, self.kind)
        except ParameterValueError:
            raise ValueError(f"the default {self.default!r} is not one of 'choices'.") from None

    @property
    def kind(self) -> ParameterType:
        """The type of its values: ``execution_date`` is a date even if it is declared as a string."""
        return "date" if self.name == EXECUTION_DATE and self.type == "string" else self.type

    @property
    def must_be_given(self) -> bool:
        """Whether a run without this parameter is refused."""
        return self.required and self.default is None

    def value(self, given: Any) -> Any:
        """Return the value that a run gives it, converted to its type; the default for None.

        Raises:
            MissingParameter: When it must be given.
            InvalidParameters: When the value is of a wrong type, or not among the choices.
        """
        raw = self.given_or_default(given)
        if raw is None:
            return None
        try:
            value = COERCIONS[self.kind](raw)
            if self.choices is not None:
                check_choice(value, self.choices, self.kind)
        except ParameterValueError as error:
            raise self.refusal(error) from None
        return value

    def given_or_default(self, given: Any) -> Any:
        """Return the value that a run gives it as it came; the default for None.

        Raises:
            MissingParameter: When it must be given.
        """
        if given is None and self.must_be_given:
            raise MissingParameter(self.name)
        return self.default if given is None else given

    def refusal(self, error: ParameterValueError) -> InvalidParameters:
        """Return the error for a value that does not fit."""
        return InvalidParameters(f"Invalid value for parameter '{self.name}': {error}", detail=error.hint)


class Dependency(_Part):
    """A dataset whose partitions a scheduled run waits for (specification 31.30)."""

    dataset: DatasetName
    partition: Literal["same", "previous", "latest"] | None = None
    """The upstream partitions; None for ``same``, or ``latest`` if the upstream dataset has no schedule."""
    timeout_seconds: WaitSeconds | None = None
    """Maximum time to wait; None for the default (:meth:`DatasetSpec.wait_seconds`)."""


class SqlDependency(_Part):
    """A query that a scheduled run repeats until it returns a row (specification 31.31)."""

    sql: SqlText
    connection: ConnectionName | None = None
    """The engine's connection; None for the spec's own."""
    every_seconds: Annotated[int, Field(ge=1, le=MAX_DELAY_SECONDS)] = 60
    """Seconds between two queries."""
    timeout_seconds: WaitSeconds | None = None
    """Maximum time to wait; None for the default (:meth:`DatasetSpec.wait_seconds`)."""


def _entry_kind(entry: Any) -> str:
    """Return the form of an entry of ``depends_on``; the tags have a blank, as no key of an entry has."""
    if isinstance(entry, SqlDependency) or (isinstance(entry, dict) and "sql" in entry):
        return "sql entry"
    return "dataset entry" if isinstance(entry, dict | Dependency) else "name entry"


DependsOn = Annotated[
    Annotated[DatasetName, UnionTag("name entry")]
    | Annotated[Dependency, UnionTag("dataset entry")]
    | Annotated[SqlDependency, UnionTag("sql entry")],
    Discriminator(_entry_kind),
]
"""An entry of ``depends_on``, as the YAML has it: a name alone is a dataset with the defaults."""


class Column(_Part):
    """A column that the query yields."""

    name: str
    type: str | None = None
    """The type, as the engine names it; None where it is not stated."""
    description: Description | None = None
    tags: Tags = []
    """``pii`` keeps its values out of the rows that failed checks show."""


class Execution(_Part):
    """Where the SQL runs, and for how long at most."""

    connection: ConnectionName = DEFAULT_CONNECTION
    dialect: str | None = None
    """The SQL's dialect; None for the connection's."""
    timeout_seconds: Annotated[int, Field(ge=1, le=MAX_TIMEOUT_SECONDS)] = 3600


class RetryConfig(_Part):
    """Retries of a failed attempt."""

    max_attempts: Annotated[int, Field(ge=0, le=MAX_RETRIES)] = 1
    """Maximum number of retries (specification 2.13), one less than the attempts."""
    delay_seconds: Annotated[int, Field(ge=0, le=MAX_DELAY_SECONDS)] = 300


def _check_webhook(url: str) -> str:
    try:
        parts = urlsplit(url)
        valid = bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise ValueError("write an address such as https://hooks.example.com/dli.")
    if "@" in parts.netloc:
        raise ValueError("a spec holds no credentials; use a target that the server's settings define.")
    return url


class SlackTarget(_Part):
    """A Slack channel."""

    type: Literal["slack"]
    channel: Annotated[str, StringConstraints(pattern=r"^[#@]?[^\s#@<>|]{1,80}$")]


class EmailTarget(_Part):
    """One or more mail addresses."""

    type: Literal["email"]
    to: MailAddress | Annotated[list[MailAddress], Field(min_length=1, max_length=50)]


WebhookFormat = Literal["slack", "jandi", "dooray", "naver_works"]
"""The messengers whose incoming webhooks have a form of their own."""


class WebhookTarget(_Part):
    """A URL that receives a POST request."""

    type: Literal["webhook"]
    url: Annotated[
        str, StringConstraints(pattern=r"^https?://[!-~]+$", max_length=2000), AfterValidator(_check_webhook)
    ]
    format: WebhookFormat | None = None
    """The form of the body that the receiver expects; None for Basecamp's own."""


class NamedTarget(_Part):
    """A target that the server's settings define."""

    type: Literal["target"]
    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.\-]{1,100}$")]


Target = Annotated[
    SlackTarget | EmailTarget | WebhookTarget | NamedTarget,
    Field(discriminator="type"),
]


class NotificationConfig(_Part):
    """The targets of notifications, by event (specification 2.14)."""

    on_failure: list[Target] = []
    on_success: list[Target] = []
    on_source_change: list[Target] = []
    on_late: list[Target] = []
    on_recovered: list[Target] = []
    on_backfill_end: list[Target] = []

    @property
    def targets(self) -> list[Target]:
        """The targets of all events."""
        return [target for event in type(self).model_fields for target in getattr(self, event)]


class DeadlineConfig(_Part):
    """Until when a scheduled partition must be built, and how long a run may take (specification 38.1)."""

    by: TimeOfDay | None = None
    """The first such time after the partition's tick, by the clock of the schedule's zone."""
    within_seconds: Annotated[int, Field(ge=1, le=MAX_WAIT_SECONDS)] | None = None
    """Seconds after the partition's tick."""
    max_duration_seconds: Annotated[int, Field(ge=1, le=MAX_TIMEOUT_SECONDS)] | None = None
    """How long the task ``run`` may take, without the time for which the run waits."""

    @model_validator(mode="after")
    def _has_a_limit(self) -> DeadlineConfig:
        if not any((self.by, self.within_seconds, self.max_duration_seconds)):
            raise ValueError("give at least one of 'by', 'within_seconds' and 'max_duration_seconds'.")
        return self

    @property
    def limit(self) -> TimeLimit | None:
        """Until when a partition must be built; None if only the duration of runs is limited."""
        if self.by is None and self.within_seconds is None:
            return None
        return TimeLimit(time.fromisoformat(self.by) if self.by else None, self.within_seconds)


class ScheduleConfig(_Part):
    """When the dataset is built (specification 2.12)."""

    cron: Cron
    """A cron expression; ``@upstream`` for the clock of the upstream datasets (specification 31.35)."""
    enabled: bool = True
    timezone: TimeZone = "UTC"
    catch_up: bool = False
    """Whether every run that was missed in a pause or a downtime is created, and not the latest alone."""
    retry: RetryConfig = RetryConfig()
    """As the key of the same name at the top level, which specs of today have."""
    notifications: NotificationConfig = NotificationConfig()
    """As the key of the same name at the top level."""

    @property
    def follows_upstream(self) -> bool:
        """Whether the upstream datasets set its clock."""
        return self.cron == UPSTREAM

    @property
    def clock(self) -> Clock | None:
        """The cron expression and the time zone; None while the clock of the upstream datasets is not known."""
        return None if self.cron == UPSTREAM else Clock(self.cron, self.timezone)


class FollowedSchedule(ScheduleConfig):
    """A schedule ``@upstream`` with the clock of the upstream datasets, which no YAML has."""

    @property
    def follows_upstream(self) -> bool:
        """Whether the upstream datasets set its clock: always."""
        return True


class DatasetSpec(_Part):
    """A Dataset Spec (specification 2.1)."""

    name: DatasetName
    type: Literal["Dataset"]
    owner: Owner
    team: Annotated[str, StringConstraints(pattern=TEAM_PATTERN)] | None = None
    description: Description | None = None
    tags: Tags = []
    domains: Tags = []
    query_file: SqlPath | None = None
    query_statement: SqlText | None = None
    pre_statements: list[Statement] = []
    post_statements: list[Statement] = []
    parameters: list[Parameter] = []
    depends_on: list[DependsOn] = []
    columns: Annotated[list[Column], Field(alias="schema")] = []
    materialization: Materialization | None = None
    """What a run makes of the rows of the query; None for SQL that fills its tables itself."""
    checks: list[Check] = []
    tests: list[UnitTest] = []
    """Unit tests of the SQL; no run looks at them."""
    execution: Execution = Execution()
    schedule: ScheduleConfig | None = None
    deadline: DeadlineConfig | None = None
    top_retry: Annotated[RetryConfig | None, Field(alias="retry")] = None
    """``retry`` as the top level has it; :attr:`retry` is what counts."""
    top_notifications: Annotated[NotificationConfig | None, Field(alias="notifications")] = None
    """``notifications`` as the top level has it; :attr:`notifications` is what counts."""

    @property
    def target(self) -> str | None:
        """The table or view that the materialization builds; None without one."""
        return (self.materialization.table or self.name) if self.materialization else None

    @property
    def checks_rows(self) -> bool:
        """Whether a run checks rows: by ``checks``, or by ``schema`` with a materialization."""
        return bool(self.checks or (self.columns and self.materialization))

    @property
    def files(self) -> tuple[str, ...]:
        """The paths of the spec's SQL files, relative to its YAML, without duplicates."""
        statements = (*self.pre_statements, *self.post_statements)
        named = [self.query_file, *(statement.file for statement in statements)]
        return tuple(dict.fromkeys(path for path in named if path is not None))

    @property
    def takes_execution_date(self) -> bool:
        """Whether a run of it can be told which partition to build."""
        return any(parameter.name == EXECUTION_DATE for parameter in self.parameters)

    @property
    def dependencies(self) -> tuple[Dependency, ...]:
        """The datasets of ``depends_on``, without duplicates."""
        named = (Dependency(dataset=entry) if isinstance(entry, str) else entry for entry in self.depends_on)
        return tuple(dict.fromkeys(entry for entry in named if isinstance(entry, Dependency)))

    @property
    def upstream(self) -> tuple[str, ...]:
        """The names of the datasets of ``depends_on``, without duplicates."""
        return tuple(dict.fromkeys(entry.dataset for entry in self.dependencies))

    @property
    def conditions(self) -> tuple[SqlDependency, ...]:
        """The SQL entries of ``depends_on``."""
        return tuple(entry for entry in self.depends_on if isinstance(entry, SqlDependency))

    @property
    def needs(self) -> tuple[Dependency | SqlDependency, ...]:
        """The entries of ``depends_on``, without duplicates: datasets first, then queries."""
        return (*self.dependencies, *self.conditions)

    @property
    def need_labels(self) -> tuple[str, ...]:
        """The entries of ``depends_on`` as text for people."""
        named = (
            f"{entry.dataset} ({entry.partition} partition)" if entry.partition else entry.dataset
            for entry in self.dependencies
        )
        queries = (f"a query on {self.condition_engine(entry)[0]}" for entry in self.conditions)
        return (*named, *queries)

    @property
    def personal_columns(self) -> frozenset[str]:
        """The columns with the tag ``pii``, in lower case."""
        tagged = (column for column in self.columns if "pii" in map(str.lower, column.tags))
        return frozenset(column.name.lower() for column in tagged)

    @property
    def connections(self) -> tuple[str, ...]:
        """The connections that runs use, without duplicates: the spec's own, and those of SQL entries."""
        others = (entry.connection for entry in self.conditions)
        return tuple(dict.fromkeys((self.execution.connection, *filter(None, others))))

    def condition_engine(self, entry: SqlDependency) -> tuple[str, str | None]:
        """Return the connection of an entry with ``sql``, and the dialect that the spec names for it."""
        connection = entry.connection or self.execution.connection
        return connection, self.execution.dialect if connection == self.execution.connection else None

    @property
    def follows_upstream(self) -> bool:
        """Whether the upstream datasets set the clock of its schedule."""
        return self.schedule is not None and self.schedule.follows_upstream

    @cached_property
    def declared_clock(self) -> Declared:
        """What the spec says of its clock; upstream datasets of which any partition will do don't count.

        Each reading of a catalog needs it of every spec. It is the same in a copy that has the clock of its upstream.
        """
        if self.schedule is None:
            return None
        if not self.schedule.follows_upstream:
            return self.schedule.clock
        return Followed(
            tuple(dict.fromkeys(one.dataset for one in self.dependencies if one.partition != "latest"))
        )

    def with_clock(self, clock: Clock) -> DatasetSpec:
        """Return the spec with the clock of its upstream datasets, for a schedule that follows them."""
        given = (
            {name: getattr(self.schedule, name) for name in self.schedule.model_fields_set}
            if self.schedule
            else {}
        )
        schedule = FollowedSchedule.model_validate({**given, "cron": clock.cron, "timezone": clock.zone})
        return self.model_copy(update={"schedule": schedule})

    def wait_seconds(self, entry: Dependency | SqlDependency) -> int | None:
        """Return the maximum time that a scheduled run waits for an entry of ``depends_on``; None for no limit.

        A dataset that follows its upstream datasets has no limit unless the entry gives one.
        """
        return entry.timeout_seconds or (None if self.follows_upstream else DEFAULT_WAIT_SECONDS)

    @property
    def notifications(self) -> NotificationConfig:
        """The targets of notifications, at the top level or under ``schedule``."""
        return self.top_notifications or (
            self.schedule.notifications if self.schedule else NotificationConfig()
        )

    @property
    def given_retry(self) -> RetryConfig:
        """The retries that the spec gives, at the top level or under ``schedule``."""
        return self.top_retry or (self.schedule.retry if self.schedule else RetryConfig())

    @property
    def retry(self) -> RetryConfig:
        """The retries of a run; none by default where a retry would add the rows twice (specification 35.9)."""
        given = self.given_retry
        if isinstance(self.materialization, AppendForm) and "max_attempts" not in given.model_fields_set:
            return given.model_copy(update={"max_attempts": 0})
        return given
