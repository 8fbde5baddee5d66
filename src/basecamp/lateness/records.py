"""Since when each dataset with a deadline is on, and what was told of it: one object in the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from basecamp.lateness.pause_records import PauseRecord
from basecamp.shared.object_reader import ObjectReader
from dataspec.catalog.effective import Catalog, SpecFile
from dataspec.schedule.deadlines import Expected
from dataspec.schedule.partitions import Grid
from dataspec.store import Store, StoredObject
from dataspec.store.base import etag_of, try_put
from dataspec.stored_document import Moment, StoredDocument, StoredPart

KEY = "basecamp/lateness.json"


class LatenessRecord(StoredPart):
    """What is known of a dataset with a deadline."""

    clock: str
    """Its schedule and deadline, as text."""
    since: Moment
    """Since when it has been on with these."""
    off_at: Moment | None = None
    """When it was first seen paused or off; None while it is on."""
    told: Mapping[str, Moment] = {}
    """The late partitions that were told, each with the time from which it was late."""
    told_at: Moment | None = None
    """When that was told last."""


class LatenessDocument(StoredDocument):
    """The records of all datasets with a deadline."""

    datasets: Mapping[str, LatenessRecord] = {}
    scheduler_lost_at: Moment | None = None
    """The last heartbeat of Airflow's scheduler, if it was told that none has come since; else None."""


@dataclass(frozen=True, slots=True)
class StoredLateness:
    """The document as it was read."""

    stored: StoredObject | None
    document: LatenessDocument


class LatenessStore:
    """Reads and writes the document. Every method raises StoreUnreachable when the store does not answer.

    Args:
        store: The store.
        objects: Notes a document that this replica can't read.
    """

    def __init__(self, store: Store, objects: ObjectReader) -> None:
        self._store = store
        self._objects = objects
        self._last: StoredLateness | None = None

    def read(self) -> StoredLateness:
        """Return the document.

        Raises:
            NewerFormat: When a newer version of Basecamp wrote it.
        """
        last = self._last
        stored = self._store.get(KEY, known=last.stored if last else None)
        if last is not None and stored is last.stored:
            return last
        document = self._objects.read_or_put_aside(LatenessDocument.read, stored) if stored else None
        self._last = StoredLateness(stored, document or LatenessDocument())
        return self._last

    def write(self, held: StoredLateness, document: LatenessDocument) -> bool:
        """Replace the document; return False if another replica has changed it."""
        if document == held.document:
            return True
        return try_put(self._store, KEY, document.body(), expected=etag_of(held.stored)) is not None


def expected_of(file: SpecFile, record: LatenessRecord, registered_at: datetime) -> Expected | None:
    """Return what is expected of a dataset; None while it is off."""
    spec = file.spec
    limit = spec.deadline.limit if spec and spec.deadline else None
    if spec is None or spec.schedule is None or limit is None or record.off_at is not None:
        return None
    return Expected(
        grid=Grid.of(spec.schedule),
        limit=limit,
        registered_at=registered_at,
        on_since=record.since,
        catch_up=spec.schedule.catch_up,
    )


def with_deadline(catalog: Catalog) -> dict[str, SpecFile]:
    """Return the datasets whose partitions have a deadline."""
    return {
        name: file
        for name, file in catalog.effective.items()
        if file.spec
        and file.spec.deadline
        and file.spec.deadline.limit
        and file.spec.schedule
        and file.spec.schedule.clock
    }


def registered_at(file: SpecFile, catalog: Catalog) -> datetime:
    """Return when the name of a dataset was registered."""
    entry = catalog.ledger.entries.get(file.name or "")
    return entry.since if entry else file.last_modified


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    """What decides whether a dataset is on."""

    is_paused: bool | None
    """Whether Airflow has it paused; None if that is not known."""
    pause: PauseRecord | None
    """The last pause that Basecamp made."""


def record_now(
    file: SpecFile, before: LatenessRecord | None, registered: datetime, switches: Switches, now: datetime
) -> LatenessRecord:
    """Return the record of a dataset with a deadline, by its record before."""
    spec = file.spec
    assert spec is not None  # noqa: S101 - datasets with a deadline have a spec
    assert spec.schedule is not None  # noqa: S101
    clock = f"{Grid.of(spec.schedule)} {spec.deadline.limit if spec.deadline else None}"
    if before is None or before.clock != clock or before.since < registered:
        kept = {"told": before.told, "told_at": before.told_at} if before else {}
        before = LatenessRecord(clock=clock, since=max(registered, file.last_modified), **kept)
    is_off = not spec.schedule.enabled or (
        before.off_at is not None if switches.is_paused is None else switches.is_paused
    )
    if is_off:
        return before if before.off_at else before.changed(off_at=now)
    return before.changed(since=_on_since(before, switches.pause, now), off_at=None)


def _on_since(before: LatenessRecord, pause: PauseRecord | None, now: datetime) -> datetime:
    """Return since when a dataset is on: Basecamp knows when it ended a pause, of others it knows when it saw it."""
    resumed = pause.resumed_at if pause and not pause.is_on else None
    if resumed is not None and resumed > (before.off_at or before.since):
        return resumed
    return now if before.off_at else before.since
