"""A folder on this machine as a store: the default of ``basecamp dev``.

Processes may share it. A lock serializes writes, and files are replaced atomically: no reader sees a part of a
file. The ETag is a hash of the content.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dataspec.errors import InvalidKey, StoreUnreachable, UnreadableObject
from dataspec.file_lock import locked
from dataspec.files import write_atomically
from dataspec.keys import HIDDEN, MAX_KEY_BYTES, check_key, shown_key, why_no_key
from dataspec.store.base import Found, ObjectInfo, PreconditionFailed, StoredObject, etag_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from io import BufferedReader

_OF_ONE_FILE: Final = frozenset(
    {errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENXIO, errno.ENODEV, errno.ENAMETOOLONG, errno.EFBIG}
)
"""Errors that concern one file; any other may concern the whole disk."""

MAX_FILE_BYTES: Final = 64 * 1024 * 1024
"""Maximum size of a file that is read or hashed; the program's own files are far smaller."""


class FolderStore:
    """A store in a folder; keys are paths below it. Hidden files, such as its lock, are not objects."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        try:
            self._root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unreachable(self.url, error) from error

    @property
    def url(self) -> str:
        return self._root.as_uri()

    def now(self) -> datetime:
        return datetime.now(UTC)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        found = [info for path in self._paths(prefix) if (info := self._info(path)) is not None]
        self._check_root()
        kept = (info for info in found if info.key.startswith(prefix))
        return iter(sorted(kept, key=lambda info: info.key))

    def _paths(self, prefix: str) -> Iterator[Path]:
        """Yield the files of a prefix's folder, and the folders that can't be read."""
        below, _, begin = prefix.rpartition("/")
        if below and why_no_key(below):
            return
        top = self._root / below
        failed: list[OSError] = []
        for folder, folders, names in os.walk(top, onerror=failed.append, followlinks=False):
            if (
                begin and Path(folder) == top
            ):  # each file is read for its ETag, so only those under the prefix
                folders[:] = [name for name in folders if name.startswith(begin)]
                names[:] = [name for name in names if name.startswith(begin)]
            too_deep = [name for name in folders if self._is_too_deep(Path(folder, name))]
            folders[:] = [name for name in folders if not name.startswith(HIDDEN) and name not in too_deep]
            yield from (Path(folder, name) for name in (*names, *too_deep) if not name.startswith(HIDDEN))
        for error in failed:
            if error.errno in _OF_ONE_FILE and Path(error.filename) != top:
                yield Path(error.filename)
            elif not isinstance(error, FileNotFoundError):
                raise _unreachable(self.url, error)

    def _is_too_deep(self, folder: Path) -> bool:
        """Tell whether a folder is too deep for keys; os.walk would descend until a stack overflow."""
        return len(os.fsencode(folder.relative_to(self._root))) > MAX_KEY_BYTES

    def _info(self, path: Path) -> ObjectInfo | None:
        """Return the entry of a file in a listing; None for a file that was removed meanwhile."""
        key = path.relative_to(self._root).as_posix()
        status = None
        try:
            status = path.lstat()
            if (problem := _why_unusable(key, path)) is None:
                with _opened(path) as file:
                    digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
                    status = os.fstat(file.fileno())
                    return ObjectInfo(key, digest.hexdigest(), status.st_size, _written(status))
        except (FileNotFoundError, IsADirectoryError):
            return None
        except OSError as error:
            if error.errno not in _OF_ONE_FILE:
                raise _unreachable(self.url, error) from error
            problem = _reason(error)
        is_folder = status is not None and stat.S_ISDIR(status.st_mode)
        return ObjectInfo.unusable(shown_key(key) + "/" * is_folder, problem, _written(status))

    def get(self, key: str, *, known: StoredObject | None = None) -> StoredObject | None:
        try:
            with _opened(self._path(key)) as file:
                body = file.read()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            self._check_root()
            return None
        except OSError as error:
            raise self._failed(error) from error
        etag = _etag(body)
        return known if known and known.etag == etag else StoredObject(key, etag, body)

    def _failed(self, error: OSError) -> StoreUnreachable:
        if error.errno not in _OF_ONE_FILE:
            return _unreachable(self.url, error)
        told = _unreachable(self.url, error).detail or ""
        return UnreadableObject("An object in the store can't be read.", _reason(error), detail=told)

    def get_many(self, keys: Iterable[str]) -> Found:
        found = Found()
        for key in keys:
            found.take(key, partial(self.get, key))
        return found

    def put(self, key: str, body: bytes, *, expected: str) -> str:
        path = self._path(key)
        with self._writing():
            self._check(key, expected)
            self._make_folder(key, path)
            write_atomically(path, body, durable=True)
        return _etag(body)

    @staticmethod
    def _make_folder(key: str, path: Path) -> None:
        if path.is_dir():
            raise InvalidKey(key, "a folder has this name")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise InvalidKey(key, "a file has the name of one of its folders") from error

    def delete(self, key: str, *, expected: str) -> None:
        path = self._path(key)
        with self._writing():
            self._check(key, expected)
            path.unlink()

    def _check(self, key: str, expected: str) -> None:
        if expected != etag_of(self.get(key)):
            raise PreconditionFailed(key)

    def _check_root(self) -> None:
        """Check that the folder exists: without it, as on a disk that is not mounted, the store is not just empty."""
        try:
            os.scandir(self._root).close()
        except OSError as error:
            raise _unreachable(self.url, error) from error

    def _path(self, key: str) -> Path:
        check_key(key)
        return self._root.joinpath(*key.split("/"))

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            with locked(self._root / f"{HIDDEN}lock"):
                yield
        except OSError as error:
            raise _unreachable(self.url, error, title="The store can't be written.") from error


@contextmanager
def _opened(path: Path) -> Iterator[BufferedReader]:
    """Open a regular file without blocking: opening a pipe would wait for ever."""
    with open(path, "rb", opener=_at_once) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.ENODEV, "a pipe or a device is no file", str(path))
        if status.st_size > MAX_FILE_BYTES:
            raise OSError(errno.EFBIG, f"it has {status.st_size >> 20:,} MiB", str(path))
        yield file


def _at_once(name: str, flags: int) -> int:
    return os.open(name, flags | os.O_NONBLOCK)


def _why_unusable(key: str, path: Path) -> str | None:
    if problem := why_no_key(key):
        return f"no store can have this key: {problem}"
    return None if path.exists() else "it is a link that leads nowhere"


def _written(status: os.stat_result | None) -> datetime:
    # st_mtime may be of long before the file was copied here, times and all.
    return datetime.fromtimestamp(status.st_ctime if status else 0, UTC)


def _etag(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


def _reason(error: OSError) -> str:
    return f"it can't be read: {error.strerror or error}"


def _unreachable(url: str, error: OSError, *, title: str = "The store does not answer.") -> StoreUnreachable:
    reason = f"{url}: {error.filename or ''} {error.strerror or error}".strip()
    step = ". Make room on that disk." if error.errno in {errno.ENOSPC, errno.EDQUOT} else ""
    return StoreUnreachable(title, detail=f"{reason}{step}")
