"""A background loop: work that a thread repeats until the server ends."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from dataspec.errors import DliError

log = logging.getLogger(__name__)


class BackgroundLoop:
    """Calls a function again and again in a thread of its own.

    An error is logged and ends no loop; one that is expected (:class:`DliError`) is logged once until a call succeeds.

    Args:
        name: Names the thread, and the work in the log.
        turn: The function. It returns the seconds until the next call.
        retry_seconds: The seconds until the next call after one that failed.
    """

    def __init__(self, name: str, turn: Callable[[], float], *, retry_seconds: float) -> None:
        self._name = name
        self._turn = turn
        self._retry_seconds = retry_seconds
        self._woken = threading.Event()
        self._ended = False
        self._failing = False

    def start(self) -> None:
        """Begin, in a daemon thread."""
        threading.Thread(target=self.run, name=self._name, daemon=True).start()

    def run(self) -> None:
        """Call the function until the loop is ended."""
        while not self._ended:
            self._woken.wait(self.call())
            self._woken.clear()

    def call(self) -> float:
        """Call the function once; return the seconds until the next call."""
        try:
            pause = self._turn()
        except DliError as error:
            if not self._failing:
                log.warning("The %s failed: %s %s", self._name, error.title, error.detail or "")
            self._failing = True
        except Exception:
            log.exception("The %s failed", self._name)
        else:
            self._failing = False
            return pause
        return self._retry_seconds

    def wake(self) -> None:
        """Make the next call at once."""
        self._woken.set()

    def end(self) -> None:
        """Begin no further call."""
        self._ended = True
        self._woken.set()
