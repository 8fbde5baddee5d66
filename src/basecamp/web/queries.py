"""Filters of the lists, read from the query of the URL, so that filtered lists can be linked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar, get_args

from pydantic import TypeAdapter, ValidationError

from basecamp.access.audit.reader import AuditFilter
from basecamp.api.query_values import FIRST_YEAR, LAST_YEAR, Timestamp
from basecamp.runs.history import HistoryFilter, PartitionFilter
from dataspec.errors import InvalidUsage
from dataspec.models import RunStatus, RunType, SourceType, WorkflowInfo, WorkflowStatus
from dataspec.problems import nearest

T = TypeVar("T", bound=str)

RUNNING = "running"
"""An additional filter value: datasets with a running run."""

STATES: tuple[str, ...] = (*WorkflowStatus, RUNNING)
LIMITS = (20, 50, 100, 500)
RUN_TYPES: tuple[RunType, ...] = get_args(RunType)

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIMES: TypeAdapter[datetime] = TypeAdapter(Timestamp)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetQuery:
    """Filter of the list of datasets."""

    text: str = ""
    """Words that must all occur in the name, owner, team, description or tags."""
    source: SourceType | None = None
    state: str | None = None
    page: int = 1

    @classmethod
    def of(cls, query: Mapping[str, str]) -> DatasetQuery:
        """Read the query of a URL.

        Raises:
            InvalidUsage: For an unknown filter value.
        """
        return cls(
            text=query.get("q", "").strip(),
            source=_choice(query, "source", tuple(SourceType)),
            state=_choice(query, "status", STATES),
            page=_number(query, "page", default=1),
        )

    def fields(self) -> dict[str, object]:
        """Return the query parameters."""
        return {"q": self.text, "source": self.source, "status": self.state}

    def matches(self, row: WorkflowInfo) -> bool:
        """Say whether a row matches the text and the source, regardless of its status."""
        parts = (row.dataset_name, row.owner, row.team, row.description, *row.tags)
        shown = " ".join(part for part in parts if part).lower()
        return self.source in {None, row.source_type} and all(
            word in shown for word in self.text.lower().split()
        )

    def matches_state(self, row: WorkflowInfo) -> bool:
        """Say whether a row matches the status filter."""
        return self.state is None or self.state in states_of(row)


def states_of(row: WorkflowInfo) -> tuple[str, ...]:
    """Return a row's status, and ``running`` if it has a running run."""
    return (row.status, RUNNING) if row.running_run_id else (row.status,)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunQuery:
    """Filter of the list of runs, as in ``dli workflow history``."""

    wanted: HistoryFilter = field(default_factory=HistoryFilter)
    limit: int = LIMITS[0]
    cursor: str | None = None
    since: str = ""
    until: str = ""

    @classmethod
    def of(cls, query: Mapping[str, str]) -> RunQuery:
        """Read the query of a URL.

        Raises:
            InvalidUsage: For an unknown filter value.
        """
        since, until = query.get("since", "").strip(), query.get("until", "").strip()
        partition = query.get("partition", "").strip()
        wanted = HistoryFilter(
            datasets=_several(query, "dataset"),
            source=_choice(query, "source", tuple(SourceType)),
            statuses=_choices(query, "status", tuple(RunStatus)),
            run_types=_choices(query, "run_type", RUN_TYPES),
            since=_moment("since", since),
            until=_moment("until", until, end_of_day=True),
            partition=PartitionFilter.of(partition) if partition else None,
        )
        limit = min(_number(query, "limit", default=LIMITS[0]), LIMITS[-1])
        return cls(wanted=wanted, limit=limit, cursor=query.get("cursor") or None, since=since, until=until)

    def fields(self) -> dict[str, object]:
        """Return the query parameters, without the cursor."""
        return {
            "dataset": ",".join(self.wanted.datasets),
            "source": self.wanted.source,
            "status": ",".join(self.wanted.statuses),
            "run_type": ",".join(self.wanted.run_types),
            "since": self.since,
            "until": self.until,
            "partition": self.wanted.partition and self.wanted.partition.text,
            "limit": None if self.limit == LIMITS[0] else self.limit,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditQuery:
    """Filter of the audit log, as in ``dli audit``."""

    wanted: AuditFilter = field(default_factory=AuditFilter)
    cursor: str | None = None
    since: str = ""

    def fields(self) -> dict[str, object]:
        """Return the query parameters, without the cursor."""
        return {"dataset": self.wanted.dataset, "user": self.wanted.user, "since": self.since}


def audit_query(dataset: str = "", user: str = "", since: str = "", cursor: str = "") -> AuditQuery:
    """Return the filter of the audit log in the query of a request."""
    wanted = AuditFilter(
        dataset=dataset.strip() or None,
        user=user.strip() or None,
        since=_moment("since", since.strip()),
    )
    return AuditQuery(wanted=wanted, cursor=cursor or None, since=since.strip())


def datasets_query(q: str = "", source: str = "", status: str = "", page: str = "") -> DatasetQuery:
    """Return the filter of datasets in the query of a request."""
    return DatasetQuery.of({"q": q, "source": source, "status": status, "page": page})


def runs_query(
    *,
    dataset: str = "",
    source: str = "",
    status: str = "",
    run_type: str = "",
    since: str = "",
    until: str = "",
    partition: str = "",
    limit: str = "",
    cursor: str = "",
) -> RunQuery:
    """Return the filter of runs in the query of a request."""
    filters = {"dataset": dataset, "source": source, "status": status, "run_type": run_type}
    return RunQuery.of(
        {**filters, "since": since, "until": until, "partition": partition, "limit": limit, "cursor": cursor}
    )


def source_of(query: Mapping[str, str]) -> SourceType | None:
    """Return the source in the query, if any.

    Raises:
        InvalidUsage: For an unknown source.
    """
    return _choice(query, "source", tuple(SourceType))


def attempt_of(query: Mapping[str, str]) -> int | None:
    """Return the attempt in the query, if any.

    Raises:
        InvalidUsage: When it is not a number.
    """
    return _number(query, "attempt", default=1) if query.get("attempt") else None


def _choice(query: Mapping[str, str], name: str, known: Iterable[T]) -> T | None:
    text = query.get(name, "").strip()
    by_word = {word.lower(): word for word in known}
    if text.lower() in {"", "all"}:
        return None
    if text.lower() not in by_word:
        hint = nearest(text.lower(), by_word)
        raise InvalidUsage(
            f"Unknown {name} '{text}'.",
            detail=" ".join(filter(None, (f"Use one of: {', '.join(by_word)}.", hint))),
        )
    return by_word[text.lower()]


def _several(query: Mapping[str, str], name: str) -> tuple[str, ...]:
    """Return the values of a filter that takes several, separated by commas."""
    return tuple(text for part in query.get(name, "").split(",") if (text := part.strip()))


def _choices(query: Mapping[str, str], name: str, known: Sequence[T]) -> tuple[T, ...]:
    found = (_choice({name: text}, name, known) for text in _several(query, name))
    return tuple(dict.fromkeys(value for value in found if value is not None))


def _number(query: Mapping[str, str], name: str, *, default: int) -> int:
    text = query.get(name, "").strip()
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and 0 < len(text) <= 6) or int(text) < 1:  # noqa: PLR2004 - a page or a limit
        raise InvalidUsage(f"Invalid {name} '{text}'.", detail="Use a whole number from 1.")
    return int(text)


def _moment(name: str, text: str, *, end_of_day: bool = False) -> datetime | None:
    """Read a date in UTC, or a time as in RFC 3339."""
    if not text:
        return None
    whole_day = _DATE.fullmatch(text) is not None
    try:
        moment = _TIMES.validate_python(f"{text}T00:00:00Z" if whole_day else text)
    except ValidationError:
        raise InvalidUsage(
            f"Invalid time '{text}' for '{name}'.",
            detail=f"Example: 2024-01-15 or 2024-01-15T09:00:00Z. The year is {FIRST_YEAR} to {LAST_YEAR}.",
        ) from None
    return moment + timedelta(days=1) if whole_day and end_of_day else moment
