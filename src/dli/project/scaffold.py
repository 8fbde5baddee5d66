"""Create the first files of a project and of a dataset."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

from dataspec.errors import Refused
from dataspec.files import naming
from dli.project.paths import shown

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_PROJECT = """\
# The project: the folder of its datasets, its server, and the connections of local runs.
name: {name}
datasets_dir: datasets

server:
  url: http://127.0.0.1:8800 # DLI_SERVER_URL overrides it

connections:
  dli_default: # the default connection of a dataset
    url: duckdb:///warehouse.duckdb
"""

_IGNORED = """\
# Local files of dli, Basecamp and DuckDB.
.dli/
.dli.local.yaml
.basecamp/
*.duckdb
*.duckdb.lock
*.duckdb.wal
"""

_SPEC = """\
name: {quoted}
type: Dataset
owner: {owner}
description: What one row means.
query_file: {name}.sql

# A run replaces the rows of its day, once the checks have passed.
materialization:
  type: incremental
  strategy: replace_partition
  partition_column: day
{table}checks:
  - not_null: [day, greeting]

parameters:
  - name: execution_date # set by a scheduled run
    type: date
    description: The day to build.
  - name: greeting
    type: string
    default: hello

schedule:
  cron: "0 9 * * *"
  timezone: UTC

retry:
  max_attempts: 2
  delay_seconds: 60
"""

_SQL = """\
select
    date '{{ execution_date }}' as day,
    '{{ greeting }}' as greeting
"""

_NOBODY = "you@example.com"
_OTHER_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "y", "n", "null"})
"""Words that some version of YAML does not read as text."""
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")


def project_files(name: str) -> dict[str, str]:
    """Return the files of a new project: text by path."""
    return {"dli.yaml": _PROJECT.format(name=name), ".gitignore": _IGNORED}


def dataset_files(name: str, owner: str) -> dict[str, str]:
    """Return the files of a new dataset: text by path in the datasets folder.

    The dataset builds the table with the last two parts of its name.
    """
    parts = name.split(".")
    table = f"  table: {_quoted('.'.join(parts[-2:]))}\n" if len(parts) > 2 else ""  # noqa: PLR2004
    return {
        f"dataset.{name}.yaml": _SPEC.format(name=name, quoted=_quoted(name), owner=owner, table=table),
        f"{name}.sql": _SQL,
    }


def _quoted(name: str) -> str:
    """Return a name as YAML text; ``0.1`` and ``on`` need quotes."""
    plain = re.fullmatch(r"[A-Za-z_][\w.-]*", name) and name.lower() not in _OTHER_WORDS
    return name if plain else f'"{name}"'


def write_new(folder: Path, files: Mapping[str, str]) -> list[str]:
    """Write new files, all or none; return their paths relative to the current folder.

    Raises:
        OSError: When one of them can't be written.
        Refused: When one of them exists.
    """
    paths = {folder / name: text for name, text in files.items()}
    for path in paths:
        if path.exists() or path.is_symlink():
            raise Refused(f"{shown(path)} already exists.", detail="Nothing was written.")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        for path, text in paths.items():
            with naming(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8", newline="")
    except OSError:
        for path in paths:
            path.unlink(missing_ok=True)
        raise
    return [shown(path) for path in paths]


def owner_here() -> str:
    """Return the owner of a new dataset: Git's ``user.email``, or an example address."""
    try:
        asked = ["git", "config", "user.email"]
        found = subprocess.run(asked, capture_output=True, text=True, timeout=5, check=False)  # noqa: S603 - fixed arguments
    except (OSError, subprocess.SubprocessError):
        return _NOBODY
    email = found.stdout.strip()
    return email if _EMAIL.fullmatch(email) else _NOBODY
