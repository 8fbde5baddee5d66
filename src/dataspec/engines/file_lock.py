"""A lock on a file between processes, which dies with the process that holds it."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_POLL_SECONDS = 0.2
_TELL_SECONDS = 30.0


class LockStopped(Exception):
    """The wait for a lock was stopped."""


class FileLock:
    """An advisory lock (``flock``): one holder, or any number that share.

    The file stays behind when the lock is released, and names the last holder.

    Args:
        path: The lock's file; it is made if it is missing.
        shared: Whether several may hold it at once, beside no other holder.
    """

    def __init__(self, path: Path, *, shared: bool = False) -> None:
        self._path = path
        self._shared = shared
        self._handle: int | None = None

    def acquire(self, holder: str, *, waiting: Callable[[str], None], stop: threading.Event) -> None:
        """Take the lock, waiting until it is free.

        The tries do not block, so that signals are handled and the wait can be stopped.

        Args:
            holder: Who takes it, told to those that wait.
            waiting: Called with the present holder when the wait begins, then every 30 seconds.
            stop: Ends the wait once it is set.

        Raises:
            LockStopped: When ``stop`` was set first.
            OSError: When the file can't be made.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            self._wait(handle, waiting, stop)
            if not self._shared:
                os.ftruncate(handle, 0)
                os.pwrite(handle, holder.encode(), 0)
        except BaseException:
            os.close(handle)
            raise
        self._handle = handle

    def _wait(self, handle: int, waiting: Callable[[str], None], stop: threading.Event) -> None:
        tell_at = time.monotonic()
        while not stop.is_set():
            try:
                fcntl.flock(handle, (fcntl.LOCK_SH if self._shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= tell_at:
                    waiting(os.pread(handle, 1000, 0).decode(errors="replace") or "an unknown process")
                    tell_at = time.monotonic() + _TELL_SECONDS
                stop.wait(_POLL_SECONDS)
            else:
                return
        raise LockStopped

    def release(self) -> None:
        """Give the lock back; harmless when it is not held."""
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)
