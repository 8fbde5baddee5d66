"""Write files atomically."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TEMPORARY = ".writing-"
"""Prefix of the temporary file that :func:`write_atomically` renames. A killed process leaves one behind."""


def write_atomically(path: Path, content: str | bytes, *, mode: int = 0o644, durable: bool = False) -> None:
    """Replace the content of a file: a reader sees the old content or the new, never a part.

    Args:
        path: The file; its folder must exist.
        content: The new content; text is written as UTF-8.
        mode: The permissions of the file, whatever the umask.
        durable: Whether to wait until the content is on the disk.

    Raises:
        OSError: When the file can't be written; the old content stays.
    """
    temporary = path.with_name(f"{TEMPORARY}{os.urandom(8).hex()}")
    try:
        with naming(path):
            with open(temporary, "xb", opener=_open_for_owner) as file:
                file.write(content.encode() if isinstance(content, str) else content)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            temporary.chmod(mode)
            temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Add the path to errors of the system: those of a write to an open file, such as of a full disk, have none."""
    try:
        yield
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise


def _open_for_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
