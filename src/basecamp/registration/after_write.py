"""What follows a write to ``manual/``: the ledger moves on, and Airflow loads what changed (specification 16.1)."""

from __future__ import annotations

from datetime import datetime

from basecamp.datasets.dag_readiness import DagReadiness
from basecamp.sync.ledger_update import LedgerUpdater
from dataspec.catalog.spec_storage import Release
from dataspec.models import RegisteredDataset, SourceType


class WriteFollowUp:
    """Updates the ledger and Airflow after a manual spec was written or removed."""

    def __init__(self, ledger: LedgerUpdater, readiness: DagReadiness) -> None:
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
        overridden: str | None = None,
    ) -> RegisteredDataset:
        """Return the registered spec once Airflow has loaded it.

        Args:
            name: The dataset.
            release: The spec and its SQL files.
            key: The YAML's key in the store.
            etag: The YAML's ETag.
            since: When the write began.
            wait_seconds: The longest wait for Airflow; 0 not to wait.
            overridden: The warning if code has the dataset: Airflow has nothing to load then.

        Raises:
            NotLoaded: When Airflow has not loaded it in time. It is stored.
        """
        self._ledger.follow()
        waits = overridden is None and wait_seconds > 0
        if waits:
            self._readiness.wait(name, key, release.spec_hash, since=since, seconds=wait_seconds)
        elif overridden is None:
            self._readiness.request(name)
        return RegisteredDataset(
            name=name,
            source_type=SourceType.MANUAL,
            file=key,
            etag=etag,
            spec_hash=release.spec_hash,
            effective=overridden is None,
            loaded=waits,
            yaml=release.yaml.decode(),
            files=dict(release.files),
            warnings=[overridden] if overridden else [],
        )

    def removed(self, name: str) -> None:
        """Make Airflow unschedule a removed dataset, or continue with code's spec."""
        self._ledger.follow()
        self._readiness.request(name)
