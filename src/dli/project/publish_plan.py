"""Plan a publish: the changes that make ``code/`` match the project (specification 17.1)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from dataspec.catalog.publication import read_publication
from dataspec.catalog.spec_storage import CODE_PREFIX, MANUAL_PREFIX, is_spec_key
from dataspec.catalog.sql_map import file_map_key, sql_digests, sql_key
from dataspec.errors import InvalidSpec, StoreUnreachable
from dataspec.keys import why_no_key
from dataspec.problems import Problem
from dataspec.spec.identity import spec_hash
from dataspec.spec.sql_texts import shared_files
from dataspec.store.base import usable
from dli.project.project import all_problems
from dli.project.published_state import read_published
from dli.project.spec_changes import changed_keys

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from dataspec.catalog.publication import Publication
    from dataspec.store import Store
    from dli.project.project import LocalDataset, Project
    from dli.project.published_state import PublishedSpec, PublishedState
    from dli.project.spec_changes import KeyChange

Action = Literal["add", "change", "move", "remove"]

MAX_KEY_BYTES = 900
"""Maximum length of a path below ``code/``; leaves room for a bucket's prefix."""
_A_DIGEST = "0" * 64
SHOWN = 5
LARGE_SHARE = 3
"""Removing more than one in this many datasets needs confirmation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """The change of one dataset."""

    action: Action
    name: str | None
    """None if the file's dataset name can't be read."""
    file: str
    """The YAML's key."""
    moved_from: str | None = None
    """The YAML's previous key."""
    changed: tuple[str, ...] = ()
    """The changed parts: ``YAML``, ``SQL``."""
    changed_keys: Mapping[str, KeyChange] = field(default_factory=dict)
    """The keys of the YAML that differ."""
    overrides_manual: bool = False
    """Whether the change overrides a manual spec."""
    releases_manual: bool = False
    """Whether a manual spec becomes effective again."""
    note: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the change for ``--format json``."""
        keys = ("action", "name", "file", "moved_from", "overrides_manual", "releases_manual", "note")
        return {key: getattr(self, key) for key in keys} | {
            "changed": list(self.changed),
            "changed_keys": dict(self.changed_keys),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishPlan:
    """The changes of a publish, and the state that they were planned from."""

    changes: tuple[Change, ...]
    """Additions, changes and moves, then removals, each by name."""
    unchanged: tuple[str, ...]
    """The names of the unchanged datasets."""
    warnings: tuple[str, ...]
    consent: tuple[str, ...]
    """The reasons that need confirmation; empty if none is needed."""
    wanted: Mapping[str, LocalDataset] = field(repr=False)
    """The project's datasets by key."""
    published: PublishedState = field(repr=False)
    removed: tuple[PublishedSpec, ...] = field(repr=False)
    """The files to remove."""
    publication: Publication | None
    """The record of the last publish."""
    manual: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The keys of the manual specs by the names of their datasets."""

    @property
    def names(self) -> frozenset[str | None]:
        """The names of the project's datasets."""
        return frozenset(dataset.name for dataset in self.wanted.values())

    @property
    def content(self) -> str:
        """A hash of all published content; tells a complete publish from an interrupted one."""
        digest = hashlib.sha256()
        for key, dataset in sorted(self.wanted.items()):
            digest.update(f"{key}\x00{spec_hash(dataset.yaml, dataset.sql)}\n".encode())
        return digest.hexdigest()


def checked_datasets(project: Project) -> dict[str, LocalDataset]:
    """Return the project's datasets by their keys in ``code/``.

    Raises:
        InvalidSpec: With every problem of every spec, duplicate names included.
    """
    datasets = [(path, project.read(path)) for path in project.files]
    problems = all_problems([dataset for _, dataset in datasets])
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
    # The keys of its SQL files are derived from its own.
    derived = (why_no_key(key) for key in (file_map_key(relative), sql_key(relative, _A_DIGEST)))
    return next(filter(None, derived), None)


def make_plan(
    store: Store, wanted: Mapping[str, LocalDataset], *, prune: bool, repository: str | None = None
) -> PublishPlan:
    """Compare the project with ``code/``, without writing.

    Args:
        store: The store.
        wanted: The project's datasets by key.
        prune: Whether to remove datasets that the project does not have.
        repository: The project's repository; removing datasets that another one published needs confirmation.

    Raises:
        StoreUnreachable: When the store does not answer.
    """
    publication = read_publication(store)
    published = read_published(store, wanted)
    manual, warnings = _manual_keys(store)
    draft = _Draft(wanted, published, manual, prune=prune)
    lost = draft.lost()
    consent = []
    if len(lost) * LARGE_SHARE > len(published.datasets):
        consent.append(
            f"{len(lost)} of {len(published.datasets)} datasets would be removed, more than a third."
        )
    published_from = publication.repository if publication else None
    if lost and repository and published_from not in {None, repository}:
        consent.append(
            f"code/ was published from another repository, {published_from}; this one is {repository}."
        )
    return PublishPlan(
        changes=(*sorted(draft.written(), key=_place), *sorted(draft.removals(), key=_place)),
        unchanged=tuple(sorted(draft.unchanged())),
        warnings=(*warnings, *published.unusable, *([] if prune else draft.left())),
        consent=tuple(consent),
        wanted=wanted,
        published=published,
        removed=tuple(draft.extra) if prune else (),
        publication=publication,
        manual=manual,
    )


def _place(change: Change) -> tuple[str, str]:
    return change.name or "", change.file


def _manual_keys(store: Store) -> tuple[dict[str, str], list[str]]:
    """Return the keys of the manual specs by the names of their datasets, which the file names give."""
    try:
        keys = [info.key for info in usable(store.list(MANUAL_PREFIX)) if is_spec_key(info.key)]
    except StoreUnreachable:
        return {}, ["manual/ can't be read: this does not show which manual specs are overridden."]
    return {key.removeprefix(MANUAL_PREFIX).rpartition(".")[0]: key for key in keys}, []


def _shared_change(spec: PublishedSpec, dataset: LocalDataset) -> str | None:
    """Return which files of the project, such as macros, changed for a published dataset."""
    if dataset.spec is None or spec.mapped is None:
        return None
    shared = sql_digests(shared_files(dataset.spec, dataset.sql))
    files = [path for path, digest in shared.items() if spec.mapped.get(path) != digest]
    return f"{', '.join(files)} changed" if files else None


class _Draft:
    """The parts of a plan, computed from the project and the published state."""

    def __init__(
        self,
        wanted: Mapping[str, LocalDataset],
        published: PublishedState,
        manual: Collection[str],
        *,
        prune: bool,
    ) -> None:
        self._wanted = wanted
        self._deployed = published
        self._manual = manual
        self._prune = prune
        self._new_places = {dataset.name: key for key, dataset in wanted.items()}
        self._old_places: dict[str | None, list[str]] = {}
        for spec in published.datasets:
            self._old_places.setdefault(spec.name, []).append(spec.key)
        self.extra = [spec for spec in published.datasets if spec.key not in wanted]

    def unchanged(self) -> Iterator[str]:
        """Yield the names of unchanged datasets."""
        for key, dataset in self._wanted.items():
            spec = self._deployed.specs.get(key)
            if spec and spec.same_yaml and spec.same_sql:
                yield dataset.name or ""

    def written(self) -> Iterator[Change]:
        """Yield the additions, changes and moves."""
        for key, dataset in self._wanted.items():
            spec = self._deployed.specs.get(key)
            if spec is None or not (spec.same_yaml and spec.same_sql):
                yield self._written(key, dataset, spec)

    def _written(self, key: str, dataset: LocalDataset, spec: PublishedSpec | None) -> Change:
        name, overrides = dataset.name, self._overrides(dataset.name)
        before = [place for place in self._old_places.get(name, ()) if place != key]
        is_broken = spec is not None and spec.is_dataset and spec.name is None
        if spec is not None and (spec.name == name or (is_broken and not before)):
            sameness = (("YAML", spec.same_yaml), ("SQL", spec.same_sql))
            changed = tuple(part for part, same in sameness if not same)
            keys, _ = changed_keys((spec.yaml or b"").decode("utf-8", "replace"), dataset.yaml.decode())
            return Change(
                action="change",
                name=name,
                file=key,
                changed=changed,
                note=_shared_change(spec, dataset),
                changed_keys=keys if spec.yaml is not None else {},
                overrides_manual=overrides,
            )
        if before and (self._prune or before[0] in self._wanted):
            return Change(action="move", name=name, file=key, moved_from=before[0])
        return Change(action="add", name=name, file=key, overrides_manual=overrides)

    def _overrides(self, name: str | None) -> bool:
        return name in self._manual and name not in self._old_places

    def removals(self) -> Iterator[Change]:
        """Yield the removals: of files that the project does not have, and of names whose file has a new name."""
        for spec in self.lost():
            dataset = self._wanted.get(spec.key)
            note = f"the file now defines {dataset.name}" if dataset else None
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
                note = f"the dataset is now in {self._new_places[spec.name]}"
                yield Change(action="remove", name=spec.name, file=spec.key, note=note)

    def lost(self) -> list[PublishedSpec]:
        """Return the files whose dataset names will be gone from ``code/``."""
        overwritten = [
            spec
            for key in self._wanted
            if (spec := self._deployed.specs.get(key)) and spec.is_dataset and spec.name is not None
        ]
        kept = set() if self._prune else {spec.name for spec in self.extra}
        gone = [*(self.extra if self._prune else ()), *overwritten]
        return [spec for spec in gone if spec.name not in self._new_places and spec.name not in kept]

    def left(self) -> list[str]:
        """Return a warning for each kept file that the project does not have."""
        doubles = [spec for spec in self.extra if spec.name in self._new_places]
        others = [spec.name or spec.key for spec in self.extra if spec.name not in self._new_places]
        warnings = [
            f"Duplicate dataset name '{spec.name}': also in {spec.key}, which this project does not have.\n"
            "Airflow runs the older of the two files; --prune removes it."
            for spec in doubles
        ]
        if others:
            shown = ", ".join(others[:SHOWN]) + (", …" if len(others) > SHOWN else "")
            warnings.append(
                f"Keeping {len(others)} dataset{'' if len(others) == 1 else 's'} that this project does not have: {shown}"
            )
        return warnings
