"""What the settings of a project that somebody else wrote may not do (specification 21.6 to 21.8)."""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataspec.environment import expand, variables_in
from dataspec.errors import InvalidSettings, Refused
from dli.config.settings import VARIABLES, Settings
from dli.project.paths import PROJECT_FILES
from unit.dli.scripted_server import answer, scripted
from unit.dli.specs import spec_of
from unit.dli.terminal import on_terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dataspec.trust import Permission
    from unit.dli.conftest import Dli
    from unit.dli.scripted_server import ScriptedServer

SECRET = "AKIA-not-for-foreign_owners"
EMPTY = answer({"items": [], "next_cursor": None})
NOBODY = 65534

SENT = ("user", "server.url", "server.timeout_seconds", "store.url")
"""The settings that are sent to a server, or name one."""


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("DLI_TOKEN", SECRET)
    monkeypatch.delenv("PGPASSWORD", raising=False)


def settings(root: Path, env: str | None = None, **environ: str) -> Settings:
    home = {"HOME": str(root.parent / "home"), "AWS_SECRET_ACCESS_KEY": SECRET, "DLI_TOKEN": SECRET}
    return Settings(root, {"env": env}, {**home, **environ})


def nested(key: str, value: str) -> str:
    """Return a settings file that sets one key."""
    whole: object = value
    for part in reversed(key.split(".")):
        whole = {part: whole}
    return json.dumps(whole)


def user_file(root: Path, text: str) -> None:
    folder = root.parent / "home" / ".config" / "dli"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(text)


def given_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a file or a folder belong to another user."""
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
        return
    real = os.lstat
    other = real(path).st_ino

    def lstat(asked: str | Path) -> os.stat_result:
        found = real(asked)
        return os.stat_result([*found[:4], NOBODY, *found[5:]]) if found.st_ino == other else found

    monkeypatch.setattr("pathlib.Path.lstat", lstat)


# Variables


@pytest.mark.rule("21.6")
@pytest.mark.parametrize("file", PROJECT_FILES)
@pytest.mark.parametrize("env", [None, "prod"])
@pytest.mark.parametrize("key", SENT)
def test_no_file_of_a_project_fills_a_variable_into_what_is_sent_to_a_server(
    project: Path, key: str, env: str | None, file: str
) -> None:
    at = f"environments.{env}.{key}" if env else key
    (project / file).write_text(nested(at, "http://x/${AWS_SECRET_ACCESS_KEY}"))
    with pytest.raises(InvalidSettings) as error:
        settings(project, env).get(key)
    message = f"{error.value.title}\n{error.value.detail}"
    assert message.startswith(f"{file}:1:")
    assert f"may not use the variable AWS_SECRET_ACCESS_KEY in '{key}'" in message
    assert VARIABLES[key] in message
    assert SECRET not in message


@pytest.mark.rule("21.6")
@pytest.mark.parametrize(
    "text", ["${X:-a}${AWS_SECRET_ACCESS_KEY}", "${AWS_SECRET_ACCESS_KEY:-x}", "$${${HOME}"]
)
def test_a_variable_is_found_wherever_it_stands_in_a_value(project: Path, text: str) -> None:
    (project / "dli.yaml").write_text(nested("user", text))
    with pytest.raises(InvalidSettings, match="may not use the variable"):
        _ = settings(project).user


@given(st.text(alphabet="${}:-AB_ x", max_size=30))
def test_a_text_that_names_no_variable_is_the_same_whatever_the_environment_holds(text: str) -> None:
    environ = {a + b: SECRET for a in "AB_x" for b in ("", "A", "B", "_", "x")}
    if not variables_in(text):
        assert expand(text, environ) == expand(text, {})


@pytest.mark.rule("21.6")
def test_the_person_s_own_file_may_fill_in_variables_everywhere(project: Path) -> None:
    user_file(project, "user: ${WHO}\nserver: {url: 'http://${HOST}/$$x', timeout_seconds: '${SECONDS}'}\n")
    found = settings(project, WHO="dana", HOST="basecamp", SECONDS="7")
    assert (found.user, found.server_url, found.timeout_seconds) == ("dana", "http://basecamp/$x", 7)


@pytest.mark.rule("21.6")
def test_a_project_may_write_the_values_themselves(project: Path) -> None:
    (project / "dli.yaml").write_text("user: ci\nserver: {url: 'http://basecamp/$$x'}\n")
    assert (settings(project).user, settings(project).server_url) == ("ci", "http://basecamp/$x")


@pytest.mark.rule("21.6")
def test_a_setting_s_own_variable_may_be_named_since_it_stands_before_the_file(project: Path) -> None:
    (project / "dli.yaml").write_text("server: {url: '${DLI_SERVER_URL:-http://127.0.0.1:8800}'}\n")
    assert settings(project).server_url == "http://127.0.0.1:8800"
    assert settings(project, DLI_SERVER_URL="http://mine").server_url == "http://mine"


@pytest.mark.rule("21.6")
@pytest.mark.parametrize("key", ["connections.x.url", "connections.x.options.password"])
def test_no_connection_of_a_project_names_the_token(project: Path, key: str) -> None:
    text = nested(key, "postgresql://${DLI_TOKEN}@h/d")
    (project / "dli.yaml").write_text(text)
    shown = {setting.key: setting for setting in settings(project).all()}
    assert shown[key].value is None
    assert "may not use the variable DLI_TOKEN" in shown[key].origin


@pytest.mark.rule("21.6")
@pytest.mark.parametrize(
    "arguments", [["workflow", "list"], ["notifications", "test", "x"], ["workflow", "run", "x"]]
)
@pytest.mark.parametrize(
    "text",
    [
        "user: '${{AWS_SECRET_ACCESS_KEY}}'\nserver: {{url: '{url}'}}\n",
        "server: {{url: '{url}/${{AWS_SECRET_ACCESS_KEY}}'}}\n",
        "server: {{url: 'http://me:${{AWS_SECRET_ACCESS_KEY}}@{host}'}}\n",
        "server: {{url: '{url}'}}\nenvironments: {{p: {{user: '${{AWS_SECRET_ACCESS_KEY}}'}}}}\n",
    ],
)
def test_a_server_that_a_cloned_project_names_receives_no_variable(
    dli: Dli, project: Path, monkeypatch: pytest.MonkeyPatch, text: str, arguments: list[str]
) -> None:
    with scripted(EMPTY, EMPTY) as evil:
        host = evil.url.removeprefix("http://")
        (project / "dli.yaml").write_text(text.format(url=evil.url, host=host))
        if "environments" in text:
            monkeypatch.setenv("DLI_ENV", "p")
        result = dli(*arguments)
    assert (result.status, evil.received) == (2, [])
    assert "dli.yaml:" in result.err
    assert SECRET not in result.out + result.err


# Credentials in the server's address


@contextmanager
def server_with_credentials(project: Path) -> Iterator[ScriptedServer]:
    with scripted(EMPTY, EMPTY) as server:
        address = server.url.replace("http://", "http://me:hunter2@")
        (project / "dli.yaml").write_text(f"server: {{url: '{address}'}}\n")
        yield server


@pytest.mark.rule("21.8")
def test_credentials_go_to_a_server_that_a_project_names_after_an_agreement_alone(
    dli: Dli, project: Path
) -> None:
    with server_with_credentials(project) as server:
        refused = dli("workflow", "list")
        assert (refused.status, server.received) == (4, [])
        assert f"dli config trust --path {project}" in refused.err
        assert "hunter2" not in refused.err
        agreed = dli("config", "trust")
        assert (agreed.status, "hunter2" in agreed.out + agreed.err) == (0, False)
        assert f"the address of the server {server.url} holds credentials" in agreed.out
        assert dli("workflow", "list").status == 0
        assert [received.headers["authorization"][:6] for received in server.received] == ["Basic "]
    again = dli("config", "trust")
    assert (again.status, again.out, again.err) == (0, "", "No new permission is needed.\n")
    assert dli("config", "trust", "-f", "json").out == "[]\n"


@pytest.mark.rule("21.8", "22.31")
def test_an_agreement_holds_for_one_project_and_one_server(dli: Dli, project: Path) -> None:
    with server_with_credentials(project):
        dli("config", "trust")
        text = (project / "dli.yaml").read_text()
    other = project.parent / "other"
    other.mkdir()
    (other / "dli.yaml").write_text(text)
    assert dli("workflow", "list", "--path", str(other)).status == 4
    (project / "dli.yaml").write_text(text.replace("127.0.0.1", "127.0.0.2"))
    assert dli("workflow", "list").status == 4


@pytest.mark.rule("22.31")
def test_what_was_agreed_to_is_kept_in_the_person_s_folder_for_the_person_alone(
    dli: Dli, project: Path
) -> None:
    with server_with_credentials(project):
        dli("config", "trust")
    kept = project.parent / "home" / ".config" / "dli" / "trusted.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert list(json.loads(kept.read_text())) == [str(project)]
    assert [path.name for path in kept.parent.iterdir()] == ["trusted.json"]
    kept.write_text("{")
    assert "Remove it" in dli("config", "trust").err
    kept.unlink()
    kept.parent.rmdir()
    kept.parent.write_text("")
    assert "Can't keep what you agreed to" in dli("config", "trust").err


@pytest.mark.rule("21.8")
@pytest.mark.parametrize(("key", "status"), [("y\n", 0), ("n\n", 4)])
def test_at_a_terminal_the_person_is_asked_once(project: Path, key: str, status: int) -> None:
    with server_with_credentials(project) as server:
        screen = on_terminal(["workflow", "list"], keys=[("[y/N]", key)])
        assert (screen.status, len(server.received)) == (status, 1 - bool(status))
        assert "holds credentials" in screen.text
        if not status:
            assert "[y/N]" not in on_terminal(["workflow", "list"]).text


@pytest.mark.rule("21.8")
def test_credentials_in_an_address_of_the_person_s_own_are_sent_without_a_question(
    dli: Dli, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scripted(EMPTY, EMPTY) as server:
        address = server.url.replace("http://", "http://me:hunter2@")
        user_file(project, f"server: {{url: '{address}'}}\n")
        assert dli("workflow", "list").status == 0
        (project / "dli.yaml").write_text("server: {url: 'http://you:x@127.0.0.1:1'}\n")
        monkeypatch.setenv("DLI_SERVER_URL", address)
        assert dli("workflow", "list").status == 0
    assert len(server.received) == 2


# Connections


class Database:
    """A server that asks for a PostgreSQL password, and keeps all that it is sent."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.received = b""
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(120)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                stream, _ = self._listener.accept()
            except OSError:
                return
            with stream:
                stream.settimeout(120)
                while data := stream.recv(4096):
                    self.received += data
                    ssl_asked = data[4:8] in (struct.pack("!I", 80877103), struct.pack("!I", 80877104))
                    stream.sendall(b"N" if ssl_asked else b"R" + struct.pack("!II", 8, 3))
                    if data[:1] == b"p":
                        break


@pytest.fixture
def database(project: Path) -> Iterator[Database]:
    """A database that the connection ``far`` of a dataset leads to."""
    (project / "datasets" / "x.yaml").write_text(spec_of("x") + "execution: {connection: far}\n")
    started = Database()
    yield started
    started.close()


# 127.1 is this machine, but no name of it that dli knows: so it stands for another machine.
FAR = [
    "{{url: 'postgresql://me:${{AWS_SECRET_ACCESS_KEY}}@127.1:{port}/d'}}",
    "{{url: 'postgresql://127.1:{port}/${{AWS_SECRET_ACCESS_KEY}}'}}",
    "{{url: 'postgresql://127.1:{port}/d?password=${{AWS_SECRET_ACCESS_KEY}}'}}",
    "{{url: 'postgresql://127.1:{port}/d', options: {{password: '${{AWS_SECRET_ACCESS_KEY}}'}}}}",
    "{{url: 'postgresql://localhost:{port}/d', options: {{host: 127.1, user: '${{AWS_SECRET_ACCESS_KEY}}'}}}}",
    "{{url: 'postgresql://localhost:{port}/${{AWS_SECRET_ACCESS_KEY}}?hostaddr=127.0.0.1'}}",
]


@pytest.mark.rule("21.8")
@pytest.mark.parametrize("entry", FAR)
def test_a_variable_goes_to_a_database_elsewhere_after_an_agreement_alone(
    dli: Dli, project: Path, database: Database, entry: str
) -> None:
    (project / "dli.yaml").write_text("connections:\n  far: " + entry.format(port=database.port) + "\n")
    refused = dli("dataset", "run", "x")
    assert (refused.status, database.received) == (4, b"")
    assert "dli.yaml:2:14: the connection 'far' sends AWS_SECRET_ACCESS_KEY to " in refused.err
    assert SECRET not in refused.err
    assert dli("dataset", "run", "--all").status == 4
    assert dli("dataset", "run", "x", "--dry-run").status == 0
    assert database.received == b""
    assert "sends AWS_SECRET_ACCESS_KEY" in dli("config", "trust").out
    assert dli("dataset", "run", "x").status != 4
    assert SECRET.encode() in database.received


def test_a_refusal_does_not_show_a_variable_that_names_the_host(dli: Dli, project: Path) -> None:
    (project / "datasets" / "x.yaml").write_text(spec_of("x") + "execution: {connection: far}\n")
    (project / "dli.yaml").write_text(
        "connections: {far: {url: 'trino://${AWS_SECRET_ACCESS_KEY}.example/d'}}\n"
    )
    refused = dli("dataset", "run", "x")
    assert refused.status == 4
    assert "sends AWS_SECRET_ACCESS_KEY to a server that a variable or an option names" in refused.err
    assert SECRET.lower() not in refused.err.lower()


@pytest.mark.rule("21.8")
def test_a_connection_that_changes_is_agreed_to_anew(dli: Dli, project: Path, database: Database) -> None:
    text = "connections:\n  far: " + FAR[0].format(port=database.port) + "\n"
    (project / "dli.yaml").write_text(text)
    dli("config", "trust")
    (project / "dli.yaml").write_text(text.replace("/d'", "/e'"))
    assert (dli("dataset", "run", "x").status, database.received) == (4, b"")


@pytest.mark.rule("21.8")
@pytest.mark.parametrize(
    ("variable", "options", "sent"),
    [
        ("PGPASSWORD", "", "PGPASSWORD"),
        ("PGSERVICE", "", "PGSERVICE"),
        ("X", ", options: {service: mine}", "what the option 'service' points to"),
        ("X", ", options: {passfile: ../pgpass}", "what the option 'passfile' points to"),
    ],
)
def test_credentials_that_a_driver_finds_by_itself_are_agreed_to_as_well(
    dli: Dli,
    project: Path,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    options: str,
    sent: str,
) -> None:
    monkeypatch.setenv(variable, SECRET)
    entry = f"{{url: 'postgresql://me@127.1:{database.port}/d'{options}}}"
    (project / "dli.yaml").write_text(f"connections: {{far: {entry}}}\n")
    refused = dli("dataset", "run", "x")
    assert (refused.status, database.received) == (4, b"")
    assert f"sends {sent} to 127.1" in refused.err


@pytest.mark.rule("21.8")
def test_a_project_can_t_lead_a_connection_of_the_person_s_own_elsewhere(
    dli: Dli, project: Path, database: Database
) -> None:
    user_file(
        project, f"connections: {{far: {{url: 'postgresql://me:hunter2@localhost:{database.port}/d'}}}}\n"
    )
    (project / "dli.yaml").write_text("connections: {far: {options: {host: 127.1}}}\n")
    refused = dli("dataset", "run", "x")
    assert (refused.status, database.received) == (4, b"")
    assert "sends its settings in" in refused.err


@pytest.mark.rule("21.8")
@pytest.mark.parametrize(
    "entry",
    [
        "{{url: 'postgresql://me:${{AWS_SECRET_ACCESS_KEY}}@127.0.0.1:{port}/d'}}",
        "{{url: 'postgresql://me:${{AWS_SECRET_ACCESS_KEY}}@localhost:{port}/d', options: {{sslmode: disable}}}}",
        "{{url: 'postgresql://me:${{NOT_SET:-x}}@127.1:{port}/d'}}",
        "{{url: 'postgresql://me:literal@127.1:{port}/d'}}",
    ],
)
def test_what_stays_on_this_machine_or_is_the_project_s_own_takes_no_agreement(
    dli: Dli, project: Path, database: Database, entry: str
) -> None:
    (project / "dli.yaml").write_text("connections: {far: " + entry.format(port=database.port) + "}\n")
    assert dli("dataset", "run", "x").status != 4
    assert database.received


@pytest.mark.rule("21.8")
def test_a_connection_of_the_person_s_own_takes_no_agreement(
    dli: Dli, project: Path, database: Database
) -> None:
    user_file(project, "connections:\n  far: " + FAR[0].format(port=database.port) + "\n")
    assert dli("dataset", "run", "x").status != 4
    assert SECRET.encode() in database.received


# Owners


@pytest.mark.rule("21.7")
@pytest.mark.parametrize("file", PROJECT_FILES)
def test_a_settings_file_of_another_user_is_not_read(
    dli: Dli, project: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    with scripted(EMPTY, EMPTY) as evil:
        (project / file).write_text(f"server: {{url: '{evil.url}'}}\n")
        given_away(project / file, monkeypatch)
        monkeypatch.chdir(project / "datasets")
        refused = dli("workflow", "list")
        assert (refused.status, evil.received) == (4, [])
        assert f"{project / file}: " in refused.err
        assert "belongs to another user (nobody)" in refused.err
        assert dli("config", "show").status == 4
        assert dli("workflow", "list", "--path", ".").status != 4
        assert evil.received == []
        assert dli("config", "trust").status == 0
        assert dli("workflow", "list").status == 0
    assert len(evil.received) == 1


@pytest.mark.rule("21.7")
@pytest.mark.parametrize("what", ["folder", "link", "link of the link", "target", "folder of the target"])
def test_neither_is_one_behind_a_link_or_in_a_folder_of_another_user(
    project: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    elsewhere = project.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "x.yaml").write_text("name: shop\n")
    (project / "between.yaml").symlink_to(elsewhere / "x.yaml")
    (project / "dli.yaml").symlink_to("between.yaml")
    paths = {
        "folder": project,
        "link": project / "dli.yaml",
        "link of the link": project / "between.yaml",
        "target": elsewhere / "x.yaml",
        "folder of the target": elsewhere,
    }
    assert settings(project).get("name").value == "shop"
    given_away(paths[what], monkeypatch)
    with pytest.raises(Refused, match="belongs to another user"):
        settings(project).get("name")


@pytest.mark.rule("21.7")
def test_the_person_s_own_file_must_be_the_person_s(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user_file(project, "user: mallory\n")
    given_away(project.parent / "home" / ".config" / "dli" / "config.yaml", monkeypatch)
    with pytest.raises(Refused, match="belongs to another user"):
        _ = settings(project).user


@pytest.mark.rule("21.7")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root has another user's rights")
def test_under_sudo_the_files_of_the_person_who_called_it_are_read(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "dli.yaml").write_text("name: shop\n")
    given_away(project / "dli.yaml", monkeypatch)
    monkeypatch.setenv("SUDO_UID", str(NOBODY))
    assert settings(project).get("name").value == "shop"


@pytest.mark.rule("21.7")
def test_completion_asks_nothing_and_reads_nothing_of_another_user(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "dli.yaml").write_text("name: shop\n")
    given_away(project / "dli.yaml", monkeypatch)
    asked: list[Permission] = []

    def ask(permission: Permission) -> bool:
        asked.append(permission)
        return True

    with pytest.raises(Refused):
        _ = Settings(project, {}, {"HOME": str(project.parent)}, ask).datasets_dir
    assert asked == []


# Folders and links


@pytest.mark.rule("21.12")
@pytest.mark.parametrize("value", ["..", "../outside", "/", "datasets/../.."])
@pytest.mark.parametrize("file", PROJECT_FILES)
def test_the_folder_of_the_specs_lies_in_the_project(project: Path, file: str, value: str) -> None:
    (project / file).write_text(nested("datasets_dir", value))
    with pytest.raises(InvalidSettings, match="is outside the project"):
        _ = settings(project).datasets_dir


@pytest.mark.rule("21.12")
def test_a_linked_folder_of_specs_that_leads_out_of_the_project_is_refused(project: Path) -> None:
    (project / "datasets").rmdir()
    (project / "datasets").symlink_to(project.parent)
    with pytest.raises(InvalidSettings, match="is outside the project"):
        _ = settings(project).datasets_dir
    assert settings(project, DLI_DATASETS_DIR="..").datasets_dir == project / ".."


# What is shown


@pytest.mark.rule("21.10")
@pytest.mark.parametrize("format_", ["table", "json"])
def test_config_show_never_shows_the_value_of_a_secret_variable(
    dli: Dli, project: Path, format_: str
) -> None:
    (project / "dli.yaml").write_text(
        "connections: {a: {url: 'x://${AWS_SECRET_ACCESS_KEY}/d', options: {plain: '${AWS_SECRET_ACCESS_KEY}',"
        " here: '${HOME}'}}}\n"
    )
    result = dli("config", "show", "-f", format_)
    assert result.status == 0
    assert SECRET not in result.out + result.err
    assert os.environ["HOME"] in result.out


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:${AWS_SECRET_ACCESS_KEY}/x@127.0.0.1/d",
        "postgresql://h:${AWS_SECRET_ACCESS_KEY}/d",
        "postgresql://[${AWS_SECRET_ACCESS_KEY}/d",
        "postgresql://${AWS_SECRET_ACCESS_KEY}\u2100@h/d",
    ],
)
def test_a_connection_that_can_t_be_read_is_told_without_its_secrets(
    dli: Dli, project: Path, url: str
) -> None:
    (project / "datasets" / "x.yaml").write_text(spec_of("x") + "execution: {connection: far}\n")
    (project / "dli.yaml").write_text(f"connections: {{far: {{url: '{url}'}}}}\n")
    result = dli("dataset", "run", "x")
    assert result.status == 2
    assert "dli.yaml:1:" in result.err
    assert SECRET not in result.out + result.err
