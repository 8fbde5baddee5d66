"""The processes of a session: what a supervised program has started, and its children's children.

Airflow puts each task into a process group of its own, so a signal to one group misses
some; the session is what all of them keep.
"""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")


def members(session: int) -> set[int]:
    """Return the live processes of a session; one that has ended and waits to be reaped is none."""
    return {pid for pid in running() if _session_of(pid) == session}


def belongs(pid: int, session: int) -> bool:
    """Say whether a process is of a session."""
    return _session_of(pid) == session


def signal_group(session: int, signum: signal.Signals) -> None:
    """Signal the process group of a session's leader, if any of it lives."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(session, signum)


def kill(session: int) -> None:
    """Kill every process of a session, children first seen or not, until none is left."""
    for pid in members(session):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):
        return None


def running() -> set[int]:
    """Return every live process."""
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
    # The name in parentheses may hold anything; the state is what follows its end.
    return stat.rpartition(")")[2].split()[0] in {"Z", "X"}
