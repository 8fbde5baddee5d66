"""A keyring that is missing, hangs or fails holds no command up, and shows no secret."""

from __future__ import annotations

import socket
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest

from dli.credentials.system_keyring import SECONDS, KeyringUnusable, read, remove, store

if TYPE_CHECKING:
    from pathlib import Path

SERVER = "https://basecamp.example.com"
TOKEN = "dli_planted-secret-0123456789"
KEYRINGS = "unit.dli.credentials.keyrings"
SECRET_SERVICE = "keyring.backends.SecretService.Keyring"
FOR_EVER_SECONDS = 120
"""A keyring that hangs does so for an hour."""


@pytest.fixture(autouse=True)
def _no_desktop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    monkeypatch.delenv("PYTHON_KEYRING_BACKEND", raising=False)


@pytest.fixture
def _is_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for a keyring that answers, however busy the machine is."""
    monkeypatch.setattr("dli.credentials.system_keyring.SECONDS", FOR_EVER_SECONDS)


@pytest.mark.rule("26.63")
def test_a_keyring_that_hangs_is_given_up_after_two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", f"{KEYRINGS}.Hanging")
    for act in (
        partial(store, SERVER, TOKEN, is_interactive=True),
        partial(read, f"{KEYRINGS}.Hanging", SERVER),
    ):
        began = time.monotonic()
        with pytest.raises(KeyringUnusable, match=r"^it does not answer within 2 s$"):
            act()
        assert SECONDS <= time.monotonic() - began < FOR_EVER_SECONDS


@pytest.mark.rule("26.63")
def test_a_session_bus_that_hangs_is_given_up_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX) as bus:
        bus.bind(str(tmp_path / "bus"))
        bus.listen()
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", f"unix:path={tmp_path}/bus")
        began = time.monotonic()
        with pytest.raises(KeyringUnusable):
            read(SECRET_SERVICE, SERVER)
        assert time.monotonic() - began < FOR_EVER_SECONDS


@pytest.mark.rule("26.63")
@pytest.mark.usefixtures("_is_patient")
def test_what_a_keyring_says_is_one_line_without_the_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", f"{KEYRINGS}.Failing")
    with pytest.raises(KeyringUnusable) as failed:
        store(SERVER, TOKEN, is_interactive=False)
    assert str(failed.value) == "it fails (can't encrypt ***)"
    with pytest.raises(KeyringUnusable, match=r"^it fails \(the vault is on fire\)$"):
        read(f"{KEYRINGS}.Failing", SERVER)


@pytest.mark.rule("26.63")
@pytest.mark.usefixtures("_is_patient")
@pytest.mark.parametrize("chosen", [None, "keyring.backends.fail.Keyring", "keyring.backends.null.Keyring"])
def test_a_machine_without_a_keyring_is_told_apart(
    monkeypatch: pytest.MonkeyPatch, chosen: str | None
) -> None:
    if chosen:
        monkeypatch.setenv("PYTHON_KEYRING_BACKEND", chosen)
    with pytest.raises(KeyringUnusable, match=r"^there is none$"):
        store(SERVER, TOKEN, is_interactive=False)
    with pytest.raises(KeyringUnusable, match="there is no session bus"):
        read(SECRET_SERVICE, SERVER)


@pytest.mark.usefixtures("_is_patient")
@pytest.mark.parametrize("keyring", ["no.such.Keyring", "Keyring", f"{KEYRINGS}.Missing"])
def test_a_keyring_that_is_not_installed_any_more_is_no_crash(keyring: str) -> None:
    with pytest.raises(KeyringUnusable, match="it fails"):
        read(keyring, SERVER)


@pytest.mark.rule("26.63")
@pytest.mark.usefixtures("_is_patient")
def test_the_configured_keyring_is_taken_and_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", f"{KEYRINGS}.InFile")
    monkeypatch.setenv("KEYRING_FILE", str(tmp_path / "secrets"))
    keyring = store(SERVER, TOKEN, is_interactive=False)
    monkeypatch.delenv("PYTHON_KEYRING_BACKEND")
    assert (keyring, read(keyring, SERVER)) == (f"{KEYRINGS}.InFile", TOKEN)
    remove(keyring, SERVER)
    assert read(keyring, SERVER) is None
