"""Replicas of Basecamp: `basecamp serve` as real processes, of this version or of an older one."""

from __future__ import annotations

import io
import os
import re
import signal
import socket
import subprocess
import sys
import tarfile
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from s3 import free_port
from stacks import REPOSITORY

READY_SECONDS = 300
RESIDENT = re.compile(r"VmRSS:\s*(?P<kilobytes>\d+)")
STARTED = re.compile(r"--- (?P<version>\w+) version starts")
END_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Version:
    """A version of the server: the folder with its source."""

    name: str
    source: Path


NEW = Version("new", REPOSITORY / "src")


def older(ref: str, folder: Path) -> Version:
    """Unpack the source of a commit, or a tag, of this repository."""
    command = ["git", "archive", ref, "src", "pyproject.toml"]
    packed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=True)
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")
    _describe(folder)
    return Version("old", folder / "src")


def _describe(folder: Path) -> None:
    """Add the metadata of an installation: older versions look themselves up under another name than today's."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    metadata = folder / "src" / f"{project['name']}-{project['version']}.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")


@dataclass(frozen=True, slots=True)
class Sample:
    """What a process used at a moment."""

    at: float
    megabytes: float
    files: int


@dataclass
class Replica:
    """A server that can be killed, frozen and replaced; its address stays."""

    number: int
    log: Path
    environ: Mapping[str, str]
    version: Version = NEW
    port: int = field(default_factory=free_port)
    samples: list[Sample] = field(default_factory=list)
    """Of the current process."""
    frozen: bool = False
    wanted: bool = False
    """Whether it was started and not killed since: one that has ended all the same did so by itself."""
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def is_running(self) -> bool:
        """Whether its process exists."""
        return self._process is not None and self._process.poll() is None

    @property
    def listens(self) -> bool:
        """Whether it has come up since it was started."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=0.5):
                return self.is_running
        except OSError:
            return False

    def start(self) -> None:
        """Start the process; it is not ready yet."""
        # setpriv: it does not outlive a program that was killed.
        as_child = ["setpriv", "--pdeathsig", "KILL"]
        command = [*as_child, sys.executable, "-P", "-m", "basecamp", "serve", "--host", "127.0.0.1"]
        environ = os.environ | self.environ | {"PYTHONPATH": str(self.version.source)}
        self.samples, self.frozen, self.wanted = [], False, True
        with self.log.open("ab") as output:
            output.write(f"--- {self.version.name} version starts\n".encode())
            output.flush()
            self._process = subprocess.Popen(
                [*command, "--port", str(self.port)],
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def logged(self) -> Iterator[tuple[str, list[str]]]:
        """Yield the lines of each of its processes, with the name of the version and their numbers."""
        version, lines = "", list[str]()
        for number, line in enumerate(self.log.read_text(errors="replace").splitlines(), 1):
            if found := STARTED.fullmatch(line):
                if lines:
                    yield version, lines
                version, lines = found["version"], []
            lines.append(f"{number}: {line}")
        yield version, lines

    def signal(self, signum: signal.Signals) -> None:
        """Send a signal to the process."""
        if self._process is not None:
            self._process.send_signal(signum)

    def kill(self) -> None:
        """Kill the process."""
        self.wanted = False
        self.signal(signal.SIGKILL)
        self._wait()

    def freeze(self) -> None:
        """Stop the process as a machine without memory or a paused container does."""
        self.frozen = True
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen process go on."""
        self.frozen = False
        self.signal(signal.SIGCONT)

    def end(self) -> None:
        """Ask the process to end, as an upgrade does."""
        self.wanted = False
        self.thaw()
        self.signal(signal.SIGTERM)
        try:
            self._wait()
        except subprocess.TimeoutExpired:
            self.kill()

    def _wait(self) -> None:
        if self._process is not None:
            self._process.wait(END_SECONDS)

    def replace(self, version: Version) -> None:
        """Run another version in its place."""
        self.end()
        self.version = version
        self.start()

    def await_ready(self) -> None:
        """Wait until it is ready; start it once more if a fault that is over ended its start."""
        deadline, starts = time.monotonic() + READY_SECONDS, 1
        while not self._is_ready():
            if not self.is_running and starts:
                starts -= 1
                self.start()
            if not self.is_running or time.monotonic() > deadline:
                raise AssertionError(self.log.read_text()[-3000:])
            time.sleep(0.2)

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=10) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def sample(self) -> None:
        """Note what the process uses."""
        if self._process is None or not self.is_running:
            return
        place = Path(f"/proc/{self._process.pid}")
        resident = RESIDENT.search((place / "status").read_text())
        if resident is not None:  # one that is ending has no memory any more
            files = len(list((place / "fd").iterdir()))
            self.samples.append(Sample(time.monotonic(), int(resident["kilobytes"]) / 1024, files))
