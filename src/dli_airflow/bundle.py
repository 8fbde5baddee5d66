"""The DAG bundle: the store's specs as DAG files on this machine (Airflow 3).

In the DAG processor it is refreshed again and again; a worker refreshes it when an attempt
starts, so that the attempt runs the version that is effective then.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from typing import TYPE_CHECKING, Any

from airflow.dag_processing.bundles.base import BaseDagBundle

from dataspec.catalog_reader import CatalogReader
from dataspec.errors import DliError, InvalidSettings
from dataspec.spec_cache import DiskSpecCache
from dataspec.store import open_store
from dli_airflow import factory  # noqa: F401 - loaded here, once, for all the parses that this process forks
from dli_airflow.broken_dags import BrokenDag, BrokenDags
from dli_airflow.dag_folder import DagFolder
from dli_airflow.datasets import Dataset
from dli_airflow.snapshot import Snapshot, SnapshotFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime
    from pathlib import Path

    from dataspec.catalog import Catalog
    from dataspec.listing import Listing

log = logging.getLogger(__name__)

SHARDS = 128
_SHOWN_FILES = 10


class DatasetBundle(BaseDagBundle):
    """Every effective dataset of a store, as DAGs.

    It is not versioned: a version would pin retries to an old spec.

    Args:
        store_url: The store's address; by default the variable ``DLI_STORE_URL``.
        shards: The number of files that the datasets are spread over.
        base_url: Basecamp's address, for links; by default the variable ``DLI_BASECAMP_URL``.
        clock: The present time in seconds.
        arguments: Those of every bundle: ``name``, ``refresh_interval`` and so on.
    """

    supports_versioning = False

    def __init__(
        self,
        *,
        store_url: str | None = None,
        shards: int = SHARDS,
        base_url: str | None = None,
        clock: Callable[[], float] = time.time,
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        self._store_url = store_url or os.environ.get("DLI_STORE_URL")
        self._clock = clock
        base_url = base_url or os.environ.get("DLI_BASECAMP_URL") or None
        self._folder = DagFolder(self.path, shards=shards, base_url=base_url)
        self._broken = BrokenDags(self.path)
        self._snapshot = SnapshotFile(self.base_dir / "snapshot.json")
        self._reader: CatalogReader | None = None

    @property
    def path(self) -> Path:
        """The folder of DAG files."""
        folder: Path = self.base_dir / "dags"
        return folder

    def get_current_version(self) -> None:
        """Return None: the bundle has no versions."""

    def initialize(self) -> None:
        """Bring the files up to date with the store as it is now, or goes on with those of before.

        Raises:
            DliError: When the store does not answer, and there are no files of before.
        """
        self.refresh()
        super().initialize()

    def refresh(self) -> None:
        """Bring the files up to date with the store.

        A refresh by another process serves as well, if it began after this call did. If the
        store does not answer, the files stay as they are: an empty folder would make Airflow
        drop every DAG.

        Raises:
            DliError: When the store does not answer, and there are no files of before.
        """
        asked = self._clock()
        with self.lock():
            snapshot = self._snapshot.read()
            if snapshot is None or not asked <= snapshot.attempted_at <= self._clock():
                snapshot = self._attempt(snapshot)
        if snapshot.error is not None:
            since = snapshot.taken_words
            log.warning("%s Going on with the specs as they were at %s.", snapshot.error, since)

    def _attempt(self, before: Snapshot | None) -> Snapshot:
        started = self._clock()
        usable = before if before is not None and self.path.is_dir() else None
        try:
            state = self._update(usable)
        except Exception as error:
            if usable is None or isinstance(error, InvalidSettings):
                raise
            reason = _reason(error)
            if not isinstance(error, DliError):
                log.exception("The refresh of the bundle %s failed", self.name)
            snapshot = usable.failed(started, reason)
        else:
            snapshot = Snapshot(state=state, taken_at=started, attempted_at=started)
        self._snapshot.write(snapshot)
        return snapshot

    def _update(self, before: Snapshot | None) -> str:
        """Write the files that changed, and return what the files now stand for."""
        reader = self._catalog_reader()
        listing, broken = reader.listing(), list(self._broken)
        if before is None or before.state != self._state(listing, broken):
            catalog = reader.read(listing)
            changed = self._folder.write(
                lasting(catalog, self._folder.registered_at), problems(catalog, broken)
            )
            log.info("%d datasets; files that changed: %s", len(catalog.effective), _named(changed))
        return self._state(listing, broken)

    def _state(self, listing: Listing, broken: list[BrokenDag]) -> str:
        notes = [f"{note.name} {note.spec_hash}" for note in broken]
        parts = [listing.fingerprint, listing.ledger_etag, self._folder.form, *notes, *self._folder.names()]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def _catalog_reader(self) -> CatalogReader:
        if self._reader is None:
            if not self._store_url:
                raise InvalidSettings(
                    "The dataset bundle has no store.",
                    detail="Set store_url in [dag_processor] dag_bundle_config_list, or DLI_STORE_URL.",
                )
            store = open_store(self._store_url)
            self._reader = CatalogReader(store, DiskSpecCache(self.base_dir / "cache"))
        return self._reader


def lasting(catalog: Catalog, known: Callable[[str], datetime | None]) -> Iterator[Dataset]:
    """Yield the datasets that have a DAG: the effective ones, and removed ones whose runs may be active.

    Airflow never schedules the remaining tasks of a DAG that vanished (decisions 2). When a name
    was registered never moves while it stays: the ledger says it, or until then what this
    machine wrote down when it first saw the name.

    Args:
        catalog: The specs in the store.
        known: When a name was registered, as this machine knows it.
    """
    since = {name: entry.since for name, entry in catalog.ledger.entries.items()}
    for name, file in catalog.effective.items():
        yield Dataset.of(file, since=since.get(name) or known(name))
    for name, file in catalog.retired.items():
        yield Dataset.of(file, since=since.get(name), retired=True)


def problems(catalog: Catalog, broken: Iterable[BrokenDag]) -> Iterator[tuple[str, str]]:
    """Yield what Airflow's page is to show as import errors, each with a title for its file."""
    running = {file.key for file in catalog.effective.values()}
    for file in catalog.invalid:
        kept = " The last version that could be used keeps running." if file.key in running else ""
        yield file.key, f"{file.key} can't be used.{kept}\n{file.error.detail if file.error else ''}"
    for note in broken:
        noted = catalog.effective.get(note.name)
        if noted is not None and noted.spec_hash == note.spec_hash:
            yield f"{noted.key} DAG", f"The DAG of {noted.key} can't be built.\n{note.reason}"


def _named(files: list[str]) -> str:
    shown = ", ".join(files[:_SHOWN_FILES]) or "none"
    return f"{shown} and {len(files) - _SHOWN_FILES} more" if len(files) > _SHOWN_FILES else shown


def _reason(error: Exception) -> str:
    if isinstance(error, DliError):
        return " ".join(filter(None, (error.title, error.detail)))
    return f"{type(error).__name__}: {error}"
