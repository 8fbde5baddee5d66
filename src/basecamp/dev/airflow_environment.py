"""Airflow's virtual environment: created once, and recreated when Python, the lock file or `dli` changes."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import Distribution, PackageNotFoundError
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from basecamp.dev.processes.interrupts import Interrupts
from basecamp.dev.release_lines import AIRFLOW_3, ReleaseLine
from dataspec import distribution
from dataspec.errors import InternalError, InvalidSettings, InvalidUsage, Refused
from dataspec.file_lock import try_lock, unlock
from dataspec.files import write_atomically

_STAMP = "basecamp-installed"


class AirflowEnvironment:
    """A virtual environment with Airflow as locked, and with the same `dli` as the running one.

    Homes can share one: its users hold a shared lock, and its installation an exclusive lock.
    """

    def __init__(
        self, folder: Path, origin: Origin, line: ReleaseLine = AIRFLOW_3, *, patience: float = 5.0
    ) -> None:
        """Create the object; ``patience`` is the time in seconds to wait for other users before a reinstallation."""
        self.folder = folder
        self._origin = origin
        self._patience = patience
        self._line = line

    @property
    def python(self) -> Path:
        """The environment's Python."""
        return self.folder / "bin" / "python"

    def check(self) -> None:
        """Check that this machine has a Python that the release line supports.

        Raises:
            InvalidUsage: When it has none.
        """
        _ = self._interpreter

    @cached_property
    def _interpreter(self) -> Interpreter:
        return interpreter_for(self._line)

    @property
    def identity(self) -> str:
        """Hash of the expected content: Python, Airflow and `dli`."""
        parts = (self._interpreter.identity, self._line.lock_file.read_text(), self._origin.identity)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    @property
    def complete(self) -> bool:
        """Whether it has the expected content; the stamp is written last."""
        stamp = self.folder / _STAMP
        return stamp.exists() and stamp.read_text() == self.identity and self.python.exists()

    def commands(self) -> Sequence[tuple[str, Sequence[str]]]:
        """Return the commands of the installation in order, each with a name."""
        into = ("--python", str(self.python))
        made_with = ("--no-python-downloads", "--python", self._interpreter.program)
        python = ("venv", "--clear", *made_with, str(self.folder))
        airflow = ("pip", "sync", *into, "--require-hashes", str(self._line.lock_file))
        dli = (
            "pip",
            "install",
            *into,
            "--no-deps",
            "--reinstall-package",
            distribution.NAME,
            *self._origin.requirement,
        )
        return (("python", (uv(), *python)), ("airflow", (uv(), *airflow)), ("dli", (uv(), *dli)))

    @contextmanager
    def ready(self, install: Callable[[], None], interrupts: Interrupts) -> Iterator[None]:
        """Lock the environment for use; install it first if it is missing or outdated.

        Args:
            install: Runs :meth:`commands`; called under the exclusive lock.
            interrupts: Interrupts the wait for others.

        Raises:
            Refused: When it must be reinstalled, but another process keeps using it.
            Interrupted: While waiting for them.
        """
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        path = self.folder.with_name(f"{self.folder.name}.lock")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            used_since: float | None = None
            while not self._shared(descriptor, install):
                # Without even a shared lock, another process is installing: wait until it is done.
                used = try_lock(descriptor, shared=True)
                unlock(descriptor)
                used_since = (used_since or time.monotonic()) if used else None
                self._refuse_after(used_since)
                interrupts.sleep(0.2)
            yield
        finally:
            os.close(descriptor)

    def _shared(self, descriptor: int, install: Callable[[], None]) -> bool:
        """Take the shared lock of a complete environment; install it if no other process uses it."""
        if try_lock(descriptor) and not self.complete:
            install()
            write_atomically(self.folder / _STAMP, self.identity)
        return try_lock(descriptor, shared=True) and self.complete

    def _refuse_after(self, used_since: float | None) -> None:
        if used_since is not None and time.monotonic() - used_since > self._patience:
            raise Refused(
                f"{self.folder} must be reinstalled, but another basecamp dev uses it.",
                detail="Stop it, or choose another folder: --airflow-env DIR",
            )


_OLDEST = "3.11"
"""The oldest Python version that `dli` supports."""
_DESCRIBE = "import sys; print(sys.version, sys.base_prefix, sep='\\0', end='')"


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python interpreter."""

    program: str
    identity: str
    """Its version and path; when it changes, environments must be recreated."""


def interpreter_for(line: ReleaseLine, running: tuple[int, int] = sys.version_info[:2]) -> Interpreter:
    """Return the running Python, or one that uv finds if the running one is too new for a release line.

    Args:
        line: The release line of Airflow.
        running: Version of the running Python.

    Raises:
        InvalidUsage: When there is none that the release line supports.
        InvalidSettings: When uv is missing.
    """
    if running < line.python_before:
        return Interpreter(sys.executable, f"{sys.version}\0{sys.base_prefix}")
    before = ".".join(map(str, line.python_before))
    program = _output(
        uv(), "python", "find", "--system", "--no-project", "--no-python-downloads", f">={_OLDEST},<{before}"
    )
    if program is None:
        raise InvalidUsage(
            f"Airflow {line.name} does not run on Python {running[0]}.{running[1]}.",
            detail=f"Also install a Python from {_OLDEST} up to, but not including, {before}; basecamp dev finds it on PATH.",
        )
    return Interpreter(program, _output(program, "-c", _DESCRIBE) or program)


def uv() -> str:
    """Return the path of uv.

    Raises:
        InvalidSettings: When it is not installed.
    """
    try:
        from uv import find_uv_bin

        return find_uv_bin()
    except (ImportError, FileNotFoundError):
        raise InvalidSettings(
            "basecamp dev needs uv to install Airflow.",
            detail=f"Install it: {distribution.install_command('dev')}",
        ) from None


def _output(*command: str) -> str | None:
    """Return a command's output; None if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - uv, or a Python that it found
    return done.stdout.strip() if done.returncode == 0 else None


@dataclass(frozen=True, slots=True)
class Origin:
    """The source to install the same `dli` from."""

    requirement: Sequence[str]
    """Arguments for ``uv pip install``."""
    identity: str
    """Changes when a new installation would differ from the earlier one."""


def running_origin() -> Origin:
    """Return the origin of the running `dli` (PEP 610).

    Raises:
        InternalError: When it is not an installed distribution.
    """
    try:
        return origin_of(Distribution.from_name(distribution.NAME))
    except PackageNotFoundError:
        raise InternalError(
            f"{distribution.NAME} is not installed in this Python.",
            detail=f"Install it, for example: {distribution.install_command('dev')}",
        ) from None


def origin_of(installed: Distribution) -> Origin:
    """Return the origin of an installed distribution.

    The identity of an editable installation is its metadata, because its code is the source itself.
    For any other it is the hashes of the files.
    """
    recorded = json.loads(installed.read_text("direct_url.json") or "{}")
    if recorded.get("dir_info", {}).get("editable"):
        source = _path(recorded["url"])
        return Origin(
            ("--editable", str(source)), f"{source} {_digest((source / 'pyproject.toml').read_text())}"
        )
    requirement = _requirement(recorded) or f"{distribution.NAME}=={installed.version}"
    return Origin((requirement,), f"{requirement} {_digest(installed.read_text('RECORD') or '')}")


def _requirement(recorded: dict[str, Any]) -> str | None:
    if not recorded:
        return None
    url: str = recorded["url"]
    if version_control := recorded.get("vcs_info"):
        return f"{distribution.NAME} @ {version_control['vcs']}+{url}@{version_control['commit_id']}"
    return f"{distribution.NAME} @ {url}"


def _path(url: str) -> Path:
    return Path(url2pathname(urlsplit(url).path))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
