"""A real PostgreSQL server for tests: Debian's, on loopback, with everything in a folder that goes."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from s3 import free_port

NEEDS = "a real PostgreSQL for tests needs: sudo apt install --no-install-recommends postgresql"
USER = "postgres"
READY_SECONDS = 300
STARTS = 3

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
    # Nothing has to outlive the server, so nothing has to reach a disk.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}


@dataclass(frozen=True, slots=True)
class Postgres:
    """A database of a running server."""

    port: int
    database: str
    programs: Path

    @property
    def url(self) -> str:
        """The address of the database."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{self.database}"

    def fresh(self) -> Postgres:
        """Make another database on the server; return it."""
        name = f"test_{uuid.uuid4().hex}"
        self.ask(f"create database {name}")
        return replace(self, database=name)

    def ask(self, query: str) -> list[list[str]]:
        """Run a query; return its rows as text."""
        psql = [str(self.programs / "psql"), "--no-psqlrc", "--tuples-only", "--no-align", "--quiet"]
        command = [*psql, "--field-separator=\t", "--set=ON_ERROR_STOP=1", self.url, "--command", query]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        return [line.split("\t") for line in done.stdout.splitlines()]


@contextmanager
def postgres_server() -> Iterator[Postgres]:
    """Start a server; end it, with all that it kept, at the end.

    Skips where PostgreSQL's programs are not installed, which CI does not allow.
    """
    programs = _programs()
    if programs is None:
        pytest.skip(NEEDS)
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    try:
        for attempt in range(STARTS):
            process, server = _start(programs, folder / f"data-{attempt}")
            if _is_up(process, server):
                break
        else:
            pytest.fail((folder / f"data-{attempt}.log").read_text())
        try:
            yield server
        finally:
            process.kill()
            process.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _programs() -> Path | None:
    """Return the folder of the newest PostgreSQL's programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    if found:
        return found[-1].parent
    program = shutil.which("initdb")
    return Path(program).resolve().parent if program else None


def _start(programs: Path, data: Path) -> tuple[subprocess.Popen[bytes], Postgres]:
    # It refuses to run as root, and to keep its data where others may write.
    as_user: list[str] = []
    if os.geteuid() == 0:
        user = pwd.getpwnam(USER)
        os.chown(data.parent, user.pw_uid, user.pw_gid)
        as_user = ["setpriv", f"--reuid={USER}", f"--regid={user.pw_gid}", "--clear-groups"]
    initdb = [str(programs / "initdb"), f"--username={USER}", "--auth=trust", "--no-sync", "--encoding=UTF8"]
    command = [*as_user, *initdb, "--locale=C.UTF-8", str(data)]
    subprocess.run(command, cwd=data.parent, capture_output=True, check=True)
    server = Postgres(free_port(), "postgres", programs)
    settings = SETTINGS | {"port": str(server.port), "unix_socket_directories": str(data.parent)}
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    # setpriv: it does not outlive a session of tests that was killed.
    die = as_user or ["setpriv"]
    with data.with_suffix(".log").open("wb") as output:
        process = subprocess.Popen(
            [*die, "--pdeathsig", "KILL", str(programs / "postgres"), "-D", str(data), *options],
            cwd=data.parent,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    return process, server


def _is_up(process: subprocess.Popen[bytes], server: Postgres) -> bool:
    """Wait for the server; False if it ended, as it does when its port was taken meanwhile."""
    ready = [str(server.programs / "pg_isready"), "--quiet", "--host=127.0.0.1", f"--port={server.port}"]
    deadline = time.monotonic() + READY_SECONDS
    while subprocess.run([*ready, f"--username={USER}"], check=False).returncode != 0:
        if process.poll() is not None:
            return False
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return True
