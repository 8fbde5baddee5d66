"""A circuit breaker: while a dependency does not answer, its calls fail at once (specification 18.17)."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from dataspec.errors import AirflowUnreachable, StoreUnreachable

log = logging.getLogger(__name__)

E = TypeVar("E", StoreUnreachable, AirflowUnreachable)

PAUSE_SECONDS = 0.5
"""The pause between two probes."""


class CircuitBreaker(Generic[E]):
    """Remembers that a dependency does not answer, until a probe in the background gets an answer.

    Args:
        name: The dependency's name, for the log.
        answers: Sends a small request, with a timeout of some seconds: a connection that was made during the outage
            may never answer. Returns whether it was answered.
    """

    def __init__(self, name: str, answers: Callable[[], bool]) -> None:
        self._name = name
        self._answers = answers
        self._lock = threading.Lock()
        self._failure: E | None = None
        self._paused: tuple[E, float] | None = None

    def check(self) -> None:
        """Raise the failure that opened the breaker, if it is open."""
        failure, paused = self._failure, self._paused
        if failure is None and paused is not None and time.monotonic() < paused[1]:
            failure = paused[0]
        if failure is not None:
            # A new error: one that several threads raise would collect the traceback of each.
            raise type(failure)(failure.title, detail=failure.detail)

    def pause(self, failure: E, seconds: float) -> None:
        """Let calls fail for a time that the dependency has asked for, without a probe."""
        self._paused = failure, time.monotonic() + seconds

    def open(self, failure: E) -> None:
        """Let calls fail from now on, and begin to probe."""
        with self._lock:
            if self._failure is not None:
                return
            self._failure = failure
        log.warning("%s does not answer. Calls fail at once until it does.", self._name)
        threading.Thread(target=self._close_when_answered, name=f"probe-{self._name}", daemon=True).start()

    def _close_when_answered(self) -> None:
        began = time.monotonic()
        while not self._is_answered():
            time.sleep(PAUSE_SECONDS)
        self._failure = None
        log.info("%s answers again, after %.1f s.", self._name, time.monotonic() - began)

    def _is_answered(self) -> bool:
        try:
            return self._answers()
        except Exception:
            log.exception("The probe of %s failed", self._name)
            return True  # the next call shows whether it answers
