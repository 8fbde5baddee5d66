"""One supervised program: started in a session of its own, its output in a log file."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import SEEK_END
from pathlib import Path

from basecamp.dev.processes import sessions
from basecamp.dev.processes.guard import Guard
from dataspec.errors import Unavailable

_TAIL_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What is run: a name for people, a command, its environment and its log."""

    name: str
    command: Sequence[str]
    environ: Mapping[str, str]
    folder: Path
    log: Path


class Process:
    """A program that was started.

    It leads a session of its own, so a terminal's Ctrl-C reaches only the supervisor,
    and whatever it starts can be found again (:mod:`basecamp.dev.processes.sessions`).
    """

    def __init__(self, program: Program, guard: Guard) -> None:
        """Start the program; its log begins anew, the last one is kept beside it.

        Raises:
            Unavailable: When it can't be started.
        """
        self.program = program
        self._guard = guard
        _rotate(program.log)
        try:
            self._popen = _started(program, guard)
        except OSError as error:
            raise Unavailable(f"{program.name} can't be started.", detail=str(error)) from error

    @property
    def name(self) -> str:
        """What people call the program."""
        return self.program.name

    @property
    def pid(self) -> int:
        """The process's id, and its session's."""
        return self._popen.pid

    @property
    def exit_status(self) -> int | None:
        """How the program ended, negative for a signal; None while it runs."""
        return self._popen.poll()

    @property
    def end(self) -> str:
        """How the program ended, in words."""
        status = self.exit_status
        if status is None:
            return "is running"
        if status < 0:
            return f"was killed by {signal.Signals(-status).name}"
        return f"ended with exit status {status}"

    def gone(self) -> bool:
        """Say whether the program and all that it started have ended."""
        if self.exit_status is None or sessions.members(self.pid):
            return False
        self._guard.release(self.pid)
        return True

    def owns(self, pid: int) -> bool:
        """Say whether a process is the program, or was started by it."""
        return sessions.belongs(pid, self.pid)

    def terminate(self) -> None:
        """Ask the program to end (SIGTERM to its process group)."""
        sessions.signal_group(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """End the program and all that it started, at once."""
        sessions.kill(self.pid)

    def last_lines(self, count: int) -> list[str]:
        """Return the end of the log."""
        with self.program.log.open("rb") as log:
            log.seek(max(0, log.seek(0, SEEK_END) - _TAIL_BYTES))
            return log.read().decode(errors="replace").splitlines()[-count:]


def _started(program: Program, guard: Guard) -> subprocess.Popen[bytes]:
    with program.log.open("wb") as log:
        return subprocess.Popen(  # noqa: S603 - what is run is this package's own
            program.command,
            env=program.environ,
            cwd=program.folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=guard.watch_me,  # noqa: PLW1509 - `basecamp dev` has no other thread
        )


def _rotate(log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists():
        log.replace(log.with_suffix(".1.log"))
