"""Decide which spec of a dataset is effective: code wins over manual (specification 4.1)."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from dataspec.catalog.ledger import NO_LEDGER, Ledger
from dataspec.catalog.sql_map import UNKNOWN_AUTHORS, SpecAuthors
from dataspec.errors import InvalidSpec, UnreadableObject
from dataspec.models import SourceType
from dataspec.problems import Problem
from dataspec.schedule.upstream_clock import Clock, NoClock, upstream_clocks
from dataspec.store.base import MISSING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from dataspec.spec.model import DatasetSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecFile:
    """A spec in the store: a usable one has ``spec``, any other ``error``."""

    source: SourceType
    key: str
    etag: str
    last_modified: datetime
    name: str | None
    """The name in the YAML; None if it can't be read."""
    yaml: bytes = field(repr=False)
    spec: DatasetSpec | None = None
    files: Mapping[str, str] = field(default_factory=dict, repr=False)
    spec_hash: str | None = None
    error: InvalidSpec | None = None
    no_clock: str | None = None
    """Why a dataset that follows its upstream datasets has no clock, as a sentence without its subject."""
    authors: SpecAuthors = UNKNOWN_AUTHORS
    """Who registered and changed it; empty for code, and in the cache on disk."""


@dataclass(frozen=True, slots=True)
class Catalog:
    """The specs and the ledger of a store at one time."""

    files: tuple[SpecFile, ...]
    """Every spec, usable or not, ordered by source and key."""
    effective: Mapping[str, SpecFile]
    """The specs that Airflow runs, by dataset name."""
    overridden: Mapping[str, SpecFile]
    """Manual specs whose name exists in code as well."""
    invalid: tuple[SpecFile, ...]
    """Specs that can't be used, each with its error."""
    retired: Mapping[str, SpecFile] = field(default_factory=dict)
    """The last versions of datasets that were removed from all sources, while the ledger lists them."""
    ledger: Ledger = NO_LEDGER
    ledger_etag: str = MISSING
    ledger_error: UnreadableObject | None = None
    """Why the store's ledger can't be read; then ``ledger`` is what was known before."""
    fingerprint: str = ""
    """The fingerprint of the listing that this was read from."""

    @property
    def specs(self) -> dict[str, DatasetSpec]:
        """The effective specs, by dataset name."""
        return {name: file.spec for name, file in self.effective.items() if file.spec}

    def get(self, name: str, source: SourceType | None = None) -> SpecFile | None:
        """Return the effective spec of a dataset, or the usable one of a source."""
        effective, overridden = self.effective.get(name), self.overridden.get(name)
        if source is None:
            return effective
        return next((spec for spec in (effective, overridden) if spec and spec.source is source), None)


def resolve(
    files: Iterable[SpecFile], last_good: Mapping[str, SpecFile], ledger: Ledger | None = None
) -> Catalog:
    """Decide which spec is effective for each name.

    Args:
        files: Every spec in the store.
        last_good: By key, the last usable version of files that can't be used now.
        ledger: The ledger before.

    Of two files of one source with the same name, the one in the ledger stays, else the older one; the other one is
    an error.
    """
    ledger = ledger or NO_LEDGER
    ordered = sorted(files, key=lambda file: (file.source, file.key))
    holders = _holders(ordered, last_good, ledger)
    usable: dict[SourceType, dict[str, SpecFile]] = {source: {} for source in SourceType}
    for (source, name), file in holders.items():
        usable[source][name] = file if file.error is None else last_good[file.key]
    code, manual = usable[SourceType.CODE], usable[SourceType.MANUAL]
    checked = tuple(_checked(file, holders) for file in ordered)
    effective = manual | code
    return Catalog(
        files=checked,
        effective=with_clocks(effective, effective),
        overridden=with_clocks({name: file for name, file in manual.items() if name in code}, effective),
        invalid=tuple(file for file in checked if file.error is not None),
        ledger=ledger,
    )


def _holders(
    files: list[SpecFile], last_good: Mapping[str, SpecFile], ledger: Ledger
) -> dict[tuple[SourceType, str], SpecFile]:
    """Return the file of each name, by source and name."""
    claims: dict[tuple[SourceType, str], list[SpecFile]] = defaultdict(list)
    for file in files:
        good = file if file.error is None else last_good.get(file.key)
        if good is not None and good.name is not None:
            claims[file.source, good.name].append(file)
    return {
        (source, name): same[0] if len(same) == 1 else _holder(same, ledger.holder(source, name))
        for (source, name), same in claims.items()
    }


def _holder(same: list[SpecFile], before: str | None) -> SpecFile:
    """Return the file that has a name: the one that had it before, else the oldest."""
    return next((file for file in same if file.key == before), min(same, key=_age))


def _age(file: SpecFile) -> tuple[datetime, str]:
    return file.last_modified, file.key


def _checked(file: SpecFile, holders: Mapping[tuple[SourceType, str], SpecFile]) -> SpecFile:
    holder = holders.get((file.source, file.name or ""))
    if file.error is not None or holder is None or holder is file:
        return file
    problem = Problem(f"the dataset '{file.name}' is defined in {holder.key} already.", file.key, 1, 1)
    return replace(file, spec=None, error=InvalidSpec([problem]))


def with_clocks(files: Mapping[str, SpecFile], effective: Mapping[str, SpecFile]) -> dict[str, SpecFile]:
    """Return specs by name, each that follows its upstream datasets with the clock of the effective ones."""
    if not files:
        return {}
    declared = {name: file.spec.declared_clock for name, file in effective.items() if file.spec}
    declared |= {name: file.spec.declared_clock for name, file in files.items() if file.spec}
    clocks = upstream_clocks(declared)
    return {name: _with_clock(file, clocks[name]) if name in clocks else file for name, file in files.items()}


def clocked(spec: DatasetSpec, effective: Mapping[str, SpecFile]) -> DatasetSpec:
    """Return a spec that follows its upstream datasets with the clock of the effective ones; any other unchanged."""
    if not spec.follows_upstream:
        return spec
    declared = {name: file.spec.declared_clock for name, file in effective.items() if file.spec}
    clock = upstream_clocks({**declared, spec.name: spec.declared_clock}).get(spec.name)
    return spec.with_clock(clock) if isinstance(clock, Clock) else spec


def _with_clock(file: SpecFile, clock: Clock | NoClock) -> SpecFile:
    if isinstance(clock, NoClock):
        return replace(file, no_clock=clock.reason)
    return replace(file, spec=file.spec and file.spec.with_clock(clock))
