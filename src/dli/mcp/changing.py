"""The tools that change something: they are there only if the person has allowed it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dli.mcp.answers import Answer, answer, errors_for_the_assistant

if TYPE_CHECKING:
    from collections.abc import Callable

    from dli.client.async_client import AsyncClient


class ChangingTools:
    """The tools; each has the rights of the client's token.

    Args:
        client: Sends the requests.
    """

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    @property
    def tools(self) -> tuple[Callable[..., Any], ...]:
        """The tools, in the order in which an assistant gets them."""
        return (
            self.start_run,
            self.retry_run,
            self.stop_run,
            self.start_backfill,
            self.stop_backfill,
            self.pause,
            self.unpause,
        )

    async def start_run(self, name: str, parameters: dict[str, Any] | None = None) -> Answer:
        """Start a run of a dataset now. Call `preview_run` first.

        Args:
            name: The dataset.
            parameters: Its parameters, such as {"execution_date": "2024-01-15"}.
        """
        with errors_for_the_assistant():
            return answer(await self._client.start_run(name, parameters))

    async def retry_run(self, run_id: str, dataset: str | None = None) -> Answer:
        """Run a failed or stopped run again, with the same parameters and the spec that is effective now."""
        with errors_for_the_assistant():
            return answer(await self._client.retry_run(run_id, dataset=dataset))

    async def stop_run(self, run_id: str, reason: str, dataset: str | None = None) -> Answer:
        """Stop an active run and cancel its query; the reason is shown with it."""
        with errors_for_the_assistant():
            return answer(await self._client.stop_run(run_id, reason=reason, dataset=dataset))

    async def start_backfill(
        self, name: str, start: str, end: str, *, missing: bool = True, with_downstream: bool = False
    ) -> Answer:
        """Build each partition of a dataset in a range of dates, in order.

        Args:
            name: The dataset.
            start: The first date: "2024-01-01".
            end: The last date.
            missing: Leave out the partitions that are built.
            with_downstream: Build all downstream datasets as well.
        """
        with errors_for_the_assistant():
            started = await self._client.start_backfill(
                name, start, end, missing=missing, with_downstream=with_downstream
            )
        return answer(started)

    async def stop_backfill(self, backfill_id: str, reason: str) -> Answer:
        """Stop a backfill, and cancel the query of its run; the reason is shown with it."""
        with errors_for_the_assistant():
            return answer(await self._client.stop_backfill(backfill_id, reason=reason))

    async def pause(self, name: str, reason: str) -> Answer:
        """Pause a dataset: no new run starts until it is resumed; the reason is shown with it."""
        with errors_for_the_assistant():
            return answer(await self._client.pause(name, reason=reason))

    async def unpause(self, name: str) -> Answer:
        """Resume a paused dataset: its latest missed run is caught up."""
        with errors_for_the_assistant():
            return answer(await self._client.unpause(name))
