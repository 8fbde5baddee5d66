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

# One session and one transaction with the query: building a date again gives the same rows.
pre_statements:
{schema}  - name: table
    sql: create table if not exists {table} (day date, greeting varchar)
  - name: begin
    sql: begin transaction
  - name: clear
    sql: delete from {table} where day = date '{{{{ execution_date }}}}'
post_statements:
  - name: commit
    sql: commit

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

_SCHEMA = """\
  - name: schema
    sql: create schema if not exists {schema}
"""

_SQL = """\
insert into {table}
select
    date '{{{{ execution_date }}}}' as day,
    '{{{{ greeting }}}}' as greeting
"""

_NOBODY = "you@example.com"
_OTHER_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "y", "n", "null"})
"""Words that some version of YAML does not read as text."""
RESERVED = frozenset(
    """
    all analyse analyze and anti any array as asc asof asymmetric at authorization binary both by case
    cast check collate collation column columns concurrently constraint create cross default deferrable
    desc describe distinct do else end except false fetch for foreign freeze from full generated glob
    group having ilike in initially inner intersect into is isnull join lambda lateral leading left like
    limit map natural not notnull null offset on only or order outer overlaps pivot pivot_longer
    pivot_wider placing positional primary qualify references returning right select semi show similar
    some struct summarize symmetric table tablesample then to trailing true try_cast tuple union unique
    unpack unpivot using variadic verbose when where window with
    """.split()  # noqa: SIM905 - shorter than a list of a hundred words
)
"""DuckDB's reserved words, which need quotes as a table's name."""
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")


def project_files(name: str) -> dict[str, str]:
    """Return the files of a new project: text by path."""
    return {"dli.yaml": _PROJECT.format(name=name), ".gitignore": _IGNORED}


def dataset_files(name: str, owner: str) -> dict[str, str]:
    """Return the files of a new dataset: text by path in the datasets folder.

    The dataset builds the table ``schema.table``, named by the last two parts of its name.
    """
    *above, last = map(_identifier, name.split("."))
    table = ".".join([*above[-1:], last])
    schema = _SCHEMA.format(schema=above[-1]) if above else ""
    return {
        f"dataset.{name}.yaml": _SPEC.format(
            name=name, quoted=_quoted(name), owner=owner, table=table, schema=schema
        ),
        f"{name}.sql": _SQL.format(table=table),
    }


def _identifier(part: str) -> str:
    """Return a part of a name as a SQL identifier, in quotes if it is a reserved word."""
    word = re.sub(r"\W", "_", part)
    if word.lower() in RESERVED:
        return f'"{word}"'
    return f"_{word}" if word[:1].isdigit() else word


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
                path.write_text(text, encoding="utf-8")
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
