"""Runs the tests that import Airflow, in Airflow's own environment."""

from __future__ import annotations

from pathlib import Path

from inside_airflow import run_airflow_side


def test_what_airflow_loads_works_inside_airflow(airflow_env: Path, tmp_path: Path) -> None:
    """One process for all files of a line: Airflow takes seconds to import."""
    print(run_airflow_side(airflow_env / "bin" / "python", tmp_path))  # noqa: T201 - how many passed
