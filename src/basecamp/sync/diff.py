"""What changed in the sources of datasets: the catalog compared with the ledger (specification 6.6, docs/sources.md).

Pure functions; :mod:`basecamp.sync.ledger_update` applies the result.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from dataspec.catalog.effective import Catalog, SpecFile
from dataspec.catalog.ledger import KeptVersion, Ledger, LedgerEntry, RemovedDataset
from dataspec.models import SourceEvent, SourceType

REMOVED_KEPT = timedelta(days=400)
"""How long the team of a removed dataset is kept."""
RETIREMENT = timedelta(seconds=60)
"""Shortest time for which a removed dataset's DAG stays: a run may have been created just before."""


@dataclass(frozen=True, slots=True)
class SourceSwitch:
    """A change of a dataset's effective source."""

    name: str
    before: LedgerEntry
    after: LedgerEntry

    @property
    def occurrence(self) -> str:
        """An id of this switch: equal on every replica, different from an equal switch on another day."""
        return f"{self.after.since.isoformat()}/{self.after.switches}"

    @property
    def going(self) -> KeptVersion:
        """The version that was effective."""
        return self.before.versions[self.before.source]

    @property
    def coming(self) -> KeptVersion:
        """The version that is effective now."""
        return self.after.versions[self.after.source]


@dataclass(frozen=True, slots=True)
class LedgerDiff:
    """The changes since the ledger was written."""

    ledger: Ledger
    """The new ledger; the same object if nothing has changed."""
    events: tuple[SourceEvent, ...]
    switches: tuple[SourceSwitch, ...]
    unkept: tuple[SpecFile, ...]
    """Versions that are not in the archive yet."""
    replaced: frozenset[str] = frozenset()
    """The hashes of versions that the ledger names no more."""
    written: tuple[tuple[str, SpecFile], ...] = ()
    """The versions that are new in their source, each with its dataset's name."""


def retires(catalog: Catalog, now: datetime) -> bool:
    """Return whether a removed dataset's DAG may be deleted once no run of it is active."""
    return any(_may_go(entry, now) for entry in catalog.ledger.entries.values())


def diff_ledger(catalog: Catalog, *, now: datetime, active: Collection[str] | None) -> LedgerDiff:
    """Compare the specs in the store with the ledger.

    Args:
        catalog: The specs and the ledger.
        now: The current time.
        active: The datasets with an active run; None if unknown, and then
            no removed dataset's DAG is deleted.
    """
    before = catalog.ledger.entries
    present = {name: _present(catalog, name, before.get(name)) for name in catalog.effective}
    absent = {
        name: _absent(entry, catalog.retired.get(name), now)
        for name, entry in before.items()
        if name not in present and not (_may_go(entry, now) and active is not None and name not in active)
    }
    entries = present | absent
    changed = _differing(before, entries)
    if not changed:
        return LedgerDiff(catalog.ledger, (), (), ())
    was, now_is = _only(before, changed), _only(entries, changed)
    return LedgerDiff(
        ledger=catalog.ledger.changed(
            moved_at=now, entries=entries, removed=dict(_removed(catalog, entries, now))
        ),
        events=tuple(_events(changed, was, now_is)),
        switches=tuple(_switches(was, now_is)),
        unkept=tuple(_unkept(catalog, changed, was)),
        replaced=_hashes(was) - _hashes(entries),
        written=tuple(_written(catalog, was, now_is)),
    )


def _differing(before: Mapping[str, LedgerEntry], after: Mapping[str, LedgerEntry]) -> list[str]:
    """Return the sorted names of the entries that differ; one that stays the same is the same object."""
    return sorted(name for name in before.keys() | after.keys() if before.get(name) is not after.get(name))


def _only(entries: Mapping[str, LedgerEntry], names: Iterable[str]) -> dict[str, LedgerEntry]:
    return {name: entries[name] for name in names if name in entries}


def _present(catalog: Catalog, name: str, before: LedgerEntry | None) -> LedgerEntry:
    effective, overridden = catalog.effective[name], catalog.overridden.get(name)
    if before is not None and overridden is None and _is_alone(before, effective):
        return before
    files = [file for file in (effective, overridden) if file is not None]
    versions = {file.source: _kept(file, before) for file in files}
    if before is None or before.removed_at:
        came = min(file.last_modified for file in files)
        since = max(came, before.removed_at) if before and before.removed_at else came
        return LedgerEntry(since=since, source=effective.source, versions=versions, team=_team(effective))
    if (before.source, before.versions, before.team) == (effective.source, versions, _team(effective)):
        return before
    return before.changed(
        source=effective.source,
        versions=versions,
        team=_team(effective),
        switches=before.switches + (before.source is not effective.source),
    )


def _is_alone(entry: LedgerEntry, file: SpecFile) -> bool:
    """Return whether an entry tells of this file and no other: the case of nearly all, at each check."""
    kept = entry.versions.get(file.source)
    return (
        kept is not None
        and len(entry.versions) == 1
        and entry.removed_at is None
        and (kept.key, kept.spec_hash, entry.source, entry.team)
        == (file.key, file.spec_hash, file.source, _team(file))
    )


def _team(file: SpecFile | None) -> str | None:
    return file.spec.team if file and file.spec else None


def _absent(entry: LedgerEntry, last: SpecFile | None, now: datetime) -> LedgerEntry:
    """Return the entry of a dataset in no source; one of an earlier version has no team yet."""
    if entry.removed_at and (entry.team or not _team(last)):
        return entry
    return entry.changed(removed_at=entry.removed_at or now, team=entry.team or _team(last))


def _removed(
    catalog: Catalog, entries: Mapping[str, LedgerEntry], now: datetime
) -> Iterator[tuple[str, RemovedDataset]]:
    """Yield the datasets without an entry: known ones, and those whose entry goes now."""
    for name, removed in catalog.ledger.removed.items():
        if name not in entries and now - removed.removed_at < REMOVED_KEPT:
            yield name, removed
    for name, entry in catalog.ledger.entries.items():
        if name not in entries:
            last = _absent(entry, catalog.retired.get(name), now)
            yield name, RemovedDataset(removed_at=last.removed_at or now, team=last.team)


def _kept(file: SpecFile, before: LedgerEntry | None) -> KeptVersion:
    """Return a file's version. The same content written again is the same version, with its first time."""
    known = before.versions.get(file.source) if before else None
    if known is not None and (known.key, known.spec_hash) == (file.key, file.spec_hash):
        return known
    return KeptVersion(key=file.key, spec_hash=file.spec_hash or "", written_at=file.last_modified)


def _may_go(entry: LedgerEntry, now: datetime) -> bool:
    return entry.removed_at is not None and now - entry.removed_at >= RETIREMENT


def _unkept(catalog: Catalog, names: Iterable[str], before: Mapping[str, LedgerEntry]) -> Iterator[SpecFile]:
    known = _hashes(before)
    for name in names:
        for file in (catalog.effective.get(name), catalog.overridden.get(name)):
            if file is not None and file.spec_hash not in known:
                yield file


def _written(
    catalog: Catalog, before: Mapping[str, LedgerEntry], after: Mapping[str, LedgerEntry]
) -> Iterator[tuple[str, SpecFile]]:
    for name, entry in after.items():
        held = _held(before.get(name))
        for source, kept in _held(entry).items():
            file, known = catalog.get(name, source), held.get(source)
            if file is not None and (known is None or known.spec_hash != kept.spec_hash):
                yield name, file


def _hashes(entries: Mapping[str, LedgerEntry]) -> frozenset[str]:
    return frozenset(kept.spec_hash for entry in entries.values() for kept in entry.versions.values())


def _switches(before: Mapping[str, LedgerEntry], after: Mapping[str, LedgerEntry]) -> Iterator[SourceSwitch]:
    for name, entry in after.items():
        was = before.get(name)
        if was is not None and not was.removed_at and was.source is not entry.source:
            yield SourceSwitch(name, was, entry)


def _events(
    names: Iterable[str], before: Mapping[str, LedgerEntry], after: Mapping[str, LedgerEntry]
) -> Iterator[SourceEvent]:
    """Yield the changes by name. A switch of source replaces the event of code's file."""
    for name in names:
        was, now = _held(before.get(name)), _held(after.get(name))
        switched = bool(was and now) and before[name].source is not after[name].source
        if switched:
            yield _switched(name, after[name])
        for source in SourceType:
            event = _event(name, source, was.get(source), now.get(source))
            if event is not None and not (switched and event.change != "changed"):
                yield event


def _held(entry: LedgerEntry | None) -> Mapping[SourceType, KeptVersion]:
    return entry.versions if entry and not entry.removed_at else {}


def _switched(name: str, after: LedgerEntry) -> SourceEvent:
    kept = after.versions[after.source]
    return SourceEvent(
        dataset_name=name,
        change="overridden" if after.source is SourceType.CODE else "released",
        source_type=after.source,
        file=kept.key,
        spec_hash=kept.spec_hash,
    )


def _event(
    name: str, source: SourceType, was: KeptVersion | None, now: KeptVersion | None
) -> SourceEvent | None:
    if was is None and now is None:
        return None
    if now is None and was is not None:
        return SourceEvent(dataset_name=name, change="removed", source_type=source, file=was.key)
    if now is None or (was and (was.spec_hash, was.key) == (now.spec_hash, now.key)):
        return None
    return SourceEvent(
        dataset_name=name,
        change="changed" if was else "added",
        source_type=source,
        file=now.key,
        spec_hash=now.spec_hash,
    )
