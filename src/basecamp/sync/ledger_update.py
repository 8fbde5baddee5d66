"""Keeps the ledger: what each dataset's sources are, and who is told when they change (docs/sources.md)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

from basecamp.datasets.catalog_cache import CatalogCache
from basecamp.runs.records import RunRecords
from basecamp.shared.clock import Clock
from basecamp.sync.diff import LedgerDiff, SourceSwitch, diff_ledger, retires
from dataspec.catalog.effective import Catalog
from dataspec.catalog.ledger import LEDGER_KEY
from dataspec.catalog.spec_storage import delete_leftovers
from dataspec.catalog.version_archive import KeptVersions
from dataspec.errors import AirflowUnreachable, Conflict, StoreUnreachable
from dataspec.models import SourceEvent, SourceType
from dataspec.store import Store
from dataspec.store.base import PreconditionFailed, StoredObject

log = logging.getLogger(__name__)

ATTEMPTS = 10
"""How often the ledger is tried to be moved on while others move it as well."""


class Announcer(Protocol):
    """Tells people of changes of source."""

    def announce(self, switches: Sequence[SourceSwitch], catalog: Catalog) -> None:
        """See to it that each change is told once, however often this is called for it."""
        ...


class LedgerUpdater:
    """Compares the store with the ledger, and moves the ledger on. Safe to share between threads.

    Each step may be repeated, by this replica or another, so that it may die between any two.
    """

    def __init__(
        self,
        store: Store,
        specs: CatalogCache,
        versions: KeptVersions,
        announcer: Announcer,
        clock: Clock,
        *,
        records: RunRecords,
    ) -> None:
        self._records = records
        self._store = store
        self._specs = specs
        self._versions = versions
        self._announcer = announcer
        self._clock = clock
        self._settled: Catalog | None = None
        self.has_retired = False
        """Whether a removed dataset's DAG waited for its runs to end when this replica last looked."""

    def reconcile(self) -> tuple[SourceEvent, ...]:
        """Look at the store now, and carry out what changed since the ledger was moved on.

        Returns:
            What changed, by dataset.

        Raises:
            StoreUnreachable: When the store does not answer.
            Conflict: When others kept moving the ledger on.
        """
        for _ in range(ATTEMPTS):
            catalog = self._specs.catalog(fresh=True)
            if catalog is self._settled:
                return ()
            comparison = self._compare(catalog)
            self.has_retired = any(entry.removed_at for entry in comparison.ledger.entries.values())
            if comparison.ledger is catalog.ledger:
                self._settled = None if self.has_retired else catalog
                return ()
            if self._carry_out(comparison, catalog):
                self._log(comparison.events)
                return comparison.events
        raise Conflict("Others are changing datasets at this moment.", detail="Try again in a few seconds.")

    def follow(self) -> None:
        """Reconcile after a write of our own; quietly: the next check makes up for what fails now."""
        try:
            self.reconcile()
        except (StoreUnreachable, Conflict) as error:
            log.warning("The ledger is behind: %s %s", error.title, error.detail)

    def _compare(self, catalog: Catalog) -> LedgerDiff:
        now = self._clock.now()
        active = self._active(catalog) if retires(catalog, now) else None
        return diff_ledger(catalog, now=now, active=active)

    def _carry_out(self, comparison: LedgerDiff, catalog: Catalog) -> bool:
        """Keep, announce, move on; False when another has moved the ledger on first."""
        self._versions.keep(comparison.unkept)
        for event in comparison.events:
            if (event.change, event.source_type) == ("removed", SourceType.MANUAL):
                delete_leftovers(self._store, event.file, now=self._clock.now)
        if comparison.switches:
            self._announcer.announce(comparison.switches, catalog)
        body = comparison.ledger.body()
        try:
            etag = self._store.put(LEDGER_KEY, body, expected=catalog.ledger_etag)
        except PreconditionFailed:
            return False
        self._specs.ledger_moved_on(StoredObject(LEDGER_KEY, etag, body), comparison.ledger)
        return True

    def _active(self, catalog: Catalog) -> frozenset[str] | None:
        """Return the removed datasets that have an active run, or None where Airflow does not answer."""
        removed = {name for name, entry in catalog.ledger.entries.items() if entry.removed_at}
        try:
            return frozenset(run.dag_id for run in self._records.active(removed))
        except AirflowUnreachable as error:
            log.warning("%s Removed datasets keep their DAGs until it does.", error.title)
            return None

    @staticmethod
    def _log(events: Sequence[SourceEvent]) -> None:
        for event in events:
            log.info("%s: %s (%s, %s)", event.dataset_name, event.change, event.source_type, event.file)
