"""Read the content of ``code/``, and compare it with the project's."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from dataspec.catalog.spec_storage import CODE_PREFIX, is_spec_key, sibling_key
from dataspec.catalog.sql_map import file_map_key, mapped_files, sql_digests, sql_key
from dataspec.errors import InvalidSpec
from dataspec.keys import is_hidden
from dataspec.spec.detection import is_dataset, looks_like_dataset
from dataspec.spec.sql_texts import shared_files
from dataspec.spec.yaml_reader import MAX_YAML_BYTES, read_document
from dataspec.store.base import MISSING, usable

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from dataspec.store import ObjectInfo, Store, StoredObject
    from dli.project.project import LocalDataset

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedSpec:
    """A YAML file in ``code/``."""

    key: str
    etag: str
    files_etag: str
    """The ETag of its SQL map."""
    is_dataset: bool
    name: str | None = None
    """The dataset's name; None if it can't be read."""
    siblings: tuple[str, ...] = ()
    """The SQL files beside it, as a plain copy has them."""
    mapped: Mapping[str, str] | None = None
    """The SHA-256 of its SQL files by path, from its SQL map; None for a plain copy."""
    yaml: bytes | None = field(default=None, repr=False)
    """Its bytes, if they were read and are not those of the project's file with this key."""
    same_yaml: bool = False
    """Whether its bytes equal the project's file with this key."""
    same_sql: bool = False
    """Whether its SQL files equal the project's."""


@dataclass(frozen=True, slots=True)
class PublishedState:
    """The content of ``code/`` at one time."""

    objects: Mapping[str, ObjectInfo]
    specs: Mapping[str, PublishedSpec] = field(repr=False)
    """The YAML files, by key."""
    unusable: tuple[str, ...] = ()
    """Warnings about unusable objects, which a publish can't remove."""

    @property
    def datasets(self) -> list[PublishedSpec]:
        """The files that are Dataset Specs, valid or not, ordered by key."""
        return [spec for spec in self.specs.values() if spec.is_dataset]

    def etag(self, key: str) -> str:
        """Return the ETag of an object; ``MISSING`` if there is none."""
        info = self.objects.get(key)
        return info.etag if info else MISSING


def read_published(store: Store, wanted: Mapping[str, LocalDataset]) -> PublishedState:
    """Read ``code/``, compared with the project.

    A YAML whose ETag is the MD5 of the project's bytes is not fetched. For other ETags, as in
    encrypted buckets, the content is compared.

    Args:
        store: The store.
        wanted: The project's datasets by their keys in ``code/``.

    Raises:
        StoreUnreachable: When the store does not answer.
    """
    return _StateReader(store, wanted).published()


class _StateReader:
    def __init__(self, store: Store, wanted: Mapping[str, LocalDataset]) -> None:
        self._store = store
        self._wanted = wanted
        listed = list(store.list(CODE_PREFIX))
        self._objects = {info.key: info for info in usable(listed)}
        self._unusable = tuple(
            f"{info.key} can't be used, and a publish can't remove it: {info.problem}."
            for info in listed
            if info.problem is not None and is_spec_key(info.key) and not is_hidden(info.key)
        )
        self._bodies: dict[str, bytes] = {}
        self._known: Collection[str] = ()
        self._fetched: dict[str, StoredObject] = {}

    def published(self) -> PublishedState:
        keys = [key for key in self._objects if is_spec_key(key)]
        known = {
            key: self._wanted[key].yaml
            for key in keys
            if key in self._wanted and _has_md5(self._objects[key], self._wanted[key].yaml)
        }
        small = {key for key in keys if key not in known and self._objects[key].size <= MAX_YAML_BYTES}
        fetched = self._store.get_many(small)
        self._known = known.keys()
        self._bodies = known | {key: stored.body for key, stored in fetched.items()}
        maps = [file_map_key(key) for key in keys if self._needs_map(key)]
        self._fetched = fetched | self._store.get_many(key for key in maps if key in self._objects)
        self._fetched |= self._store.get_many(self._unsure_siblings())
        there = [key for key in keys if key in self._bodies or key not in small or key in fetched.unreadable]
        return PublishedState(self._objects, {key: self._guarded_spec(key) for key in there}, self._unusable)

    def _guarded_spec(self, key: str) -> PublishedSpec:
        """Describe a YAML file; one that raises an unexpected error counts as invalid, and is replaced."""
        try:
            return self._spec(key)
        except Exception:
            log.exception("%s can't be read", key)
            return self._unread(key)

    def _unread(self, key: str) -> PublishedSpec:
        file_map = self._fetched.get(file_map_key(key)) or self._objects.get(file_map_key(key))
        stored = self._fetched.get(key) or self._objects[key]
        etag = file_map.etag if file_map else MISSING
        return PublishedSpec(key=key, etag=stored.etag, files_etag=etag, is_dataset=key in self._wanted)

    def _needs_map(self, key: str) -> bool:
        dataset = self._wanted.get(key)
        return dataset is None or bool(dataset.sql) or key not in self._known

    def _spec(self, key: str) -> PublishedSpec:
        body = self._bodies.get(key)
        if body is None:  # too large for a spec, or unreadable
            return self._unread(key)
        wanted = self._wanted.get(key)
        same_yaml = wanted is not None and wanted.yaml == body
        name, names_files, dataset = _described(body, wanted if same_yaml else None)
        return replace(
            self._unread(key),
            is_dataset=dataset,
            name=name,
            siblings=tuple(
                place for path in names_files if (place := sibling_key(key, path)) in self._objects
            ),
            mapped=self._mapped(key),
            yaml=None if same_yaml else body,
            same_yaml=same_yaml,
            same_sql=wanted is not None and self._has_same_sql(key, wanted),
        )

    def _mapped(self, key: str) -> dict[str, str] | None:
        return mapped_files(self._fetched.get(file_map_key(key)), self._bodies[key])

    def _has_same_sql(self, key: str, dataset: LocalDataset) -> bool:
        if not dataset.sql:
            return True
        mapped = self._mapped(key)
        if mapped is None:
            if dataset.spec is not None and shared_files(dataset.spec, dataset.sql):
                return False  # a plain copy has none
            return all(self._has_sibling(sibling_key(key, path), text) for path, text in dataset.sql.items())
        there = all(sql_key(key, digest) in self._objects for digest in mapped.values())
        return there and mapped == sql_digests(dataset.sql)

    def _has_sibling(self, key: str, text: str) -> bool:
        info = self._objects.get(key)
        if info is not None and _has_md5(info, text.encode()):
            return True
        stored = self._fetched.get(key)
        return stored is not None and stored.body.removeprefix(b"\xef\xbb\xbf") == text.encode()

    def _unsure_siblings(self) -> list[str]:
        """Return the SQL files of plain copies whose content must be compared."""
        return [
            place
            for key, dataset in self._wanted.items()
            if key in self._bodies and self._mapped(key) is None
            for path, text in dataset.sql.items()
            if (place := sibling_key(key, path)) in self._objects
            and not _has_md5(self._objects[place], text.encode())
        ]


def _has_md5(info: ObjectInfo, body: bytes) -> bool:
    """Return whether an object's ETag proves that it has these bytes."""
    md5 = hashlib.md5(body, usedforsecurity=False).hexdigest()
    return info.size == len(body) and info.etag.strip('"') == md5


def _described(body: bytes, same: LocalDataset | None) -> tuple[str | None, tuple[str, ...], bool]:
    """Return a YAML's dataset name, its SQL files, and whether it is a Dataset Spec."""
    if same is not None and same.spec is not None:
        return same.name, same.spec.files, True
    try:
        document = read_document(body, "")
    except InvalidSpec:
        return None, (), looks_like_dataset(body)
    if not is_dataset(document):
        return None, (), False
    name = document.data.get("name")
    files = _named_files(document.data)
    return name if isinstance(name, str) else None, files, True


def _named_files(data: Mapping[str, object]) -> tuple[str, ...]:
    """Return the SQL files of a spec that may be invalid otherwise."""
    parts = [data]
    for key in ("pre_statements", "post_statements"):
        statements = data.get(key)
        parts += (
            [part for part in statements if isinstance(part, dict)] if isinstance(statements, list) else []
        )
    named = [part.get("query_file" if part is data else "file") for part in parts]
    return tuple(path for path in named if isinstance(path, str))
