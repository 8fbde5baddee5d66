"""Lock files between processes. A lock is free again when the process that held it ends, however it ends."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator
    from pathlib import Path

_POLL_SECONDS = 0.2
_REPORT_SECONDS = 30.0


def try_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Take the lock (``flock``) on an open file, or change a held one from exclusive to shared or back.

    The lock is free again once every copy of the descriptor is closed, also when its process is killed.

    Returns:
        False when another process holds it. A lock that was to be changed may be lost then.
    """
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def unlock(descriptor: int) -> None:
    """Release the lock on an open file that stays open."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the exclusive lock on a file; wait for as long as another process or thread holds it.

    Raises:
        OSError: When the file can't be created.
    """
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class LockStopped(Exception):
    """The wait for a lock was stopped."""


class FileLock:
    """A lock on a file with a wait that can be stopped: one exclusive holder, or any number of shared ones.

    The file stays after the release, and names the last exclusive holder.

    Args:
        path: The lock file; it is created if it is missing.
        shared: Whether other shared holders are allowed at the same time.
    """

    def __init__(self, path: Path, *, shared: bool = False) -> None:
        self._path = path
        self._shared = shared
        self._descriptor: int | None = None

    def acquire(self, holder: str, *, waiting: Callable[[str], None], stop: threading.Event) -> None:
        """Take the lock; wait until it is free.

        It polls, because a blocking ``flock`` would hold off signals and could not be stopped.

        Args:
            holder: The name of this holder, shown to waiting processes.
            waiting: Called with the current holder when the wait begins, then every 30 seconds.
            stop: Ends the wait once it is set.

        Raises:
            LockStopped: When ``stop`` was set first.
            OSError: When the file can't be created.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            self._wait(descriptor, waiting, stop)
            if not self._shared:
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, holder.encode(), 0)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def _wait(self, descriptor: int, waiting: Callable[[str], None], stop: threading.Event) -> None:
        report_at = time.monotonic()
        while not stop.is_set():
            if try_lock(descriptor, shared=self._shared):
                return
            if time.monotonic() >= report_at:
                waiting(os.pread(descriptor, 1000, 0).decode(errors="replace") or "an unknown process")
                report_at = time.monotonic() + _REPORT_SECONDS
            stop.wait(_POLL_SECONDS)
        raise LockStopped

    def release(self) -> None:
        """Release the lock; does nothing when it is not held."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
