"""A `basecamp serve` of the test's own, as an operator starts it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

STARTS_WITHIN_SECONDS = 180


@contextmanager
def served_process(environment: Mapping[str, str], log: Path) -> Iterator[str]:
    """Start the server on a free port, with its output in a file; yields its address."""
    with log.open("w") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "basecamp", "serve", "--port", "0"],
            env=dict(environment),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + STARTS_WITHIN_SECONDS
        while "Basecamp listens on " not in log.read_text():
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield log.read_text().split("Basecamp listens on ")[1].split()[0]
    finally:
        server.kill()
        server.wait()
