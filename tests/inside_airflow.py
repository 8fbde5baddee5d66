"""Run `tests/airflow_side` with the Python of an environment that has Airflow, and no pytest."""

from __future__ import annotations

import os
import subprocess
from importlib.util import find_spec
from pathlib import Path

TESTS = Path(__file__).parent
FOLDER = TESTS / "airflow_side"


def run_airflow_side(python: Path, folder: Path, *files: str) -> str:
    """Run files of the tests, or all of them; return the output, and fail with it.

    Args:
        python: The environment's Python.
        folder: An empty folder of the test's own.
        files: Names in `tests/airflow_side`.
    """
    plain = ["-c", os.devnull, "--rootdir", str(FOLDER), "--confcutdir", str(FOLDER)]
    plain += ["--import-mode=importlib", "-p", "no:cacheprovider", "--basetemp", str(folder / "tests")]
    done = subprocess.run(
        [python, "-m", "pytest", *plain, *([FOLDER / name for name in files] or [FOLDER])],
        env={**os.environ, "PYTHONPATH": f"{_pytest_alone(folder)}:{TESTS}", "PYTEST_ADDOPTS": ""},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def _pytest_alone(parent: Path) -> Path:
    """Return a new folder with this environment's pytest alone, so that nothing else is taken from here."""
    folder = parent / "pytest"
    folder.mkdir()
    for name in ("pytest", "_pytest", "py", "pluggy", "iniconfig"):
        found = find_spec(name)
        assert found is not None
        assert found.origin is not None
        code = Path(found.origin)
        code = code.parent if code.name == "__init__.py" else code
        (folder / code.name).symlink_to(code)
    return folder
