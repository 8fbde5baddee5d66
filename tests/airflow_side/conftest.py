"""An Airflow of its own for these tests: a home that is thrown away, and no examples."""

from __future__ import annotations

import os
import tempfile
from importlib.util import find_spec
from pathlib import Path

import pytest

collect_ignore_glob = [] if find_spec("airflow") else ["test_*.py"]

HOME = Path(tempfile.mkdtemp(prefix="airflow-side-"))
os.environ |= {
    "AIRFLOW_HOME": str(HOME),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(HOME / "bundles"),
}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A folder that is a store."""
    folder = tmp_path / "store"
    (folder / "manual").mkdir(parents=True)
    (folder / "code").mkdir()
    return folder


def pytest_unconfigure() -> None:
    import shutil

    shutil.rmtree(HOME, ignore_errors=True)
