"""The datasets' DAGs as Airflow has them, kept for a stated time."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor

from basecamp.airflow.gateway import AirflowGateway
from basecamp.airflow.models import AirflowDag
from basecamp.shared.clock import Clock
from basecamp.shared.last_known import ValueWithWarnings, warning
from dataspec.contract import SOURCE_TAG
from dataspec.errors import AirflowUnreachable
from dataspec.models import SourceType

DATASET_TAGS = tuple(f"{SOURCE_TAG}{source}" for source in SourceType)
"""Every dataset's DAG has one of these tags; another DAG that has one by chance comes from another file."""

MAX_AGE_SECONDS = 30.0
MIN_AGE_SECONDS = 1.0
PATIENCE_SECONDS = 2.0
"""How long a fetch may be under way while a list that is too old waits for it; then what was known is shown."""
SLOW = "Airflow takes long to list its DAGs."
COST_FACTOR = 10
"""A list that took long to get is kept for longer: ten times as long, within the bounds above."""


class DagCache:
    """The DAGs of all datasets. Safe to share between threads.

    A list that is past half of its age is fetched anew in the background. For one that is past
    all of it the fetch is waited for, a moment: Airflow takes seconds to list ten thousand DAGs,
    and what was known is then shown with its age. What Basecamp changes itself shows at once.
    """

    def __init__(
        self, gateway: AirflowGateway, clock: Clock, *, patience_seconds: float = PATIENCE_SECONDS
    ) -> None:
        self._patience = patience_seconds
        self._gateway = gateway
        self._clock = clock
        self._state_lock = threading.Lock()
        self._fetcher = ThreadPoolExecutor(1, thread_name_prefix="refresh-dags")
        self._fetching: Future[None] | None = None
        self._asked_at = 0.0
        self._dags: dict[str, AirflowDag] = {}
        self._fetched_at: float | None = None
        self._max_age = MIN_AGE_SECONDS
        self._changed: dict[str, float] = {}

    def known(self) -> ValueWithWarnings[Mapping[str, AirflowDag]]:
        """Return the DAGs by id; if Airflow does not answer, or is slow, as they were, with a warning.

        Raises:
            AirflowUnreachable: When Airflow does not answer, and never did.
        """
        age = self._age()
        if age is not None and age <= self._max_age / 2:
            return ValueWithWarnings(self._dags)
        fetching = self._fetch_in_background()
        if age is None:
            fetching.result()
            return ValueWithWarnings(self._dags)
        if age <= self._max_age:
            return ValueWithWarnings(self._dags)
        try:
            under_way = self._clock.monotonic() - self._asked_at
            fetching.result(max(0.0, self._patience - under_way))
        except AirflowUnreachable as error:
            return ValueWithWarnings(self._dags, (warning(error.title, age),))
        except TimeoutError:
            return ValueWithWarnings(self._dags, (warning(SLOW, age),))
        return ValueWithWarnings(self._dags)

    @property
    def last_known(self) -> Mapping[str, AirflowDag]:
        """The DAGs by id, however long ago Airflow told them; none if it never did."""
        return self._dags

    def put(self, dag: AirflowDag) -> None:
        """Take over the state of one DAG that Basecamp has just changed or read."""
        with self._state_lock:
            self._changed[dag.dag_id] = self._clock.monotonic()
            self._dags = {**self._dags, dag.dag_id: dag}

    def _age(self) -> float | None:
        return None if self._fetched_at is None else self._clock.monotonic() - self._fetched_at

    def _fetch_in_background(self) -> Future[None]:
        """Return the fetch that is under way, or begin one."""
        with self._state_lock:
            if self._fetching is None or self._fetching.done():
                self._asked_at = self._clock.monotonic()
                self._fetching = self._fetcher.submit(self._fetch)
            return self._fetching

    def _fetch(self) -> None:
        started_at = self._clock.monotonic()
        listed = self._gateway.list_dags(tags=DATASET_TAGS)
        fetched = {dag.dag_id: dag for dag in listed if dag.is_in_shard}
        took = self._clock.monotonic() - started_at
        self._max_age = min(max(took * COST_FACTOR, MIN_AGE_SECONDS), MAX_AGE_SECONDS)
        self._replace(fetched, started_at)

    def _replace(self, fetched: dict[str, AirflowDag], started_at: float) -> None:
        """Take over a list, except for DAGs that were changed while it was on its way."""
        with self._state_lock:
            self._changed = {dag_id: at for dag_id, at in self._changed.items() if at >= started_at}
            newer = {dag_id: self._dags[dag_id] for dag_id in self._changed}
            self._dags = fetched | newer
            self._fetched_at = started_at
