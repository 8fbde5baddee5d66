"""Folders and files as a person at this machine sees them."""

from __future__ import annotations

from pathlib import Path

from dataspec.errors import InvalidUsage

PROJECT_FILES = (".dli.local.yaml", "dli.yaml")
"""What makes a folder a project, the stronger file first."""


def here() -> Path:
    """Return the current folder.

    Raises:
        InvalidUsage: When it is gone.
    """
    try:
        return Path.cwd()
    except OSError as error:
        raise InvalidUsage("The current folder does not exist any more.", detail="Go to another.") from error


def find_root(path: str | None) -> Path:
    """Return the project's folder: the one given, else the nearest at or above this one with a settings file.

    Raises:
        InvalidUsage: When the folder that was given does not exist.
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
    """Return a path as the reader would write it: from here if it is below, else whole."""
    if not path.is_absolute():
        return path.as_posix()
    text, current = path.as_posix(), here().as_posix()
    return "." if text == current else text.removeprefix(f"{current.rstrip('/')}/")
