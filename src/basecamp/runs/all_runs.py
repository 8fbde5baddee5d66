"""Runs over all of Airflow's pages."""

from __future__ import annotations

from collections.abc import Iterator

from basecamp.airflow.gateway import AirflowGateway
from basecamp.airflow.models import PAGE_LIMIT, DagRun, RunFilter


def all_runs(gateway: AirflowGateway, wanted: RunFilter, *, max_pages: int | None = None) -> Iterator[DagRun]:
    """Yield the runs that a filter selects, the last created first.

    Args:
        gateway: The Airflow.
        wanted: The filter.
        max_pages: How many pages to read; all if not given.

    Raises:
        AirflowUnreachable: When Airflow does not answer.
    """
    cursor, pages = None, 0
    while max_pages is None or pages < max_pages:
        page = gateway.list_runs(wanted, limit=PAGE_LIMIT, cursor=cursor)
        yield from page.runs
        cursor, pages = page.next_cursor, pages + 1
        if cursor is None:
            return
