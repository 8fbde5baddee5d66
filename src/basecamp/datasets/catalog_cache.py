"""The catalog of the store, cached for some seconds for all services."""

from __future__ import annotations

from math import inf

from basecamp.shared.clock import Clock
from basecamp.shared.last_known import ValueWithWarnings
from basecamp.shared.refresh_cache import RefreshCache
from dataspec.catalog.effective import Catalog, SpecFile
from dataspec.catalog.ledger import Ledger
from dataspec.catalog.reader import CatalogReader
from dataspec.errors import DatasetNotFound, Overridden, StoreUnreachable
from dataspec.models import SourceType
from dataspec.problems import nearest
from dataspec.store import StoredObject

MIN_AGE_SECONDS = 2.0
MAX_AGE_SECONDS = 30.0
PATIENCE_SECONDS = 2.0
"""How long a listing may take while a read that may show the last specs waits for it."""
SLOW = "The store takes long to list its specs."


class CatalogCache:
    """The specs in the store, as they were some seconds ago. Safe to share between threads.

    A catalog that takes long to list is read again in the background, past half of its time. A caller that decides by
    the catalog asks for a fresh one.
    """

    def __init__(self, reader: CatalogReader, clock: Clock) -> None:
        self._reader = reader
        self._cache = RefreshCache(
            "specs",
            lambda: reader.read(reader.listing()),
            clock,
            unanswered=_unanswered,
            min_age=MIN_AGE_SECONDS,
            max_age=MAX_AGE_SECONDS,
            refresh_age=MIN_AGE_SECONDS,
        )

    def catalog(self, *, fresh: bool = False) -> Catalog:
        """Return the catalog; list the store again if it is old, or if ``fresh``.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        if fresh:
            return self._cache.fresh()
        return self._cache.usable() or self._cache.next()

    def known(self) -> ValueWithWarnings[Catalog]:
        """Return the catalog; if the store does not answer, or is slow, the last one, with a warning.

        Raises:
            StoreUnreachable: When the store does not answer, and never did.
        """
        catalog = self._cache.usable()
        return (
            self._cache.refreshed(PATIENCE_SECONDS, late=SLOW)
            if catalog is None
            else ValueWithWarnings(catalog)
        )

    def latest(self) -> Catalog | None:
        """Return the last catalog without waiting, and list the store in the background if it is old."""
        return self._cache.latest()

    @property
    def age(self) -> float:
        """The age of the catalog in seconds; infinite before the first listing."""
        age = self._cache.age()
        return inf if age is None else age

    @property
    def last_known(self) -> Catalog | None:
        """The catalog, however old; None before the first listing."""
        return self._cache.last

    def ledger_moved_on(self, stored: StoredObject, ledger: Ledger) -> None:
        """Take over the ledger that was just written, which saves reading it back."""
        self._reader.ledger_moved_on(stored, ledger)


def _unanswered() -> StoreUnreachable:
    return StoreUnreachable("The store does not answer.", detail="It has not listed its specs in time.")


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
    raise DatasetNotFound(name, hint=nearest(name, catalog.effective), is_suggestion=True)


def find_runnable(catalog: Catalog, name: str, source: SourceType | None) -> SpecFile:
    """Return the spec that Airflow runs; refuse a requested source that it does not run.

    Raises:
        Overridden: When ``manual`` was requested and code overrides it (specification 7.9).
        InvalidSpec: When the dataset's only spec can't be used.
        DatasetNotFound: When there is none.
    """
    if source is SourceType.MANUAL and name in catalog.overridden:
        raise Overridden
    return find_spec(catalog, name, source)
