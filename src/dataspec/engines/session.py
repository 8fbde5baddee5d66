"""The statements of one attempt, run one after the other in one session on the engine.

They run in a thread of their own, so that the main thread is free for signals: Airflow
tells a task to end by SIGTERM and an expired timeout by SIGALRM, and a main thread that
sat in a driver's C code would hear of neither.
"""

from __future__ import annotations

import contextvars
import threading
import time
from contextlib import closing, nullcontext
from typing import TYPE_CHECKING, Any, Protocol

from dataspec.engines.cancellation import Cancellation, cancellation_of
from dataspec.engines.engine import Waiting
from dataspec.engines.progress import progress_of
from dataspec.engines.results import Result, read_result
from dataspec.engines.string_rules import settle_string_rules

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from dataspec.engines.engine import Engine
    from dataspec.sql.rendering import RenderedStatement

_TICK_SECONDS = 0.5
_AGAIN_SECONDS = 1.0
_GRACE_SECONDS = 10.0
"""How long a cancelled query may take to end before the attempt is given up all the same."""


class StatementFailed(Exception):
    """The engine refused or failed a statement; the message is one line, its cause the driver's error."""

    def __init__(self, statement: RenderedStatement, cause: Exception) -> None:
        super().__init__(f"{place_of(statement)} failed: {one_line(cause)}")
        self.statement = statement


class SessionCancelled(Exception):
    """The session was cancelled before its last statement ended."""


class Witness(Protocol):
    """Is told what happens in a session, in the thread that runs the statements; of a cancel in that which cancels."""

    def started(self, statement: RenderedStatement) -> None:
        """A statement goes to the engine."""
        ...

    def ended(self, statement: RenderedStatement, seconds: float, result: Result) -> None:
        """It is done."""
        ...

    def failed(self, failed: StatementFailed) -> None:
        """It failed, and the session ends; the driver's error is the cause."""
        ...

    def passed_over(self, failed: StatementFailed) -> None:
        """It failed, and may: the session goes on."""
        ...

    def cancelling(self, how: str) -> None:
        """The running query is being cancelled."""
        ...

    def not_cancelled(self, error: Exception) -> None:
        """The cancel failed."""
        ...


class SqlSession:
    """Runs statements on one connection; another thread or a signal handler may cancel them.

    Args:
        engine: Makes the connection.
        witness: Is told of statements, their times and results.
        first_rows: How many rows of a result are kept.
        measure: Whether :meth:`progress` is asked.
        turn: Held from before the connection is made until it is closed; takes the event
            that ends its wait.
    """

    def __init__(
        self,
        engine: Engine,
        witness: Witness,
        *,
        first_rows: int,
        turn: Callable[[threading.Event], AbstractContextManager[None]] = lambda _: nullcontext(),
        measure: bool = False,
    ) -> None:
        self._engine = engine
        self._witness = witness
        self._first_rows = first_rows
        self._turn = turn
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

    def run(self, statements: Sequence[RenderedStatement]) -> None:
        """Run the statements, each by itself where the connection can commit by itself.

        A statement with ``continue_on_error`` that fails is told and passed over.

        Raises:
            StatementFailed: For the first other statement that failed.
            SessionCancelled: When :meth:`cancel` was called meanwhile.
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
        """Cancel the running statement on the engine, and start no other; harmless to call again."""
        self._stop.set()
        if self._cancelled_at is None:
            self._cancelled_at = time.monotonic()
        if isinstance(self._engine, Waiting):
            self._engine.stop_waiting()
        self._cancel_query()

    def progress(self) -> float | None:
        """Return the share that is done of the running statement, from 0 to 1, where the engine tells."""
        try:
            return self._progress() if self._running else None
        except Exception:  # noqa: BLE001 - a driver may raise anything, and a query goes on without a figure
            return None

    def _wait(self, thread: threading.Thread) -> None:
        """Wait for the thread; a query that was cancelled in vain is cancelled again.

        One that is done is waited for to its very end: Python must not end while a driver's C code
        takes down what the thread had.
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
        self._witness.cancelling(cancellation.how)
        try:
            cancellation.cancel()
        except Exception as error:  # noqa: BLE001 - a driver may raise anything, and the attempt has to end
            self._witness.not_cancelled(error)

    def how_it_ended(self) -> str:
        """Say what became of the statement that was running when the session was cancelled."""
        what = f"{place_of(self.current)} was cancelled" if self.current else "no statement had started"
        if self._cancellation is None:
            return what
        seconds = time.monotonic() - (self._cancelled_at or time.monotonic())
        if self._done.is_set():
            return f"{what} on the engine within {seconds:.1f} s"
        return f"{what}, but the engine had not ended it after {seconds:.1f} s"

    def _work(self, statements: Sequence[RenderedStatement]) -> None:
        try:
            with self._turn(self._stop), closing(self._engine.get_conn()) as connection:
                self._on(connection, statements)
        except BaseException as error:  # noqa: BLE001 - told to the main thread, which raises it
            self._error = error
        finally:
            self._done.set()

    def _on(self, connection: Any, statements: Sequence[RenderedStatement]) -> None:
        if self._engine.supports_autocommit:
            self._engine.set_autocommit(connection, True)
        with closing(connection.cursor()) as cursor:
            self._cancellation = cancellation_of(self._engine, connection, cursor)
            settle_string_rules(self._engine, connection, cursor)
            if self._measure:
                self._progress = progress_of(self._engine.conn_type, cursor)
            for statement in statements:
                if self._stop.is_set():
                    return
                self._execute(cursor, statement)
        if not self._engine.get_autocommit(connection):
            connection.commit()

    def _execute(self, cursor: Any, statement: RenderedStatement) -> None:
        self.current = statement
        self._witness.started(statement)
        started = time.monotonic()
        self._running = True
        try:
            cursor.execute(statement.sql)
            result = read_result(cursor, self._first_rows)
        except Exception as error:
            failed = StatementFailed(statement, error)
            if not statement.continue_on_error or self._stop.is_set():
                failed.__cause__ = error
                self._witness.failed(failed)
                raise failed from error
            self._witness.passed_over(failed)
            return
        finally:
            self._running = False
        self._witness.ended(statement, time.monotonic() - started, result)


def place_of(statement: RenderedStatement) -> str:
    """Return what a person calls a statement: its kind, its name, and its file if it has one."""
    kind = "" if statement.name.startswith("query") and statement.kind == "query" else f"{statement.kind} "
    return f"{kind}statement '{statement.name}'" + (f" of {statement.file}" if statement.file else "")


def one_line(error: BaseException) -> str:
    """Return a driver's message as one line, without the carets that point into the line above."""
    lines = (line.strip() for line in str(error).splitlines())
    text = " ".join(line for line in lines if line.strip("^ "))
    return text or type(error).__name__
