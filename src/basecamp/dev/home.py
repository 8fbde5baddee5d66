"""The folder in which a `basecamp dev` keeps all that it has."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from basecamp.dev.lines import AIRFLOW_3, Line
from basecamp.dev.processes.guard import GRACE_SECONDS
from basecamp.dev.processes.interrupts import Interrupts
from dataspec.errors import InvalidUsage, Refused
from dataspec.file_lock import try_lock
from dataspec.files import write_atomically

_TEARDOWN_SECONDS = GRACE_SECONDS + 10


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a running `basecamp dev` is reached; kept in ``HOME/dev.json`` while it is up."""

    pid: int
    server_url: str
    airflow_url: str
    store_url: str


@dataclass(frozen=True, slots=True)
class Home:
    """The paths under a home folder.

    One home may run one line of Airflow today and the other tomorrow, on the same store.
    """

    folder: Path
    line: Line = AIRFLOW_3

    @property
    def airflow(self) -> Path:
        """``AIRFLOW_HOME``: Airflow's database and configuration file."""
        return self.folder / f"airflow{self.line.suffix}"

    @property
    def airflow_env(self) -> Path:
        """The environment that Airflow is installed into, unless another is named."""
        return self.folder / f"airflow-env{self.line.suffix}"

    @property
    def store(self) -> Path:
        """The store, unless another is named."""
        return self.folder / "store"

    @property
    def logs(self) -> Path:
        """One log file for each part, and Airflow's logs of tasks."""
        return self.folder / "logs"

    @property
    def secrets(self) -> Path:
        """The keys that Airflow's parts share; readable by the owner alone."""
        return self.folder / "secrets.json"

    @property
    def state(self) -> Path:
        """The addresses of a `basecamp dev` that is up."""
        return self.folder / "dev.json"

    @contextmanager
    def held(self, interrupts: Interrupts) -> Iterator[int]:
        """Make the folder and hold it against a second `basecamp dev`.

        One that was killed may still be taking its parts down: that is waited for.

        Yields:
            The descriptor that the lock is bound to. A process that inherits it keeps
            the home held for as long as it lives.

        Raises:
            InvalidUsage: When the folder can't be made or written to.
            Refused: When a live `basecamp dev` uses the folder; names its process.
            Interrupted: While waiting.
        """
        descriptor = self._lock_file()
        try:
            self._lock(descriptor, interrupts)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
            yield descriptor
        finally:
            os.close(descriptor)

    def _lock_file(self) -> int:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            return os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            reason = error.strerror or str(error)
            raise InvalidUsage(
                f"{self.folder} can't be used: {reason}.", detail="Name another folder: --home DIR"
            ) from error

    def _lock(self, descriptor: int, interrupts: Interrupts) -> None:
        deadline = time.monotonic() + _TEARDOWN_SECONDS
        while not try_lock(descriptor):
            holder = os.pread(descriptor, 20, 0).decode()
            if _alive(holder) or time.monotonic() > deadline:
                raise Refused(
                    f"{self.folder} is in use by another basecamp dev (pid {holder or 'unknown'}).",
                    detail=f"Stop that one (kill {holder}), or give this one a folder of its own: --home DIR",
                )
            interrupts.sleep(0.1)

    @contextmanager
    def announced(self, addresses: Addresses) -> Iterator[None]:
        """Tell other programs where this one is reached, for as long as it is up."""
        write_atomically(self.state, json.dumps(asdict(addresses), indent=2) + "\n")
        try:
            yield
        finally:
            with suppress(FileNotFoundError):
                self.state.unlink()


def _alive(holder: str) -> bool:
    try:
        os.kill(int(holder), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True
