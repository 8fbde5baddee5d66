"""Update the ledger, which holds each dataset's sources, and announce switches (docs/sources.md)."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Protocol

from basecamp.datasets.catalog_cache import CatalogCache
from basecamp.runs.records import RunRecords
from basecamp.shared.clock import Clock
from basecamp.shared.object_reader import ObjectReader
from basecamp.shared.waiting import Steps
from basecamp.sync.diff import LedgerDiff, SourceSwitch, diff_ledger, retires
from basecamp.sync.history_repair import HistoryRepair
from basecamp.sync.ledger_repair import repaired
from dataspec.catalog.effective import Catalog
from dataspec.catalog.ledger import LEDGER_KEY, Ledger
from dataspec.catalog.publication import Publication, known_publication
from dataspec.catalog.spec_storage import delete_leftovers
from dataspec.catalog.version_archive import KeptVersions
from dataspec.catalog.version_history import VersionHistory, recorded
from dataspec.errors import AirflowUnreachable, Conflict, StoreUnreachable
from dataspec.models import SourceEvent, SourceType
from dataspec.store import Store
from dataspec.store.base import StoredObject, try_put

log = logging.getLogger(__name__)

ATTEMPTS = 10
"""Maximum number of attempts while other replicas update the ledger as well."""
TURN_SECONDS = 1.0
"""The longest wait for another thread that updates the ledger: its call may hang."""


class Announcer(Protocol):
    """Announces switches of source."""

    def announce(self, switches: Sequence[SourceSwitch], catalog: Catalog) -> Steps[None]:
        """Announce each switch once, also when called again for it."""
        ...


class LedgerUpdater:
    """Compares the store with the ledger, and updates the ledger. Safe to share between threads.

    Every step may be repeated by any replica, so a replica may die between any two.
    """

    def __init__(
        self,
        store: Store,
        specs: CatalogCache,
        announcer: Announcer,
        clock: Clock,
        *,
        versions: KeptVersions,
        history: VersionHistory,
        repair: HistoryRepair,
        records: RunRecords,
        objects: ObjectReader,
    ) -> None:
        self._objects = objects
        self._records = records
        self._store = store
        self._specs = specs
        self._versions = versions
        self._history = history
        self._repair = repair
        self._announcer = announcer
        self._clock = clock
        self._turns = threading.Lock()
        self._settled: Catalog | None = None
        self.has_retired = False
        """Whether a removed dataset's DAG waited for its runs to end at the last check."""

    def reconcile(self) -> Steps[tuple[SourceEvent, ...]]:
        """Compare the store with the ledger now, and apply what changed.

        Returns:
            The changes by dataset.

        Raises:
            NewerFormat: When a newer version of Basecamp wrote the ledger.
            StoreUnreachable: When the store does not answer.
            Conflict: When other replicas kept updating the ledger.
        """
        for _ in range(ATTEMPTS):
            with self._turn():
                catalog = self._specs.catalog(fresh=True)
                if catalog is self._settled:
                    return ()
                if catalog.ledger_error is not None:
                    self._make_anew(catalog)
                    continue
                comparison = self._compare(catalog)
                self.has_retired = any(entry.removed_at for entry in comparison.ledger.entries.values())
                if comparison.ledger is catalog.ledger:
                    self._settled = None if self.has_retired else catalog
                    return ()
                self._prepare(comparison, catalog.ledger.moved_at)
                written = not comparison.switches and self._write(comparison.ledger, catalog.ledger_etag)
            if comparison.switches:
                yield from self._announcer.announce(comparison.switches, catalog)
                written = self._write(comparison.ledger, catalog.ledger_etag)
            if written:
                self._log(comparison.events)
                return comparison.events
        raise Conflict("Others are changing datasets at this moment.", detail="Try again in a few seconds.")

    def follow(self) -> Steps[None]:
        """Reconcile after a write of our own; only log failures, since the next check repeats it."""
        try:
            yield from self.reconcile()
        except (StoreUnreachable, Conflict) as error:
            log.warning("The ledger is behind: %s %s", error.title, error.detail)

    def complete_history(self) -> None:
        """Record the versions that earlier releases kept, once for a store.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        if self._specs.catalog().ledger.has_history:
            return
        self._repair.complete()
        catalog = self._specs.catalog(fresh=True)
        if catalog.ledger_error is None:  # on a conflict, the next check repeats it
            self._write(catalog.ledger.changed(has_history=True), catalog.ledger_etag)

    def _compare(self, catalog: Catalog) -> LedgerDiff:
        now = self._clock.now()
        active = self._active(catalog) if retires(catalog, now) else None
        return diff_ledger(catalog, now=now, active=active)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait a moment for another thread that updates the ledger: its update often has this change as well.

        The turn only saves work. The ETag protects the ledger.
        """
        has_turn = self._turns.acquire(timeout=TURN_SECONDS)
        try:
            yield
        finally:
            if has_turn:
                self._turns.release()

    def _prepare(self, comparison: LedgerDiff, moved_at: datetime | None) -> None:
        """Archive versions, and remove the SQL files that removed specs have left."""
        self._versions.keep(comparison.unkept)
        self._versions.renew(comparison.replaced)
        in_code = any(file.source is SourceType.CODE for _, file in comparison.written)
        publication = self._publication(moved_at) if in_code else None
        self._history.record(dict(recorded(name, file, publication) for name, file in comparison.written))
        for event in comparison.events:
            if (event.change, event.source_type) == ("removed", SourceType.MANUAL):
                delete_leftovers(self._store, event.file, now=self._clock.now)

    def _publication(self, moved_at: datetime | None) -> Publication | None:
        """Return the last publication, if it was made since the ledger was written."""
        found = known_publication(self._store)
        return found if found and moved_at and found.published_at >= moved_at else None

    def _write(self, ledger: Ledger, expected: str) -> bool:
        """Write the ledger; return False if another replica wrote it first."""
        body = ledger.body()
        etag = try_put(self._store, LEDGER_KEY, body, expected=expected)
        if etag is None:
            return False
        self._specs.ledger_moved_on(StoredObject(LEDGER_KEY, etag, body), ledger)
        return True

    def _make_anew(self, catalog: Catalog) -> None:
        """Replace a damaged ledger; its copy stays in the quarantine.

        Raises:
            NewerFormat: When it is not damaged: a newer version of Basecamp wrote it.
        """
        stored = self._store.get(LEDGER_KEY)
        if stored is None or self._objects.read_or_put_aside(Ledger.read, stored) is not None:
            return
        ledger = repaired(catalog, self._versions, now=self._clock.now())
        if self._write(ledger, stored.etag):
            log.error("The ledger was made anew; it knows %d datasets from before.", len(ledger.entries))

    def _active(self, catalog: Catalog) -> frozenset[str] | None:
        """Return the removed datasets with an active run; None if Airflow does not answer."""
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
