"""The map beside a YAML: which SQL files belong to which bytes of it (docs/architecture.md, "The store")."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import Field, StringConstraints

from dataspec.errors import CorruptObject, InvalidSpec, NewerFormat, UnreadableObject
from dataspec.keys import SQL_FOLDER, SQL_KEY
from dataspec.models import VersionAction
from dataspec.problems import Problem
from dataspec.spec.model import MAX_SQL_FILES
from dataspec.stored_document import Moment, StoredDocument, StoredPart

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dataspec.store.base import StoredObject

MAX_MAP_BYTES: Final = 1024 * 1024

PENDING: Final = timedelta(minutes=1)
"""Maximum time between a writer's last two writes, and for a removal after that of the YAML."""
KEPT: Final = timedelta(hours=1)
"""How long replaced SQL is kept for readers that have already read the old map."""

_EARLIEST = datetime.min.replace(tzinfo=UTC)
_Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


def file_map_key(spec_key: str) -> str:
    """Return the key of the map from a YAML's bytes to its SQL files."""
    return f"{_stem(spec_key)}.files.json"


def sql_prefix(spec_key: str) -> str:
    """Return the prefix of the SQL files of a YAML that has a map."""
    return f"{_stem(spec_key)}{SQL_FOLDER}/"


def sql_key(spec_key: str, digest: str) -> str:
    """Return the key of a SQL file, by the SHA-256 of its text."""
    return f"{sql_prefix(spec_key)}{digest}.sql"


def _stem(spec_key: str) -> str:
    # A .yml keeps its suffix: it may lie beside a .yaml of the same name.
    return spec_key.removesuffix(".yaml")


def sharing_keys(key: str) -> tuple[str, ...]:
    """Return the key of another YAML with the same map: ``a.yml`` and ``a.yml.yaml`` share theirs."""
    stem = _stem(key)
    if not stem.endswith(".yml"):
        return ()
    return (f"{stem}.yaml",) if key == stem else (stem,)


def digest_of(sql_key: str) -> str:
    """Return the SHA-256 in the key of a SQL file."""
    return sql_key.rpartition("/")[2].removesuffix(".sql")


def is_sql_of(spec_key: str, key: str) -> bool:
    """Tell whether a key is that of a SQL file of a YAML: one that is named by its digest."""
    found = SQL_KEY.fullmatch(key)
    return found is not None and found["stem"] == _stem(spec_key)


@dataclass(frozen=True, slots=True)
class SpecWriter:
    """Who writes a spec, and by what."""

    name: str
    action: VersionAction


class _MapEntry(StoredPart):
    """The SQL files of one version of a YAML."""

    files: Annotated[dict[str, _Digest], Field(max_length=MAX_SQL_FILES)]
    written_at: Moment = _EARLIEST
    written_by: str | None = None
    """Who registered or updated it; None for a version of code, and of an earlier release."""
    action: str | None = None
    """A :data:`~dataspec.models.VersionAction`, or one of a newer version; None where ``written_by`` is, and for a version of an earlier release."""
    replaced_at: Moment | None = None

    @property
    def last_time(self) -> datetime:
        """When it was replaced; when it was written if it is current."""
        return self.replaced_at or self.written_at


class FileMap(StoredDocument):
    """The map from a YAML's bytes to its SQL files."""

    versions: dict[str, _MapEntry]
    """By the SHA-256 of the YAML."""
    retired: Mapping[str, Moment] = {}
    """The SHA-256 of SQL that no version needs, with the time since when."""
    removing: Mapping[str, Moment] = {}
    """The SHA-256 of SQL that a sweep removes, with the time since when."""
    removed_at: Moment | None = None
    registered_by: str | None = None
    """Who registered the first version since the dataset was registered."""
    registered_at: Moment | None = None

    @property
    def digests(self) -> set[str]:
        """The SHA-256 of each SQL file of a version."""
        return {digest for entry in self.versions.values() for digest in entry.files.values()}

    def is_removing(self, digests: Iterable[str], now: datetime) -> bool:
        """Tell whether another process is removing the dataset, or one of these SQL files."""
        since = [at for sha in digests if (at := self.removing.get(sha))]
        return any(now - at < PENDING for at in (*since, self.removed_at) if at)

    def has_another_writer(self, current: str, now: datetime) -> bool:
        """Tell whether another writer has written its map entry and not yet its YAML.

        Args:
            current: The SHA-256 of the stored YAML.
            now: The current time.
        """
        if current not in self.versions:
            return False
        since = self.versions[current].written_at
        entries = self.versions.values()
        return any(since < entry.written_at and now - entry.written_at < PENDING for entry in entries)

    def needed(self, now: datetime) -> set[str]:
        """Return the SHA-256 of the SQL that a version or a reader may need."""
        return self.digests | {sha for sha, at in self.retired.items() if now - at < KEPT}

    def with_version(
        self, old: str | None, new: str, digests: Mapping[str, str], now: datetime, writer: SpecWriter | None
    ) -> FileMap:
        """Return the map with a new entry, and without entries that were replaced more than an hour ago.

        Args:
            old: The SHA-256 of the YAML that is replaced; None where there is none.
            new: The SHA-256 of the new YAML.
            digests: The SHA-256 of its SQL files, by path.
            now: The current time.
            writer: Who writes it; None for a publication.
        """
        by, action = (writer.name, writer.action) if writer else (None, None)
        versions = dict(self.versions)
        if old in versions:
            versions[old] = versions[old].changed(replaced_at=now)
        versions = {sha: entry for sha, entry in versions.items() if now - entry.last_time < KEPT}
        versions[new] = _MapEntry(files=dict(digests), written_at=now, written_by=by, action=action)
        retired = {sha: at for sha, at in self.retired.items() if now - at < KEPT}
        retired |= dict.fromkeys(self.digests, now)
        removing = {sha: at for sha, at in self.removing.items() if now - at < PENDING}
        changed = self.changed(versions=versions, removing=removing, removed_at=None)
        if old is None:
            changed = changed.changed(registered_by=by, registered_at=now if by else None)
        in_use = changed.digests
        return changed.changed(retired={sha: at for sha, at in retired.items() if sha not in in_use})

    def accepted(self, sha: str) -> FileMap | None:
        """Return the map with a version marked as registered: a project has taken over the update or rollback.

        None if it is marked so already.
        """
        entry = self.versions[sha]
        if entry.action in {None, "register"}:
            return None
        return self.changed(versions={**self.versions, sha: entry.changed(action="register")})

    def body(self) -> bytes:
        """Return the map as bytes."""
        data = self.model_dump(mode="json", exclude_none=True)
        return json.dumps(data, indent=1, sort_keys=True).encode()


def read_map(stored: StoredObject | None) -> FileMap:
    """Return a map; an empty one for a damaged map, which a writer replaces.

    Raises:
        NewerFormat: When a newer version of this program wrote it.
    """
    try:
        return FileMap.read(stored) if stored else FileMap(versions={})
    except CorruptObject:
        return FileMap(versions={})


def mapped_files(file_map: StoredObject | None, yaml: bytes) -> dict[str, str] | None:
    """Return the SHA-256 of the SQL files by path, for exactly these bytes of a YAML; None without an entry."""
    try:
        entry = read_map(file_map).versions.get(sha256_of(yaml))
    except NewerFormat:
        return None
    return dict(entry.files) if entry and entry.files else None


@dataclass(frozen=True, slots=True)
class SpecAuthors:
    """Who registered a manual spec, and who changed it last."""

    written_by: str | None = None
    """Who wrote this version, as the first one or as a change."""
    written_at: datetime | None = None
    action: str | None = None
    """What wrote this version: a :data:`~dataspec.models.VersionAction`; None if unknown."""

    registered_by: str | None = None
    registered_at: datetime | None = None
    updated_by: str | None = None
    updated_at: datetime | None = None


UNKNOWN_AUTHORS: Final = SpecAuthors()


def authors_of(file_map: StoredObject | None, yaml: bytes) -> SpecAuthors:
    """Return who wrote exactly these bytes of a YAML, and who registered the first version; empty if unknown."""
    try:
        found = read_map(file_map)
    except NewerFormat:
        return UNKNOWN_AUTHORS
    entry = found.versions.get(sha256_of(yaml))
    is_first = entry is None or entry.written_by is None or entry.written_at == found.registered_at
    is_known = entry is not None and entry.written_by is not None
    return SpecAuthors(
        written_by=entry.written_by if entry else None,
        written_at=entry.written_at if entry and is_known else None,
        action=entry.action if entry else None,
        registered_by=found.registered_by,
        registered_at=found.registered_at,
        updated_by=None if is_first or entry is None else entry.written_by,
        updated_at=None if is_first or entry is None else entry.written_at,
    )


def check_map(file_map: StoredObject | None) -> None:
    """Refuse a map that can't be used: a reader that ignored it might take older files.

    Raises:
        InvalidSpec: With the reason.
    """
    if file_map is None:
        return
    try:
        FileMap.read(file_map)
    except UnreadableObject as error:
        is_damaged = isinstance(error, CorruptObject)
        step = "Register or publish the dataset again." if is_damaged else f"{error.detail}"
        message = f"the map to the SQL files can't be used ({error.reason}). {step}"
        raise InvalidSpec([Problem(message, file_map.key)]) from None


def sql_digests(files: Mapping[str, str]) -> dict[str, str]:
    """Return the SHA-256 of each SQL file, by the path in the spec."""
    return {path: sha256_of(text.encode()) for path, text in files.items()}


def belongs_to_others(kept: StoredObject | None) -> bool:
    """Tell whether the JSON under a map's key is another program's file, or a newer version's map."""
    if kept is None:
        return False
    try:
        data = json.loads(kept.body)
    except (ValueError, RecursionError):
        return False  # a damaged map
    return not isinstance(data, dict) or "versions" not in data or FileMap.is_newer(kept)


def sha256_of(body: bytes) -> str:
    """Return the SHA-256 of a content, in hexadecimal digits."""
    return hashlib.sha256(body).hexdigest()
