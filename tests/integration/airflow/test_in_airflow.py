"""Runs the tests that import Airflow, in Airflow's own environment."""

from __future__ import annotations

import os
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def pytest_alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with this environment's pytest, which Airflow's environment does not have."""
    folder = tmp_path_factory.mktemp("pytest")
    for name in ("pytest", "_pytest", "py", "pluggy", "iniconfig"):
        found = find_spec(name)
        assert found is not None
        assert found.origin is not None
        code = Path(found.origin)
        code = code.parent if code.name == "__init__.py" else code
        (folder / code.name).symlink_to(code)
    return folder


def test_what_airflow_loads_works_inside_airflow(
    airflow_env: Path, pytest_alone: Path, tmp_path: Path
) -> None:
    """One process for all files of a line: Airflow takes seconds to import."""
    folder = TESTS / "airflow_side"
    plain = ["-c", os.devnull, "--rootdir", str(folder), "--confcutdir", str(folder)]
    plain += ["--import-mode=importlib", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [airflow_env / "bin" / "python", "-m", "pytest", *plain, "--basetemp", tmp_path / "tests", folder],
        env={**os.environ, "PYTHONPATH": f"{pytest_alone}:{TESTS}", "PYTEST_ADDOPTS": ""},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    print(done.stdout)  # noqa: T201 - how many passed
