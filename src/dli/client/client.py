"""The Python client: everything the command line asks of Basecamp, as typed calls."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from time import sleep
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from dataspec.errors import Unavailable
from dli.client.addresses import DEFAULT_SERVER_URL
from dli.client.call import Listing, Steps, user_headers
from dli.client.calls import LOG_START, Calls
from dli.client.polling import Following, ended
from dli.client.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

    from dataspec.models import Backfill, WorkflowRun
    from dli.client.responses import RunLog

__all__ = ["Client", "Listing"]

P = ParamSpec("P")
T = TypeVar("T")


def _method(steps: Callable[Concatenate[Calls, P], Steps[T]]) -> Callable[Concatenate[Client, P], T]:
    """Return a method that makes the calls and waits for each answer."""

    @wraps(steps)
    def method(client: Client, /, *arguments: P.args, **options: P.kwargs) -> T:
        return client._result(steps(_CALLS, *arguments, **options))  # noqa: SLF001 - a method of that class

    return method


_CALLS = Calls()


class Client:
    """Talks to a Basecamp server; use it from one thread at a time.

    .. code-block:: python

        with Client("http://127.0.0.1:8800") as client:
            run = client.start_run("sales.daily", {"execution_date": "2024-01-15"})
            run = client.wait(run.run_id)

    Every method raises a kind of :class:`~dataspec.errors.DliError`:
    :class:`~dataspec.errors.ServerUnreachable` without an answer, else the error that
    the server answered. The methods are described in :class:`~dli.client.calls.Calls`;
    :class:`~dli.client.async_client.AsyncClient` has the same ones.

    Args:
        server_url: The server's address; ``DLI_SERVER_URL``, or this machine's port 8800, if not given.
        user: Who acts, for notes and logs.
        timeout_seconds: How long a call may take.
        log: Told of each call, in one line.
        warn: Told of each warning beside a single answer, such as that Airflow did not answer
            and how old the figures are; those of a list stand in its ``warnings``.
    """

    def __init__(
        self,
        server_url: str | None = None,
        *,
        user: str | None = None,
        timeout_seconds: float = 30.0,
        log: Callable[[str], None] | None = None,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        url = server_url or os.environ.get("DLI_SERVER_URL") or DEFAULT_SERVER_URL
        self._timeout = timeout_seconds
        self._transport = Transport(
            url, timeout_seconds=timeout_seconds, headers=user_headers(user), log=log, warn=warn
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection to the server."""
        self._transport.close()

    list_workflows = _method(Calls.list_workflows)
    get_workflow = _method(Calls.get_workflow)
    pause = _method(Calls.pause)
    unpause = _method(Calls.unpause)
    sync = _method(Calls.sync)
    start_run = _method(Calls.start_run)
    preview_run = _method(Calls.preview_run)
    list_runs = _method(Calls.list_runs)
    get_run = _method(Calls.get_run)
    stop_run = _method(Calls.stop_run)
    get_log = _method(Calls.get_log)
    retry_run = _method(Calls.retry_run)
    start_backfill = _method(Calls.start_backfill)
    preview_backfill = _method(Calls.preview_backfill)
    get_backfill = _method(Calls.get_backfill)
    list_backfills = _method(Calls.list_backfills)
    stop_backfill = _method(Calls.stop_backfill)
    test_notifications = _method(Calls.test_notifications)
    list_datasets = _method(Calls.list_datasets)
    get_dataset = _method(Calls.get_dataset)
    register = _method(Calls.register)
    update = _method(Calls.update)
    unregister = _method(Calls.unregister)
    get_versions = _method(Calls.get_versions)
    validate = _method(Calls.validate)

    def follow_run(
        self,
        run_id: str,
        *,
        dataset: str | None = None,
        interval_seconds: float = 1.0,
        timeout_seconds: float | None = None,
    ) -> Iterator[WorkflowRun]:
        """Yield a run again and again until it has finished, or until the timeout.

        The last one yielded tells which. A server that stops answering is asked again for
        a minute.
        """
        following = Following(interval_seconds, timeout_seconds)
        while True:
            try:
                run = self.get_run(run_id, dataset=dataset)
            except Unavailable as error:
                following.bear(error)
            else:
                following.heard()
                yield run
                if run.status.finished:
                    return
            pause = following.pause()
            if pause is None:
                return
            sleep(pause)

    def follow_backfill(
        self, backfill_id: str, *, interval_seconds: float = 1.0, timeout_seconds: float | None = None
    ) -> Iterator[Backfill]:
        """Yield a backfill again and again until it has ended, or until the timeout, as for a run."""
        following = Following(interval_seconds, timeout_seconds)
        while True:
            try:
                backfill = self.get_backfill(backfill_id)
            except Unavailable as error:
                following.bear(error)
            else:
                following.heard()
                yield backfill
                if backfill.status.finished:
                    return
            pause = following.pause()
            if pause is None:
                return
            sleep(pause)

    def follow_log(
        self,
        run_id: str,
        *,
        cursor: str = LOG_START,
        dataset: str | None = None,
        interval_seconds: float = 1.0,
        timeout_seconds: float | None = None,
    ) -> Iterator[RunLog]:
        """Yield the lines of a run's log as they come, through all its attempts, until it has ended.

        Each line comes once, in pieces of one attempt. A run that has not started yet is waited for, and a
        server that stops answering is asked again for a minute.

        Args:
            run_id: The run.
            cursor: Where to begin: the ``next_cursor`` of an earlier piece, or the first line.
            dataset: Its dataset, for ids that Airflow made.
            interval_seconds: The pause between two looks.
            timeout_seconds: When to end, whatever the run does; never if not given.
        """
        following = Following(interval_seconds, timeout_seconds)
        place: str | None = cursor
        while place:
            try:
                log = self.get_log(run_id, cursor=place, dataset=dataset)
            except Unavailable as error:
                following.bear(error)
            else:
                following.heard()
                place = log.next_cursor
                if log.lines:
                    yield log
                if log.more or not place:
                    continue
            pause = following.pause()
            if pause is None:
                return
            sleep(pause)

    def wait(
        self,
        run_id: str,
        *,
        dataset: str | None = None,
        interval_seconds: float = 1.0,
        timeout_seconds: float | None = None,
    ) -> WorkflowRun:
        """Wait until a run has finished, and return it as it ended: look at its ``status``.

        Raises:
            TimeoutError: When it has not finished in time; it goes on.
        """
        run = None
        for run in self.follow_run(  # noqa: B007 - the last one counts
            run_id, dataset=dataset, interval_seconds=interval_seconds, timeout_seconds=timeout_seconds
        ):
            pass
        return ended(run, "run", run_id)

    def wait_backfill(
        self, backfill_id: str, *, interval_seconds: float = 1.0, timeout_seconds: float | None = None
    ) -> Backfill:
        """Wait until a backfill has ended, and return it as it ended: look at its ``status``.

        Raises:
            TimeoutError: When it has not ended in time; it goes on.
        """
        backfill = None
        for backfill in self.follow_backfill(  # noqa: B007 - the last one counts
            backfill_id, interval_seconds=interval_seconds, timeout_seconds=timeout_seconds
        ):
            pass
        return ended(backfill, "backfill", backfill_id)

    def _result(self, steps: Steps[T]) -> T:
        answer = None
        while True:
            try:
                call = steps.send(answer)
            except StopIteration as done:
                result: T = done.value
                return result
            answer = self._transport.call(
                call.method,
                *call.path,
                query=call.query,
                body=call.body,
                headers=call.headers,
                timeout_seconds=call.seconds(self._timeout),
            )
