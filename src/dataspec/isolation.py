"""Call functions on untrusted input in child processes, within limits of time and memory (specification 10.12, 27.2).

A parser or a template that runs away takes its own child process down and nothing else. The parent gets a
:class:`LimitExceeded` for that one input. The limits are the kernel's, so compiled code can't hold them off.
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
PRELOADED: Final = ["dataspec.project.spec_checks", "dataspec.sql.preview", "dataspec.sql.transpile"]
"""What a fork server imports once, so that a new worker starts in milliseconds."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one call may use."""

    cpu_seconds: float = 3.0
    """Time on a processor, so that a busy machine makes no call fail."""
    wall_seconds: float = 20.0
    """Time by the clock, for a call that waits for something that never comes."""
    memory_bytes: int = 160 * MIB
    """Memory on top of what the process has at its start; enforced on Linux alone."""


LIMITS: Final = Limits()
"""What reading the SQL of one spec may use."""


class LimitExceeded(Exception):
    """A call took more than its limits allow, or took its process down.

    Attributes:
        reason: What happened, as the end of a sentence: "it took more than 3 s".
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def problem(self, file: str) -> Problem:
        """Return it as a problem of the spec in a file."""
        hint = "Make it smaller, or move a part of it into a dataset of its own."
        return Problem(f"the SQL can't be checked: {self.reason}.", file, hint=hint)


class Worker:
    """A child process that answers one call after the other.

    Args:
        limits: What each call may use.

    Attributes:
        connection: Becomes readable when a call has ended; for :func:`multiprocessing.connection.wait`.
        alive: Whether another call can be sent.
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
        """Return what a function returns; raises what it raises.

        Raises:
            LimitExceeded: When the call exceeded its limits; the worker has ended.
        """
        self.send(function)
        answer: R = self.receive()
        return answer

    def send(self, function: Callable[[], Any]) -> None:
        """Begin a call; :meth:`receive` ends it."""
        with suppress(OSError):  # a process that has ended is told by receive
            self.connection.send(function)

    def receive(self) -> Any:
        """Return what the function of the last :meth:`send` returned, as :meth:`call` does."""
        try:
            if not self.connection.poll(self._limits.wall_seconds):
                self.end()
                raise LimitExceeded(f"it took more than {self._limits.wall_seconds:g} s")
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
            return f"it took more than {self._limits.cpu_seconds:g} s"
        return "it is too large or nested too deep for the parser"


def _context() -> ForkContext | ForkServerContext:
    """Return how processes are started: a fork where nothing else runs here, else by a fork server."""
    if sys.platform == "linux" and len(list(Path("/proc/self/task").iterdir())) == 1:
        return get_context("fork")
    context = get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


_own_limits: Limits | None = None
"""The limits of this process, where it is a worker."""


def restart_clock() -> None:
    """Give what follows in this worker the whole time of a call: each item of a batch has its own.

    Outside a worker there is no clock, and nothing happens.
    """
    if _own_limits is not None:
        signal.setitimer(signal.ITIMER_PROF, _own_limits.cpu_seconds)


def _serve(calls: Connection, limits: Limits) -> None:
    """Answer calls until the parent ends or closes the connection."""
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
    """Bound the private memory of this process to what it has now and so much more."""
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[5])
        limit = pages * resource.getpagesize() + more
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
