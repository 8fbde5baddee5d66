"""The runs that have not ended, over all of Airflow's pages."""

from __future__ import annotations

from collections.abc import Iterator

from basecamp.airflow.gateway import AirflowGateway
from basecamp.airflow.models import PAGE_LIMIT, DagRun, RunFilter


def active_runs(gateway: AirflowGateway, dataset: str | None = None) -> Iterator[DagRun]:
    """Yield the queued and running runs of one dataset, or of all, the last created first.

    Raises:
        AirflowUnreachable: When Airflow does not answer.
    """
    wanted = RunFilter(dag_id=dataset, states=("queued", "running"))
    cursor = None
    while True:
        page = gateway.list_runs(wanted, limit=PAGE_LIMIT, cursor=cursor)
        yield from page.runs
        cursor = page.next_cursor
        if cursor is None:
            return
