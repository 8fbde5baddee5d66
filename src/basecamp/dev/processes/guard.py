"""The guard: a process that stops the programs of a `basecamp dev` that was killed with SIGKILL.

The guard reads a pipe from the supervisor, which reports the start and end of each session. When the
pipe closes, the guard ends the remaining sessions. Each program reports its session itself, between
fork and exec, and holds the pipe open until exec: the guard knows every program at whatever moment
the supervisor dies. Meanwhile the guard holds the lock of the home.

Programs are tracked by session: Airflow puts each task into a process group of its own, but all
processes stay in the session.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Self, cast

GRACE_SECONDS = 10.0
"""Time to wait after SIGTERM before SIGKILL."""


class Guard:
    """The supervisor's end of the pipe."""

    def __init__(self, held: int) -> None:
        """Start the guard; ``held`` is the file descriptor of the lock, which it keeps open."""
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "basecamp.dev.processes.guard"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[held],
            start_new_session=True,
            bufsize=0,
        )
        self._pipe = cast("IO[bytes]", self._process.stdin)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(BrokenPipeError):
            self._pipe.close()
        self._process.wait()

    def watch_me(self) -> None:
        """Report the session of the calling process; to be called between fork and exec."""
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # a killed guard must not kill this program
        self._tell(f"+{os.getpid()}\n")
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)

    def release(self, session: int) -> None:
        """Report the end of a session."""
        self._tell(f"-{session}\n")

    def _tell(self, line: str) -> None:
        with suppress(BrokenPipeError):  # the guard was killed: continue without it
            self._pipe.write(line.encode())


def end_sessions(left: set[int], *, grace: float) -> None:
    """Terminate sessions; kill those that remain after ``grace`` seconds."""
    for session in left:
        signal_group(session, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while left := {session for session in left if session_members(session)}:
        if time.monotonic() > deadline:
            for session in left:
                kill_session(session)
        time.sleep(0.1)


def main() -> None:
    """Track sessions until the pipe closes, then end the remaining ones."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    watched: set[int] = set()
    for line in sys.stdin:
        change, session = line[0], int(line[1:])
        (watched.add if change == "+" else watched.discard)(session)
    end_sessions(watched, grace=GRACE_SECONDS)


_PROC = Path("/proc")


def session_members(session: int) -> set[int]:
    """Return the running processes of a session, without zombies."""
    return {pid for pid in running_processes() if _session_of(pid) == session}


def belongs_to(pid: int, session: int) -> bool:
    """Say whether a process belongs to a session."""
    return _session_of(pid) == session


def signal_group(session: int, signum: signal.Signals) -> None:
    """Signal the process group of a session's leader, if it still exists."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(session, signum)


def kill_session(session: int) -> None:
    """Kill the running processes of a session; repeat until none remains."""
    for pid in session_members(session):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):
        return None


def running_processes() -> set[int]:
    """Return all running processes, without zombies."""
    if (_PROC / "self" / "stat").exists():
        return {int(entry.name) for entry in _PROC.glob("[0-9]*") if not _ended(entry)}
    listed = subprocess.run(["/bin/ps", "-A", "-o", "pid=,stat="], capture_output=True, text=True, check=True)
    rows = (line.split() for line in listed.stdout.splitlines())
    return {int(pid) for pid, state in rows if not state.startswith("Z")}


def _ended(entry: Path) -> bool:
    try:
        stat = (entry / "stat").read_text(errors="replace")
    except OSError:
        return True
    # The name in parentheses can contain anything; the state follows the last parenthesis.
    return stat.rpartition(")")[2].split()[0] in {"Z", "X"}


if __name__ == "__main__":
    main()
