"""Find the project's folder, and show paths relative to the current folder."""

from __future__ import annotations

from pathlib import Path

from dataspec.errors import InvalidUsage

PROJECT_FILES = (".dli.local.yaml", "dli.yaml")
"""The settings files that mark a project's folder, by precedence."""


def here() -> Path:
    """Return the current folder.

    Raises:
        InvalidUsage: When it was deleted.
    """
    try:
        return Path.cwd()
    except OSError as error:
        raise InvalidUsage(
            "The current folder no longer exists.", detail="Change to another folder."
        ) from error


def find_root(path: str | None) -> Path:
    """Return the project's folder: the given one, else the nearest at or above the current folder with a settings file.

    Raises:
        InvalidUsage: When the given folder does not exist.
    """
    if path is not None:
        if not Path(path).is_dir():
            raise InvalidUsage(f"No such folder: {path}", detail="--path names the project's folder.")
        return Path(path)
    current = here()
    for folder in (current, *current.parents):
        if any((folder / name).is_file() for name in PROJECT_FILES):
            return folder
    return current


def shown(path: Path) -> str:
    """Return a path relative to the current folder if it is below it, else absolute."""
    if not path.is_absolute():
        return path.as_posix()
    text, current = path.as_posix(), here().as_posix()
    return "." if text == current else text.removeprefix(f"{current.rstrip('/')}/")
