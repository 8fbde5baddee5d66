"""Ask the queries of ``depends_on``, beside the triggerer's event loop."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from asgiref.sync import sync_to_async

from dataspec.engines.results import Result
from dataspec.engines.session import SqlSession
from dataspec.engines.statement_log import StatementLog
from dataspec.sql.rendering import RenderedStatement
from dli_airflow.connections import sql_hook
from dli_airflow.waiting.awaited import AwaitedQuery

QUERY_SECONDS: Final = 60.0
"""After this time a query is cancelled, and counts as failed."""

_threads = ThreadPoolExecutor(4, thread_name_prefix="dli-depends-on")
"""The queries that a triggerer asks at once; others wait for their turn."""


class _Answer(StatementLog):
    """Keeps whether a query returned a row; logs only failures, since a query is repeated."""

    has_row = False

    def started(self, statement: RenderedStatement) -> None:
        """Log nothing."""

    def ended(self, statement: RenderedStatement, seconds: float, result: Result) -> None:  # noqa: ARG002 - not logged
        """Keep whether there was a row."""
        self.has_row = result.total > 0


async def has_row(query: AwaitedQuery) -> bool:
    """Return whether a query returns a row.

    Raises:
        Exception: Whatever Airflow or the engine raises.
    """
    answer: bool = await sync_to_async(_has_row, thread_sensitive=False, executor=_threads)(query)
    return answer


def _has_row(query: AwaitedQuery) -> bool:
    answer = _Answer(logging.getLogger(__name__))
    session = SqlSession(sql_hook(query.connection, "depends_on"), answer, first_rows=1)
    timer = threading.Timer(QUERY_SECONDS, session.cancel)
    timer.daemon = True
    timer.start()
    try:
        session.run([RenderedStatement("depends_on", query.sql, "query", False, None)])
    finally:
        timer.cancel()
    return answer.has_row
