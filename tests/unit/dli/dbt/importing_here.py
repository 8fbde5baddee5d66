"""Import a dbt project within this process, and read what came of it."""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from dli.main import main

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True)
class Imported:
    """A project that was imported, and what the import printed."""

    project: Path
    told: str


def dli(*arguments: str) -> tuple[int, str]:
    """Run a command; return its status and all that it printed."""
    printed = io.StringIO()
    with redirect_stdout(printed), redirect_stderr(printed):
        status = main(list(arguments))
    return status, printed.getvalue()


def write_files(folder: Path, files: Mapping[str, str]) -> Path:
    """Write files into a folder; return it."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def import_files(files: Mapping[str, str], folder: Path) -> Imported:
    """Import a dbt project of these files into a new project."""
    source, project = write_files(folder / "dbt", files), folder / "project"
    project.mkdir()
    status, told = dli("import", "dbt", str(source), "--path", str(project), "--owner", "ann@example.com")
    assert status == 0, told
    return Imported(project, told)


def spec_of(project: Path, name: str) -> dict[str, Any]:
    """Return the data of a dataset's YAML."""
    (path,) = project.glob(f"datasets/**/dataset.{name}.yaml")
    found: dict[str, Any] = yaml.safe_load(path.read_text())
    return found


def sql_of(project: Path, name: str) -> str:
    """Return a dataset's SQL."""
    (path,) = project.glob(f"datasets/**/{name}.sql")
    return path.read_text()
