"""The mirror: the store's specs as DAG files on this machine, shared by all its processes.

The DAG bundle refreshes it on Airflow 3 (:mod:`dli_airflow.bundle`), the DAG files on Airflow 2
(:mod:`dli_airflow.dag_files`).
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from pydantic import TypeAdapter

from dataspec.catalog.cache import DiskSpecCache
from dataspec.catalog.effective import Catalog, SpecFile
from dataspec.catalog.listing import StoreListing
from dataspec.catalog.reader import CatalogReader
from dataspec.contract import write_takeover
from dataspec.errors import DliError, InvalidSettings
from dataspec.file_lock import locked
from dataspec.files import write_atomically
from dataspec.store import open_store
from dli_airflow.mirror.broken_dags import BrokenDag, BrokenDags
from dli_airflow.mirror.dag_folder import DagFolder
from dli_airflow.mirror.dataset import Dataset, UpstreamFacts
from dli_airflow.mirror.other_dags import OtherDags
from dli_airflow.mirror.own_files import read_own

log = logging.getLogger(__name__)

_SHOWN_FILES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The result of the last refresh; times are in seconds since 1970."""

    state: str
    """Identifies the store's content and the form of the files; unchanged, the files are up to date."""
    taken_at: float
    """When the last successful refresh began."""
    attempted_at: float
    """When the last refresh began, successful or not."""
    error: str | None = None
    """Why the last refresh failed."""

    def failed(self, attempted_at: float, error: str) -> Snapshot:
        """Return the snapshot after a failed refresh, which changed no files."""
        return replace(self, attempted_at=attempted_at, error=error)

    @property
    def taken_words(self) -> str:
        """The time of the last successful refresh as ISO text."""
        return datetime.fromtimestamp(self.taken_at, UTC).isoformat(timespec="seconds")


_SNAPSHOT = TypeAdapter(Snapshot)


class SnapshotFile:
    """Reads and writes the snapshot. The caller holds the mirror's lock."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Snapshot | None:
        """Return the snapshot; None before the first refresh, and for a file that can't be read."""
        return read_own(_SNAPSHOT, self._path)

    def write(self, snapshot: Snapshot) -> None:
        """Replace the snapshot."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self._path, json.dumps(asdict(snapshot)))


class StoreMirror:
    """Copies every effective dataset of a store to a folder of small files.

    Args:
        folder: The folder of the DAG files, the cache, the notes and the lock.
        store_url: The store's address.
        shards: The number of DAG files that the datasets are distributed over.
        base_url: Basecamp's address, for links.
        clock: Returns the current time in seconds since 1970.
    """

    def __init__(
        self,
        folder: Path,
        *,
        store_url: str | None,
        shards: int,
        base_url: str | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._folder = folder
        self._store_url = store_url
        self._clock = clock
        self.store = _identity(store_url)
        """Identifies the store, for the sessions of runs on their engines."""
        self._dags = DagFolder(self.path, shards=shards, base_url=base_url, store=self.store)
        self._broken = BrokenDags(self.path)
        self._others = OtherDags(folder)
        self._snapshot = SnapshotFile(folder / "snapshot.json")
        self._reader: CatalogReader | None = None

    @property
    def path(self) -> Path:
        """The folder of DAG files."""
        return self._folder / "dags"

    def shard(self, number: int) -> Path:
        """Return the path of a shard's DAG file, which does not exist for a shard without datasets."""
        return self._dags.shard(number)

    def refresh(self, *, max_age: float = 0.0) -> list[str]:
        """Refresh the files from the store, and return the names of those that changed.

        Nothing is done if another process began a refresh after this call, or at most ``max_age`` seconds
        before. If the store does not answer, the files stay: an empty folder would make Airflow drop all DAGs.

        Raises:
            DliError: When the store does not answer and no files exist yet.
        """
        asked = self._clock()
        changed: list[str] = []
        self._folder.mkdir(parents=True, exist_ok=True)
        with locked(self._folder / "lock"):
            snapshot = self._snapshot.read()
            if snapshot is None or not asked - max_age <= snapshot.attempted_at <= self._clock():
                snapshot, changed = self._attempt(snapshot)
        if snapshot.error is not None:
            since = snapshot.taken_words
            log.warning("%s Going on with the specs as they were at %s.", snapshot.error, since)
        return changed

    def _attempt(self, before: Snapshot | None) -> tuple[Snapshot, list[str]]:
        started = self._clock()
        usable = before if before is not None and self.path.is_dir() else None
        changed: list[str] = []
        try:
            state, changed = self._update(usable)
        except Exception as error:
            if usable is None or isinstance(error, InvalidSettings):
                raise
            reason = _reason(error)
            if not isinstance(error, DliError):
                log.exception("The refresh of %s failed", self._folder)
            snapshot = usable.failed(started, reason)
        else:
            snapshot = Snapshot(state=state, taken_at=started, attempted_at=started)
        self._snapshot.write(snapshot)
        return snapshot, changed

    def _update(self, before: Snapshot | None) -> tuple[str, list[str]]:
        """Write the files that changed; return the new state and the names of these files."""
        reader = self._catalog_reader()
        listing, broken = reader.listing(), list(self._broken)
        changed: list[str] = []
        if before is None or before.state != self._state(listing, broken):
            catalog = reader.read(listing)
            if catalog.ledger_error is not None and before is not None:
                raise catalog.ledger_error  # without the ledger, removed and broken datasets would lose their DAGs
            names = {*catalog.effective, *catalog.retired}
            others = self._others.among(names)
            datasets = datasets_with_dag(catalog, self._dags.registered_at)
            own = [dataset for dataset in datasets if dataset.name not in others]
            changed = self._dags.write(own, problems(catalog, broken, others))
            self._others.keep(names)
            log.info("%d datasets; files that changed: %s", len(catalog.effective), _named(changed))
            if catalog.fingerprint != listing.fingerprint:
                return "", changed  # an object could not be read: the next refresh tries again
        return self._state(listing, broken), changed

    def _state(self, listing: StoreListing, broken: list[BrokenDag]) -> str:
        notes = [f"{note.name} {note.spec_hash}" for note in broken]
        others = [f"{name} {place}" for name, place in sorted(self._others.known().items())]
        parts = [
            listing.fingerprint,
            listing.ledger_etag,
            self._dags.form,
            *notes,
            *others,
            *self._dags.names(),
        ]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def _catalog_reader(self) -> CatalogReader:
        if self._reader is None:
            if not self._store_url:
                raise InvalidSettings(
                    "The datasets' store is not named.",
                    detail="Set the variable DLI_STORE_URL, or on Airflow 3 store_url in "
                    "[dag_processor] dag_bundle_config_list.",
                )
            store = open_store(self._store_url)
            self._reader = CatalogReader(store, DiskSpecCache(self._folder / "cache"))
        return self._reader


def _identity(store_url: str | None) -> str:
    """Return a name of a store that shows neither its place nor its credentials."""
    return hashlib.sha256((store_url or "").rstrip("/").encode()).hexdigest()[:16]


def datasets_with_dag(catalog: Catalog, known: Callable[[str], datetime | None]) -> Iterator[Dataset]:
    """Yield the datasets with a DAG: the effective ones, and removed ones whose runs may be active.

    Airflow never schedules the remaining tasks of a DAG that disappeared (specification 4.8). A name keeps its
    time of registration: from the ledger, or before the ledger has it, from this machine's first refresh.

    Args:
        catalog: The specs in the store.
        known: Returns when a name was registered according to this machine.
    """
    since = {name: entry.since for name, entry in catalog.ledger.entries.items()}

    registered = {
        name: since.get(name) or known(name) or file.last_modified for name, file in catalog.effective.items()
    }

    def upstreams(file: SpecFile) -> Iterator[tuple[str, UpstreamFacts]]:
        for name in file.spec.upstream if file.spec else ():
            spec = catalog.effective[name].spec if name in catalog.effective else None
            yield name, UpstreamFacts.of(spec, registered.get(name))

    for name, file in catalog.effective.items():
        yield Dataset.of(file, since=registered[name], upstreams=dict(upstreams(file)))
    for name, file in catalog.retired.items():
        yield Dataset.of(file, since=since.get(name), retired=True, upstreams=dict(upstreams(file)))


def problems(
    catalog: Catalog, broken: Iterable[BrokenDag], others: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Yield the import errors that Airflow's page shows: a title for the file, and a text."""
    running = {file.key for file in catalog.effective.values()}
    for spec in catalog.invalid:
        kept = " The last version that could be used keeps running." if spec.key in running else ""
        yield spec.key, f"{spec.key} can't be used.{kept}\n{spec.error.detail if spec.error else ''}"
    for note in broken:
        noted = catalog.effective.get(note.name)
        if noted is not None and noted.spec_hash == note.spec_hash:
            yield f"{noted.key} DAG", f"The DAG of {noted.key} can't be built.\n{note.reason}"
    for name, place in others.items():
        if name in catalog.effective:
            yield f"{catalog.effective[name].key} id", write_takeover(name, place)


def _named(files: list[str]) -> str:
    shown = ", ".join(files[:_SHOWN_FILES]) or "none"
    return f"{shown} and {len(files) - _SHOWN_FILES} more" if len(files) > _SHOWN_FILES else shown


def _reason(error: Exception) -> str:
    if isinstance(error, DliError):
        return " ".join(filter(None, (error.title, error.detail)))
    return f"{type(error).__name__}: {error}"
