"""Lists of Airflow's API, page after page by offset, as both lines have them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from basecamp.airflow.http.transport import AirflowTransport, Answer
from basecamp.airflow.models import PAGE_LIMIT

T = TypeVar("T")

_MISSING = 404


def pages(
    transport: AirflowTransport,
    path: str,
    items: str,
    params: Mapping[str, Any],
    read: Callable[[Any], T],
    *,
    limit: int = PAGE_LIMIT,
) -> Iterator[T]:
    """Yield what a reader makes of each row of a list, over all its pages; nothing where there is no list.

    Args:
        transport: Sends the requests.
        path: The list's.
        items: The key of its rows.
        params: What to list.
        read: Reads a row.
        limit: How many rows to ask for at once; Airflow may send fewer.
    """

    def ask(offset: int) -> Answer:
        page = {**params, "limit": limit, "offset": offset}
        return transport.request("GET", path, params=page, expect=frozenset({_MISSING}))

    return _rows(ask, items, read)


def posted_pages(
    transport: AirflowTransport, path: str, items: str, wanted: Mapping[str, Any], read: Callable[[Any], T]
) -> Iterator[T]:
    """Yield the rows of a list that takes what is wanted in a body (Airflow 2)."""

    def ask(offset: int) -> Answer:
        page = {**wanted, "page_limit": PAGE_LIMIT, "page_offset": offset}
        return transport.request("POST", path, json=page)

    return _rows(ask, items, read)


def _rows(ask: Callable[[int], Answer], items: str, read: Callable[[Any], T]) -> Iterator[T]:
    offset = 0
    while True:
        answer = ask(offset)
        if answer.status == _MISSING:
            return
        rows, total = answer.read(
            lambda body: ([read(row) for row in body[items]], int(body["total_entries"]))
        )
        yield from rows
        offset += len(rows)
        if not rows or offset >= total:
            return
