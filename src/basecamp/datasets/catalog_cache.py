"""The catalog of the store, kept for a moment: every service asks for it."""

from __future__ import annotations

import logging
import threading

from basecamp.shared.clock import Clock
from basecamp.shared.last_known import ValueWithWarnings, warning
from dataspec.catalog.effective import Catalog, SpecFile
from dataspec.catalog.ledger import Ledger
from dataspec.catalog.reader import CatalogReader
from dataspec.errors import DatasetNotFound, Overridden, StoreUnreachable
from dataspec.models import SourceType
from dataspec.problems import nearest
from dataspec.store import StoredObject

log = logging.getLogger(__name__)

MIN_AGE_SECONDS = 2.0
MAX_AGE_SECONDS = 30.0
COST_FACTOR = 10
"""How old the catalog may be before the store is listed again: ten times as long as a listing
takes, within the bounds above."""


class CatalogCache:
    """The specs in the store, as they were some seconds ago. Safe to share between threads.

    Where a listing takes long, a catalog that is past half of its age is read anew in the
    background, so that whoever asks again and again does not wait. Whoever decides by the
    catalog asks for a fresh one.
    """

    def __init__(self, reader: CatalogReader, clock: Clock) -> None:
        self._reader = reader
        self._clock = clock
        self._lock = threading.Lock()
        self._refreshing = threading.Lock()
        self._catalog: Catalog | None = None
        self._at = 0.0
        self._max_age = MIN_AGE_SECONDS

    def catalog(self, *, fresh: bool = False) -> Catalog:
        """Return the catalog; list the store anew if it is old, or if ``fresh``.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        asked_at = self._clock.monotonic()
        catalog, age = self._catalog, asked_at - self._at
        if catalog is not None and not fresh and age <= self._max_age:
            if age > max(self._max_age / 2, MIN_AGE_SECONDS):
                self._refresh_in_background()
            return catalog
        with self._lock:
            # Whoever waited for the lock may find a catalog that was read after it asked.
            if self._catalog is None or self._at <= asked_at:
                return self._read()
            return self._catalog

    def ledger_moved_on(self, stored: StoredObject, ledger: Ledger) -> None:
        """Take over the ledger that was just written, so that it need not be read back."""
        self._reader.ledger_moved_on(stored, ledger)

    def _read(self) -> Catalog:
        started_at = self._clock.monotonic()
        listing = self._reader.listing()
        took = self._clock.monotonic() - started_at
        self._catalog = self._reader.read(listing)
        self._at = started_at
        self._max_age = min(max(took * COST_FACTOR, MIN_AGE_SECONDS), MAX_AGE_SECONDS)
        return self._catalog

    def _refresh_in_background(self) -> None:
        if self._refreshing.acquire(blocking=False):
            threading.Thread(target=self._refresh_quietly, name="refresh-specs", daemon=True).start()

    def _refresh_quietly(self) -> None:
        try:
            self.catalog(fresh=True)
        except StoreUnreachable as error:
            log.warning("The specs could not be read anew: %s %s", error.title, error.detail)
        finally:
            self._refreshing.release()

    def known(self) -> ValueWithWarnings[Catalog]:
        """Return the catalog; if the store does not answer, the last one, with a warning.

        Raises:
            StoreUnreachable: When the store does not answer, and never did.
        """
        try:
            return ValueWithWarnings(self.catalog())
        except StoreUnreachable as error:
            if self._catalog is None:
                raise
            return ValueWithWarnings(
                self._catalog, (warning(error.title, self._clock.monotonic() - self._at),)
            )


def find_spec(catalog: Catalog, name: str, source: SourceType | None = None) -> SpecFile:
    """Return the effective spec of a dataset, or the usable one of a source.

    Raises:
        InvalidSpec: When the dataset's only spec can't be used.
        DatasetNotFound: When there is none.
    """
    found = catalog.get(name, source)
    if found is not None:
        return found
    for file in catalog.invalid:
        if file.name == name and source in {None, file.source} and file.error is not None:
            raise file.error
    if source is not None and (other := catalog.get(name)):
        raise DatasetNotFound(name, hint=f"Not registered in {source}; found in {other.source}.")
    raise DatasetNotFound(name, hint=nearest(name, catalog.effective))


def find_runnable(catalog: Catalog, name: str, source: SourceType | None) -> SpecFile:
    """Return the spec that Airflow runs, where it is that of the source that was asked for.

    Raises:
        Overridden: When a manual spec was asked for that code overrides (specification 7.9).
        InvalidSpec: When the dataset's only spec can't be used.
        DatasetNotFound: When there is none.
    """
    if source is SourceType.MANUAL and name in catalog.overridden:
        raise Overridden
    return find_spec(catalog, name, source)
