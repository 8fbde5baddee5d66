"""Pause and resume datasets; Airflow keeps the pause (specification 7.2)."""

from __future__ import annotations

from dataclasses import replace

from basecamp.access.principal import ANONYMOUS
from basecamp.airflow.gateway import AirflowGateway, DagMissing
from basecamp.airflow.models import AirflowDag
from basecamp.datasets.catalog_cache import CatalogCache, find_runnable
from basecamp.datasets.dag_cache import DagCache
from basecamp.datasets.dag_readiness import not_loaded
from basecamp.datasets.takeovers import Takeovers
from basecamp.lateness.pause_records import PauseRecords
from basecamp.shared.idempotency import KeyedRequest, Reservations
from basecamp.workflows.rows import Workflows, is_switched_off
from dataspec.catalog.effective import SpecFile
from dataspec.errors import NotPaused
from dataspec.models import SourceType, WorkflowInfo


class Pauses:
    """Pauses and resumes datasets."""

    def __init__(
        self,
        specs: CatalogCache,
        dags: DagCache,
        gateway: AirflowGateway,
        workflows: Workflows,
        reservations: Reservations,
        *,
        takeovers: Takeovers,
        records: PauseRecords,
    ) -> None:
        self._records = records
        self._takeovers = takeovers
        self._specs = specs
        self._dags = dags
        self._gateway = gateway
        self._workflows = workflows
        self._reservations = reservations

    def pause(
        self,
        name: str,
        source: SourceType | None = None,
        *,
        paused_by: str = ANONYMOUS,
        reason: str | None = None,
        idempotency_key: str | None = None,
    ) -> WorkflowInfo:
        """Pause a dataset: no run of it starts until it is resumed. A second pause changes nothing.

        Args:
            name: The dataset.
            source: The source; refused if it is not the one that runs.
            paused_by: The caller's name.
            reason: Why, for those who see the pause.
            idempotency_key: A second call with it changes nothing, even if the dataset was resumed since.

        Raises:
            Overridden: For the manual spec of a dataset that code has.
            DatasetNotFound: When there is no such dataset.
            NotLoaded: When Airflow has not loaded it.
            TakenOver: When another DAG has the dataset's id: the pause would be that DAG's.
            AirflowUnreachable: When Airflow does not answer.
            StoreUnreachable: When the store does not answer.
        """

        def act(keyed: KeyedRequest) -> WorkflowInfo:
            file = find_runnable(self._specs.catalog(fresh=True), name, source)
            before = self._dag(name)
            keyed.reserve({})
            self._set(name, paused=True)
            if not before.is_paused or reason:
                self._records.paused(name, paused_by, reason)
            return self._shown(name, file, "It was paused already." if before.is_paused else None)

        values = ["pause", name, source, *((reason,) if reason else ())]
        return self._reservations.once(idempotency_key, values, WorkflowInfo, act)

    def unpause(
        self,
        name: str,
        source: SourceType | None = None,
        *,
        resumed_by: str = ANONYMOUS,
        idempotency_key: str | None = None,
    ) -> WorkflowInfo:
        """Resume a paused dataset.

        Args:
            name: The dataset.
            source: The source; refused if it is not the one that runs.
            resumed_by: The caller's name.
            idempotency_key: A second call with it changes nothing, even if the dataset was paused since.

        Raises:
            NotPaused: When the dataset is not paused.
            Overridden: For the manual spec of a dataset that code has.
            DatasetNotFound: When there is no such dataset.
            NotLoaded: When Airflow has not loaded it.
            TakenOver: When another DAG has the dataset's id: the pause would be that DAG's.
            AirflowUnreachable: When Airflow does not answer.
            StoreUnreachable: When the store does not answer.
        """

        def act(keyed: KeyedRequest) -> WorkflowInfo:
            file = find_runnable(self._specs.catalog(fresh=True), name, source)
            if not self._dag(name).is_paused and keyed.plan is None:
                raise _not_paused(file)
            keyed.reserve({})
            self._set(name, paused=False)
            self._records.resumed(name, resumed_by)
            return self._shown(
                name, file, f"It is resumed. {_switched_off(file)}" if is_switched_off(file) else None
            )

        values = ["unpause", name, *((source,) if source else ())]
        return self._reservations.once(idempotency_key, values, WorkflowInfo, act)

    def _dag(self, name: str) -> AirflowDag:
        found = self._takeovers.check(name)
        if found is None:
            raise not_loaded(name)
        return found.dag

    def _set(self, name: str, *, paused: bool) -> None:
        try:
            self._dags.put(self._gateway.set_paused(name, paused=paused))
        except DagMissing:
            raise not_loaded(name) from None

    def _shown(self, name: str, file: SpecFile, note: str | None) -> WorkflowInfo:
        row = self._workflows.get(name, file.source).value
        return replace(row, note=note) if note else row


def _switched_off(file: SpecFile) -> str:
    return (
        "The spec still has its schedule off: set 'schedule.enabled: true' in the YAML "
        f"({file.key}) and {_how_to_change(file)}."
    )


def _how_to_change(file: SpecFile) -> str:
    return "deploy it from Git" if file.source == "code" else "register it again"


def _not_paused(file: SpecFile) -> NotPaused:
    title = "This dataset is not paused."
    return NotPaused(title, detail=_switched_off(file) if is_switched_off(file) else None)
