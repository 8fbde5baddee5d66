"""The datasets' DAGs as Airflow has them, cached for some seconds."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from basecamp.airflow.gateway import AirflowGateway
from basecamp.airflow.models import AirflowDag
from basecamp.shared.clock import Clock
from basecamp.shared.last_known import ValueWithWarnings
from basecamp.shared.refresh_cache import RefreshCache
from dataspec.contract import SOURCE_TAG
from dataspec.errors import AirflowUnreachable
from dataspec.models import SourceType

DATASET_TAGS = tuple(f"{SOURCE_TAG}{source}" for source in SourceType)
"""Every dataset's DAG has one of these tags. Another DAG with such a tag comes from another file."""

MAX_AGE_SECONDS = 30.0
MIN_AGE_SECONDS = 1.0
PATIENCE_SECONDS = 2.0
"""How long a fetch may take while a list that is too old waits for it; then the last list is shown."""
SLOW = "Airflow takes long to list its DAGs."


def unanswered() -> AirflowUnreachable:
    """Return the error of a request that can't wait any longer for a list of Airflow's."""
    return AirflowUnreachable("Airflow does not answer.", detail="It has not listed its DAGs in time.")


class DagCache:
    """The DAGs of all datasets. Safe to share between threads.

    Airflow takes seconds to list ten thousand DAGs. A change that Basecamp makes itself shows at once.
    """

    def __init__(
        self, gateway: AirflowGateway, clock: Clock, *, patience_seconds: float = PATIENCE_SECONDS
    ) -> None:
        self._gateway = gateway
        self._clock = clock
        self._patience = patience_seconds
        self._lock = threading.Lock()
        self._changed: Mapping[str, tuple[float, AirflowDag]] = {}
        self._cache: RefreshCache[Mapping[str, AirflowDag]] = RefreshCache(
            "dags",
            self._fetch,
            clock,
            unanswered=unanswered,
            min_age=MIN_AGE_SECONDS,
            max_age=MAX_AGE_SECONDS,
            keep=self._with_changes,
        )

    def known(self) -> ValueWithWarnings[Mapping[str, AirflowDag]]:
        """Return the DAGs by id; if Airflow does not answer, or is slow, the last ones, with a warning.

        Raises:
            AirflowUnreachable: When Airflow does not answer, and never did.
        """
        dags = self._cache.usable()
        if dags is not None:
            return ValueWithWarnings(dags)
        return self._cache.refreshed(self._patience, late=SLOW)

    @property
    def last_known(self) -> Mapping[str, AirflowDag]:
        """The DAGs by id, however old; none before Airflow's first answer."""
        return self._cache.last or {}

    def put(self, dag: AirflowDag) -> None:
        """Take over the state of one DAG that Basecamp has just changed or read."""
        with self._lock:
            self._changed = {**self._changed, dag.dag_id: (self._clock.monotonic(), dag)}
        self._cache.change(lambda dags: {**dags, dag.dag_id: dag})

    def _fetch(self) -> Mapping[str, AirflowDag]:
        return {dag.dag_id: dag for dag in self._gateway.list_dags(tags=DATASET_TAGS) if dag.is_in_shard}

    def _with_changes(self, dags: Mapping[str, AirflowDag], began: float) -> Mapping[str, AirflowDag]:
        """Return a list with the DAGs that were changed after its fetch began."""
        with self._lock:
            self._changed = {name: one for name, one in self._changed.items() if one[0] >= began}
            return {**dags, **{name: dag for name, (_, dag) in self._changed.items()}}
