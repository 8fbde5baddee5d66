"""One trace goes from the command through the server into the run's conf, where the environment names a receiver."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from memory_server import MemoryServer, memory_server, name_of
from otlp import OtlpReceiver

RUN = ("workflow", "run", name_of(1), "-p", "execution_date=2024-01-01")


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        yield receiver


@pytest.fixture
def server(receiver: OtlpReceiver, tmp_path: Path) -> Iterator[MemoryServer]:
    with memory_server(tmp_path / "log", "--datasets", "2") as server:
        yield server


def dli(
    server: MemoryServer, tmp_path: Path, *arguments: str, **environ: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "DLI_SERVER_URL": server.url, **environ},
    )


@pytest.mark.rule("42.9")
def test_one_trace_goes_from_the_command_through_the_request(
    server: MemoryServer, receiver: OtlpReceiver, tmp_path: Path
) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    ended = dli(server, tmp_path, *RUN, TRACEPARENT=parent)
    assert ended.returncode == 0, ended.stderr
    command = receiver.until(lambda span: span.service == "dli")
    request = receiver.until(lambda span: span.service == "basecamp" and span.trace == command.trace)
    assert (command.name, command.trace, command.parent) == ("dli workflow run", parent[3:35], parent[36:52])
    assert command.attributes == {"process.exit.code": 0}
    assert (request.name, request.parent) == ("POST /api/v1/workflows/{name}/runs", command.number)
    assert request.attributes["http.response.status_code"] == 201


@pytest.mark.rule("42.9")
def test_a_receiver_that_is_away_changes_nothing_but_a_moment(
    server: MemoryServer, receiver: OtlpReceiver, tmp_path: Path
) -> None:
    receiver.hang()
    for place in (receiver.url, "http://127.0.0.1:1", "nonsense"):
        ended = dli(server, tmp_path, "workflow", "list", OTEL_EXPORTER_OTLP_ENDPOINT=place)
        assert (ended.returncode, ended.stderr) == (0, ""), place


@pytest.mark.rule("42.10")
@pytest.mark.parametrize("off", [{"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, {"OTEL_SDK_DISABLED": "true"}])
def test_without_the_setting_nothing_of_opentelemetry_is_imported(
    off: dict[str, str], tmp_path: Path
) -> None:
    program = (
        "import sys, json; from dli.main import main; main(['version']); before = [*sys.modules]; "
        "import basecamp.server.serving; print(json.dumps([before, [*sys.modules]]))"
    )
    environ = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", **off}
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path, env=environ
    )
    command, server = json.loads(ended.stdout.splitlines()[-1])
    assert not [name for name in command if name.startswith("opentelemetry")]
    # FastAPI imports the API alone, where it is installed.
    assert not [name for name in server if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter"))]
