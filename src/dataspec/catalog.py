"""Every spec in the store, and which one is effective: code wins (spec 2.4, decisions 2)."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from dataspec.errors import InvalidSpec
from dataspec.problems import Problem
from dataspec.workflows import SourceType

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from dataspec.spec import DatasetSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecFile:
    """One spec in the store: usable, with ``spec``, or not, with ``error``."""

    source: SourceType
    key: str
    etag: str
    last_modified: datetime
    name: str | None
    """The name inside the YAML; None where it can't be read."""
    yaml: bytes = field(repr=False)
    spec: DatasetSpec | None = None
    files: Mapping[str, str] = field(default_factory=dict, repr=False)
    spec_hash: str | None = None
    error: InvalidSpec | None = None


@dataclass(frozen=True, slots=True)
class Catalog:
    """The specs of a store at one time."""

    files: tuple[SpecFile, ...]
    """Every spec, usable or not, by source and key."""
    effective: Mapping[str, SpecFile]
    """The one that Airflow runs, by dataset name."""
    overridden: Mapping[str, SpecFile]
    """Manual specs whose name code has as well."""
    invalid: tuple[SpecFile, ...]
    """Specs that can't be used, each with its error."""

    def get(self, name: str, source: SourceType | None = None) -> SpecFile | None:
        """Return the effective spec of a dataset, or the usable one of a source."""
        effective, overridden = self.effective.get(name), self.overridden.get(name)
        if source is None:
            return effective
        return next((spec for spec in (effective, overridden) if spec and spec.source is source), None)


def resolve(files: Iterable[SpecFile], last_good: Mapping[str, SpecFile]) -> Catalog:
    """Decide which spec is effective for each name.

    Args:
        files: Every spec in the store.
        last_good: By key, the last usable version of files that can't be used now.

    Two files of one source with one name: the older stays, the newer is an error.
    """
    checked = _without_doubles(sorted(files, key=lambda file: (file.source, file.key)), last_good)
    usable: dict[SourceType, dict[str, SpecFile]] = {source: {} for source in SourceType}
    for file in checked:
        candidate = file if file.error is None else last_good.get(file.key)
        if candidate is not None and candidate.name is not None:
            usable[file.source].setdefault(candidate.name, candidate)
    code, manual = usable[SourceType.CODE], usable[SourceType.MANUAL]
    return Catalog(
        files=tuple(checked),
        effective=manual | code,
        overridden={name: file for name, file in manual.items() if name in code},
        invalid=tuple(file for file in checked if file.error is not None),
    )


def _without_doubles(files: list[SpecFile], last_good: Mapping[str, SpecFile]) -> list[SpecFile]:
    by_name: dict[tuple[SourceType, str], list[SpecFile]] = defaultdict(list)
    for file in files:
        good = file if file.error is None else last_good.get(file.key)
        if good is not None and good.name is not None:
            by_name[file.source, good.name].append(file)
    first = {file.key: min(same, key=_age) for same in by_name.values() for file in same}
    return [
        _doubled(file, first[file.key]) if first.get(file.key, file) is not file else file for file in files
    ]


def _age(file: SpecFile) -> tuple[datetime, str]:
    return file.last_modified, file.key


def _doubled(file: SpecFile, first: SpecFile) -> SpecFile:
    if file.error is not None:
        return file
    problem = Problem(f"the dataset '{file.name}' is defined in {first.key} already.", file.key, 1, 1)
    return replace(file, spec=None, error=InvalidSpec([problem]))
