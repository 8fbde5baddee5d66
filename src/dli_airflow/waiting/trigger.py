"""The trigger of a run that waits: it ends the task that waits itself, and resumes no worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final

from asgiref.sync import sync_to_async

from dataspec.contract import WAIT_ERROR_KEY
from dli_airflow.airflow_api import BaseTrigger, TaskFailedEvent, TaskSuccessEvent, TriggerEvent
from dli_airflow.waiting.awaited import AwaitedDataset, AwaitedQuery, retry_words, timeout_words
from dli_airflow.waiting.poller import Poller, Watch
from dli_airflow.waiting.queries import has_row
from dli_airflow.waiting.upstream_runs import has_run
from dli_airflow.waiting.variables import read_variable_in_triggerer

SHORTEST_SECONDS: Final = 1.0
LONGEST_SECONDS: Final = 600.0
"""Limits of the time after which a trigger looks again without a change."""


class UpstreamTrigger(BaseTrigger):
    """Waits until all that a run needs is there, or will never be.

    A worker that is resumed may fail: Airflow fails a task whose trigger fires while its last process still ends.

    Args:
        run_id: The run that waits.
        turn: Of several runs that can go on at one moment, the one with the lowest turn goes on first.
        datasets: What it needs of upstream datasets, as JSON.
        queries: The queries that have to return a row, as JSON.
    """

    def __init__(
        self,
        *,
        run_id: str,
        turn: str,
        datasets: Sequence[Mapping[str, Any]],
        queries: Sequence[Mapping[str, Any]],
    ) -> None:
        super().__init__()
        self.run_id = run_id
        self.turn = turn
        self.datasets = datasets
        self.queries = queries
        self._awaited = [AwaitedDataset.read(data) for data in datasets]
        self._existing: set[str] = set()
        """The upstreams' scheduled runs that exist: what they build was not passed over."""
        self._errors: dict[AwaitedQuery, str] = {}

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the path of this class and its arguments: any triggerer may take the trigger over."""
        names = ("run_id", "turn", "datasets", "queries")
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            name: getattr(self, name) for name in names
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield how the task ends."""
        with _poller().watching([one.dataset for one in self._awaited], self.turn) as watch:
            open_queries = {AwaitedQuery.read(data) for data in self.queries}
            asking = [asyncio.create_task(self._ask(query, open_queries, watch)) for query in open_queries]
            try:
                error = await self._error(watch, open_queries)
            finally:
                for task in asking:
                    task.cancel()
        if error is None:
            self.log.info("All that the run waited for is there.")
            yield TaskSuccessEvent()
        else:
            message = f"{error}{retry_words(self.run_id)}"
            self.log.error(message)
            yield TaskFailedEvent(xcoms={WAIT_ERROR_KEY: message})

    async def _error(self, watch: Watch, open_queries: set[AwaitedQuery]) -> str | None:
        """Wait until the run can go on; return why it never can, or None."""
        while True:
            await watch.change(self._seconds(watch, open_queries))
            if not watch.is_read:
                continue
            missing = self._missing(watch)
            if not missing and not open_queries:
                return None
            now = datetime.now(UTC)
            if error := await self._passed_over(missing, watch, now):
                return error
            words = [(one.deadline, one.missing(watch.built(one.dataset))) for one in missing]
            words += [(query.deadline, self._words(query)) for query in open_queries]
            if any(deadline is not None and deadline <= now for deadline, _ in words):
                return timeout_words(text for _, text in words)

    def _missing(self, watch: Watch) -> list[AwaitedDataset]:
        return [one for one in self._awaited if not one.need.is_met(watch.built(one.dataset))]

    def _words(self, query: AwaitedQuery) -> str:
        error = self._errors.get(query)
        return f"{query.missing}, which failed: {error}" if error else query.missing

    def _seconds(self, watch: Watch, open_queries: set[AwaitedQuery]) -> float:
        """Return the seconds until the next deadline, or until a partition may have been passed over."""
        times = [*(one.deadline for one in self._awaited), *(query.deadline for query in open_queries)]
        if watch.is_read:
            times += [
                at
                for one in self._missing(watch)
                for _, run_id, at in one.replaced_at(watch.built(one.dataset))
                if run_id not in self._existing
            ]
        ahead = min(filter(None, times), default=datetime.now(UTC) + timedelta(seconds=LONGEST_SECONDS))
        seconds = (ahead - datetime.now(UTC)).total_seconds()
        return min(max(seconds, SHORTEST_SECONDS), LONGEST_SECONDS)

    async def _passed_over(
        self, missing: Sequence[AwaitedDataset], watch: Watch, now: datetime
    ) -> str | None:
        """Return the error for a partition that its schedule will never build; None if there is none.

        It is asked once for each partition: a run that exists stays.
        """
        for one in missing:
            for partition, run_id, at in one.replaced_at(watch.built(one.dataset)):
                if at > now or run_id in self._existing:
                    continue
                try:
                    exists = await sync_to_async(has_run, thread_sensitive=False)(one.dataset, run_id)
                except Exception as error:  # noqa: BLE001 - Airflow may be restarting: it is asked again
                    self.log.warning("Airflow can't say whether %s exists: %s", run_id, error)
                    continue
                if not exists:
                    return one.passed_over(partition)
                self._existing.add(run_id)
        return None

    async def _ask(self, query: AwaitedQuery, open_queries: set[AwaitedQuery], watch: Watch) -> None:
        """Ask a query until it returns a row."""
        while not await self._answer(query):  # noqa: ASYNC110 - no event tells of a row
            await asyncio.sleep(query.every_seconds)
        open_queries.discard(query)
        watch.wake()

    async def _answer(self, query: AwaitedQuery) -> bool:
        try:
            found = await has_row(query)
        except Exception as error:  # noqa: BLE001 - an engine may raise anything, and is asked again
            if str(error) != self._errors.get(query):
                self.log.warning("The query on %s failed, and will be repeated: %s", query.connection, error)
            self._errors[query] = str(error)
            return False
        self._errors.pop(query, None)
        return found


@cache
def _poller() -> Poller:
    return Poller(read_variable_in_triggerer)
