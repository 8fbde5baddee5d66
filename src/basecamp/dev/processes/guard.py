"""A process that outlives a killed `basecamp dev` just long enough to take its parts down.

Nothing runs in a process that gets SIGKILL. So a guard holds the other end of a pipe:
it is told of every session that is started and ended, and when the pipe closes, it ends
those that are left. Each part tells it of itself before it becomes the program that it is,
and holds the pipe open until then, so that none is missed at whatever moment the
supervisor dies. The guard holds the home's lock meanwhile, so that nobody starts on top.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import IO, Self, cast

from basecamp.dev.processes import sessions

GRACE_SECONDS = 10.0
"""How long a part may take to end by itself before it is killed."""


class Guard:
    """The supervisor's end of the pipe."""

    def __init__(self, held: int) -> None:
        """Start the guard; ``held`` is a descriptor that it keeps open while it lives."""
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
        """Have the session that this process leads ended, should the supervisor be killed.

        To be called between fork and exec.
        """
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # a guard that was killed is no reason to die
        self._tell(f"+{os.getpid()}\n")
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)

    def release(self, session: int) -> None:
        """Forget a session that has ended."""
        self._tell(f"-{session}\n")

    def _tell(self, line: str) -> None:
        with suppress(BrokenPipeError):  # the guard was killed: the rest goes on without it
            self._pipe.write(line.encode())


def end_sessions(left: set[int], *, grace: float) -> None:
    """Ask every session to end; kill what is left after the grace time, in seconds."""
    for session in left:
        sessions.signal_group(session, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while left := {session for session in left if sessions.members(session)}:
        if time.monotonic() > deadline:
            for session in left:
                sessions.kill(session)
        time.sleep(0.1)


def main() -> None:
    """Follow the supervisor's word until the pipe closes, then end what it left."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    watched: set[int] = set()
    for line in sys.stdin:
        change, session = line[0], int(line[1:])
        (watched.add if change == "+" else watched.discard)(session)
    end_sessions(watched, grace=GRACE_SECONDS)


if __name__ == "__main__":
    main()
