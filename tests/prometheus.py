"""A real Prometheus for tests: Debian's, on loopback, with the alerts of ``deploy/monitoring``."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from s3 import free_port

NEEDS = "a real Prometheus for tests needs: sudo apt install --no-install-recommends prometheus"
FOLDER = Path(__file__).resolve().parents[1] / "deploy" / "monitoring"
READY_SECONDS = 180

CONFIGURATION = """\
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
rule_files: [{alerts}]
scrape_configs:
  - job_name: basecamp
    static_configs: [{{targets: ["{target}"]}}]
"""


def program(name: str) -> str:
    """Return the path of ``prometheus`` or ``promtool``; skip the test where there is none."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(NEEDS)
    return found


@dataclass(frozen=True)
class Prometheus:
    """A Prometheus that was started."""

    url: str

    def get(self, path: str, **query: str) -> Any:
        """Return the data of an answer of its API."""
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{urlencode(query)}", timeout=60) as answer:
            return json.load(answer)["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return what an expression selects now."""
        found: list[dict[str, Any]] = self.get("query", query=expression)["result"]
        return found


@contextmanager
def prometheus(folder: Path, target: str) -> Iterator[Prometheus]:
    """Start a Prometheus that scrapes one address every second, with its files in a folder."""
    port = free_port()
    configuration = folder / "prometheus.yml"
    configuration.write_text(CONFIGURATION.format(alerts=FOLDER / "alerts.yml", target=target))
    command = [
        program("prometheus"),
        f"--config.file={configuration}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "prometheus.log").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        started = Prometheus(f"http://127.0.0.1:{port}")
        _await_ready(started, process, folder / "prometheus.log")
        yield started
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=180)


def _await_ready(started: Prometheus, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{started.url}/-/ready", timeout=60):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise AssertionError(log.read_text(encoding="utf-8")[-3000:])
