"""The catalog of the store, kept for a moment: every service asks for it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from basecamp.services.known import Known, warning
from dataspec.errors import DatasetNotFound, Overridden, StoreUnreachable
from dataspec.problems import nearest
from dataspec.workflows import SourceType

if TYPE_CHECKING:
    from basecamp.services.clock import Clock
    from dataspec.catalog import Catalog, SpecFile
    from dataspec.catalog_reader import CatalogReader

MAX_AGE_SECONDS = 2.0
"""How old the catalog may be before the store is listed again."""


class Specs:
    """The specs in the store, as they were at most two seconds ago. Safe to share between threads."""

    def __init__(self, reader: CatalogReader, clock: Clock) -> None:
        self._reader = reader
        self._clock = clock
        self._lock = threading.Lock()
        self._catalog: Catalog | None = None
        self._at = 0.0

    def catalog(self, *, fresh: bool = False) -> Catalog:
        """Return the catalog; list the store anew if it is old, or if ``fresh``.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        asked_at = self._clock.monotonic()
        with self._lock:
            # Whoever waited for the lock may find a catalog that was read after it asked.
            too_old = self._at <= asked_at if fresh else self._at < asked_at - MAX_AGE_SECONDS
            if self._catalog is None or too_old:
                started_at = self._clock.monotonic()
                self._catalog = self._reader.read()
                self._at = started_at
            return self._catalog

    def known(self) -> Known[Catalog]:
        """Return the catalog; if the store does not answer, the last one, with a warning.

        Raises:
            StoreUnreachable: When the store does not answer, and never did.
        """
        try:
            return Known(self.catalog())
        except StoreUnreachable as error:
            if self._catalog is None:
                raise
            return Known(self._catalog, (warning(error, self._clock.monotonic() - self._at),))


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
        raise DatasetNotFound(name, hint=f"In {source} it is not; it is in {other.source}.")
    raise DatasetNotFound(name, hint=nearest(name, catalog.effective))


def find_runnable(catalog: Catalog, name: str, source: SourceType | None) -> SpecFile:
    """Return the spec that Airflow runs, where it is that of the source that was asked for.

    Raises:
        Overridden: When a manual spec was asked for that code overrides (decisions 3).
        InvalidSpec: When the dataset's only spec can't be used.
        DatasetNotFound: When there is none.
    """
    if source is SourceType.MANUAL and name in catalog.overridden:
        raise Overridden
    return find_spec(catalog, name, source)
