"""Apply a publish plan: every reader of ``code/`` sees each dataset as a whole, before or after."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING, TypeVar

from dataspec.catalog.publication import PUBLICATION_KEY, Publication
from dataspec.catalog.spec_storage import Release, delete_leftovers, delete_release, write_release
from dataspec.catalog.sql_map import file_map_key, mapped_files, sql_digests
from dataspec.errors import Conflict, CorruptObject
from dataspec.keys import owner_of
from dataspec.store.base import MISSING, etag_of, try_delete, try_put

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import datetime

    from dataspec.store import Store, StoredObject
    from dli.project.publish_plan import PublishPlan

WRITERS = 16
ATTEMPTS = 5
RETRY_SECONDS = 0.2
LEFTOVERS_AGE = timedelta(hours=1)
"""Minimum age of an object without a YAML; a younger one may belong to a dataset that is being written."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Seen:
    """A dataset's objects when they were last read."""

    etag: str
    files_etag: str
    mapped: Mapping[str, str] | None
    """The SHA-256 of its SQL files by path."""


class CodeWriter:
    """Write a plan to the store.

    Additions and changes come first, then removals, then the publication. If the process is
    killed, each dataset is whole, and the next publish completes the rest.
    """

    def __init__(self, store: Store, plan: PublishPlan, *, prune: bool, now: Callable[[], datetime]) -> None:
        self._store = store
        self._plan = plan
        self._prune = prune
        self._now = now
        self._temporary: dict[str, str] = {}

    def write(self, publication: Publication) -> None:
        """Apply the plan.

        Args:
            publication: The record of this publish.

        Raises:
            Conflict: When another publish runs at the same time.
            StoreUnreachable: When the store does not answer.
        """
        known = self._store.get(PUBLICATION_KEY)
        self._write_specs()
        self._remove_specs()
        self._remove_leftovers()
        if not self._plan.changes and _content_of(known) == self._plan.content:
            return
        body = publication.changed(content=self._plan.content).body()
        if try_put(self._store, PUBLICATION_KEY, body, expected=etag_of(known)) is None:
            other = self._store.get(PUBLICATION_KEY)
            if _content_of(other) != self._plan.content:
                raise _concurrent_publish(PUBLICATION_KEY)

    def _write_specs(self) -> None:
        keys = [change.file for change in self._plan.changes if change.file in self._plan.wanted]
        keys = [key for key in dict.fromkeys(keys) if not self._is_same(key)]
        waiting = dict(self._waits(set(keys)))
        _side_by_side(self._write_spec, [key for key in keys if key not in waiting])
        while waiting:
            key = next((key for key, other in waiting.items() if other not in waiting), None)
            if key is None:
                key, other = next(iter(waiting.items()))
                self._write_temporary(other)
            self._write_spec(key)
            del waiting[key]

    def _is_same(self, key: str) -> bool:
        spec = self._plan.published.specs.get(key)
        return spec is not None and spec.same_yaml and spec.same_sql

    def _waits(self, keys: set[str]) -> Iterator[tuple[str, str]]:
        """Yield each file whose dataset moves elsewhere, with the new key, which must be written first."""
        places = {dataset.name: key for key, dataset in self._plan.wanted.items()}
        for key in sorted(keys):
            spec = self._plan.published.specs.get(key)
            place = places.get(spec.name) if spec and spec.name is not None else None
            if place is not None and place != key and place in keys:
                yield key, place

    def _write_temporary(self, key: str) -> None:
        """Write a dataset to a temporary key, to break a cycle of files that swap their names."""
        place = self._temporary_key(key)
        self._temporary[place] = self._write(place, self._release(key), self._seen(place))

    def _temporary_key(self, key: str) -> str:
        """Return a free key beside a dataset's own."""
        stem = key.rpartition(".")[0]
        used = self._plan.published.objects.keys() | self._plan.wanted.keys()
        places = (f"{stem}.moving{number or ''}.yaml" for number in count())
        return next(place for place in places if place not in used)

    def _write_spec(self, key: str) -> None:
        self._write(key, self._release(key), self._seen(key))

    def _release(self, key: str) -> Release:
        dataset = self._plan.wanted[key]
        return Release(dataset.yaml, dataset.sql)

    def _seen(self, key: str) -> _Seen:
        published = self._plan.published
        spec = published.specs.get(key)
        if spec is None:
            return _Seen(published.etag(key), published.etag(file_map_key(key)), None)
        return _Seen(spec.etag, spec.files_etag, spec.mapped)

    def _write(self, key: str, release: Release, seen: _Seen) -> str:
        """Write a dataset, unless another process has changed it to something else since the plan."""
        first = seen
        for attempt in range(ATTEMPTS):
            try:
                return write_release(
                    self._store,
                    key,
                    release,
                    if_match=seen.etag,
                    files_if_match=seen.files_etag,
                    now=self._now,
                )
            except Conflict:
                seen, is_written = self._look(key, release)
                if is_written:
                    return seen.etag
                if (seen.etag, seen.mapped) != (first.etag, first.mapped):
                    break
                time.sleep(RETRY_SECONDS * attempt)
        raise _concurrent_publish(key)

    def _look(self, key: str, release: Release) -> tuple[_Seen, bool]:
        """Return a dataset's current objects, and whether they are this release."""
        stored, file_map = self._store.get(key), self._store.get(file_map_key(key))
        files_etag = etag_of(file_map)
        if stored is None:
            return _Seen(MISSING, files_etag, None), False
        mapped = mapped_files(file_map, stored.body)
        is_written = stored.body == release.yaml and (mapped or {}) == sql_digests(release.files)
        return _Seen(stored.etag, files_etag, mapped), is_written

    def _remove_specs(self) -> None:
        removed = {spec.key: spec.etag for spec in self._plan.removed} | self._temporary
        _side_by_side(lambda item: self._remove(*item), removed.items())
        beside = {key for spec in self._plan.removed if spec.mapped is None for key in spec.siblings}
        self._remove_objects(beside - self._in_plain_copies())

    def _remove(self, key: str, etag: str) -> None:
        try:
            delete_release(self._store, key, if_match=etag, now=self._now)
        except Conflict:
            if self._store.get(key) is not None:
                raise _concurrent_publish(key) from None

    def _remove_leftovers(self) -> None:
        """Remove objects that no dataset needs, left by interrupted publishes and by plain copies."""
        if not self._prune:
            return
        published, wanted = self._plan.published, self._plan.wanted
        old = {
            key for key, info in published.objects.items() if self._now() - info.last_modified > LEFTOVERS_AGE
        }
        owners = {owner for key in old if (owner := owner_of(key)) is not None}
        ownerless = sorted(owners - published.objects.keys() - wanted.keys())
        _side_by_side(lambda owner: delete_leftovers(self._store, owner, now=self._now), ownerless)
        specs = [spec for spec in published.specs.values() if spec.key in wanted and spec.mapped]
        replaced = {key for spec in specs for key in spec.siblings}
        self._remove_objects((replaced & old) - self._in_plain_copies())

    def _in_plain_copies(self) -> set[str]:
        """Return the SQL files of the plain copies that stay."""
        gone = {spec.key for spec in self._plan.removed}
        return {
            key
            for spec in self._plan.published.specs.values()
            if spec.mapped is None and spec.key not in gone
            for key in spec.siblings
        }

    def _remove_objects(self, keys: Iterable[str]) -> None:
        def remove(key: str) -> None:
            # An object that is gone, or was written again, is left as it is.
            try_delete(self._store, key, expected=self._plan.published.etag(key))

        _side_by_side(remove, sorted(keys))


def _content_of(stored: StoredObject | None) -> str | None:
    try:
        return Publication.read(stored).content if stored else None
    except CorruptObject:
        return None


def _side_by_side(act: Callable[[T], None], items: Iterable[T]) -> None:
    """Call a function for each item in threads; after a failure no further call starts."""
    with ThreadPoolExecutor(WRITERS) as writers:
        begun = [writers.submit(act, item) for item in items]
        try:
            for future in begun:
                future.result()
        except BaseException:
            writers.shutdown(wait=True, cancel_futures=True)
            raise


def _concurrent_publish(key: str) -> Conflict:
    return Conflict(
        "Another publish to this store is running.",
        detail=f"{key} has changed since this publish started. Each dataset is whole, but not all are "
        "published. Check with --dry-run, then publish again.",
    )
