"""Signals that stop `basecamp dev`: recorded in the handler, acted on at defined points."""

from __future__ import annotations

import os
import select
import signal
from contextlib import suppress
from types import FrameType
from typing import Self

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(Exception):
    """A signal asked to stop; ``signum`` is the first one."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


class Interrupts:
    """Records SIGINT, SIGTERM and SIGHUP while the context is active.

    A handler can run between any two statements, so it only writes to a pipe. :meth:`sleep`, the only
    place that waits, raises.
    """

    def __init__(self) -> None:
        self._reader, self._writer = -1, -1
        self._received: list[int] = []
        self._previous: dict[int, signal._HANDLER] = {}

    def __enter__(self) -> Self:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        for signum in _ENDING:
            # nohup and a shell's `&` start programs with these signals ignored: keep it.
            if signal.getsignal(signum) is not signal.SIG_IGN:
                self._previous[signum] = signal.signal(signum, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)
        os.close(self._reader)
        os.close(self._writer)

    @property
    def count(self) -> int:
        """Number of received signals."""
        return len(self._received)

    def check(self) -> None:
        """Raise :class:`Interrupted` after a signal."""
        if self._received:
            raise Interrupted(self._received[0])

    def sleep(self, seconds: float) -> None:
        """Wait, at most until a signal arrives.

        Raises:
            Interrupted: After a signal, now or before.
        """
        self.check()
        self.pause(seconds)
        self.check()

    def pause(self, seconds: float) -> None:
        """Wait, at most until another signal arrives."""
        select.select([self._reader], [], [], seconds)
        while self._drained():
            pass

    def _note(self, signum: int, _frame: FrameType | None) -> None:
        self._received.append(signum)
        with suppress(BlockingIOError):  # the pipe is full of unread signals
            os.write(self._writer, b".")

    def _drained(self) -> bytes:
        try:
            return os.read(self._reader, 64)
        except BlockingIOError:
            return b""
