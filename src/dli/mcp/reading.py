"""The tools that only read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from dli.mcp.answers import Answer, answer, answers, errors_for_the_assistant
from dli.output.differences import VersionDiff

if TYPE_CHECKING:
    from collections.abc import Callable

    from dli.client.async_client import AsyncClient

Status = Literal["PENDING", "RUNNING", "COMPLETED", "FAILED", "KILLED"]

MAX_ITEMS = 100
MAX_LOG_LINES = 200


class ReadingTools:
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
            self.list_datasets,
            self.get_dataset,
            self.why,
            self.list_runs,
            self.get_run,
            self.get_log,
            self.get_lineage,
            self.get_graph,
            self.list_backfills,
            self.get_backfill,
            self.preview_run,
            self.diff_versions,
        )

    async def list_datasets(
        self,
        pattern: str | None = None,
        *,
        running: bool = False,
        waiting: bool = False,
        limit: int = MAX_ITEMS,
    ) -> Answer:
        """List registered datasets: source, status, schedule, next run, and the last run with its result.

        Args:
            pattern: Only this dataset, or those that match a pattern with *: "sales.*".
            running: Only datasets with a run that executes now.
            waiting: Only datasets with a run that waits for other datasets, and what it waits for.
            limit: Maximum number of datasets.
        """
        with errors_for_the_assistant():
            found = await self._client.list_workflows(dataset=pattern, running=running, waiting=waiting)
        return answers("datasets", found, limit)

    async def get_dataset(self, name: str) -> Answer:
        """Show a dataset: its state and last run, and its spec, the YAML with the SQL files."""
        with errors_for_the_assistant():
            workflow = await self._client.get_workflow(name)
            spec = await self._client.get_dataset(name)
        return {"workflow": answer(workflow), "spec": answer(spec)}

    async def why(self, name: str, partition: str | None = None) -> Answer:
        """Say why a partition of a dataset is there or not, down to the run that failed or the dataset that is paused.

        Args:
            name: The dataset.
            partition: A date or a time: "2024-01-15", "yesterday", "2024-01-15T13:00". The last one that is due
                if not given.
        """
        with errors_for_the_assistant():
            return answer(await self._client.explain_partition(name, partition))

    async def list_runs(
        self,
        dataset: str | None = None,
        status: Status | None = None,
        partition: str | None = None,
        limit: int = 20,
    ) -> Answer:
        """List runs, newest first, each with its status, partition, times and error.

        Args:
            dataset: Only runs of this dataset, or of those that match a pattern with *.
            status: Only runs with this status.
            partition: Only runs that build this date or time.
            limit: Maximum number of runs.
        """
        with errors_for_the_assistant():
            found = await self._client.list_runs(
                dataset=dataset, status=status, partition=partition, limit=min(limit, MAX_ITEMS)
            )
        return answers("runs", found, limit)

    async def get_run(self, run_id: str, dataset: str | None = None) -> Answer:
        """Show a run: status, error, parameters, partition, attempts, checks, and what it waits for.

        Args:
            run_id: The run.
            dataset: Its dataset; needed only for run ids that Airflow made.
        """
        with errors_for_the_assistant():
            return answer(await self._client.get_run(run_id, dataset=dataset))

    async def get_log(
        self, run_id: str, dataset: str | None = None, attempt: int | None = None, lines: int = 60
    ) -> Answer:
        """Show the end of the log of a run: its SQL statements, row counts and errors.

        Args:
            run_id: The run.
            dataset: Its dataset; needed only for run ids that Airflow made.
            attempt: The number of the attempt; the last one if not given.
            lines: Maximum number of lines.
        """
        with errors_for_the_assistant():
            log = await self._client.get_log(run_id, attempt=attempt, dataset=dataset)
        wanted = min(max(lines, 1), MAX_LOG_LINES)
        return {
            "run_id": log.run_id,
            "attempt": log.attempt,
            "attempts": log.attempts,
            "lines": log.lines[-wanted:],
            "left_out": max(len(log.lines) - wanted, 0),
        }

    async def get_lineage(self, name: str) -> Answer:
        """Show the tables that a dataset reads and builds, and for each column the columns it is made from."""
        with errors_for_the_assistant():
            return answer(await self._client.get_lineage(name))

    async def get_graph(self, dataset: str | None = None) -> Answer:
        """Show which datasets wait for which, with the state of each; of one dataset, all up- and downstream of it."""
        with errors_for_the_assistant():
            return answer(await self._client.get_graph(dataset))

    async def list_backfills(
        self, dataset: str | None = None, *, active: bool | None = None, limit: int = 20
    ) -> Answer:
        """List backfills, newest first, with their progress.

        Args:
            dataset: Only backfills that build this dataset.
            active: True: only active ones; False: only ended ones.
            limit: Maximum number of backfills.
        """
        with errors_for_the_assistant():
            found = await self._client.list_backfills(
                dataset=dataset, active=active, limit=min(limit, MAX_ITEMS)
            )
        return answers("backfills", found, limit)

    async def get_backfill(self, backfill_id: str) -> Answer:
        """Show a backfill: its partitions, which are built, and which failed and why."""
        with errors_for_the_assistant():
            return answer(await self._client.get_backfill(backfill_id))

    async def preview_run(self, name: str, parameters: dict[str, Any] | None = None) -> Answer:
        """Show what a run would do: its parameters and SQL, and the tables it reads and writes. Nothing starts."""
        with errors_for_the_assistant():
            return answer(await self._client.preview_run(name, parameters))

    async def diff_versions(self, name: str, old: str | None = None, new: str | None = None) -> Answer:
        """Show what changed between two versions of a dataset's spec; without hashes, list the versions.

        Args:
            name: The dataset.
            old: The hash of a version, or its first digits.
            new: The hash of a later one; the registered version if not given.
        """
        with errors_for_the_assistant():
            if old is None:
                return answers("versions", await self._client.list_versions(name), MAX_ITEMS)
            before = await self._client.get_version(name, old)
            after = await (self._client.get_version(name, new) if new else self._client.get_dataset(name))
        return answer(VersionDiff(name, before, after).to_json())
