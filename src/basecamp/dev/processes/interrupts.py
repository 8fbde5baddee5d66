"""Signals that ask `basecamp dev` to end, taken note of and never acted on in the handler."""

from __future__ import annotations

import os
import select
import signal
from contextlib import suppress
from types import FrameType
from typing import Self

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(Exception):
    """Somebody asked to end; ``signum`` is the signal that came first."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


class Interrupts:
    """Takes note of SIGINT, SIGTERM and SIGHUP while it is entered.

    A handler could come between any two steps, so it only writes into a pipe; the one
    place where things are waited for, :meth:`sleep`, is where an end begins.
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
            # nohup and a shell's `&` start a program with these ignored: that stays so.
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
        """How many signals have come."""
        return len(self._received)

    def check(self) -> None:
        """Raise :class:`Interrupted` if a signal has come."""
        if self._received:
            raise Interrupted(self._received[0])

    def sleep(self, seconds: float) -> None:
        """Wait, no longer than until a signal comes.

        Raises:
            Interrupted: When one has come, now or before.
        """
        self.check()
        self.pause(seconds)
        self.check()

    def pause(self, seconds: float) -> None:
        """Wait, no longer than until a further signal comes."""
        select.select([self._reader], [], [], seconds)
        while self._drained():
            pass

    def _note(self, signum: int, _frame: FrameType | None) -> None:
        self._received.append(signum)
        with suppress(BlockingIOError):  # full of signals that nobody has read: as good as written
            os.write(self._writer, b".")

    def _drained(self) -> bytes:
        try:
            return os.read(self._reader, 64)
        except BlockingIOError:
            return b""
