"""Tokens in a real keyring of a Linux desktop."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from desktop_keyring import desktop_keyring

SERVER = "https://basecamp.example.com/prefix"
OTHER = "https://basecamp.example.com"
TOKEN = "dli_planted-secret-0123456789"
SECRET_SERVICE = "keyring.backends.SecretService.Keyring"

PROGRAM = """
import json, sys
from dli.credentials import system_keyring
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
        began = time.monotonic()
        found = results(
            environ,
            ["read", SECRET_SERVICE, SERVER],
            ["remove", SECRET_SERVICE, SERVER],
            ["store", SERVER, TOKEN],
        )
        assert found == ["unusable: it is locked"] * 3
        assert time.monotonic() - began < 6
