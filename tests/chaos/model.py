"""What must be true at the end, whatever happened (docs/reliability.md, "Chaos")."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import yaml

from chaos.clients import NAMES, PAUSED, Request
from chaos.faults import HELD_SECONDS, Write
from chaos.world import AirflowRun, Execution
from dataspec.models import RunStatus


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What there is at the end, read from the servers themselves.

    Attributes:
        specs: Each dataset's manual spec; None for one that is not registered.
        paused: Whether Airflow has paused the dataset that clients pause.
        backfills: Each acknowledged backfill as a replica shows it.
        undelivered: Notifications that were stored and not sent.
        told: All that the receiver was sent.
    """

    specs: dict[str, str | None]
    writes: Sequence[Write]
    runs: Sequence[AirflowRun]
    executions: Sequence[Execution]
    backfills: dict[str, dict[str, Any]]
    paused: bool
    undelivered: Sequence[str]
    told: str


class Model:
    """Checks the clients' requests against the facts.

    Attributes:
        broken: What is broken, by promise.
        checked: How many cases of each promise were checked.
    """

    def __init__(self, requests: Sequence[Request], facts: Facts) -> None:
        self.broken: dict[str, list[str]] = defaultdict(list)
        self.checked: Counter[str] = Counter()
        self._requests = requests
        self._facts = facts
        self._by_mark = {asked.number: asked for asked in requests}
        self._runs = defaultdict(list)
        for run in facts.runs:
            self._runs[run.request].append(run)
        self._rows: dict[tuple[str, str], list[Execution]] = defaultdict(list)
        for row in facts.executions:
            self._rows[row.request, row.day].append(row)

    def check(self) -> None:
        """Check every promise."""
        for check in (
            self._stored,
            self._last,
            self._pauses,
            self._started,
            self._executed,
            self._backfills,
            self._stops,
            self._notifications,
        ):
            check()

    def _of(self, *kinds: str) -> Iterator[Request]:
        return (asked for asked in self._requests if asked.kind in kinds)

    def _fault(self, promise: str, text: str, asked: Request | None = None) -> None:
        said = f" ({asked.error.title})" if asked and asked.error else ""
        of = f"{asked.number}, {asked.kind} of {asked.name}, {asked.outcome}{said}: " if asked else ""
        self.broken[promise].append(of + text)

    def _stored(self) -> None:
        promise = "an acknowledged spec was stored, a refused one was not"
        stored = {write.mark for write in self._facts.writes}
        for asked in self._of("register"):
            self.checked[promise] += asked.outcome != "unknown"
            if asked.outcome == "done" and asked.number not in stored:
                self._fault(promise, "its spec was never stored", asked)
            if asked.outcome == "refused" and asked.number in stored:
                self._fault(promise, "its spec was stored", asked)

    def _last(self) -> None:
        promise = "each dataset's spec is the last acknowledged one, or a concurrent one"
        for name in NAMES:
            self.checked[promise] += 1
            text = self._facts.specs[name]
            if text is None:
                if not self._possible(name, "unregister", over=("register",)):
                    self._fault(promise, f"{name} is not registered")
                continue
            spec = yaml.safe_load(text)
            self._last_register(promise, self._by_mark[spec["description"]], spec["schedule"]["cron"])

    def _last_register(self, promise: str, asked: Request, cron: str) -> None:
        if asked.outcome == "refused" or self._is_replaced(asked, "register", "unregister"):
            self._fault(promise, "its spec is stored, though a later one was acknowledged", asked)
        elif cron == asked.given["cron"]:
            later = [it for it in self._of("update") if it.name == asked.name and it.outcome == "done"]
            if lost := [it.number for it in later if it.began_at > _end(asked)]:
                self._fault(promise, f"the later updates {lost} are lost", asked)
        else:
            possible = self._possible(asked.name, "update", over=("update", "register", "unregister"))
            if cron not in {it.given["cron"] for it in possible}:
                self._fault(promise, f"its cron is {cron}, of no update that may be the last", asked)

    def _possible(self, name: str, kind: str, *, over: Sequence[str]) -> list[Request]:
        """Return the requests that may be the last of their kind."""
        return [
            asked
            for asked in self._of(kind)
            if asked.name == name and asked.outcome != "refused" and not self._is_replaced(asked, *over)
        ]

    def _is_replaced(self, asked: Request, *kinds: str) -> bool:
        """Say whether a request was acknowledged that began after this one had ended."""
        return any(
            later.outcome == "done" and later.name == asked.name and later.began_at > _end(asked)
            for later in self._of(*kinds)
        )

    def _pauses(self) -> None:
        promise = "the pause is the last acknowledged one, or a concurrent one"
        self.checked[promise] += sum(asked.outcome == "done" for asked in self._of("pause", "unpause"))
        kind, other = ("pause", "unpause") if self._facts.paused else ("unpause", "pause")
        never = not any(asked.outcome != "refused" for asked in self._of(other))
        if not self._possible(PAUSED, kind, over=(other,)) and not (kind == "unpause" and never):
            self._fault(promise, f"{PAUSED} is {kind}d, which no possible last request asked for")

    def _started(self) -> None:
        promise = "an acknowledged run exists once in Airflow, a refused one does not"
        for asked in self._of("run"):
            made = [run.run_id for run in self._runs[asked.number]]
            self.checked[promise] += asked.outcome != "unknown"
            if len(made) > 1:
                self._fault(promise, f"it made {made}", asked)
            elif asked.outcome == "done" and made != [asked.answer.run_id]:
                self._fault(promise, f"Airflow has {made}, not {asked.answer.run_id}", asked)
            elif asked.outcome == "refused" and made:
                self._fault(promise, f"it made {made}", asked)

    def _executed(self) -> None:
        promise = "a successful run has written its rows: one, or one for each attempt at most"
        for run in self._facts.runs:
            rows = self._rows[run.request, run.day]
            self.checked[promise] += run.state == "success"
            if run.state not in {"success", "failed"}:
                self._fault(promise, f"{run.run_id} is {run.state}")
            elif not (run.state == "success") <= len(rows) <= run.tries:
                self._fault(promise, f"{run.run_id} is {run.state}: {len(rows)} rows, {run.tries} attempts")
            if any(before.ended > after.began for before, after in pairwise(rows)):
                self._fault(promise, f"two attempts of {run.run_id} ran at the same time")
        known = {(run.request, run.day) for run in self._facts.runs}
        for key, rows in self._rows.items():
            if rows and key not in known:
                self._fault(promise, f"the database has {len(rows)} rows of {key}, Airflow no run")

    def _backfills(self) -> None:
        promise = (
            "a backfill builds each date once, in order, one at a time, and ends; a refused one builds none"
        )
        for asked in self._of("backfill"):
            runs = self._runs[asked.number]
            self.checked[promise] += asked.outcome != "unknown"
            if asked.outcome == "refused" and runs:
                self._fault(promise, f"it made {[run.run_id for run in runs]}", asked)
            days = [run.day for run in runs]
            if days != sorted(set(days)):
                self._fault(promise, f"it built {days}", asked)
            if asked.outcome == "done":
                self._backfill(promise, asked, runs)

    def _backfill(self, promise: str, asked: Request, runs: Sequence[AirflowRun]) -> None:
        backfill = self._facts.backfills[asked.answer.backfill_id]
        status, total = backfill["status"], asked.answer.dates_total
        if status in {RunStatus.PENDING, RunStatus.RUNNING}:
            self._fault(promise, f"{asked.answer.backfill_id} is still {status}", asked)
        if status == RunStatus.COMPLETED and (len(runs) != total or any(_failed(run) for run in runs)):
            states = {run.day: run.state for run in runs}
            self._fault(promise, f"it is completed, with {states} of {total}", asked)
        rows = [row for run in runs for row in self._rows[asked.number, run.day] if not run.note]
        if any(before.ended > after.began for before, after in pairwise(rows)):
            self._fault(
                promise, f"two dates of {asked.answer.backfill_id} were built at the same time", asked
            )

    def _stops(self) -> None:
        promise = "nothing is built after an acknowledged stop"
        retried = {asked.given["id"] for asked in self._of("retry") if asked.outcome != "refused"}
        by_id = {run.run_id: run for run in self._facts.runs}
        for asked in self._of("stop"):
            if asked.outcome != "done" or asked.given["id"] in retried:
                continue
            self.checked[promise] += 1
            run, at = by_id[asked.given["id"]], asked.given["answered"]
            if late := [row for row in self._rows[run.request, run.day] if row.ended > at]:
                self._fault(promise, f"{run.run_id} was stopped at {at}, and wrote {late}", asked)
        for asked in self._of("stop_backfill"):
            if asked.outcome != "done":
                continue
            self.checked[promise] += 1
            made = [run for run in self._facts.runs if run.backfill_id == asked.given["id"]]
            if started := [run.run_id for run in made if run.queued_at > asked.given["answered"]]:
                self._fault(promise, f"{asked.given['id']} was stopped, and started {started}", asked)

    def _notifications(self) -> None:
        promise = "each failure is told at least once"
        for run in self._facts.runs:
            if run.state == "failed" and not run.note:
                self.checked[promise] += 1
                if run.run_id not in self._facts.told:
                    self._fault(promise, f"the failure of {run.run_id} was not told")
        for name in self._facts.undelivered:
            self._fault(promise, f"the notification {name} was not delivered")


def _end(asked: Request) -> float:
    """Return the moment after which a request has no effect any more."""
    return asked.ended_at + (0 if asked.outcome == "done" else 2 * HELD_SECONDS)


def _failed(run: AirflowRun) -> bool:
    return run.state != "success" and not run.note
