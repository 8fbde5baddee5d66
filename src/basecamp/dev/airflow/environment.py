"""Airflow's own environment: made once, made anew when what it should hold has changed."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from basecamp.dev.airflow.interpreters import Interpreter, interpreter_for, uv
from basecamp.dev.lines import AIRFLOW_3, Line
from basecamp.dev.origin import PACKAGE, Origin
from basecamp.dev.processes.interrupts import Interrupts
from dataspec.errors import Refused
from dataspec.file_lock import try_lock, unlock
from dataspec.files import write_atomically

_STAMP = "basecamp-installed"


class AirflowEnvironment:
    """A folder with a Python of ours, Airflow as locked, and `dli` from where it came from.

    Homes may share one: who uses it holds a shared lock, who makes it anew the only one.
    """

    def __init__(
        self, folder: Path, origin: Origin, line: Line = AIRFLOW_3, *, patience: float = 5.0
    ) -> None:
        """Name the environment; ``patience`` is how long, in seconds, its users may stand in the way."""
        self.folder = folder
        self._origin = origin
        self._patience = patience
        self._line = line

    @property
    def python(self) -> Path:
        """The environment's Python."""
        return self.folder / "bin" / "python"

    def check(self) -> None:
        """Make sure that a Python is here that the line of Airflow runs on.

        Raises:
            InvalidUsage: When there is none.
        """
        _ = self._interpreter

    @cached_property
    def _interpreter(self) -> Interpreter:
        return interpreter_for(self._line)

    @property
    def identity(self) -> str:
        """What the environment should hold, as one hash: Python, Airflow and `dli`."""
        parts = (self._interpreter.identity, self._line.lock_file.read_text(), self._origin.identity)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    @property
    def complete(self) -> bool:
        """Whether it holds that, to the end: the stamp is written last."""
        stamp = self.folder / _STAMP
        return stamp.exists() and stamp.read_text() == self.identity and self.python.exists()

    def commands(self) -> Sequence[tuple[str, Sequence[str]]]:
        """Return the commands that make the environment, in their order, with a name for each."""
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
            PACKAGE,
            *self._origin.requirement,
        )
        return (("python", (uv(), *python)), ("airflow", (uv(), *airflow)), ("dli", (uv(), *dli)))

    @contextmanager
    def ready(self, install: Callable[[], None], interrupts: Interrupts) -> Iterator[None]:
        """Hold the environment as it should be; have it installed first where it is not.

        Args:
            install: Runs :meth:`commands`; called with nobody else using the folder.
            interrupts: Asked while others install.

        Raises:
            Refused: When it has to be made anew and others go on using it.
            Interrupted: While waiting for them.
        """
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        path = self.folder.with_name(f"{self.folder.name}.lock")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            used_since: float | None = None
            while not self._shared(descriptor, install):
                # It is someone's at work if even a shared lock can't be had: that ends by itself.
                used = try_lock(descriptor, shared=True)
                unlock(descriptor)
                used_since = (used_since or time.monotonic()) if used else None
                self._refuse_after(used_since)
                interrupts.sleep(0.2)
            yield
        finally:
            os.close(descriptor)

    def _shared(self, descriptor: int, install: Callable[[], None]) -> bool:
        """Get the shared lock of a complete environment, installing it if nobody uses it."""
        if try_lock(descriptor) and not self.complete:
            install()
            write_atomically(self.folder / _STAMP, self.identity)
        return try_lock(descriptor, shared=True) and self.complete

    def _refuse_after(self, used_since: float | None) -> None:
        if used_since is not None and time.monotonic() - used_since > self._patience:
            raise Refused(
                f"{self.folder} has to be installed anew, and another basecamp dev uses it.",
                detail="Stop that one, or give this one an environment of its own: --airflow-env DIR",
            )
