"""A real MariaDB server for tests: Debian's, on loopback, with everything in a folder that goes."""

from __future__ import annotations

import getpass
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql
import pytest

from s3 import free_port

NEEDS = "a real MariaDB for tests needs: sudo apt install --no-install-recommends mariadb-server"
READY_SECONDS = 300
STARTS = 3

SETTINGS = {
    "bind-address": "127.0.0.1",
    "character-set-server": "utf8mb4",
    # Nothing has to outlive the server, so nothing has to reach a disk.
    "innodb-flush-log-at-trx-commit": "0",
    "innodb-buffer-pool-size": "32M",
    "skip-log-bin": "",
}


@dataclass(frozen=True, slots=True)
class MariaDB:
    """A running server."""

    port: int

    def connect(self, **options: Any) -> Any:
        """Connect to the server's database ``test``, each statement committed by itself."""
        given: dict[str, Any] = {"database": "test", "charset": "utf8mb4", "autocommit": True, **options}
        return pymysql.connect(host="127.0.0.1", port=self.port, user="root", **given)


@contextmanager
def mariadb_server() -> Iterator[MariaDB]:
    """Start a server; end it, with all that it kept, at the end.

    Skips where MariaDB's programs are not installed, which CI does not allow.
    """
    install, program = shutil.which("mariadb-install-db"), _program()
    if install is None or program is None:
        pytest.skip(NEEDS)
    folder = Path(tempfile.mkdtemp(prefix="mariadb-"))
    try:
        data = folder / "data"
        who = [f"--user={getpass.getuser()}"]  # it refuses to run as root unless it is told to
        options = ["--no-defaults", f"--datadir={data}", *who]
        normal = ["--auth-root-authentication-method=normal", "--skip-test-db"]
        subprocess.run([install, *options, *normal], cwd=folder, capture_output=True, check=True)
        for attempt in range(STARTS):
            log = folder / f"server-{attempt}.log"
            process, server = _start(program, options, folder, log)
            if _is_up(process, server):
                break
        else:
            pytest.fail(log.read_text())
        try:
            yield server
        finally:
            process.kill()
            process.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _program() -> str | None:
    """Return the server's program, which an ordinary user's PATH may not lead to."""
    return shutil.which("mariadbd") or shutil.which("mariadbd", path="/usr/sbin:/usr/local/sbin")


def _start(
    program: str, options: list[str], folder: Path, log: Path
) -> tuple[subprocess.Popen[bytes], MariaDB]:
    server = MariaDB(free_port())
    settings = SETTINGS | {
        "port": str(server.port),
        "socket": str(folder / "socket"),
        "pid-file": str(folder / "pid"),
    }
    given = [f"--{name}={value}" if value else f"--{name}" for name, value in settings.items()]
    # setpriv: it does not outlive a session of tests that was killed.
    command = ["setpriv", "--pdeathsig", "KILL", program, *options, *given]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
    return process, server


def _is_up(process: subprocess.Popen[bytes], server: MariaDB) -> bool:
    """Wait for the server; False if it ended, as it does when its port was taken meanwhile."""
    deadline = time.monotonic() + READY_SECONDS
    while process.poll() is None:
        with (
            suppress(pymysql.OperationalError),
            closing(server.connect(database=None)) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute("create database if not exists test")
            return True
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return False
