"""An Airflow of its own for these tests: a home that is thrown away, and no examples."""

from __future__ import annotations

import os
import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest

OF_ONE_LINE = {"test_bundle.py": "3", "test_dag_files.py": "2"}
"""Tests of what only one line of Airflow has."""


def _ignored() -> list[str]:
    if not find_spec("airflow"):
        return ["test_*.py"]
    line = version("apache-airflow").partition(".")[0]
    return [name for name, only in OF_ONE_LINE.items() if only != line]


collect_ignore_glob = _ignored()

HOME = Path(tempfile.mkdtemp(prefix="airflow-side-"))
os.environ |= {
    "AIRFLOW_HOME": str(HOME),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(HOME / "bundles"),
}


def pytest_configure(config: pytest.Config) -> None:
    # Inside Airflow these tests run without the settings of pyproject.toml.
    config.addinivalue_line("markers", "rule(*numbers): proves rules of docs/specification.md")


class MemoryVariables:
    """Airflow's Variables, which need a running Airflow, in memory.

    Attributes:
        failures: Number of the next writes that fail.
    """

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.writes: list[str] = []
        self.failures = 0

    def get(self, key: str, default: str | None) -> str | None:
        return self.texts.get(key, default)

    def set(self, key: str, value: str, description: str | None = None) -> None:
        assert description is None or isinstance(description, str)
        if self.failures:
            self.failures -= 1
            raise RuntimeError("UNIQUE constraint failed: variable.key")
        self.writes.append(key)
        self.texts[key] = value


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> MemoryVariables:
    """The Variables that tasks and triggers of a test read and write."""
    from dli_airflow.waiting import variables as module

    memory = MemoryVariables()
    monkeypatch.setattr(module, "Variable", memory)
    monkeypatch.setattr(module, "FIRST_PAUSE_SECONDS", 0.001)
    return memory


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
