"""Runs the tests that import Airflow, in Airflow's own environment."""

from __future__ import annotations

import os
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from basecamp.dev.lines import AIRFLOW_2, AIRFLOW_3
from lines_here import LINES_HERE

TESTS = Path(__file__).resolve().parents[2]
FILES = sorted(path.name for path in (TESTS / "airflow_side").glob("test_*.py"))
OF_ONE_LINE = {"test_bundle.py": AIRFLOW_3, "test_dag_files.py": AIRFLOW_2}
CASES = [
    pytest.param(file, line, id=f"{file}-{name}")
    for name, line in LINES_HERE.items()
    for file in FILES
    if OF_ONE_LINE.get(file, line) == line
]


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


@pytest.mark.parametrize(("file", "line"), CASES, indirect=["line"], scope="session")
def test_what_airflow_loads_works_inside_airflow(
    file: str, airflow_env: Path, pytest_alone: Path, tmp_path: Path
) -> None:
    folder = TESTS / "airflow_side"
    plain = ["-c", os.devnull, "--rootdir", str(folder), "--confcutdir", str(folder)]
    plain += ["--import-mode=importlib", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [
            airflow_env / "bin" / "python",
            "-m",
            "pytest",
            *plain,
            "--basetemp",
            tmp_path / "tests",
            folder / file,
        ],
        env={**os.environ, "PYTHONPATH": f"{pytest_alone}:{TESTS}", "PYTEST_ADDOPTS": ""},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    print(done.stdout)  # noqa: T201 - how many passed
