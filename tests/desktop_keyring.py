"""GNOME Keyring on a session bus of its own, as on a Linux desktop."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

NEEDS = "needs gnome-keyring and dbus: sudo apt install --no-install-recommends gnome-keyring dbus"
READY_SECONDS = 300
_PATIENT = """
import sys
from dli.credentials import system_keyring
from dli.main import main
system_keyring.SECONDS = 120
sys.exit(main())
"""
PATIENT_DLI = [sys.executable, "-c", _PATIENT]
"""The command line, which waits for the keyring of a busy machine."""


@contextmanager
def desktop_keyring(home: Path, *, unlocked: bool = True) -> Iterator[dict[str, str]]:
    """Run a keyring in a home folder, and yield the variables by which programs find it.

    The first one, unlocked, makes the keyring; a later one in the same folder may leave it locked.
    """
    if not shutil.which("gnome-keyring-daemon") or not shutil.which("dbus-daemon"):
        pytest.skip(NEEDS)
    runtime = home / "run"
    runtime.mkdir(mode=0o700, exist_ok=True)
    environ = {"HOME": str(home), "XDG_RUNTIME_DIR": str(runtime), "XDG_DATA_HOME": str(home / ".local")}
    command = ["dbus-daemon", "--session", "--nofork", "--print-address=1"]
    with _program(command, {**os.environ, **environ}) as bus:
        assert bus.stdout is not None
        environ["DBUS_SESSION_BUS_ADDRESS"] = bus.stdout.readline().decode().strip()
        command = ["gnome-keyring-daemon", "--foreground", "--components=secrets"]
        if unlocked:
            command.append("--unlock")
        with _program(command, {**os.environ, **environ}) as daemon:
            assert daemon.stdin is not None
            daemon.stdin.write(b"a password" if unlocked else b"")
            daemon.stdin.close()
            _await_ready(environ)
            yield environ


@contextmanager
def _program(command: list[str], environ: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environ
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def _await_ready(environ: Mapping[str, str]) -> None:
    asked = [
        "dbus-send",
        "--session",
        "--print-reply",
        "--dest=org.freedesktop.DBus",
        "/org/freedesktop/DBus",
    ]
    question = ["org.freedesktop.DBus.NameHasOwner", "string:org.freedesktop.secrets"]
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        answer = subprocess.run(
            [*asked, *question], capture_output=True, env={**os.environ, **environ}, check=False
        )
        if b"true" in answer.stdout:
            return
        time.sleep(0.05)
    raise AssertionError("the keyring did not start")
