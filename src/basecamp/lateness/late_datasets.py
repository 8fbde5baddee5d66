"""Which datasets are late now, by Basecamp's own clock (specification 38.7).

What was built is read from Airflow's Variables, which its REST API has also while its scheduler is dead. While Airflow
does not answer, what was known last counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from basecamp.airflow.gateway import AirflowGateway
from basecamp.airflow.models import AirflowDag
from basecamp.datasets.catalog_cache import CatalogCache
from basecamp.datasets.dag_cache import PATIENCE_SECONDS, SLOW, DagCache, unanswered
from basecamp.datasets.upstream_needs import UpstreamNeeds
from basecamp.lateness.built_values import BuiltValues
from basecamp.lateness.pause_records import PauseRecords
from basecamp.lateness.records import (
    LatenessRecord,
    LatenessStore,
    StoredLateness,
    Switches,
    expected_of,
    record_now,
    registered_at,
    with_deadline,
)
from basecamp.shared.clock import Clock
from basecamp.shared.last_known import ValueWithWarnings, warning
from basecamp.shared.refresh_cache import RefreshCache
from dataspec.catalog.effective import Catalog, SpecFile
from dataspec.errors import AirflowUnreachable
from dataspec.models import Late
from dataspec.schedule.built import Built
from dataspec.schedule.deadlines import Expected, Lateness, LatePartition, find_late
from dataspec.schedule.partitions import Grid

AGE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class LateDataset:
    """A dataset that is late."""

    file: SpecFile
    late: tuple[LatePartition, ...]
    """Its late partitions, oldest first."""

    @property
    def grid(self) -> Grid:
        """The partitions of its schedule."""
        return Grid.of(self.file.spec.schedule if self.file.spec else None)

    @property
    def shown(self) -> Late:
        """What lists show."""
        first = self.late[0]
        return Late(
            partition=first.partition.name,
            partition_label=self.grid.label(first.partition),
            since=first.since,
            partitions=len(self.late),
        )


@dataclass(frozen=True, slots=True)
class LateNow:
    """What is late at a moment."""

    at: datetime
    datasets: Mapping[str, LateDataset] = field(default_factory=dict)
    """The late datasets by name."""
    records: Mapping[str, LatenessRecord] = field(default_factory=dict)
    """The record of each dataset with a deadline, as it is now."""
    built: Mapping[str, Built] = field(default_factory=dict)
    """What each of these has built."""
    held: StoredLateness | None = None
    """The stored document that these came from."""
    as_known: str | None = None
    """Why what Airflow has may be old; None if it is not."""


class LateDatasets:
    """Knows what is late. Safe to share between threads.

    Args:
        specs: The specs.
        gateway: The Airflow that runs them.
        dags: Their DAGs, which may be paused.
        pauses: The pauses that Basecamp made.
        needs: Reads what was built.
        records: The stored records.
        clock: The clock.
    """

    def __init__(
        self,
        *,
        specs: CatalogCache,
        gateway: AirflowGateway,
        dags: DagCache,
        pauses: PauseRecords,
        needs: UpstreamNeeds,
        records: LatenessStore,
        clock: Clock,
    ) -> None:
        self._specs = specs
        self._dags = dags
        self._pauses = pauses
        self._records = records
        self._clock = clock
        self._built = BuiltValues(gateway, needs, clock)
        self._found: dict[str, tuple[Expected, Built, Lateness]] = {}
        self._cache: RefreshCache[LateNow] = RefreshCache(
            "late", self._fetch, clock, unanswered=unanswered, min_age=AGE_SECONDS, max_age=AGE_SECONDS
        )

    def known(self) -> ValueWithWarnings[LateNow]:
        """Return what was late some seconds ago.

        Raises:
            AirflowUnreachable: When Airflow does not answer, and never did.
            StoreUnreachable: When the store does not answer, and never did.
        """
        usable = self._cache.usable()
        found = ValueWithWarnings(usable) if usable else self._cache.refreshed(PATIENCE_SECONDS, late=SLOW)
        told = found.value.as_known
        return ValueWithWarnings(found.value, (*found.warnings, *([told] if told else [])))

    def look(self) -> LateNow:
        """Return what is late now.

        Raises:
            AirflowUnreachable: When Airflow does not answer, and never did.
            StoreUnreachable: When the store does not answer.
        """
        return self._cache.fresh()

    def _fetch(self) -> LateNow:
        catalog, now = self._specs.known().value, self._clock.now()
        files, held = with_deadline(catalog), self._records.read()
        if not files:
            self._found = {}
            return LateNow(now, held=held)
        built, as_known = self._what_was_built(files)
        records = self._records_now(files, held, catalog, now)
        late, found = {}, {}
        for name, file in files.items():
            expected = expected_of(file, records[name], registered_at(file, catalog))
            if expected is not None:
                found[name] = expected, built[name], self._lateness(name, expected, built[name], now)
                if partitions := found[name][2].late:
                    late[name] = LateDataset(file, partitions)
        self._found = found
        return LateNow(now, late, records, built, held, as_known)

    def _what_was_built(self, files: Mapping[str, SpecFile]) -> tuple[Mapping[str, Built], str | None]:
        try:
            return self._built.read(files.keys()), None
        except AirflowUnreachable as error:
            known, age = self._built.known, self._built.age
            if age is None or not files.keys() <= known.keys():
                raise
            return known, warning(error.title, age)

    def _records_now(
        self, files: Mapping[str, SpecFile], held: StoredLateness, catalog: Catalog, now: datetime
    ) -> dict[str, LatenessRecord]:
        dags, pauses = self._known_dags(), self._pauses.known()
        return {
            name: record_now(
                file,
                held.document.datasets.get(name),
                registered_at(file, catalog),
                Switches(is_paused=dags[name].is_paused if name in dags else None, pause=pauses.get(name)),
                now,
            )
            for name, file in files.items()
        }

    def _known_dags(self) -> Mapping[str, AirflowDag]:
        try:
            return self._dags.known().value
        except AirflowUnreachable:
            return self._dags.last_known

    def _lateness(self, name: str, expected: Expected, built: Built, now: datetime) -> Lateness:
        """Return what is late of a dataset; computed again only after a build, a change or a deadline."""
        before = self._found.get(name)
        if before is not None and before[0] == expected and before[1] is built:
            until = before[2].until
            if until is None or now < until:
                return before[2]
        return find_late(expected, built, now)
