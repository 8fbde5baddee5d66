"""Measure what a token costs `dli workflow list`: none, from the variable, from a file, and from a desktop's keyring.

`make bench` runs it. It prints Markdown; ``docs/benchmarks.md`` keeps a run with its date.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from commands import machine
from processes import Command, measure, table
from server import BIN, REPOSITORY

sys.path.append(str(REPOSITORY / "tests"))

from desktop_keyring import desktop_keyring
from dli.client.addresses import parse_address
from dli.credentials.kept import KeptSignIn, KeptSignIns
from memory_server import memory_server

TOKEN = "dli_" + "a" * 43
DATASETS = 100
ROUNDS = 31
BASE = "dli workflow list"

STORE = """
import sys
from dli.credentials.system_keyring import store
print(store(sys.argv[1], sys.argv[2], is_interactive=False))
"""


def main() -> None:
    """Measure and print."""
    print(f"{datetime.now(UTC):%Y-%m-%d}, {machine()}\n")
    with tempfile.TemporaryDirectory(prefix="dli-bench-") as name:
        home = Path(name)
        with (
            memory_server(home / "log", "--datasets", str(DATASETS)) as server,
            desktop_keyring(home) as desktop,
        ):
            commands = commands_for(server.url, home, desktop)
            measure(commands)
            print(f"## A token for `{BASE}`\n")
            print(table(commands, beside=BASE))


def commands_for(url: str, home: Path, desktop: Mapping[str, str]) -> list[Command]:
    """Return the same command with its token in each place."""
    stored = subprocess.run(
        [sys.executable, "-c", STORE, url, TOKEN],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **desktop},
    )
    keyring = stored.stdout.strip()
    places: dict[str, dict[str, str]] = {
        BASE: {},
        "with DLI_TOKEN": {"DLI_TOKEN": TOKEN},
        "with a token in a file": kept(url, home / "file", token=TOKEN),
        "with a token in GNOME Keyring": kept(url, home / "keyring", keyring=keyring),
    }
    common = {**desktop, "DLI_SERVER_URL": url, "XDG_CONFIG_HOME": str(home / "none")}
    listing = [str(BIN / "dli"), "workflow", "list"]
    return [Command(name, listing, {**common, **more}, rounds=ROUNDS) for name, more in places.items()]


def kept(url: str, folder: Path, *, token: str | None = None, keyring: str | None = None) -> dict[str, str]:
    """Keep a sign-in in a folder; return the variable that names the folder."""
    environ, address = {"XDG_CONFIG_HOME": str(folder)}, parse_address(url)
    sign_ins = KeptSignIns(environ)
    sign_ins.check_writable()
    ends = datetime.now(UTC) + timedelta(days=30)
    sign_ins.write(
        address, KeptSignIn(server=str(address), name="dana", expires_at=ends, token=token, keyring=keyring)
    )
    return environ


if __name__ == "__main__":
    main()
