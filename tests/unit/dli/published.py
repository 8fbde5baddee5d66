"""Projects that are published to a store in memory, and what a reader sees there."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from dataspec.catalog.cache import MemorySpecCache
from dataspec.catalog.publication import Publication
from dataspec.catalog.reader import CatalogReader
from dataspec.catalog.spec_storage import Release
from dataspec.store import MemoryStore
from dli.project.project import Project
from dli.project.publish_apply import CodeWriter
from dli.project.publish_plan import PublishPlan, checked_datasets, make_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from dataspec.store import Store

NOON = datetime(2024, 1, 15, 12, tzinfo=UTC)
COMMIT = Publication(commit="c0ffee", repository="shop/etl", ref="main", published_at=NOON, by="dana")


class Killed(Exception):
    """The publisher died here."""


@dataclass
class Watched(MemoryStore):
    """A store whose writer dies before its n-th write; after each write a reader looks."""

    lives: int = 1_000_000
    look: Callable[[], None] | None = None
    writes: int = 0
    time: list[datetime] = field(default_factory=lambda: [NOON])

    def __post_init__(self) -> None:
        super().__init__(now=self.now)

    def now(self) -> datetime:
        return self.time[0]

    def let_pass(self, **period: float) -> None:
        self.time[0] += timedelta(**period)

    def put(self, key: str, body: bytes, *, expected: str) -> str:
        self._live()
        etag = super().put(key, body, expected=expected)
        self._looked_at()
        return etag

    def delete(self, key: str, *, expected: str) -> None:
        self._live()
        super().delete(key, expected=expected)
        self._looked_at()

    def _live(self) -> None:
        if self.lives <= 0:
            raise Killed
        self.lives -= 1
        self.writes += 1
        self.let_pass(seconds=1)

    def _looked_at(self) -> None:
        if self.look is not None:
            self.look()


def spec(name: str, *, cron: str = "0 9 * * *", sql: str | None = "query.sql", more: str = "") -> str:
    """Return a spec with its SQL in a file, or within."""
    query = f"query_file: {sql}" if sql else "query_statement: select 1"
    return f'name: {name}\ntype: Dataset\nowner: a@example.com\n{query}\nschedule: {{cron: "{cron}"}}\n{more}'


def put_files(root: Path, files: Mapping[str, str]) -> Project:
    """Make a project of these files alone, by their paths below its datasets."""
    folder = root / "datasets"
    for old in sorted(folder.rglob("*"), reverse=True):
        old.unlink() if old.is_file() else old.rmdir()
    folder.mkdir(exist_ok=True)
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(text.encode())
    return Project(root, folder)


def planned(
    store: Store, project: Project, *, prune: bool = True, repository: str | None = None
) -> PublishPlan:
    """Return what a publish of a project would do."""
    return make_plan(store, checked_datasets(project), prune=prune, repository=repository)


def publish(
    store: Store, project: Project, *, prune: bool = True, now: Callable[[], datetime] = lambda: NOON
) -> PublishPlan:
    """Publish a project without asking."""
    plan = planned(store, project, prune=prune)
    CodeWriter(store, plan, prune=prune, now=now).write(COMMIT)
    return plan


def seen(store: Store) -> dict[str, Release]:
    """Return the effective datasets as a reader with no memory sees them."""
    effective = CatalogReader(store, MemorySpecCache()).read().effective
    return {name: Release(file.yaml, dict(file.files)) for name, file in effective.items()}


def wanted(project: Project) -> dict[str, Release]:
    """Return the datasets that a reader is to see."""
    return {dataset.name or "": Release(dataset.yaml, dataset.sql) for dataset in project.datasets()}


def actions(plan: PublishPlan) -> list[tuple[str, str | None]]:
    """Return what a plan does to which dataset."""
    return [(change.action, change.name) for change in plan.changes]
