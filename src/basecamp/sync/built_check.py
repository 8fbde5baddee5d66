"""Add to Airflow's Variables what they lack of what was built (docs/waiting.md, "What was built").

A run's last act writes what it built. What no run wrote is found here: runs from before this feature, runs that were
marked as success on Airflow's page, and values that were lost. Nobody waits for this check while all is well.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta

from basecamp.airflow.gateway import AirflowGateway
from basecamp.airflow.models import RunFilter
from basecamp.datasets.catalog_cache import CatalogCache
from basecamp.runs.all_runs import all_runs
from basecamp.runs.built_by_runs import built_by
from basecamp.runs.records import RunRecords
from basecamp.shared.background import BackgroundLoop
from basecamp.shared.clock import Clock, airflow_now
from basecamp.shared.lease import Lease
from basecamp.shared.object_reader import ObjectReader
from dataspec.catalog.effective import SpecFile
from dataspec.contract import (
    BUILT_BEACON,
    BUILT_PREFIX,
    built_description,
    built_variable,
)
from dataspec.schedule.beacon import with_entry
from dataspec.schedule.built import Built
from dataspec.store import Store
from dataspec.store.base import etag_of, try_put
from dataspec.stored_document import Moment, StoredDocument

log = logging.getLogger(__name__)

KEY = "basecamp/built.json"
LOOK_SECONDS = 60.0
RETRY_SECONDS = 10.0
OVERLAP = timedelta(minutes=2)
"""Runs may become visible in another order than they changed, at most this much later."""
LOOK_BACK = timedelta(days=1)
"""From where the first look begins, and the look after a damaged position."""
POSITION_AGE = timedelta(minutes=5)
"""Age at which the position is stored again, so that not every look writes."""
LIST_AGE = timedelta(minutes=10)
"""Age at which all Variables are listed again, to find lost ones."""
HISTORY_PAGES = 100
"""Maximum number of pages of a dataset's runs that are read to make its value anew."""
HISTORIES_A_LOOK = 50
"""Maximum number of datasets whose runs one look reads for that."""


class BuiltPosition(StoredDocument):
    """How far the changes of runs were read; one object in the store."""

    until: Moment
    """By Airflow's clock."""


class BuiltCheck:
    """Completes what was built from the runs that succeeded, on one replica at a time.

    Each look reads the runs that changed since the last one, and the values of their datasets. Values are changed by
    union; a value that a run wrote at the same moment is compared again at the next look.

    Args:
        store: Holds the position.
        gateway: The Airflow that runs the datasets.
        specs: The specs.
        records: Knows by which spec each run ran, and whether it was another DAG's.
        lease: Held by the replica that looks.
        clock: The clock.
        objects: Notes a position that this replica can't read.
    """

    def __init__(
        self,
        store: Store,
        gateway: AirflowGateway,
        specs: CatalogCache,
        records: RunRecords,
        *,
        lease: Lease,
        clock: Clock,
        objects: ObjectReader,
    ) -> None:
        self._store = store
        self._gateway = gateway
        self._specs = specs
        self._records = records
        self._lease = lease
        self._clock = clock
        self._objects = objects
        self._looked_at: datetime | None = None
        self._listed_at: datetime | None = None
        self._incomplete: list[str] = []
        self._added: dict[str, Built] = {}
        self.loop = BackgroundLoop("check of what was built", self.look, retry_seconds=RETRY_SECONDS)

    def look(self) -> float:
        """Add what is missing, unless another replica does; return the seconds until the next look.

        Raises:
            AirflowUnreachable: When Airflow does not answer, or refuses to show or change Variables.
            StoreUnreachable: When the store does not answer.
        """
        wait = self._lease.take(LOOK_SECONDS)
        if wait > 0:
            self._looked_at = self._listed_at = None
            self._added = {}
            return wait
        now = airflow_now(self._gateway, self._clock)
        specs = self._specs.catalog().effective
        written = self._check_again()
        written |= self._add_changed(now, specs)
        written |= self._add_histories(now, specs)
        if written:
            self._change_beacon(written)
        return RETRY_SECONDS if self._incomplete else LOOK_SECONDS

    def _change_beacon(self, written: set[str]) -> None:
        text, mark = self._gateway.variable(BUILT_BEACON), uuid.uuid4().hex
        for name in sorted(written):
            text = with_entry(text, name, mark)
        self._gateway.set_variable(
            BUILT_BEACON, text or "", description="The datasets that have built a partition last"
        )

    def _check_again(self) -> set[str]:
        """Compare what the last look added: a run may have written its value at the same moment."""
        added, self._added = self._added, {}
        return {name for name, built in added.items() if self._add(name, built)}

    def _add_changed(self, now: datetime, specs: Mapping[str, SpecFile]) -> set[str]:
        """Add the runs that changed since the last look, and store how far they were read."""
        stored = self._store.get(KEY)
        position = self._objects.read_or_put_aside(BuiltPosition.read, stored) if stored else None
        since = self._looked_at or (position.until if position else now - LOOK_BACK)
        wanted = RunFilter(states=("success",), changed_from=since - OVERLAP)
        ours = (run for run in all_runs(self._gateway, wanted) if run.dag_id in specs)
        found = built_by(ours, self._records)
        written = {name for name, built in found.items() if self._add(name, built)}
        self._looked_at = now
        if position is None or now - position.until > POSITION_AGE:
            try_put(self._store, KEY, BuiltPosition(until=now).body(), expected=etag_of(stored))
        return written

    def _add_histories(self, now: datetime, specs: Mapping[str, SpecFile]) -> set[str]:
        """Make values anew from all runs, for some of the datasets that have no complete one."""
        if self._listed_at is None or now - self._listed_at > LIST_AGE:
            self._incomplete = self._without_complete_value(specs)
            self._listed_at = now
        batch, self._incomplete = self._incomplete[:HISTORIES_A_LOOK], self._incomplete[HISTORIES_A_LOOK:]
        return {name for name in batch if name in specs and self._add(name, self._history(name))}

    def _without_complete_value(self, specs: Mapping[str, SpecFile]) -> list[str]:
        """Return the datasets without a complete value, those that others need first."""
        texts = self._gateway.variables(BUILT_PREFIX)
        needed = {name for file in specs.values() if file.spec for name in file.spec.upstream}
        found = [name for name in specs if not Built.parse(texts.get(built_variable(name))).built.complete]
        return sorted(found, key=lambda name: (name not in needed, name))

    def _history(self, name: str) -> Built:
        runs = all_runs(self._gateway, RunFilter(dag_id=name, states=("success",)), max_pages=HISTORY_PAGES)
        return Built(complete=True).union(built_by(runs, self._records).get(name, Built()))

    def _add(self, name: str, built: Built) -> bool:
        """Add to a dataset's value; return whether it lacked something."""
        key = built_variable(name)
        read = Built.parse(self._gateway.variable(key))
        if read.problem:
            log.warning("Airflow's Variable %s of the dataset %s can't be read: %s", key, name, read.problem)
        if not read.may_be_written or not read.built.lacks(built):
            return False
        self._gateway.set_variable(key, read.built.union(built).text(), description=built_description(name))
        self._added[name] = built
        return True
