"""Publishing a project: what must change under ``code/`` so that it holds what Git has (specification 17.1)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from dataspec.catalog.spec_storage import (
    CODE_PREFIX,
    MANUAL_PREFIX,
    file_map_key,
    is_spec_key,
    read_publication,
    sql_key,
)
from dataspec.errors import InvalidSpec, StoreUnreachable
from dataspec.keys import why_no_key
from dataspec.problems import Problem
from dataspec.spec.content_hash import spec_hash
from dataspec.store.base import usable
from dli.project.project import duplicates
from dli.project.published_state import read_deployed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dataspec.catalog.spec_storage import Publication
    from dataspec.store import Store
    from dli.project.project import LocalDataset, Project
    from dli.project.published_state import Deployed, DeployedSpec

Action = Literal["add", "change", "move", "remove"]

MAX_KEY_BYTES = 900
"""Of the path below ``code/``: a bucket's prefix counts as well."""
_A_DIGEST = "0" * 64
SHOWN = 5
LARGE_SHARE = 3
"""A removal of more than one in so many datasets needs consent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What happens to one dataset."""

    action: Action
    name: str | None
    """None for a file whose name can't be read."""
    file: str
    """The key of its YAML."""
    moved_from: str | None = None
    """The key that its YAML has until then."""
    changed: tuple[str, ...] = ()
    """What of it changes: ``YAML``, ``SQL``."""
    overrides_manual: bool = False
    """Whether a manual spec is overridden from then on."""
    releases_manual: bool = False
    """Whether a manual spec takes over again."""
    note: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it for ``--format json``."""
        keys = ("action", "name", "file", "moved_from", "overrides_manual", "releases_manual", "note")
        return {key: getattr(self, key) for key in keys} | {"changed": list(self.changed)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that a publish is to do, and what it was made from."""

    changes: tuple[Change, ...]
    """Additions, changes and moves, then removals, each by name."""
    unchanged: tuple[str, ...]
    """The names of the datasets that are left alone."""
    warnings: tuple[str, ...]
    consent: tuple[str, ...]
    """Why somebody has to agree; empty where nobody has to."""
    wanted: Mapping[str, LocalDataset] = field(repr=False)
    """The project's datasets by key."""
    deployed: Deployed = field(repr=False)
    removed: tuple[DeployedSpec, ...] = field(repr=False)
    """The files that go."""
    publication: Publication | None
    """What was published last."""

    @property
    def content(self) -> str:
        """A hash of all that the project publishes: by it a publish that was cut off is told from a whole one."""
        digest = hashlib.sha256()
        for key, dataset in sorted(self.wanted.items()):
            digest.update(f"{key}\x00{spec_hash(dataset.yaml, dataset.sql)}\n".encode())
        return digest.hexdigest()


def checked_datasets(project: Project) -> dict[str, LocalDataset]:
    """Return the project's datasets by the keys that they have under ``code/``.

    Raises:
        InvalidSpec: With every problem of every spec, names that are taken twice included.
    """
    datasets = [(path, project.read(path)) for path in project.files]
    problems = list(dict.fromkeys(problem for _, dataset in datasets for problem in dataset.problems))
    problems += duplicates(dataset for _, dataset in datasets)
    wanted: dict[str, LocalDataset] = {}
    for path, dataset in datasets:
        relative = path.relative_to(project.folder).as_posix()
        if why := _why_no_key(relative):
            problems.append(Problem(f"the file can't be published: {why}.", dataset.file))
        wanted[f"{CODE_PREFIX}{relative}"] = dataset
    if problems:
        raise InvalidSpec(problems)
    return wanted


def _why_no_key(relative: str) -> str | None:
    if reason := why_no_key(relative, limit=MAX_KEY_BYTES):
        return reason
    # Its SQL goes beside it, under names that are made of its own.
    derived = (why_no_key(key) for key in (file_map_key(relative), sql_key(relative, _A_DIGEST)))
    return next(filter(None, derived), None)


def make_plan(
    store: Store, wanted: Mapping[str, LocalDataset], *, prune: bool, repository: str | None = None
) -> Plan:
    """Compare the project with ``code/``; nothing is written.

    Args:
        store: The store.
        wanted: The project's datasets by key.
        prune: Whether what the project does not have is to be removed.
        repository: Where the project comes from; removing what another repository published needs consent.

    Raises:
        StoreUnreachable: When the store does not answer.
    """
    publication = read_publication(store)
    deployed = read_deployed(store, wanted)
    manual, warnings = _manual_names(store)
    draft = _Draft(wanted, deployed, manual, prune=prune)
    lost = draft.lost()
    consent = []
    if len(lost) * LARGE_SHARE > len(deployed.datasets):
        consent.append(f"{len(lost)} of {len(deployed.datasets)} datasets are removed, more than a third.")
    published_from = publication.repository if publication else None
    if lost and repository and published_from not in {None, repository}:
        consent.append(f"What is there was published from {published_from}, this is {repository}.")
    return Plan(
        changes=(*sorted(draft.written(), key=_place), *sorted(draft.removals(), key=_place)),
        unchanged=tuple(sorted(draft.unchanged())),
        warnings=(*warnings, *deployed.unusable, *([] if prune else draft.left())),
        consent=tuple(consent),
        wanted=wanted,
        deployed=deployed,
        removed=tuple(draft.extra) if prune else (),
        publication=publication,
    )


def _place(change: Change) -> tuple[str, str]:
    return change.name or "", change.file


def _manual_names(store: Store) -> tuple[frozenset[str], list[str]]:
    """Return the datasets that have a manual spec: Basecamp names its files after them."""
    try:
        keys = [info.key for info in usable(store.list(MANUAL_PREFIX)) if is_spec_key(info.key)]
    except StoreUnreachable:
        return frozenset(), [
            "manual/ can't be read from here: which manual specs are overridden is not known."
        ]
    return frozenset(key.removeprefix(MANUAL_PREFIX).rpartition(".")[0] for key in keys), []


class _Draft:
    """The plan's parts, told from the project and from what is deployed."""

    def __init__(
        self,
        wanted: Mapping[str, LocalDataset],
        deployed: Deployed,
        manual: frozenset[str],
        *,
        prune: bool,
    ) -> None:
        self._wanted = wanted
        self._deployed = deployed
        self._manual = manual
        self._prune = prune
        self._new_places = {dataset.name: key for key, dataset in wanted.items()}
        self._old_places: dict[str | None, list[str]] = {}
        for spec in deployed.datasets:
            self._old_places.setdefault(spec.name, []).append(spec.key)
        self.extra = [spec for spec in deployed.datasets if spec.key not in wanted]

    def unchanged(self) -> Iterator[str]:
        """Yield the datasets that are there as they should be."""
        for key, dataset in self._wanted.items():
            spec = self._deployed.specs.get(key)
            if spec and spec.same_yaml and spec.same_sql:
                yield dataset.name or ""

    def written(self) -> Iterator[Change]:
        """Yield what is added, changed or moved."""
        for key, dataset in self._wanted.items():
            spec = self._deployed.specs.get(key)
            if spec is None or not (spec.same_yaml and spec.same_sql):
                yield self._written(key, dataset, spec)

    def _written(self, key: str, dataset: LocalDataset, spec: DeployedSpec | None) -> Change:
        name, overrides = dataset.name, self._overrides(dataset.name)
        before = [place for place in self._old_places.get(name, ()) if place != key]
        is_broken = spec is not None and spec.is_dataset and spec.name is None
        if spec is not None and (spec.name == name or (is_broken and not before)):
            sameness = (("YAML", spec.same_yaml), ("SQL", spec.same_sql))
            changed = tuple(part for part, same in sameness if not same)
            return Change(action="change", name=name, file=key, changed=changed, overrides_manual=overrides)
        if before and (self._prune or before[0] in self._wanted):
            return Change(action="move", name=name, file=key, moved_from=before[0])
        return Change(action="add", name=name, file=key, overrides_manual=overrides)

    def _overrides(self, name: str | None) -> bool:
        return name in self._manual and name not in self._old_places

    def removals(self) -> Iterator[Change]:
        """Yield what goes: files that the project does not have, and names whose file has another name now."""
        for spec in self.lost():
            dataset = self._wanted.get(spec.key)
            note = f"its file is {dataset.name} now" if dataset else None
            yield Change(
                action="remove",
                name=spec.name,
                file=spec.key,
                releases_manual=spec.name in self._manual,
                note=note,
            )
        moved = {change.moved_from for change in self.written()}
        for spec in self.extra if self._prune else ():
            if spec.name in self._new_places and spec.key not in moved:
                note = f"the dataset is in {self._new_places[spec.name]}"
                yield Change(action="remove", name=spec.name, file=spec.key, note=note)

    def lost(self) -> list[DeployedSpec]:
        """Return the files whose names are gone from ``code/`` afterwards."""
        overwritten = [
            spec
            for key in self._wanted
            if (spec := self._deployed.specs.get(key)) and spec.is_dataset and spec.name is not None
        ]
        kept = set() if self._prune else {spec.name for spec in self.extra}
        gone = [*(self.extra if self._prune else ()), *overwritten]
        return [spec for spec in gone if spec.name not in self._new_places and spec.name not in kept]

    def left(self) -> list[str]:
        """Return warnings of the files that stay although the project does not have them."""
        doubles = [spec for spec in self.extra if spec.name in self._new_places]
        others = [spec.name or spec.key for spec in self.extra if spec.name not in self._new_places]
        warnings = [
            f"'{spec.name}' is in {spec.key} as well, which this project does not have.\n"
            "Of two files with one name the older counts; --prune removes it."
            for spec in doubles
        ]
        if others:
            shown = ", ".join(others[:SHOWN]) + (", …" if len(others) > SHOWN else "")
            warnings.append(f"{len(others)} datasets stay that this project does not have: {shown}")
        return warnings
