"""A run's log as lines of text: of one attempt, or of all attempts page by page with a cursor."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Self

from basecamp.airflow.gateway import AirflowGateway, WrongCursor
from basecamp.airflow.models import DagRun, LogEvent
from basecamp.runs.failure_reasons import LATE_LINES
from basecamp.runs.lookup import RunLookup
from basecamp.shared.clock import Clock, earlier_now
from basecamp.shared.cursors import decode_cursor, encode_cursor
from dataspec.errors import NotFound

MAX_LINES = 20_000
"""Maximum number of lines: of a longer log the end is returned, of a longer piece the beginning."""


START = "start"
"""The cursor of a log's first line."""

REMEMBERED = 32
"""Number of lines that a cursor remembers: Airflow sorts by time, so a late line may come before them."""

_NUMBER = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class LogCursor:
    """The position up to which the logs of a run's attempts were read."""

    attempt: int = 1
    """The attempt to continue with."""
    count: int = 0
    """Number of lines of it that were read."""
    last: tuple[str, ...] = ()
    """Hashes of the last lines that were read."""
    ended: bool = False
    """Whether the run had ended then."""

    @classmethod
    def read(cls, text: str) -> Self:
        """Read a cursor.

        Raises:
            WrongCursor: When the text is none of a log.
        """
        if text == START:
            return cls()
        kind, attempt, count, last, ended = decode_cursor(text, parts=5)
        if kind != "log" or not (_NUMBER.fullmatch(attempt) and _NUMBER.fullmatch(count)):
            raise WrongCursor
        return cls(max(int(attempt), 1), int(count), tuple(last.split()), bool(ended))

    def write(self) -> str:
        """Return the cursor as text."""
        ended = "ended" if self.ended else ""
        return encode_cursor(["log", str(self.attempt), str(self.count), " ".join(self.last), ended])

    def go_on(self, lines: Sequence[str], most: int) -> tuple[list[str], Self]:
        """Return the next lines of the attempt, up to a maximum number, and the cursor after them.

        A log that has become shorter is temporarily unavailable in Airflow: it has no new lines.
        """
        if len(lines) < self.count:
            return [], self
        new = self._new(lines)
        after = len(lines) if len(new) <= most else new[most]
        last = tuple(_mark(line) for line in lines[max(after - REMEMBERED, 0) : after])
        return [lines[number] for number in new[:most]], replace(self, count=after, last=last)

    def _new(self, lines: Sequence[str]) -> Sequence[int]:
        begin = max(self.count - len(self.last), 0)
        marks = [_mark(line) for line in lines[begin : self.count]]
        if tuple(marks) == self.last:
            return range(self.count, len(lines))
        read = Counter(self.last)
        new = []
        for number in range(begin, len(lines)):
            mark = _mark(lines[number]) if read.total() else ""
            if read[mark]:
                read[mark] -= 1
            else:
                new.append(number)
        return new


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLog:
    """The log of one attempt of a run, or a piece of it."""

    run_id: str
    attempt: int
    """0 while no attempt has started."""
    attempts: int
    """Number of attempts that have started."""
    lines: list[str]
    more: bool
    """Whether more lines can be read now."""
    next_cursor: str | None
    """The cursor of the next lines; None when the run has ended and these are its last lines."""


class RunLogs:
    """Reads logs from Airflow."""

    def __init__(self, lookup: RunLookup, gateway: AirflowGateway, clock: Clock) -> None:
        self._lookup = lookup
        self._gateway = gateway
        self._clock = clock

    def read(self, run_id: str, *, attempt: int | None = None, dataset: str | None = None) -> RunLog:
        """Return the log of an attempt; of the last one that started if none is named.

        Raises:
            RunNotFound, InvalidUsage: See :meth:`~basecamp.runs.lookup.RunLookup.find`.
            NotFound: When there was no such attempt.
            AirflowUnreachable: When Airflow does not answer.
        """
        run = self._lookup.find(run_id, dataset)
        started = self._started(run)
        wanted = started if attempt is None else attempt
        lines = self._lines(run, wanted, started)
        _, cursor = LogCursor(max(wanted, 1)).go_on(lines, len(lines))
        return self._answer(run, wanted, started, _shortened(lines), cursor)

    def read_on(self, run_id: str, text: str, *, dataset: str | None = None) -> RunLog:
        """Return the lines after a cursor, of one attempt.

        Args:
            run_id: The run's id.
            text: The ``next_cursor`` of an earlier answer, or ``start``.
            dataset: The run's dataset, for ids that are not unique.

        Raises:
            RunNotFound, InvalidUsage: See :meth:`~basecamp.runs.lookup.RunLookup.find`.
            WrongCursor: When it is no cursor of a log.
            NotFound: When the run does not have the attempt any more.
            AirflowUnreachable: When Airflow does not answer.
        """
        run = self._lookup.find(run_id, dataset)  # before the log: no line is written after its end is seen
        cursor = LogCursor.read(text)
        started = self._started(run)
        attempt = cursor.attempt if started else 0
        all_lines = self._lines(run, attempt, started)
        lines, cursor = cursor.go_on(all_lines, MAX_LINES)
        return self._answer(run, attempt, started, lines, cursor, more=cursor.count < len(all_lines))

    def _answer(
        self,
        run: DagRun,
        attempt: int,
        started: int,
        lines: list[str],
        cursor: LogCursor,
        *,
        more: bool = False,
    ) -> RunLog:
        if not more and attempt < started:
            cursor, more = LogCursor(attempt + 1), True
        over = run.finished and not more and (cursor.ended or self._is_written(run))
        cursor = replace(cursor, ended=run.finished)
        return RunLog(
            run_id=run.run_id,
            attempt=attempt,
            attempts=started,
            lines=lines,
            more=more,
            next_cursor=None if over else cursor.write(),
        )

    def _is_written(self, run: DagRun) -> bool:
        return run.end_date is None or earlier_now(self._gateway, self._clock) - run.end_date > LATE_LINES

    def _lines(self, run: DagRun, attempt: int, started: int) -> list[str]:
        if not attempt:
            return self._why_not_started(run)
        events = self._gateway.log(run.dag_id, run.run_id, attempt) if attempt <= started else None
        if events is None:
            raise NotFound(
                f"The run '{run.run_id}' has no attempt {attempt}.", detail=f"Attempts so far: {started}"
            )
        return [line for event in events for line in _event_lines(event)]

    def _why_not_started(self, run: DagRun) -> list[str]:
        """Return why a run failed while it waited for other datasets, as lines; none for any other run."""
        failed = run.finished and run.state == "failed"
        return (self._gateway.wait_error(*run.key) or "").splitlines() if failed else []

    def _started(self, run: DagRun) -> int:
        return max((attempt.started for attempt in self._gateway.attempts([run])), default=0)


def _shortened(lines: list[str]) -> list[str]:
    left_out = len(lines) - MAX_LINES
    return lines if left_out <= 0 else [f"… {left_out} lines left out …", *lines[-MAX_LINES:]]


def _event_lines(event: LogEvent) -> Iterator[str]:
    time = event.timestamp.isoformat(timespec="milliseconds") if event.timestamp else None
    level = event.level.upper().ljust(7) if event.level else None
    first, *more = event.message.splitlines() or [""]
    yield " ".join(part for part in (time, level, first) if part)
    yield from more
    yield from event.details


def _mark(line: str) -> str:
    return blake2b(line.encode(errors="replace"), digest_size=4).hexdigest()
