"""Lists of runs of Airflow 2, which knows offsets alone.

A run that comes while somebody turns pages moves all others on by one. So a cursor holds how
many runs there were: what came since is passed over.

When a run was due is not kept, so a list from a moment on is made of two: the runs that
wait, which are few, then those that started since, which is no earlier than they were due.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from basecamp.airflow.gateway import WrongCursor
from basecamp.airflow.models import PAGE_LIMIT, DagRun, RunFilter, RunPage
from basecamp.airflow.v1_responses import read_run

Phase = Literal["all", "waiting", "started"]
Rows = tuple[list["DagRun"], int]

_CURSOR = re.compile(r"(?P<phase>all|waiting|started)-(?P<offset>\d{1,9})-(?P<total>\d{1,9})")
_WAITING = "queued"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page begins."""

    phase: Phase
    offset: int = 0
    total: int | None = None
    """How many runs the list had when the place was left."""

    @classmethod
    def first(cls, wanted: RunFilter) -> Place:
        """Return where the list begins."""
        if wanted.due_from is None:
            return cls("all")
        return cls("waiting" if not wanted.states or _WAITING in wanted.states else "started")

    @classmethod
    def read(cls, cursor: str) -> Place:
        """Read a cursor.

        Raises:
            WrongCursor: When it is none of these lists.
        """
        found = _CURSOR.fullmatch(cursor)
        if found is None:
            raise WrongCursor
        phase: Phase = found["phase"]  # type: ignore[assignment] # the pattern allows no other
        return cls(phase, int(found["offset"]), int(found["total"]))

    def __str__(self) -> str:
        return f"{self.phase}-{self.offset}-{self.total or 0}"

    def after(self, rows: int, total: int) -> Place | None:
        """Return where the next page begins; None where the list ends."""
        if rows and self.offset + rows < total:
            return replace(self, offset=self.offset + rows, total=total)
        return Place("started") if self.phase == "waiting" else None


def page_of_runs(
    ask: Callable[[Mapping[str, Any]], Rows], wanted: RunFilter, limit: int, cursor: str | None
) -> RunPage:
    """Return a page of the runs that are wanted, the last created first.

    Args:
        ask: Returns the rows, and how many there are in all, for the parameters of a request.
        wanted: Which runs; what Airflow can't filter by is left out here, so pages may be short.
        limit: The most rows.
        cursor: Where an earlier page ended.

    Raises:
        WrongCursor: When no page gave the cursor.
    """
    place = Place.read(cursor) if cursor else Place.first(wanted)
    params = {**_params(wanted, place.phase), "limit": min(limit, PAGE_LIMIT)}
    rows, total = ask(params | {"offset": place.offset})
    if place.total and total > place.total:
        place = replace(place, offset=place.offset + total - place.total)
        rows, total = ask(params | {"offset": place.offset})
    following = place.after(len(rows), total)
    return RunPage(
        runs=tuple(run for run in rows if wanted.holds(run)),
        next_cursor=str(following) if following else None,
    )


def _params(wanted: RunFilter, phase: Phase) -> dict[str, Any]:
    params: dict[str, Any] = {"order_by": "-id"}
    if phase == "waiting":
        params["state"] = [_WAITING]
    elif states := [state for state in wanted.states if phase == "all" or state != _WAITING]:
        params["state"] = states
    if phase == "started" and wanted.due_from is not None:
        params["start_date_gte"] = wanted.due_from.isoformat()
    if wanted.due_before is not None:
        params["execution_date_lte"] = wanted.due_before.isoformat()
    if wanted.ended_from is not None:
        params["end_date_gte"] = wanted.ended_from.isoformat()
    return params


def read_rows(body: Mapping[str, Any]) -> Rows:
    """Read a page of runs."""
    return [read_run(row) for row in body["dag_runs"]], int(body["total_entries"])
