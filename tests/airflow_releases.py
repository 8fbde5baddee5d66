"""Rebuild the constraints of Airflow's releases: what was newest on the day, as Airflow's own constraints files have it.

Run by `make lock`. uv leaves out all that was uploaded later, so the result of a release stays the same.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from basecamp.dev.airflow_environment import uv

CONSTRAINTS = Path(__file__).parent / "integration" / "distribution" / "constraints"
RELEASES = {"2.11.0": "2025-05-21", "2.11.2": "2026-03-15", "3.3.0": "2026-07-07", "3.3.2": "2026-09-18"}
"""The oldest and the newest supported release of each line, and the day after its upload."""
PINNED = """
apache-airflow-providers-common-sql
click
cronsim
duckdb
jinja2
pydantic
pytz
pyyaml
rich
sqlglot
tzdata
"""
"""What of ours Airflow's constraints may pin: it needs these, or one of its providers does."""


def rebuild(release: str, day: str) -> None:
    """Write the constraints of a release, for every Python that it runs on."""
    command = [uv(), "pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--no-annotate"]
    command += ["--no-header", "--exclude-newer", day, "--output-file", str(file_of(release)), "-"]
    subprocess.run(command, input=f"apache-airflow=={release}{PINNED}", text=True, check=True)


def file_of(release: str) -> Path:
    """Return the file of a release's constraints."""
    return CONSTRAINTS / f"airflow-{release}.txt"


if __name__ == "__main__":
    for release, day in RELEASES.items():
        rebuild(release, day)
    sys.stdout.write(f"Wrote the constraints of {', '.join(RELEASES)}\n")
