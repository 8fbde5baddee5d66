"""The home folder of `basecamp dev`: its paths, its lock, and the addresses of the running instance."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from basecamp.dev.processes.guard import GRACE_SECONDS
from basecamp.dev.processes.interrupts import Interrupts
from basecamp.dev.release_lines import AIRFLOW_3, ReleaseLine
from dataspec.errors import InvalidUsage, Refused
from dataspec.file_lock import try_lock
from dataspec.files import write_atomically

_TEARDOWN_SECONDS = GRACE_SECONDS + 10


@dataclass(frozen=True, slots=True)
class Addresses:
    """Addresses of a running `basecamp dev`; in ``HOME/dev.json`` while it runs."""

    pid: int
    server_url: str
    airflow_url: str
    store_url: str


@dataclass(frozen=True, slots=True)
class Home:
    """The paths in a home folder; one home can run each Airflow version in turn, on the same store."""

    folder: Path
    line: ReleaseLine = AIRFLOW_3

    @property
    def airflow(self) -> Path:
        """``AIRFLOW_HOME``: Airflow's database and configuration file."""
        return self.folder / f"airflow{self.line.suffix}"

    @property
    def airflow_env(self) -> Path:
        """Default folder of the Airflow installation."""
        return self.folder / f"airflow-env{self.line.suffix}"

    @property
    def store(self) -> Path:
        """Default folder of the store."""
        return self.folder / "store"

    @property
    def logs(self) -> Path:
        """A log file per program, and Airflow's task logs."""
        return self.folder / "logs"

    @property
    def secrets(self) -> Path:
        """File with Airflow's keys; readable by its owner only."""
        return self.folder / "secrets.json"

    @property
    def state(self) -> Path:
        """File with the addresses of a running `basecamp dev`."""
        return self.folder / "dev.json"

    @contextmanager
    def held(self, interrupts: Interrupts) -> Iterator[int]:
        """Create the folder, and lock it against a second `basecamp dev`.

        Waits for a killed `basecamp dev` whose guard still stops its programs.

        Yields:
            The file descriptor of the lock. A process that inherits it holds the lock until it exits.

        Raises:
            InvalidUsage: When the folder can't be created or written to.
            Refused: When a running `basecamp dev` uses the folder; names its process.
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
                f"Can't use {self.folder}: {reason}.", detail="Choose another folder: --home DIR"
            ) from error

    def _lock(self, descriptor: int, interrupts: Interrupts) -> None:
        deadline = time.monotonic() + _TEARDOWN_SECONDS
        while not try_lock(descriptor):
            holder = os.pread(descriptor, 20, 0).decode()
            if _alive(holder) or time.monotonic() > deadline:
                raise Refused(
                    f"{self.folder} is in use by another basecamp dev (pid {holder or 'unknown'}).",
                    detail=f"Stop it (kill {holder}), or choose another folder: --home DIR",
                )
            interrupts.sleep(0.1)

    @contextmanager
    def announced(self, addresses: Addresses) -> Iterator[None]:
        """Publish the addresses for other programs while this one runs."""
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
