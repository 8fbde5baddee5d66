"""A run's log, as lines of text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dataspec.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from basecamp.airflow.gateway import AirflowGateway
    from basecamp.airflow.models import DagRun, LogEvent

MAX_LINES = 20_000
"""Of a longer log, only the end is shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLog:
    """The log of one attempt of a run."""

    run_id: str
    attempt: int
    """0 while no attempt has started."""
    attempts: int
    """How many have started."""
    lines: list[str]


class RunLogs:
    """Reads logs from Airflow."""

    def __init__(self, gateway: AirflowGateway) -> None:
        self._gateway = gateway

    def read(self, run: DagRun, attempt: int | None = None) -> RunLog:
        """Return the log of an attempt; of the last one that started if none is named.

        Raises:
            NotFound: When there was no such attempt.
            AirflowUnreachable: When Airflow does not answer.
        """
        started = self._started(run)
        wanted = started if attempt is None else attempt
        if not wanted:
            return RunLog(run_id=run.run_id, attempt=0, attempts=started, lines=[])
        events = self._gateway.log(run.dag_id, run.run_id, wanted) if wanted <= started else None
        if events is None:
            raise NotFound(
                f"The run '{run.run_id}' has no attempt {wanted}.", detail=f"Attempts so far: {started}"
            )
        return RunLog(run_id=run.run_id, attempt=wanted, attempts=started, lines=_lines(events))

    def error(self, run: DagRun) -> str | None:
        """Return the last error in the log of a run's last attempt, in one line."""
        started = self._started(run)
        events = self._gateway.log(run.dag_id, run.run_id, started) if started else None
        return next((event.error for event in reversed(events or ()) if event.error), None)

    def _started(self, run: DagRun) -> int:
        return max((attempt.started for attempt in self._gateway.attempts([run])), default=0)


def _lines(events: Sequence[LogEvent]) -> list[str]:
    lines = [line for event in events for line in _event_lines(event)]
    left_out = len(lines) - MAX_LINES
    return lines if left_out <= 0 else [f"… {left_out} lines left out …", *lines[-MAX_LINES:]]


def _event_lines(event: LogEvent) -> Iterator[str]:
    time = event.timestamp.isoformat(timespec="milliseconds") if event.timestamp else None
    level = event.level.upper().ljust(7) if event.level else None
    first, *more = event.message.splitlines() or [""]
    yield " ".join(part for part in (time, level, first) if part)
    yield from more
    yield from event.details
