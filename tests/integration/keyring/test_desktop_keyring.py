"""Tokens in a real keyring of a Linux desktop."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from desktop_keyring import desktop_keyring
from dli.client.addresses import parse_address
from dli.credentials.kept import KeptSignIn, KeptSignIns
from unit.dli.scripted_server import answer, scripted

SERVER = "https://basecamp.example.com/prefix"
OTHER = "https://basecamp.example.com"
TOKEN = "dli_planted-secret-0123456789"
SECRET_SERVICE = "keyring.backends.SecretService.Keyring"

PROGRAM = """
import json, sys
from dli.credentials import system_keyring
system_keyring.SECONDS = 120  # a busy machine
results = []
for name, *arguments in json.loads(sys.argv[1]):
    options = {"is_interactive": False} if name == "store" else {}
    try:
        results.append(getattr(system_keyring, name)(*arguments, **options))
    except system_keyring.KeyringUnusable as error:
        results.append(f"unusable: {error}")
print(json.dumps(results))
"""


def results(environ: Mapping[str, str], *calls: list[str]) -> Any:
    """Make calls of the module, in a process as a user's."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHON_KEYRING_BACKEND"}
    command = [sys.executable, "-c", PROGRAM, json.dumps(calls)]
    finished = subprocess.run(command, capture_output=True, env={**inherited, **environ}, check=True)
    return json.loads(finished.stdout)


@pytest.mark.rule("26.63")
def test_a_token_is_stored_read_replaced_and_removed(tmp_path: Path) -> None:
    with desktop_keyring(tmp_path) as environ:
        assert results(
            environ,
            ["store", SERVER, TOKEN],
            ["read", SECRET_SERVICE, SERVER],
            ["read", SECRET_SERVICE, OTHER],
            ["store", SERVER, "dli_next"],
            ["read", SECRET_SERVICE, SERVER],
            ["remove", SECRET_SERVICE, SERVER],
            ["read", SECRET_SERVICE, SERVER],
            ["remove", SECRET_SERVICE, SERVER],
        ) == [SECRET_SERVICE, TOKEN, None, SECRET_SERVICE, "dli_next", None, None, None]


@pytest.mark.rule("26.63")
def test_a_locked_keyring_is_left_locked_and_nobody_is_asked(tmp_path: Path) -> None:
    with desktop_keyring(tmp_path) as environ:
        assert results(environ, ["store", SERVER, TOKEN]) == [SECRET_SERVICE]
    with desktop_keyring(tmp_path, unlocked=False) as environ:
        found = results(
            environ,
            ["read", SECRET_SERVICE, SERVER],
            ["remove", SECRET_SERVICE, SERVER],
            ["store", SERVER, TOKEN],
        )
        assert found == ["unusable: it is locked"] * 3


LOADED = """
import json, sys
from dli.credentials import system_keyring
from dli.main import main
system_keyring.SECONDS = 120  # a busy machine
status = main(["workflow", "list"])
print(json.dumps([status, sorted(name for name in sys.modules if "." not in name)]), file=sys.stderr)
"""
MOST_MILLISECONDS = 30
ROUNDS = 7


def list_cost(environ: Mapping[str, str]) -> float:
    """Return the processor time of ``dli workflow list`` in milliseconds; a call that a busy machine fails costs any."""
    command = [sys.executable, "-m", "dli", "workflow", "list"]
    with subprocess.Popen(command, env={**os.environ, **environ}, stderr=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return math.inf if process.returncode else (usage.ru_utime + usage.ru_stime) * 1000


@pytest.mark.rule("26.69")
def test_a_list_with_a_token_from_the_keyring_sends_it_and_costs_little_more(tmp_path: Path) -> None:
    empty = answer({"items": [], "next_cursor": None})
    with (
        desktop_keyring(tmp_path) as desktop,
        scripted(*[empty] * (2 * ROUNDS + 1)) as server,
    ):
        environ = {**desktop, "DLI_SERVER_URL": server.url, "XDG_CONFIG_HOME": str(tmp_path / "config")}
        without = {**environ, "XDG_CONFIG_HOME": str(tmp_path / "none")}
        results(environ, ["store", server.url, TOKEN])
        kept, address = KeptSignIns(environ), parse_address(server.url)
        kept.check_writable()
        ends = datetime.now(UTC) + timedelta(days=1)
        kept.write(
            address, KeptSignIn(server=server.url, name="dana", expires_at=ends, keyring=SECRET_SERVICE)
        )
        finished = subprocess.run(
            [sys.executable, "-c", LOADED], capture_output=True, env={**os.environ, **environ}, check=True
        )
        status, modules = json.loads(finished.stderr.splitlines()[-1])
        assert status == 0
        assert "jeepney" in modules
        assert not {"keyring", "secretstorage", "cryptography"} & set(modules)
        assert server.received[0].headers["authorization"] == f"Bearer {TOKEN}"

        pairs = [(list_cost(environ), list_cost(without)) for _ in range(ROUNDS)]
        more = min(pair[0] for pair in pairs) - min(pair[1] for pair in pairs)
        assert more <= MOST_MILLISECONDS
