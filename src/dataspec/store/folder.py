"""A folder on this machine as a store: the default of ``basecamp dev``.

Many processes may use it at once: writes are one at a time, under a lock, and appear by a
rename, so no reader sees half a file. The ETag is a hash of the content.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from dataspec.errors import StoreUnreachable
from dataspec.store.base import MISSING, ObjectInfo, PreconditionFailed, StoredObject

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_HIDDEN = "."
"""Names that begin with a dot are the store's own: its lock and files being written."""


class FolderStore:
    """A store in a folder; keys are paths below it."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        try:
            self._root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unreachable(self.url, error) from error

    @property
    def url(self) -> str:
        return self._root.as_uri()

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        found = []
        for path in self._files(prefix):
            try:
                # st_mtime may be of long before the file was copied here, times and all.
                body, written = path.read_bytes(), path.stat().st_ctime
            except FileNotFoundError:
                continue  # removed since the folder was read
            except OSError as error:
                raise _unreachable(self.url, error) from error
            key = path.relative_to(self._root).as_posix()
            found.append(ObjectInfo(key, _etag(body), len(body), datetime.fromtimestamp(written, UTC)))
        self._check_root()
        return iter(sorted(found, key=lambda info: info.key))

    def _files(self, prefix: str) -> Iterator[Path]:
        top = self._root / prefix.rpartition("/")[0]
        for folder, folders, names in os.walk(top, onerror=self._unless_missing, followlinks=False):
            folders[:] = [name for name in folders if not name.startswith(_HIDDEN)]
            for name in names:
                path = Path(folder, name)
                if not name.startswith(_HIDDEN) and path.relative_to(self._root).as_posix().startswith(
                    prefix
                ):
                    yield path

    def _unless_missing(self, error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise _unreachable(self.url, error)

    def get(self, key: str, *, known: StoredObject | None = None) -> StoredObject | None:
        try:
            body = self._path(key).read_bytes()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            self._check_root()
            return None
        except OSError as error:
            raise _unreachable(self.url, error) from error
        etag = _etag(body)
        return known if known and known.etag == etag else StoredObject(key, etag, body)

    def get_many(self, keys: Iterable[str]) -> dict[str, StoredObject]:
        return {key: stored for key in keys if (stored := self.get(key)) is not None}

    def put(self, key: str, body: bytes, *, expected: str) -> str:
        with self._writing():
            self._check(key, expected)
            path = self._path(key)
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=_HIDDEN)
            with os.fdopen(handle, "wb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            Path(name).chmod(0o644)
            Path(name).replace(path)
        return _etag(body)

    def delete(self, key: str, *, expected: str) -> None:
        with self._writing():
            self._check(key, expected)
            self._path(key).unlink()

    def _check(self, key: str, expected: str) -> None:
        stored = self.get(key)
        if expected != (stored.etag if stored else MISSING):
            raise PreconditionFailed(key)

    def _check_root(self) -> None:
        """Fail where the folder itself is gone, as with a disk that is not mounted: that is no empty store."""
        try:
            os.scandir(self._root).close()
        except OSError as error:
            raise _unreachable(self.url, error) from error

    def _path(self, key: str) -> Path:
        parts = key.split("/")
        if not all(parts) or any(part.startswith(_HIDDEN) for part in parts) or "\\" in key or "\x00" in key:
            raise ValueError(f"not a key: {key!r}")
        return self._root.joinpath(*parts)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            with (self._root / f"{_HIDDEN}lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        except OSError as error:
            raise _unreachable(self.url, error) from error


def _etag(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


def _unreachable(url: str, error: OSError) -> StoreUnreachable:
    reason = error.strerror or str(error)
    return StoreUnreachable(
        "The store does not answer.", detail=f"{url}: {error.filename or ''} {reason}".strip()
    )
