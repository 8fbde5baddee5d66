"""A terminal for tests: a pseudo-terminal of a given width, with a person at its keyboard."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

CTRL_C = "\x03"
CTRL_D = "\x04"
LONGEST_SECONDS = 300.0


@dataclass(frozen=True)
class Screen:
    """What stood on the screen in the end, and the command's exit status."""

    status: int
    text: str


def on_terminal(
    arguments: Sequence[str],
    *,
    keys: Sequence[tuple[str, str]] = (),
    columns: int = 200,
    environ: Mapping[str, str] | None = None,
    meanwhile: Callable[[str], None] | None = None,
) -> Screen:
    """Run ``dli`` on a terminal.

    Args:
        arguments: What follows ``dli``.
        keys: What the person types, each after a text has appeared.
        columns: The terminal's width.
        environ: Variables beside those of this process.
        meanwhile: Called with the text so far whenever there is more.
    """
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", _AS_A_SESSION, *arguments],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**os.environ, "TERM": "xterm-256color", **(environ or {})},
        start_new_session=True,
    )
    os.close(slave)
    try:
        text = _watch(master, list(keys), meanwhile)
        return Screen(process.wait(LONGEST_SECONDS), text.replace("\r\n", "\n"))
    finally:
        process.kill()
        process.wait()
        os.close(master)


# The terminal must be the session's own, or no key interrupts.
_AS_A_SESSION = """
import fcntl, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from dli.main import main
sys.exit(main())
"""


def _watch(master: int, keys: list[tuple[str, str]], meanwhile: Callable[[str], None] | None) -> str:
    text = ""
    ends = time.monotonic() + LONGEST_SECONDS
    readable = select.poll()  # unlike select(), it takes descriptors above 1,023
    readable.register(master, select.POLLIN)
    while time.monotonic() < ends:
        if not readable.poll(50):
            # Nothing more for now: whoever asked is waiting for the key.
            if keys and keys[0][0] in text:
                os.write(master, keys.pop(0)[1].encode())
            continue
        try:
            data = os.read(master, 65536)
        except OSError:
            data = b""
        if not data:
            return text
        text += data.decode()
        if meanwhile is not None:
            meanwhile(text)
    raise AssertionError(f"the command did not end; on the screen: {text}")
