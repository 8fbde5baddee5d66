"""Ports on loopback: finds free ones, and the process that listens on a used one."""

from __future__ import annotations

import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

from dataspec.errors import Refused

LOOPBACK = "127.0.0.1"

_LISTENING = "0A"  # the state's code in /proc/net/tcp


def claim(port: int, *, option: str, other: int | None = None) -> int:
    """Return an available port: the given one, or a free one for 0.

    Args:
        port: The port, or 0.
        option: The option that sets it, for the error message.
        other: A port that is reserved already.

    Raises:
        Refused: When the port is in use; names the process, if possible.
    """
    if port and port == other:
        raise Refused(f"Port {port} is given twice.", detail=f"Choose another port: {option} N")
    claimed = _probed(port, option)
    return claimed if claimed != other else claim(port, option=option, other=other)


def _probed(port: int, option: str) -> int:
    with socket.socket() as probe:
        # As servers do: a port that a server has just released is available.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except PermissionError:
            raise Refused(f"Port {port} needs privileges.", detail=_choose(option)) from None
        except OSError:
            raise _taken(port, option) from None
        bound: int = probe.getsockname()[1]
        return bound


def _taken(port: int, option: str) -> Refused:
    listener = listener_on(port)
    by = f" by {listener}" if listener else ""
    return Refused(f"Port {port} is in use{by}.", detail=f"Stop that process. {_choose(option)}")


def _choose(option: str) -> str:
    return f"Choose another port: {option} N (0 picks a free one)"


@dataclass(frozen=True, slots=True)
class Listener:
    """A process that listens on a port."""

    name: str
    pid: int

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid})"


def listener_on(port: int) -> Listener | None:
    """Return the process that listens on a port; None if there is none, or it belongs to another user."""
    pid = _listener_in_proc(port) if Path("/proc/net/tcp").exists() else _listener_from_lsof(port)
    return Listener(_name_of(pid), pid) if pid is not None else None


def _listener_in_proc(port: int) -> int | None:
    sockets = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    for folder in Path("/proc").glob("[0-9]*/fd"):
        try:
            if any(str(descriptor.readlink()) in sockets for descriptor in folder.iterdir()):
                return int(folder.parent.name)
        except OSError:
            continue  # it exited meanwhile, or belongs to another user
    return None


def _listening_inodes(port: int) -> set[str]:
    tables = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
    rows = [line.split() for table in tables if table.exists() for line in table.read_text().splitlines()[1:]]
    return {row[9] for row in rows if row[3] == _LISTENING and int(row[1].rpartition(":")[2], 16) == port}


def _listener_from_lsof(port: int) -> int | None:
    found = _output_of("lsof", "-nP", "-t", f"-iTCP:{port}", "-sTCP:LISTEN").split()
    return int(found[0]) if found else None


def _name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return _output_of("ps", "-o", "comm=", "-p", str(pid)).strip() or "a process"


def _output_of(program: str, *arguments: str) -> str:
    if not (found := shutil.which(program)):
        return ""
    command = [found, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603 - fixed words
