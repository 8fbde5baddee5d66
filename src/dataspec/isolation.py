"""Call functions on untrusted input in child processes, within limits of time and memory (specification 10.12, 27.2).

A parser or template that exceeds the limits ends only its own child process; the parent gets a
:class:`LimitExceeded` for that input. The kernel enforces the limits, also within compiled code.
"""

from __future__ import annotations

import gc
import resource
import signal
import sys
import traceback
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from dataspec.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkContext, ForkServerContext

R = TypeVar("R")
MIB: Final = 1024 * 1024
PRELOADED: Final = [
    "dataspec.project.spec_checks",
    "dataspec.sql.lineage.column_lineage",
    "dataspec.sql.preview",
    "dataspec.sql.transpile",
]
"""Modules that a fork server imports once: a new worker then starts in milliseconds."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one call."""

    cpu_seconds: float = 3.0
    """Processor time: a busy machine fails no call."""
    wall_seconds: float = 20.0
    """Elapsed time, for a call that waits without end."""
    memory_bytes: int = 160 * MIB
    """Memory beyond the process's own at its start; enforced on Linux only."""


TOO_LONG: Final = "it took more than"
"""Begins the reason of a call that exceeded a limit of time."""
NOT_KNOWN_IN_TIME: Final = "Not known: it took too long."
LIMITS: Final = Limits()
"""The limits for the SQL of one spec."""


class LimitExceeded(Exception):
    """A call exceeded its limits, or its process died.

    Attributes:
        reason: The cause, as the end of a sentence: "it took more than 3 s".
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    @property
    def unknown(self) -> str:
        """The sentence for what the call would have told."""
        return NOT_KNOWN_IN_TIME if self.reason.startswith(TOO_LONG) else f"Not known: {self.reason}."

    def problem(self, file: str) -> Problem:
        """Return this error as a problem of the spec in a file."""
        hint = "Make it smaller, or move a part of it into a dataset of its own."
        return Problem(f"the SQL can't be checked: {self.reason}.", file, hint=hint)


class Worker:
    """A child process that runs calls one at a time.

    Args:
        limits: The limits of each call.

    Attributes:
        connection: Readable when a call has ended, for :func:`multiprocessing.connection.wait`.
        alive: Whether the process accepts another call.
    """

    def __init__(self, limits: Limits) -> None:
        context = _context()
        self._limits = limits
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, limits), daemon=True)
        self._process.start()
        theirs.close()
        self.alive = True

    def call(self, function: Callable[[], R]) -> R:
        """Run a function in the process, and return or raise its result.

        Raises:
            LimitExceeded: When the call exceeded its limits; the worker has ended.
        """
        self.send(function)
        answer: R = self.receive()
        return answer

    def send(self, function: Callable[[], Any]) -> None:
        """Start a call; :meth:`receive` waits for its result."""
        with suppress(OSError):  # receive reports a process that has ended
            self.connection.send(function)

    def receive(self) -> Any:
        """Return or raise the result of the last :meth:`send`, as :meth:`call` does."""
        try:
            if not self.connection.poll(self._limits.wall_seconds):
                self.end()
                raise LimitExceeded(f"{TOO_LONG} {self._limits.wall_seconds:g} s")
            succeeded, answer = self.connection.recv()
        except (EOFError, OSError):
            self._process.join()
            reason = self._death()
            self.end()
            raise LimitExceeded(reason) from None
        if succeeded:
            return answer
        if isinstance(answer, LimitExceeded):
            self.end()
        raise answer

    def end(self) -> None:
        """End the process."""
        if self.alive:
            self.alive = False
            self.connection.close()
            self._process.kill()
            self._process.join()
            self._process.close()

    def _death(self) -> str:
        if self._process.exitcode == -signal.SIGPROF:
            return f"{TOO_LONG} {self._limits.cpu_seconds:g} s"
        return "it is too large or nested too deep for the parser"


def _context() -> ForkContext | ForkServerContext:
    """Return the start method: a fork if this process has one thread, else a fork server."""
    if sys.platform == "linux" and len(list(Path("/proc/self/task").iterdir())) == 1:
        return get_context("fork")
    context = get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


_own_limits: Limits | None = None
"""The limits of this process if it is a worker."""


def restart_clock() -> None:
    """Restart the processor time limit of this worker, for the next item of a batch.

    Does nothing outside a worker.
    """
    if _own_limits is not None:
        signal.setitimer(signal.ITIMER_PROF, _own_limits.cpu_seconds)


def _serve(calls: Connection, limits: Limits) -> None:
    """Run calls until the parent ends or closes the connection."""
    global _own_limits  # noqa: PLW0603 - a fact of the process
    _own_limits = limits
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # ends the process, also within compiled code
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    gc.freeze()
    _limit_memory(limits.memory_bytes)
    parent = parent_process()
    assert parent is not None  # noqa: S101 - this is a child process
    while calls in wait([calls, parent.sentinel]):
        try:
            function = calls.recv()
        except EOFError:
            return
        restart_clock()
        answer = _answer(function)
        signal.setitimer(signal.ITIMER_PROF, 0)
        calls.send(answer)


def _answer(function: Callable[[], Any]) -> tuple[bool, Any]:
    try:
        return True, function()
    except MemoryError:
        return False, LimitExceeded("it took more memory than is allowed")
    except Exception as error:  # noqa: BLE001 - raised again in the parent
        error.add_note(traceback.format_exc())
        return False, error


def _limit_memory(more: int) -> None:
    """Limit the private memory of this process to its current size and so many bytes more."""
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[5])
        limit = pages * resource.getpagesize() + more
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
