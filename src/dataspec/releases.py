"""A spec in the store together with its SQL: how both change as one (decisions 4).

The layout and the protocol are described in ``docs/architecture.md``, "The store".
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from dataspec.errors import Conflict
from dataspec.store.base import MISSING, PreconditionFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dataspec.store.base import Store

CODE_PREFIX = "code/"
MANUAL_PREFIX = "manual/"
SPEC_SUFFIXES = (".yaml", ".yml")
HASH_LENGTH = 16

_PENDING = timedelta(minutes=1)
"""How long a writer may take between its two last writes."""
_KEPT = timedelta(hours=1)
"""How long the map keeps an entry that is not the present one."""


@dataclass(frozen=True, slots=True)
class Release:
    """One version of a dataset: the YAML's bytes, and its SQL files by the path it names them with."""

    yaml: bytes
    files: Mapping[str, str]

    @property
    def spec_hash(self) -> str:
        """The hash that names this version: of the YAML and its SQL together."""
        digest = hashlib.sha256(self.yaml)
        for path, text in sorted(self.files.items()):
            digest.update(b"\x00" + path.encode() + b"\x00" + text.encode())
        return digest.hexdigest()[:HASH_LENGTH]


def manual_key(name: str) -> str:
    """Return where the manual spec of a dataset is kept."""
    return f"{MANUAL_PREFIX}{name}.yaml"


def is_spec_key(key: str) -> bool:
    """Tell whether a key may hold a spec."""
    return key.endswith(SPEC_SUFFIXES)


def file_map_key(spec_key: str) -> str:
    """Return the key of the map from a YAML's bytes to its SQL files."""
    return f"{spec_key.rpartition('.')[0]}.files.json"


def sql_key(spec_key: str, digest: str) -> str:
    """Return the key of a SQL file, by the SHA-256 of its text."""
    return f"{spec_key.rpartition('.')[0]}.sql/{digest}.sql"


def sibling_key(spec_key: str, path: str) -> str:
    """Return the key of a SQL file that lies beside its YAML, as a plain copy leaves it."""
    folder, slash, _ = spec_key.rpartition("/")
    return f"{folder}{slash}{path}"


def mapped_files(file_map: bytes | None, yaml: bytes) -> dict[str, str] | None:
    """Return the SQL files of the very bytes of a YAML, as path to SHA-256, or None without an entry."""
    entry = _versions(file_map).get(_sha256(yaml))
    return dict(entry["files"]) if entry else None


def write_release(
    store: Store,
    key: str,
    release: Release,
    *,
    if_match: str | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> str:
    """Write a spec and its SQL so that no reader ever sees the one without the other.

    Args:
        store: The store.
        key: The YAML's key.
        release: What to write.
        if_match: The ETag that the YAML must have now; ``None`` for whatever is there.
        now: The clock.

    Returns:
        The YAML's new ETag.

    Raises:
        Conflict: When someone else was first; nothing that a reader sees has changed.
    """
    current = store.get(key)
    etag = current.etag if current else MISSING
    if if_match is not None and if_match != etag:
        raise _conflict(key)
    try:
        if release.files:
            _write_files(store, key, release, current.body if current else None, now())
        if current is not None and current.body == release.yaml:
            return current.etag
        return store.put(key, release.yaml, expected=etag)
    except PreconditionFailed:
        raise _conflict(key) from None


def _write_files(store: Store, key: str, release: Release, current: bytes | None, now: datetime) -> None:
    digests = {path: _sha256(text.encode()) for path, text in release.files.items()}
    kept = store.get(file_map_key(key))
    versions = _versions(kept.body if kept else None)
    old, new = _sha256(current or b""), _sha256(release.yaml)
    if versions.get(new, {}).get("files") == digests:
        return
    if old == new and _another_is_writing(versions, old, now):
        raise _conflict(key)
    for path, text in release.files.items():
        _put_once(store, sql_key(key, digests[path]), text.encode())
    recent = {
        sha: entry
        for sha, entry in versions.items()
        if sha == old or now - datetime.fromisoformat(entry["written_at"]) < _KEPT
    }
    recent[new] = {"files": digests, "written_at": now.isoformat()}
    body = json.dumps({"versions": recent}, indent=1, sort_keys=True).encode()
    store.put(file_map_key(key), body, expected=kept.etag if kept else MISSING)


def _another_is_writing(versions: Mapping[str, Any], current: str, now: datetime) -> bool:
    """Tell whether someone has written the map's entry, and not yet the YAML that goes with it."""
    if current not in versions:
        return False
    since = datetime.fromisoformat(versions[current]["written_at"])
    times = (datetime.fromisoformat(entry["written_at"]) for entry in versions.values())
    return any(since < written and now - written < _PENDING for written in times)


def _put_once(store: Store, key: str, body: bytes) -> None:
    try:
        store.put(key, body, expected=MISSING)
    except PreconditionFailed:
        return  # the key carries the hash of what it holds: it is there already


def _versions(file_map: bytes | None) -> dict[str, Any]:
    if file_map is None:
        return {}
    try:
        versions = json.loads(file_map)["versions"]
    except (ValueError, LookupError, TypeError):
        return {}
    return versions if isinstance(versions, dict) else {}


def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _conflict(key: str) -> Conflict:
    return Conflict(
        "This dataset was changed by someone else meanwhile.",
        detail=f"{key} is not what it was when this change began. Look at it, then try again.",
    )
