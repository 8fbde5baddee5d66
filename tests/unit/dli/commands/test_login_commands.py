"""``dli login``, ``logout`` and ``whoami`` against a real server with sign-in."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from basecamp.access import logins as server_logins
from basecamp.access.principal import Grant, Principal, Role
from basecamp.access.tokens import digest_of, key_of
from dli import Client
from dli.client.addresses import parse_address
from dli.credentials.kept import KeptSignIns
from unit.dli.scripted_server import answer, reset, scripted
from unit.dli.signed_in import SignedInServer, approve, deciding, deny
from unit.dli.terminal import on_terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from unit.dli.basecamp import Basecamp
    from unit.dli.conftest import Dli

KEYRINGS = "unit.dli.credentials.keyrings"


@pytest.fixture(scope="module")
def shared_server() -> Iterator[SignedInServer]:
    server = SignedInServer()
    with server.serving():
        yield server


@pytest.fixture
def team_server(shared_server: SignedInServer, monkeypatch: pytest.MonkeyPatch) -> SignedInServer:
    monkeypatch.setenv("DLI_SERVER_URL", shared_server.url)
    monkeypatch.setattr("basecamp.api.routes.access.POLL_SECONDS", 0)
    monkeypatch.setattr(server_logins, "MAX_PER_ADDRESS", 10_000)
    shared_server.services.logins._started._max = 10_000
    return shared_server


def kept_file(team_server: SignedInServer) -> Path:
    return KeptSignIns(os.environ).path(parse_address(team_server.url))


@pytest.mark.rule("26.62")
def test_a_login_shows_code_and_page_and_keeps_the_token_until_logout(
    team_server: SignedInServer, dli: Dli
) -> None:
    with deciding(team_server, approve) as codes:
        login = dli("login")
    file = kept_file(team_server)
    token = json.loads(file.read_text())["token"]
    assert login.status == 0
    assert f"Open {team_server.url}/device?code={codes[0]}\n" in login.err
    assert f"the code: {codes[0]}" in login.err
    assert f"Signed in to {team_server.url} as ada until " in login.out
    assert f"kept in {file}" in login.err
    assert token not in login.out + login.err
    assert (file.stat().st_mode & 0o777, token[:4]) == (0o600, "dli_")

    assert dli("workflow", "list").status == 0
    logout = dli("logout")
    assert (logout.status, logout.out) == (0, f"Signed out of {team_server.url}.\n")
    assert not file.exists()
    refused = dli("workflow", "list", "--server-url", team_server.url)
    assert refused.status == 4
    assert team_server.store.get(key_of(digest_of(token))) is None


@pytest.mark.rule("26.62")
def test_a_login_as_json_has_no_token(team_server: SignedInServer, dli: Dli) -> None:
    with deciding(team_server, approve):
        login = dli("login", "--format", "json")
    shown = json.loads(login.out)
    assert set(shown) == {"server", "name", "kept_in", "expires_at"}
    assert (shown["server"], shown["name"]) == (team_server.url, "ada")
    assert "dli_" not in login.out + login.err


@pytest.mark.rule("26.62")
def test_another_login_replaces_the_token_of_the_first_and_a_failed_one_leaves_none(
    team_server: SignedInServer, dli: Dli, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = []
    for _ in range(2):
        with deciding(team_server, approve):
            assert dli("login").status == 0
        tokens.append(json.loads(kept_file(team_server).read_text())["token"])
    living = [team_server.store.get(key_of(digest_of(token))) is not None for token in tokens]
    assert living == [False, True]

    def full(*_arguments: object, **_options: object) -> None:
        raise OSError(28, "No space left on device", "sign-ins")

    before = set(team_server.services.tokens.all().records)
    monkeypatch.setattr("dli.credentials.keeping.KeptSignIns.write", full)
    with deciding(team_server, approve):
        failed = dli("login")
    assert (failed.status, "No space left" in failed.err) == (1, True)
    assert set(team_server.services.tokens.all().records) == before


@pytest.mark.rule("26.62")
def test_a_denied_login_keeps_nothing(team_server: SignedInServer, dli: Dli) -> None:
    with deciding(team_server, deny):
        login = dli("login")
    assert login.status == 4
    assert login.err.endswith("Error: The sign-in was denied on the page.\n       Try again: dli login\n")
    assert not kept_file(team_server).exists()


@pytest.mark.rule("26.62")
def test_a_login_that_nobody_approves_ends(
    team_server: SignedInServer, dli: Dli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("basecamp.api.routes.access.LIFETIME", server_logins.LIFETIME / 600)
    login = dli("login")
    assert login.status == 4
    assert "Error: The code has ended" in login.err
    assert not kept_file(team_server).exists()


@pytest.mark.rule("26.62")
def test_two_logins_at_once_each_get_a_token(team_server: SignedInServer) -> None:
    results = []

    def login() -> None:
        with Client(team_server.url) as client:
            results.append(client.finish_login(client.begin_login("laptop")))

    with deciding(team_server, approve):
        threads = [threading.Thread(target=login) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert [one.status for one in results] == ["approved", "approved"]
    assert len({one.token for one in results}) == 2
    assert str(results[0].token) not in repr(results[0])


@pytest.mark.rule("26.62")
def test_a_server_that_is_away_in_between_is_waited_for() -> None:
    code = {
        "user_code": "BCDF-GHJK",
        "device_code": "BCDFGHJK.secret",
        "verification_uri": "http://127.0.0.1/device",
        "verification_uri_complete": "http://127.0.0.1/device?code=BCDF-GHJK",
        "expires_in": 600,
        "interval": 0,
    }
    problem = {
        "type": "about:blank",
        "title": "The store does not answer.",
        "status": 503,
        "code": "store_unreachable",
    }
    away = answer(problem, status="503 Service Unavailable", kind="application/problem+json")
    done = {"status": "approved", "token": "dli_x", "name": "ada", "expires_at": "2030-01-01T00:00:00Z"}
    with (
        scripted(answer(code), reset, away, answer({"status": "pending"}), answer(done)) as server,
        Client(server.url) as client,
    ):
        result = client.finish_login(client.begin_login("laptop"))
        assert (result.token, len(server.received)) == ("dli_x", 5)


@pytest.mark.rule("26.62")
def test_ctrl_c_ends_a_login_in_one_line(team_server: SignedInServer) -> None:
    command = [sys.executable, "-m", "dli", "login"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "/device?code=" in process.stderr.readline()
        process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err.strip()) == (130, "", "Interrupted.")


def opening(folder: Path, body: str) -> dict[str, str]:
    """Return the variables of a desktop whose browser is a script."""
    script = folder / "browser"
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(0o755)
    return {"DISPLAY": ":0", "BROWSER": f"{script} %s"}


@pytest.mark.rule("26.62")
@pytest.mark.parametrize("fails", [False, True])
def test_a_browser_is_opened_on_a_desktop_s_terminal_and_may_fail(
    team_server: SignedInServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, fails: bool
) -> None:
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    desktop = opening(tmp_path, "exit 1" if fails else f'echo "$1" > {tmp_path}/opened')
    with deciding(team_server, approve) as codes:
        screen = on_terminal(["login"], environ=desktop)
    assert screen.status == 0
    assert f"Signed in to {team_server.url} as ada" in screen.text
    if not fails:
        assert (tmp_path / "opened").read_text() == f"{team_server.url}/device?code={codes[0]}\n"


@pytest.mark.rule("26.62")
@pytest.mark.parametrize("without", ["terminal", "desktop"])
def test_no_browser_is_opened_without_a_terminal_or_a_desktop(
    team_server: SignedInServer, dli: Dli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without: str
) -> None:
    desktop = opening(tmp_path, f"touch {tmp_path}/opened")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("BROWSER", desktop["BROWSER"])
    with deciding(team_server, approve):
        if without == "terminal":
            monkeypatch.setenv("DISPLAY", ":0")
            assert dli("login").status == 0
        else:
            assert on_terminal(["login"]).status == 0
    assert not (tmp_path / "opened").exists()


@pytest.mark.rule("26.62")
def test_a_login_with_the_variable_set_says_that_the_variable_counts_first(
    team_server: SignedInServer, dli: Dli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DLI_TOKEN", "dli_" + "a" * 43)
    with deciding(team_server, approve):
        login = dli("login")
    assert login.status == 0
    assert "Warning: DLI_TOKEN is set, and counts before this sign-in." in login.err


@pytest.mark.rule("26.62")
def test_a_server_of_before_sign_in_needs_none(dli: Dli) -> None:
    problem = {"type": "about:blank", "title": "There is no such page.", "status": 404, "code": "not_found"}
    with scripted(answer(problem, status="404 Not Found", kind="application/problem+json")) as old:
        login = dli("login", "--server-url", old.url)
    assert (login.status, login.err) == (0, f"{old.url} has no sign-in: nothing to do.\n")


@pytest.mark.rule("26.62")
def test_a_server_without_sign_in_needs_none(basecamp: Basecamp, dli: Dli) -> None:
    login = dli("login")
    assert (login.status, login.err) == (0, f"{basecamp.url} has no sign-in: nothing to do.\n")
    assert dli("logout").err == f"You are not signed in to {basecamp.url}.\n"


@pytest.mark.rule("26.62")
def test_a_folder_that_can_t_be_written_is_said_before_the_person_goes_to_the_page(
    team_server: SignedInServer, dli: Dli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = team_server.pending
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "file"))
    refused = dli("login")
    assert refused.status == 2
    assert "No sign-in can be kept in" in refused.err
    assert team_server.pending == before


@pytest.mark.rule("26.63")
def test_the_token_goes_to_the_keyring_and_the_file_only_says_so(
    team_server: SignedInServer, dli: Dli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DLI_CREDENTIALS")
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", f"{KEYRINGS}.InFile")
    monkeypatch.setenv("KEYRING_FILE", str(tmp_path / "secrets"))
    with deciding(team_server, approve):
        login = dli("login")
    assert "kept in the system's keyring" in login.err
    assert "dli_" not in kept_file(team_server).read_text()
    assert "dli_" in (tmp_path / "secrets").read_text()
    assert dli("workflow", "list").status == 0

    monkeypatch.setenv("DLI_CREDENTIALS", "file")
    left_out = dli("workflow", "list")
    assert left_out.status == 4
    assert "DLI_CREDENTIALS=file leaves out" in left_out.err
    monkeypatch.delenv("DLI_CREDENTIALS")
    assert dli("logout").status == 0
    assert (tmp_path / "secrets").read_text() == "{}"


@pytest.mark.rule("26.63")
@pytest.mark.parametrize(
    ("keyring", "reason"), [("Hanging", "it does not answer within 2 s"), ("Failing", "it fails")]
)
def test_a_keyring_that_can_t_be_used_gives_way_to_a_file(
    team_server: SignedInServer, dli: Dli, monkeypatch: pytest.MonkeyPatch, keyring: str, reason: str
) -> None:
    monkeypatch.delenv("DLI_CREDENTIALS")
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", f"{KEYRINGS}.{keyring}")
    with deciding(team_server, approve):
        login = dli("login")
    assert login.status == 0
    assert f"The token is not kept in the system's keyring: {reason}" in login.err
    assert f"kept in {kept_file(team_server)}" in login.err
    assert "dli_" not in login.err.replace("dli_planted", "")
    assert dli("workflow", "list").status == 0


@pytest.mark.rule("26.63")
def test_a_keyring_that_hangs_later_ends_the_command_within_two_seconds(
    team_server: SignedInServer, dli: Dli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DLI_CREDENTIALS")
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", f"{KEYRINGS}.InFile")
    monkeypatch.setenv("KEYRING_FILE", str(tmp_path / "secrets"))
    with deciding(team_server, approve), monkeypatch.context() as patient:
        patient.setattr("dli.credentials.system_keyring.SECONDS", 120)
        dli("login")
    file = kept_file(team_server)
    file.write_text(file.read_text().replace("InFile", "Hanging"))
    began = time.monotonic()
    refused = dli("workflow", "list")
    assert time.monotonic() - began < 120, "it hangs for an hour"
    assert refused.status == 4
    assert "can't be used: it does not answer within 2 s." in refused.err
    assert "DLI_CREDENTIALS=file dli login" in refused.err


def test_an_unknown_place_for_tokens_is_refused(
    team_server: SignedInServer, dli: Dli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DLI_CREDENTIALS", "wallet")
    refused = dli("login")
    assert (refused.status, refused.err) == (
        2,
        "Error: DLI_CREDENTIALS is 'keyring' or 'file', got 'wallet'.\n",
    )


@pytest.mark.rule("26.65")
def test_a_login_to_a_project_s_server_needs_the_agreement(
    team_server: SignedInServer, dli: Dli, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DLI_SERVER_URL")
    (project / "dli.yaml").write_text(f"server: {{url: {team_server.url}}}\n")
    before = team_server.pending
    refused = dli("login")
    assert refused.status == 4
    assert "dli config trust" in refused.err
    assert team_server.pending == before
    dli("config", "trust")
    with deciding(team_server, approve):
        assert dli("login").status == 0


@pytest.mark.rule("26.68")
def test_whoami_shows_roles_server_place_and_end(team_server: SignedInServer, dli: Dli) -> None:
    with deciding(team_server, approve):
        dli("login")
    shown = dli("whoami")
    assert shown.status == 0
    assert shown.out.splitlines()[:5] == [
        "Name:        ada",
        f"Server:      {team_server.url}",
        "Roles:       editor for @data",
        "             viewer for all datasets",
        f"Credential:  {kept_file(team_server)}",
    ]
    assert shown.out.splitlines()[5].startswith("Expires:     20")
    whole = json.loads(dli("whoami", "--format", "json").out)
    assert (whole["name"], whole["method"], whole["server"]) == ("ada", "token", team_server.url)
    assert whole["grants"] == [{"role": "editor", "teams": ["@data"]}, {"role": "viewer", "teams": None}]
    assert whole["credential"] == str(kept_file(team_server))


@pytest.mark.rule("26.68")
def test_whoami_of_a_server_without_sign_in_says_so(basecamp: Basecamp, dli: Dli) -> None:
    shown = dli("whoami")
    assert "Name:     dana" in shown.out
    assert "everybody who reaches this server may do everything" in shown.out


# Refusals


@pytest.mark.rule("26.67")
def test_without_a_sign_in_the_refusal_is_one_line_with_the_next_step(
    team_server: SignedInServer, dli: Dli
) -> None:
    refused = dli("workflow", "list")
    assert refused.status == 4
    assert refused.err == "Error: This server requires sign-in. Sign in: dli login, or set DLI_TOKEN\n"


@pytest.mark.rule("26.67")
@pytest.mark.parametrize("token", ["dli_" + "a" * 43, "dli_short", "eyJhbGciOiJub25lIn0.e30."])
def test_a_refusal_of_the_variable_s_token_names_the_variable(
    team_server: SignedInServer, dli: Dli, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setenv("DLI_TOKEN", token)
    refused = dli("workflow", "list")
    assert refused.status == 4
    assert len(refused.err.splitlines()) == 1
    assert refused.err.endswith("DLI_TOKEN holds it: set it to a valid token\n")
    assert token not in refused.err


@pytest.mark.rule("26.67")
def test_a_revoked_sign_in_says_to_sign_in_again(team_server: SignedInServer, dli: Dli) -> None:
    with deciding(team_server, approve):
        dli("login")
    kept = json.loads(kept_file(team_server).read_text())
    team_server.services.tokens.revoke_text(kept["token"])
    refused = dli("workflow", "list")
    assert refused.status == 4
    assert refused.err.endswith("Sign in again: dli login\n")
    assert len(refused.err.splitlines()) == 1
    assert dli("logout").status == 0


@pytest.mark.rule("26.67")
def test_an_expired_sign_in_says_that_it_has_expired(team_server: SignedInServer, dli: Dli) -> None:
    with deciding(team_server, approve):
        dli("login")
    kept = json.loads(kept_file(team_server).read_text())
    team_server.services.tokens.revoke_text(kept["token"])
    kept_file(team_server).write_text(json.dumps({**kept, "expires_at": "2024-01-01T00:00:00+00:00"}))
    assert (
        dli("workflow", "list").err
        == f"Error: The sign-in to {team_server.url} has expired. Sign in again: dli login\n"
    )


@pytest.mark.rule("26.67")
def test_a_role_that_is_too_low_has_the_server_s_words(
    team_server: SignedInServer, dli: Dli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "DLI_TOKEN", team_server.token_of(Principal("vera", (Grant(Role.VIEWER),), "session", "issuer vera"))
    )
    refused = dli("workflow", "sync")
    assert refused.status == 4
    assert refused.err.startswith("Error: ")
    assert "DLI_TOKEN" not in refused.err


def test_a_logout_of_a_server_that_is_away_removes_the_token_and_says_until_when_it_counts(
    team_server: SignedInServer, dli: Dli, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scripted(reset) as away:
        kept = KeptSignIns(os.environ)
        with deciding(team_server, approve):
            dli("login")
        data = json.loads(kept_file(team_server).read_text())
        file = kept.path(parse_address(away.url))
        file.write_text(json.dumps({**data, "server": away.url}))
        file.chmod(0o600)
        logout = dli("logout", "--server-url", away.url)
    assert logout.status == 0
    assert "The token could not be revoked, and is valid until" in logout.err
    assert not file.exists()
