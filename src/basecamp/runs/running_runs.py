"""The attempts that execute at this moment, by dataset."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor

from basecamp.airflow.gateway import AirflowGateway
from basecamp.airflow.models import TaskAttempt
from basecamp.shared.clock import Clock
from basecamp.shared.last_known import ValueWithWarnings, warning
from dataspec.errors import AirflowUnreachable

MAX_AGE_SECONDS = 30.0
PATIENCE_SECONDS = 0.25
"""How long an answer is waited for while a last one is young enough: among ten thousand DAGs, and while it
lists them, Airflow takes seconds."""


class RunningAttempts:
    """Asks Airflow what executes, and shows the last answer where the next takes long. Safe to share."""

    def __init__(
        self, gateway: AirflowGateway, clock: Clock, *, patience_seconds: float = PATIENCE_SECONDS
    ) -> None:
        self._gateway = gateway
        self._clock = clock
        self._patience = patience_seconds
        self._lock = threading.Lock()
        self._fetcher = ThreadPoolExecutor(1, thread_name_prefix="refresh-running")
        self._fetching: Future[None] | None = None
        self._attempts: Mapping[str, TaskAttempt] = {}
        self._at: float | None = None

    def known(self) -> ValueWithWarnings[Mapping[str, TaskAttempt]]:
        """Return the attempts by dataset; the same object for as long as nothing changes.

        Raises:
            AirflowUnreachable: When Airflow does not answer, and never did.
        """
        fetching, age = self._fetch_in_background(), self._age()
        try:
            fetching.result(None if age is None or age > MAX_AGE_SECONDS else self._patience)
        except TimeoutError:
            return ValueWithWarnings(self._attempts)
        except AirflowUnreachable as error:
            if age is None:
                raise
            return ValueWithWarnings(self._attempts, (warning(error.title, age),))
        return ValueWithWarnings(self._attempts)

    def _age(self) -> float | None:
        return None if self._at is None else self._clock.monotonic() - self._at

    def _fetch_in_background(self) -> Future[None]:
        """Return the fetch that is under way, or begin one."""
        with self._lock:
            if self._fetching is None or self._fetching.done():
                self._fetching = self._fetcher.submit(self._fetch)
            return self._fetching

    def _fetch(self) -> None:
        began = self._clock.monotonic()
        running = self._gateway.running_attempts()
        attempts = {attempt.dag_id: attempt for attempt in running if attempt.is_dataset}
        if attempts != self._attempts:
            self._attempts = attempts
        self._at = began
