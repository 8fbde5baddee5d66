"""The distribution as `make dist` builds it, and empty environments to install it into."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from basecamp.dev.airflow_environment import uv
from stacks import REPOSITORY


@dataclass(frozen=True)
class Built:
    """The files of a build."""

    wheel: Path
    sdist: Path


@dataclass(frozen=True)
class Environment:
    """A virtual environment."""

    folder: Path

    @property
    def python(self) -> Path:
        """Its Python."""
        return self.folder / "bin" / "python"

    def install(self, *arguments: str | Path) -> None:
        """Install packages by uv, whose cache all environments share."""
        _uv("pip", "install", "--quiet", "--python", self.python, *arguments)

    def run(self, program: str, *arguments: str | Path, cwd: Path | None = None) -> str:
        """Run a program of the environment that must succeed; return what it prints."""
        done = self.try_running(program, *arguments, cwd=cwd)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def try_running(
        self, program: str, *arguments: str | Path, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment."""
        command = [self.folder / "bin" / program, *arguments]
        return subprocess.run(command, cwd=cwd or self.folder, capture_output=True, text=True, check=False)


def _uv(*arguments: str | Path) -> None:
    done = subprocess.run([uv(), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def build(folder: Path, source: Path = REPOSITORY) -> Built:
    """Build from a source as `make dist` does."""
    make = [
        "make",
        "--no-print-directory",
        "-C",
        str(REPOSITORY),
        "dist",
        f"SOURCE={source}",
        f"DIST={folder}",
    ]
    done = subprocess.run(make, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [wheel], [sdist] = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return Built(wheel, sdist)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """What `make dist` builds."""
    return build(tmp_path_factory.mktemp("dist"))


@pytest.fixture
def new_environment(tmp_path: Path) -> Callable[..., Environment]:
    """What makes an empty environment, with this Python or with another one."""

    def make(python: str | Path = sys.executable) -> Environment:
        folder = tmp_path / "environment"
        _uv("venv", "--quiet", "--no-python-downloads", "--python", python, folder)
        return Environment(folder)

    return make
