"""Dataset Specs for these tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

CLICKS = "iceberg.analytics.daily_clicks"

CLICKS_YAML = f"""\
name: {CLICKS}
type: Dataset
owner: engineer@example.com
team: "@data-engineering"
description: Clicks by day.
query_file: daily_clicks.sql
parameters:
  - name: execution_date
    type: string
  - name: limit
    type: integer
    default: 100
schedule:
  cron: "0 9 * * *"
  timezone: Asia/Seoul
"""

CLICKS_SQL = "select * from clicks where day = '{{ execution_date }}' limit {{ limit }}\n"

CLICKS_FILES = {"daily_clicks.sql": CLICKS_SQL}


def spec_of(name: str, *, more: str = "") -> str:
    """Return a small spec without a schedule."""
    return f"name: {name}\ntype: Dataset\nowner: dana@example.com\nquery_statement: select 1\n{more}"


def write_clicks(project: Path) -> Path:
    """Put the spec and its SQL where a project has them; returns the YAML's path."""
    folder = project / "datasets"
    (folder / "daily_clicks.sql").write_text(CLICKS_SQL)
    path = folder / f"dataset.{CLICKS}.yaml"
    path.write_text(CLICKS_YAML)
    return path
