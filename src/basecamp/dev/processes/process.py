"""A supervised program: runs in its own session, with its output in a log file."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import SEEK_END
from pathlib import Path

from basecamp.dev.processes.guard import Guard, belongs_to, kill_session, session_members, signal_group
from dataspec.errors import Unavailable

_TAIL_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program to run: display name, command, environment, working directory and log file."""

    name: str
    command: Sequence[str]
    environ: Mapping[str, str]
    folder: Path
    log: Path


class Process:
    """A running program.

    It leads its own session: a terminal's Ctrl-C reaches only the supervisor, and all processes that
    the program starts can be found (:mod:`basecamp.dev.processes.guard`).
    """

    def __init__(self, program: Program, guard: Guard) -> None:
        """Start the program with a new log file; the previous one is kept as ``*.1.log``.

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
        """Display name of the program."""
        return self.program.name

    @property
    def pid(self) -> int:
        """Id of the process and of its session."""
        return self._popen.pid

    @property
    def exit_status(self) -> int | None:
        """Exit status, negative for a signal; None while it runs."""
        return self._popen.poll()

    @property
    def end(self) -> str:
        """How the program ended, in words."""
        status = self.exit_status
        if status is None:
            return "is running"
        if status < 0:
            return f"was killed by {signal.Signals(-status).name}"
        return f"exited with status {status}"

    def gone(self) -> bool:
        """Say whether the program and all its descendants have exited."""
        if self.exit_status is None or session_members(self.pid):
            return False
        self._guard.release(self.pid)
        return True

    def owns(self, pid: int) -> bool:
        """Say whether a process is the program or a descendant of it."""
        return belongs_to(pid, self.pid)

    def terminate(self) -> None:
        """Send SIGTERM to the program's process group."""
        signal_group(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Kill the program and all its descendants."""
        kill_session(self.pid)

    def last_lines(self, count: int) -> list[str]:
        """Return the end of the log."""
        with self.program.log.open("rb") as log:
            log.seek(max(0, log.seek(0, SEEK_END) - _TAIL_BYTES))
            return log.read().decode(errors="replace").splitlines()[-count:]


def _started(program: Program, guard: Guard) -> subprocess.Popen[bytes]:
    with program.log.open("wb") as log:
        return subprocess.Popen(  # noqa: S603 - the commands are this package's own
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
