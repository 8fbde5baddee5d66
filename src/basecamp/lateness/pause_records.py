"""Who paused and resumed each dataset; Airflow itself keeps only whether a DAG is paused (specification 26.79)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from basecamp.datasets.dag_cache import PATIENCE_SECONDS
from basecamp.shared.clock import Clock
from basecamp.shared.object_reader import ObjectReader
from basecamp.shared.refresh_cache import RefreshCache
from dataspec.errors import StoreUnreachable, Unavailable
from dataspec.models import IN_AIRFLOW, WorkflowInfo
from dataspec.store import Store, StoredObject
from dataspec.store.base import etag_of, try_put
from dataspec.stored_document import Moment, StoredDocument, StoredPart

log = logging.getLogger(__name__)

KEY = "basecamp/pauses.json"
YOUNG_SECONDS = 1.0
"""How long the records may be used without a look at the store."""
WRITE_ATTEMPTS = 5


class PauseRecord(StoredPart):
    """The last pause of a dataset, and its end."""

    paused_by: str | None = None
    paused_at: Moment | None = None
    reason: str | None = None
    resumed_by: str | None = None
    resumed_at: Moment | None = None

    @property
    def is_on(self) -> bool:
        """Whether the pause has not ended, as far as Basecamp knows."""
        return self.paused_at is not None and (self.resumed_at is None or self.resumed_at < self.paused_at)

    def was_on(self, moment: datetime) -> bool:
        """Return whether the dataset was paused at a time, as far as Basecamp knows."""
        if self.paused_at is None or moment < self.paused_at:
            return False
        return self.is_on or (self.resumed_at is not None and moment < self.resumed_at)


class PauseDocument(StoredDocument):
    """The last pause of each dataset; one object in the store."""

    pauses: Mapping[str, PauseRecord]


def with_pause(row: WorkflowInfo, record: PauseRecord | None) -> WorkflowInfo:
    """Return a row with who paused and resumed the dataset; a pause that Basecamp did not make is Airflow's."""
    if record is None and not row.paused:
        return row
    found = record or PauseRecord()
    if row.paused and not found.is_on:
        return replace(row, paused_by=IN_AIRFLOW, resumed_by=found.resumed_by, resumed_at=found.resumed_at)
    if row.paused:
        return replace(row, paused_by=found.paused_by, paused_at=found.paused_at, pause_reason=found.reason)
    # A pause that was ended in Airflow has no end here.
    ended = found if not found.is_on else PauseRecord(resumed_by=IN_AIRFLOW)
    return replace(row, resumed_by=ended.resumed_by, resumed_at=ended.resumed_at)


@dataclass(frozen=True, slots=True)
class _Read:
    """The document as it was read."""

    stored: StoredObject | None
    document: PauseDocument


class PauseRecords:
    """Keeps who paused and resumed each dataset. Safe to share between threads and replicas.

    Args:
        store: The store.
        clock: The clock.
        objects: Notes a document that this replica can't read.
    """

    def __init__(self, store: Store, clock: Clock, objects: ObjectReader) -> None:
        self._store = store
        self._clock = clock
        self._objects = objects
        self._cache: RefreshCache[_Read] = RefreshCache(
            "pauses",
            self._fetch,
            clock,
            unanswered=lambda: StoreUnreachable("The store does not answer."),
            min_age=YOUNG_SECONDS,
            max_age=YOUNG_SECONDS,
        )

    def known(self) -> Mapping[str, PauseRecord]:
        """Return the records by dataset, those of before while the store is silent."""
        try:
            found = self._cache.usable() or self._cache.refreshed(PATIENCE_SECONDS).value
        except Unavailable:
            return {}
        return found.document.pauses

    def paused(self, name: str, by: str, reason: str | None) -> None:
        """Record a pause that Airflow has; one that can't be recorded is logged, and counts all the same."""
        self._record(name, PauseRecord(paused_by=by, paused_at=self._clock.now(), reason=reason))

    def resumed(self, name: str, by: str) -> None:
        """Record the end of a pause, as :meth:`paused` does."""
        before = self.known().get(name) or PauseRecord()
        self._record(name, before.changed(resumed_by=by, resumed_at=self._clock.now()))

    def _record(self, name: str, record: PauseRecord) -> None:
        try:
            for _ in range(WRITE_ATTEMPTS):
                found = self._cache.fresh()
                pauses = sorted({**found.document.pauses, name: record}.items())
                body = found.document.changed(pauses=dict(pauses)).body()
                if try_put(self._store, KEY, body, expected=etag_of(found.stored)) is not None:
                    self._cache.fresh()
                    return
        except Unavailable as error:
            log.warning("Who paused or resumed %s could not be stored: %s", name, error.title)

    def _fetch(self) -> _Read:
        last = self._cache.last
        stored = self._store.get(KEY, known=last.stored if last else None)
        if last is not None and stored is last.stored:
            return last
        document = self._objects.read_or_put_aside(PauseDocument.read, stored) if stored else None
        return _Read(stored, document or PauseDocument(pauses={}))
