"""The DAG processor of the Airflow in memory: builds a DAG from every effective spec in a store."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from basecamp.airflow.testing.airflow import MemoryAirflow
from dataspec.catalog.cache import MemorySpecCache
from dataspec.catalog.effective import SpecFile
from dataspec.catalog.reader import CatalogReader
from dataspec.contract import LoadedSpec
from dataspec.schedule.cron import next_tick
from dataspec.schedule.upstream_clock import Clock
from dataspec.store import Store


class MemoryDags:
    """Loads a store's effective specs into an Airflow in memory, on request."""

    def __init__(self, airflow: MemoryAirflow, store: Store, now: Callable[[], datetime]) -> None:
        self._airflow = airflow
        self._reader = CatalogReader(store, MemorySpecCache())
        self._now = now
        self._loaded: dict[str, tuple[str | None, Clock | None, bool]] = {}

    def refresh(self) -> None:
        """Read the store and load the changed specs."""
        catalog = self._reader.read()
        lasting = {**catalog.effective, **catalog.retired}
        for name in self._loaded.keys() - lasting.keys():
            self._airflow.unload(name)
            del self._loaded[name]
        for name, file in lasting.items():
            clock = file.spec.schedule.clock if file.spec and file.spec.schedule else None
            version = file.spec_hash, clock, name in catalog.retired
            if file.spec_hash is not None and self._loaded.get(name) != version:
                self._load(name, file, file.spec_hash, retired=name in catalog.retired)
                self._loaded[name] = version

    def _load(self, name: str, file: SpecFile, spec_hash: str, *, retired: bool) -> None:
        schedule = file.spec.schedule if file.spec and not retired else None
        clock = schedule.clock if schedule and schedule.enabled else None
        self._airflow.load(
            name,
            loaded=LoadedSpec(spec_hash, file.source, file.key),
            tags=[f"source:{file.source}"],
            next_run=next_tick(*clock, self._now()) if clock else None,
            retries=file.spec.retry.max_attempts if file.spec else 0,
        )
