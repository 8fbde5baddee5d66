"""Wait for changes of a project's files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dataspec.distribution import install_command
from dataspec.errors import InvalidUsage
from dli.project.paths import shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SUFFIXES = (".csv", ".sql", ".yaml", ".yml")


def changes(root: Path) -> Iterator[list[str]]:
    """Yield the files of a project that have changed, again and again, until Ctrl-C.

    Raises:
        InvalidUsage: When the library that watches files is not installed.
    """
    from pathlib import Path

    try:
        from watchfiles import DefaultFilter, watch
    except ImportError:
        raise InvalidUsage(
            "--watch needs a library that is not installed.",
            detail=f"Install it with: {install_command('local')}",
        ) from None

    is_seen = DefaultFilter()
    for found in watch(
        root, watch_filter=lambda change, path: path.endswith(_SUFFIXES) and is_seen(change, path)
    ):
        yield sorted({shown(Path(path)) for _, path in found})
