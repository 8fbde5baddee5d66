"""A run's log, as lines of text: one attempt's, or those of all attempts, piece by piece."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

from basecamp.airflow.gateway import AirflowGateway
from basecamp.airflow.models import DagRun, LogEvent
from basecamp.runs.log_cursors import LogCursor
from basecamp.shared.clock import Clock
from dataspec.errors import NotFound

MAX_LINES = 20_000
"""Of a longer log, only the end is shown; of a longer piece, only the beginning."""

LATE_LINES = timedelta(seconds=10)
"""How long after a run's end a look at its log may still miss the last lines of the worker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLog:
    """The log of one attempt of a run, or a piece of it."""

    run_id: str
    attempt: int
    """0 while no attempt has started."""
    attempts: int
    """How many have started."""
    lines: list[str]
    more: bool
    """Whether further lines are to be had now."""
    next_cursor: str | None
    """Where they go on; None when the run has ended and these are its last ones."""


class RunLogs:
    """Reads logs from Airflow."""

    def __init__(self, gateway: AirflowGateway, clock: Clock) -> None:
        self._gateway = gateway
        self._clock = clock

    def read(self, run: DagRun, attempt: int | None = None) -> RunLog:
        """Return the log of an attempt; of the last one that started if none is named.

        Raises:
            NotFound: When there was no such attempt.
            AirflowUnreachable: When Airflow does not answer.
        """
        started = self._started(run)
        wanted = started if attempt is None else attempt
        lines = self._lines(run, wanted, started)
        _, cursor = LogCursor(max(wanted, 1)).go_on(lines, len(lines))
        return self._answer(run, wanted, started, _shortened(lines), cursor)

    def read_on(self, run: DagRun, text: str) -> RunLog:
        """Return the lines after a cursor, of one attempt.

        Args:
            run: The run, as it was found before this call, so that no line is written after its end is seen.
            text: What an earlier answer gave, or ``start``.

        Raises:
            WrongCursor: When it is no cursor of a log.
            NotFound: When the run does not have the attempt any more.
            AirflowUnreachable: When Airflow does not answer.
        """
        cursor = LogCursor.read(text)
        started = self._started(run)
        attempt = cursor.attempt if started else 0
        all_lines = self._lines(run, attempt, started)
        lines, cursor = cursor.go_on(all_lines, MAX_LINES)
        return self._answer(run, attempt, started, lines, cursor, more=cursor.count < len(all_lines))

    def error(self, run: DagRun) -> str | None:
        """Return the last error in the log of a run's last attempt, in one line."""
        return self.last_error(*run.key, self._started(run))

    def last_error(self, dag_id: str, run_id: str, attempt: int) -> str | None:
        """Return the last error in the log of an attempt, in one line; None as well if it is attempt 0."""
        events = self._gateway.log(dag_id, run_id, attempt) if attempt else None
        return next((event.error for event in reversed(events or ()) if event.error), None)

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
        return run.end_date is None or self._clock.now() - run.end_date > LATE_LINES

    def _lines(self, run: DagRun, attempt: int, started: int) -> list[str]:
        if not attempt:
            return []
        events = self._gateway.log(run.dag_id, run.run_id, attempt) if attempt <= started else None
        if events is None:
            raise NotFound(
                f"The run '{run.run_id}' has no attempt {attempt}.", detail=f"Attempts so far: {started}"
            )
        return [line for event in events for line in _event_lines(event)]

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
