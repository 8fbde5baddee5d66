"""Run the statements of one attempt in one session on the engine.

They run in a separate thread, which leaves the main thread free for signals: Airflow ends a task by SIGTERM, and a
task with an expired timeout by SIGALRM. A main thread in a driver's C code would handle neither.
"""

from __future__ import annotations

import contextvars
import threading
import time
from contextlib import closing, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from dataspec.engines.cancellation import Cancellation, cancellation_of
from dataspec.engines.engine import Waiting
from dataspec.engines.progress import progress_of
from dataspec.engines.results import Result, read_result
from dataspec.engines.string_rules import settle_string_rules
from dataspec.tracing import child_span

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from dataspec.engines.engine import Engine
    from dataspec.sql.rendering import RenderedStatement

WHOLE_IN_LOG = "the log has the whole message"
_MAX_LINE = 500
"""Maximum number of characters of an engine's message in one line, where the whole one is elsewhere."""
_TICK_SECONDS = 0.5
_AGAIN_SECONDS = 1.0
_GRACE_SECONDS = 10.0
"""Seconds for which a cancelled query may run on before the attempt ends without it."""


class StatementFailed(Exception):
    """The engine refused or failed a statement; the message is one line, its cause the driver's error."""

    def __init__(self, statement: RenderedStatement, cause: Exception) -> None:
        super().__init__(f"{place_of(statement)} failed: {one_line(cause, whole=WHOLE_IN_LOG)}")
        self.statement = statement


class SessionCancelled(Exception):
    """The session was cancelled before its last statement ended."""


class StatementListener(Protocol):
    """Receives the events of a session in the thread that runs the statements, cancellations in the cancelling thread."""

    def started(self, statement: RenderedStatement) -> None:
        """A statement is sent to the engine."""
        ...

    def ended(self, statement: RenderedStatement, seconds: float, result: Result) -> None:
        """A statement has ended."""
        ...

    def failed(self, failed: StatementFailed) -> None:
        """A statement failed and ends the session; the driver's error is the cause."""
        ...

    def passed_over(self, failed: StatementFailed) -> None:
        """A statement with ``continue_on_error`` failed; the session goes on."""
        ...

    def cancelling(self, how: str) -> None:
        """The session cancels the running statement."""
        ...

    def not_cancelled(self, error: Exception) -> None:
        """The cancellation failed."""
        ...


class Execute(Protocol):
    """Runs one statement of a session and returns its result."""

    def __call__(self, statement: RenderedStatement, *, keep: int | None = None) -> Result:
        """Run a statement; ``keep`` is the maximum number of rows of the result, None for the session's."""
        ...


Rewrite: TypeAlias = "Callable[[RenderedStatement, Execute], RenderedStatement]"
Statements: TypeAlias = "Sequence[RenderedStatement] | Callable[[Execute], Sequence[RenderedStatement]]"


class QueryRunner(Protocol):
    """Runs the query of a session in place of the session itself."""

    def run(self, query: RenderedStatement, execute: Execute) -> None:
        """Run the query by statements of its own, each through the session's ``execute``."""
        ...


class SqlSession:
    """Runs statements on one connection; another thread or a signal handler may cancel them.

    Args:
        engine: Creates the connection.
        listener: Receives the session's events.
        first_rows: Maximum number of rows kept of a result.
        measure: Whether :meth:`progress` will be called.
        turn: Returns a lock that is held while the connection exists; its argument ends the wait for the lock.
        prepare: Called with the connection and the cursor before the first statement; its last argument ends a wait.
        query_runner: Runs the query, for a spec with a materialization; None to send the query as it is.
        rewrite: Returns the statement that is sent in place of another; it may send statements of its own.
        finish: Called after the last statement, with what runs a statement of its own.
    """

    def __init__(
        self,
        engine: Engine,
        listener: StatementListener,
        *,
        first_rows: int,
        turn: Callable[[threading.Event], AbstractContextManager[None]] = lambda _: nullcontext(),
        prepare: Callable[[Any, Any, threading.Event], None] = lambda *_: None,
        query_runner: QueryRunner | None = None,
        rewrite: Rewrite = lambda statement, _: statement,
        finish: Callable[[Callable[..., Result]], None] = lambda _: None,
        measure: bool = False,
    ) -> None:
        self._engine = engine
        self._listener = listener
        self._first_rows = first_rows
        self._turn = turn
        self._prepare = prepare
        self._query_runner = query_runner
        self._rewrite = rewrite
        self._finish = finish
        self._measure = measure
        self._progress: Callable[[], float | None] = lambda: None
        self._stop = threading.Event()
        self._done = threading.Event()
        self._cancellation: Cancellation | None = None
        self._cancelled_at: float | None = None
        self._tried_at = 0.0
        self._running = False
        self._error: BaseException | None = None
        self.current: RenderedStatement | None = None
        """The statement that runs now, or ran last."""

    def run(self, statements: Statements) -> None:
        """Run the statements; each commits on its own if the connection supports that.

        A failed statement with ``continue_on_error`` does not end the session.

        Args:
            statements: The statements, or a function that returns them when the session has begun.

        Raises:
            StatementFailed: For the first other statement that failed.
            MaterializationFailed: When the rows of the query can't be published.
            SessionCancelled: When :meth:`cancel` was called during the run.
        """
        context = contextvars.copy_context()
        thread = threading.Thread(
            target=context.run, args=(self._work, statements), name="dli-sql", daemon=True
        )
        thread.start()
        try:
            self._wait(thread)
        except BaseException:  # raised by a signal's handler, such as that of a timeout
            self.cancel()
            self._wait(thread)
            raise
        if self._stop.is_set():
            raise SessionCancelled(self.how_it_ended()) from self._error
        if self._error is not None:
            raise self._error

    def cancel(self) -> None:
        """Cancel the running statement on the engine and start no other; a repeated call does no harm."""
        self._stop.set()
        if self._cancelled_at is None:
            self._cancelled_at = time.monotonic()
        if isinstance(self._engine, Waiting):
            self._engine.stop_waiting()
        self._cancel_query()

    def progress(self) -> float | None:
        """Return the progress of the running statement from 0 to 1; None if the engine does not report it."""
        try:
            return self._progress() if self._running else None
        except Exception:  # noqa: BLE001 - a driver may raise anything, and a query goes on without a figure
            return None

    def _wait(self, thread: threading.Thread) -> None:
        """Wait for the thread, and repeat a cancellation without effect.

        A thread that is done is joined: Python must not exit while a driver's C code frees its resources.
        """
        while not self._done.wait(_TICK_SECONDS):
            if self._cancelled_at is None:
                continue
            if self._cancellation is None or time.monotonic() - self._cancelled_at > _GRACE_SECONDS:
                return
            if time.monotonic() - self._tried_at > _AGAIN_SECONDS:
                self._cancel_query()
        thread.join()

    def _cancel_query(self) -> None:
        cancellation = self._cancellation
        if cancellation is None or not self._running:
            return
        self._tried_at = time.monotonic()
        self._listener.cancelling(cancellation.how)
        try:
            cancellation.cancel()
        except Exception as error:  # noqa: BLE001 - a driver may raise anything, and the attempt has to end
            self._listener.not_cancelled(error)

    def how_it_ended(self) -> str:
        """Describe how the statement ended that was running when the session was cancelled."""
        what = f"{place_of(self.current)} was cancelled" if self.current else "no statement had started"
        if self._cancellation is None:
            return what
        seconds = time.monotonic() - (self._cancelled_at or time.monotonic())
        if self._done.is_set():
            return f"{what} on the engine within {seconds:.1f} s"
        return f"{what}, but the engine had not ended it after {seconds:.1f} s"

    def _work(self, statements: Statements) -> None:
        try:
            with self._turn(self._stop), closing(self._engine.get_conn()) as connection:
                self._on(connection, statements)
        except BaseException as error:  # noqa: BLE001 - told to the main thread, which raises it
            self._error = error
        finally:
            self._done.set()

    def _on(self, connection: Any, statements: Statements) -> None:
        if self._engine.supports_autocommit:
            self._engine.set_autocommit(connection, True)
        with closing(connection.cursor()) as cursor:
            self._cancellation = cancellation_of(self._engine, connection, cursor)
            settle_string_rules(self._engine, connection, cursor)
            self._prepare(connection, cursor, self._stop)
            if self._measure:
                self._progress = progress_of(self._engine.conn_type, cursor)
            execute = partial(self._rewriting, cursor)
            for statement in statements(execute) if callable(statements) else statements:
                if statement.kind == "query" and self._query_runner is not None:
                    settle_string_rules(
                        self._engine, connection, cursor
                    )  # a statement before may have changed them
                    query = self._rewrite(statement, partial(self._execute, cursor))
                    self._query_runner.run(query, execute)
                else:
                    execute(statement)
            self._finish(execute)
        if not self._engine.get_autocommit(connection):
            connection.commit()

    def _rewriting(self, cursor: Any, statement: RenderedStatement, *, keep: int | None = None) -> Result:
        return self._execute(cursor, self._rewrite(statement, partial(self._execute, cursor)), keep=keep)

    def _execute(self, cursor: Any, statement: RenderedStatement, *, keep: int | None = None) -> Result:
        if self._stop.is_set():
            raise SessionCancelled
        self.current = statement
        self._listener.started(statement)
        started = time.monotonic()
        self._running = True
        try:
            with child_span(statement.name, kind="client", attributes={"dli.statement.kind": statement.kind}):
                cursor.execute(statement.sql)
                result = read_result(cursor, self._first_rows if keep is None else keep)
        except Exception as error:
            failed = StatementFailed(statement, error)
            if not statement.continue_on_error or self._stop.is_set():
                failed.__cause__ = error
                self._listener.failed(failed)
                raise failed from error
            self._listener.passed_over(failed)
            return Result()
        finally:
            self._running = False
        self._listener.ended(statement, time.monotonic() - started, result)
        return result


def place_of(statement: RenderedStatement) -> str:
    """Return a description of a statement: its kind, its name, and its file if it has one."""
    kind = "" if statement.name.startswith("query") and statement.kind == "query" else f"{statement.kind} "
    return f"{kind}statement '{statement.name}'" + (f" of {statement.file}" if statement.file else "")


def one_line(error: BaseException, *, whole: str | None = None) -> str:
    """Return a driver's message as one line, without lines of carets.

    Args:
        error: The driver's error.
        whole: Where the whole message is, to cut a long one.
    """
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    lines = (line.strip() for line in str(error).splitlines())
    text = " ".join(line for line in lines if line.strip("^ ")) or type(error).__name__
    if whole is None or len(text) <= _MAX_LINE:
        return text
    return f"{text[:_MAX_LINE]}… ({len(text):,} characters; {whole})"
