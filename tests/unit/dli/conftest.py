from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import pytest

from dli.main import main
from unit.dli.basecamp import Basecamp, DagProcessor, Server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True)
class Result:
    """How a command ended, and what it printed."""

    status: int
    out: str
    err: str


class Dli(Protocol):
    def __call__(self, *arguments: str) -> Result: ...


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project in a clean environment, in the time zone of Seoul."""
    for name in (
        "DLI_ENV",
        "DLI_SERVER_URL",
        "DLI_USER",
        "DLI_DATASETS_DIR",
        "DLI_TOKEN",
        "NO_COLOR",
        "COLUMNS",
    ):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "project"
    (folder / "datasets").mkdir(parents=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home" / ".config"))
    monkeypatch.setenv("DLI_CREDENTIALS", "file")
    monkeypatch.setenv("USER", "dana")
    monkeypatch.setenv("LOGNAME", "dana")
    monkeypatch.setenv("TZ", "Asia/Seoul")
    time.tzset()
    return folder


@pytest.fixture(autouse=True)
def _zone_back() -> Iterator[None]:
    yield
    time.tzset()


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    started = Server()
    started.start()
    yield started
    started.end()


@pytest.fixture
def basecamp(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Basecamp]:
    """A server that the command line finds by ``DLI_SERVER_URL``, on an Airflow that loads by itself."""
    fresh = Basecamp()
    fresh.url = server.url
    server.put(fresh)
    monkeypatch.setenv("DLI_SERVER_URL", server.url)
    processor = DagProcessor(fresh)
    processor.start()
    yield fresh
    processor.end()


@pytest.fixture
def dli(capsys: pytest.CaptureFixture[str]) -> Dli:
    """Run a command in this process."""

    def run(*arguments: str) -> Result:
        capsys.readouterr()
        status = main(arguments)
        out, err = capsys.readouterr()
        return Result(status, out, err)

    return run
