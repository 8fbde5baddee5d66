"""What follows a write to ``manual/``: the ledger moves on, and Airflow loads what changed (specification 16.1)."""

from __future__ import annotations

from datetime import datetime

from basecamp.datasets.catalog_cache import CatalogCache
from basecamp.datasets.dag_readiness import DagReadiness
from basecamp.shared.waiting import Steps
from basecamp.sync.ledger_update import LedgerUpdater
from dataspec.catalog.effective import Catalog, SpecFile
from dataspec.catalog.ledger import Ledger
from dataspec.catalog.spec_storage import Release
from dataspec.errors import Replaced, StoreUnreachable
from dataspec.models import RegisteredDataset, SourceType

OVERRIDDEN_WARNING = "This dataset exists in Code: the Manual file is kept but inactive."


class WriteFollowUp:
    """Updates the ledger and Airflow after a manual spec was written or removed."""

    def __init__(self, specs: CatalogCache, ledger: LedgerUpdater, readiness: DagReadiness) -> None:
        self._specs = specs
        self._ledger = ledger
        self._readiness = readiness

    def written(
        self,
        name: str,
        release: Release,
        *,
        key: str,
        etag: str,
        since: datetime,
        wait_seconds: float,
        waits: bool = False,
        overridden: str | None = None,
    ) -> Steps[RegisteredDataset]:
        """Return the registered spec once Airflow has loaded it, or code has taken its place.

        Args:
            name: The dataset.
            release: The spec and its SQL files.
            key: The YAML's key in the store.
            etag: The YAML's ETag.
            since: When the write began.
            wait_seconds: The longest wait for Airflow; 0 not to wait.
            waits: Whether its runs wait for other datasets.
            overridden: The warning if code has the dataset: Airflow has nothing to load then.

        Raises:
            NotLoaded: When Airflow has not loaded it in time. It is stored.
            Replaced: When another version of it was registered meanwhile, or it was removed.
        """
        yield from self._ledger.follow()
        loaded = False
        if overridden is None and wait_seconds > 0:
            loaded = yield from self._readiness.wait(
                name,
                key,
                release.spec_hash,
                since=since,
                seconds=wait_seconds,
                is_current=lambda: self._is_effective(name, release),
            )
            overridden = None if loaded else self._why_not_effective(name, key)
        elif overridden is None:
            self._readiness.request(name)
        return RegisteredDataset(
            name=name,
            source_type=SourceType.MANUAL,
            file=key,
            etag=etag,
            spec_hash=release.spec_hash,
            effective=overridden is None,
            loaded=loaded,
            yaml=release.yaml.decode(),
            files=dict(release.files),
            warnings=[
                *filter(None, [overridden]),
                *(self._readiness.wait_problems() if loaded and waits else []),
            ],
        )

    def _is_effective(self, name: str, release: Release) -> bool:
        """Return whether a version is the one that Airflow is to load, by the current store if in doubt."""
        latest = self._specs.latest()
        if latest is None or _manual_hash(latest, name) == release.spec_hash:
            return True
        try:
            return _manual_hash(self._specs.catalog(fresh=True), name) == release.spec_hash
        except StoreUnreachable:
            return True

    def _why_not_effective(self, name: str, key: str) -> str:
        """Return the warning for a spec that code overrides.

        Raises:
            Replaced: When the spec is not stored any more.
        """
        catalog = self._specs.catalog()
        if is_in_code(catalog, name):
            return OVERRIDDEN_WARNING
        raise Replaced(name, key, by=_manual_hash(catalog, name))

    def about_to_remove(self, name: str, file: SpecFile | None, ledger: Ledger) -> Steps[None]:
        """Make the ledger know a spec that is to be removed.

        The ledger may be behind the write of the spec. What it never knew would leave no DAG for its active runs, no
        channel for their ends, and no team for its history.

        Args:
            name: The dataset.
            file: The manual spec; None if it is not valid.
            ledger: The ledger as it was read with the spec.

        Raises:
            Conflict: When other replicas kept updating the ledger.
            StoreUnreachable: When the store does not answer.
        """
        entry = ledger.entries.get(name)
        kept = entry.versions.get(SourceType.MANUAL) if entry and entry.removed_at is None else None
        if file is not None and (kept is None or kept.spec_hash != file.spec_hash):
            yield from self._ledger.reconcile()

    def removed(self, name: str) -> Steps[None]:
        """Make Airflow unschedule a removed dataset, or continue with code's spec."""
        yield from self._ledger.follow()
        self._readiness.request(name)


def is_in_code(catalog: Catalog, name: str) -> bool:
    """Return whether code has a spec of this name, even an invalid one."""
    if catalog.get(name, SourceType.CODE) is not None:
        return True
    return any(file.source is SourceType.CODE and file.name == name for file in catalog.invalid)


def _manual_hash(catalog: Catalog, name: str) -> str | None:
    """Return the version of the manual spec that Airflow is to load; None without one."""
    file = catalog.effective.get(name)
    return file.spec_hash if file and file.source is SourceType.MANUAL else None
