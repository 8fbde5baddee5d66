"""A token goes only to a server that its user has chosen, and never where others could read it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import anyio
import pytest

from dataspec.errors import InvalidSettings, ServerUnreachable
from dli import AsyncClient, Client
from dli.client.addresses import parse_address
from dli.client.protocol import Call, Endpoint
from dli.credentials.kept import KeptSignIn, KeptSignIns
from unit.dli.scripted_server import answer, scripted
from unit.dli.terminal import on_terminal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from unit.dli.conftest import Dli
    from unit.dli.scripted_server import ScriptedServer

TOKEN = "dli_planted-secret-0123456789"
KEPT = "dli_kept-secret-9876543210"
EMPTY = answer({"items": [], "next_cursor": None})
NOTHING = "No dataset is registered. Register one with: dli dataset register NAME\n"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"XDG_CONFIG_HOME": str(tmp_path / "home" / ".config")}


def keep(url: str, environ: Mapping[str, str], token: str = KEPT, *, days: int = 30) -> Path:
    """Keep a sign-in as ``dli login`` does with DLI_CREDENTIALS=file; return its file."""
    address, kept = parse_address(url), KeptSignIns(environ)
    kept.check_writable()
    ends = datetime.now(UTC) + timedelta(days=days)
    kept.write(address, KeptSignIn(server=str(address), name="ada", expires_at=ends, token=token))
    return kept.path(address)


def sent(server: ScriptedServer) -> list[str | None]:
    return [received.headers.get("authorization") for received in server.received]


def named_by_project(project: Path, server: ScriptedServer) -> None:
    (project / "dli.yaml").write_text(f"server: {{url: {server.url}}}\n")


@pytest.mark.rule("26.64")
def test_the_variable_s_token_goes_to_the_server_of_the_option_or_the_variable(
    dli: Dli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DLI_TOKEN", f"{TOKEN}\n")
    with scripted(EMPTY, EMPTY) as server:
        assert dli("workflow", "list", "--server-url", server.url, "--verbose").status == 0
        monkeypatch.setenv("DLI_SERVER_URL", server.url)
        shown = dli("workflow", "list", "--verbose")
        assert sent(server) == [f"Bearer {TOKEN}"] * 2
    assert TOKEN not in shown.out + shown.err


@pytest.mark.rule("26.64")
def test_the_kept_token_goes_to_its_own_server_alone(dli: Dli, environ: dict[str, str]) -> None:
    with scripted(EMPTY) as mine, scripted(EMPTY, EMPTY) as other:
        keep(mine.url, environ)
        dli("workflow", "list", "--server-url", mine.url)
        dli("workflow", "list", "--server-url", other.url)
        dli("workflow", "list", "--server-url", f"{other.url}/prefix")
        assert (sent(mine), sent(other)) == ([f"Bearer {KEPT}"], [None, None])


@pytest.mark.rule("26.64")
def test_the_variable_counts_before_the_kept_token(
    dli: Dli, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DLI_TOKEN", TOKEN)
    with scripted(EMPTY) as server:
        keep(server.url, environ)
        dli("workflow", "list", "--server-url", server.url)
        assert sent(server) == [f"Bearer {TOKEN}"]


@pytest.mark.rule("26.65")
@pytest.mark.parametrize("from_variable", [True, False])
def test_a_server_that_only_a_project_names_gets_no_token_before_the_agreement(
    dli: Dli, project: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, *, from_variable: bool
) -> None:
    with scripted(EMPTY, EMPTY) as server:
        named_by_project(project, server)
        if from_variable:
            monkeypatch.setenv("DLI_TOKEN", TOKEN)
        else:
            keep(server.url, environ)
        refused = dli("workflow", "list")
        assert refused.status == 0
        name = "DLI_TOKEN" if from_variable else "your sign-in"
        assert refused.err.splitlines()[:2] == [
            f"Warning: dli.yaml:1:15: {name} is not sent to {server.url}, because only this file names it.",
            f"         If that is your server, run: dli config trust --path {project}",
        ]
        assert "gets your sign-in" in dli("config", "trust").out
        agreed = dli("workflow", "list")
        assert (agreed.status, agreed.err) == (0, NOTHING)
        assert sent(server) == [None, f"Bearer {TOKEN if from_variable else KEPT}"]


@pytest.mark.rule("26.65")
def test_an_agreement_holds_for_one_server_of_one_project(
    dli: Dli, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DLI_TOKEN", TOKEN)
    with scripted(EMPTY) as first, scripted(EMPTY) as second:
        named_by_project(project, first)
        dli("config", "trust")
        dli("workflow", "list")
        named_by_project(project, second)
        assert "is not sent to" in dli("workflow", "list").err
        assert (sent(first), sent(second)) == ([f"Bearer {TOKEN}"], [None])


@pytest.mark.rule("26.65")
def test_the_environment_of_a_project_names_a_server_no_better(
    dli: Dli, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DLI_TOKEN", TOKEN)
    with scripted(EMPTY, EMPTY) as server:
        (project / "dli.yaml").write_text(f"environments: {{prod: {{server: {{url: {server.url}}}}}}}\n")
        refused = dli("workflow", "list", "--env", "prod")
        assert f"dli config trust --path {project} --env prod" in refused.err
        dli("config", "trust", "--env", "prod")
        dli("workflow", "list", "--env", "prod")
        assert sent(server) == [None, f"Bearer {TOKEN}"]


@pytest.mark.rule("26.65")
def test_a_server_of_the_user_s_own_file_gets_the_token_also_where_the_project_names_it_too(
    dli: Dli, project: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DLI_TOKEN", TOKEN)
    with scripted(EMPTY, EMPTY) as server:
        folder = project.parent / "home" / ".config" / "dli"
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(f"server: {{url: {server.url}}}\n")
        assert dli("workflow", "list").err == NOTHING
        named_by_project(project, server)
        assert dli("workflow", "list").err == NOTHING
        assert sent(server) == [f"Bearer {TOKEN}"] * 2


@pytest.mark.rule("26.65")
def test_on_a_terminal_the_user_is_asked_once(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLI_TOKEN", TOKEN)
    with scripted(EMPTY, EMPTY) as server:
        named_by_project(project, server)
        first = on_terminal(["workflow", "list"], keys=[("Do you agree", "y\n")])
        second = on_terminal(["workflow", "list"])
        assert "as the server that gets your sign-in" in first.text
        assert "Do you agree" not in second.text
        assert sent(server) == [f"Bearer {TOKEN}"] * 2


@pytest.mark.rule("26.66")
@pytest.mark.parametrize(
    "url", ["http://basecamp.example.com:8800", "http://10.1.2.3", "http://127.0.0.1.example.com"]
)
def test_no_token_goes_over_plain_http_to_another_machine(
    dli: Dli, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("DLI_TOKEN", TOKEN)
    refused = dli("workflow", "list", "--server-url", url)
    assert refused.status == 2
    assert refused.err.startswith(f"Error: No token is sent to {url}")
    assert "DLI_PLAIN_HTTP_HOSTS" in refused.err
    assert TOKEN not in refused.err


@pytest.mark.rule("26.66")
def test_a_host_that_the_variable_names_gets_the_token_without_tls() -> None:
    def header(hosts: str) -> str | None:
        endpoint = Endpoint(
            "http://basecamp:8800",
            token=TOKEN,
            user=None,
            timeout_seconds=1,
            environ={"DLI_PLAIN_HTTP_HOSTS": hosts},
            warn=None,
        )
        return endpoint.request(Call("GET", ("workflows",))).headers.get("Authorization")

    assert header("other, Basecamp") == f"Bearer {TOKEN}"
    with pytest.raises(InvalidSettings):
        header("basecamp.example.com")


@pytest.mark.rule("26.66")
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_the_python_client_has_the_same_rule(kind: type) -> None:
    with pytest.raises(InvalidSettings, match="http://basecamp"):
        kind("http://basecamp", token=TOKEN)


@pytest.mark.rule("26.64")
def test_a_redirect_is_not_followed_to_another_server(dli: Dli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLI_TOKEN", TOKEN)
    with scripted(EMPTY) as other:
        there = answer(
            b"", status="307 Temporary Redirect", headers=f"Location: {other.url}/api/v1/workflows\r\n"
        )
        with scripted(there) as server:
            refused = dli("workflow", "list", "--server-url", server.url)
        assert refused.status == 5
        assert "it redirects to" in refused.err
        assert other.received == []


async def _list(server: ScriptedServer) -> None:
    async with AsyncClient(server.url, token=TOKEN) as client:
        await client.list_workflows()


@pytest.mark.rule("26.64")
def test_the_asynchronous_client_sends_the_token_and_follows_no_redirect() -> None:
    with scripted(EMPTY) as other:
        there = answer(b"", status="302 Found", headers=f"Location: {other.url}/\r\n")
        with scripted(EMPTY, there) as server:
            anyio.run(_list, server)
            with pytest.raises(ServerUnreachable, match="Cannot connect"):
                anyio.run(_list, server)
            assert sent(server) == [f"Bearer {TOKEN}"] * 2
        assert other.received == []


@pytest.mark.rule("26.67")
def test_the_python_client_takes_the_variable_only_where_it_takes_the_server_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DLI_TOKEN", TOKEN)
    with scripted(EMPTY, EMPTY, EMPTY) as server:
        monkeypatch.setenv("DLI_SERVER_URL", server.url)
        for client in (Client(), Client(server.url), Client(server.url, token=KEPT)):
            with client:
                client.list_workflows()
        assert sent(server) == [f"Bearer {TOKEN}", None, f"Bearer {KEPT}"]


@pytest.mark.rule("26.67")
def test_no_representation_of_a_client_or_request_shows_the_token() -> None:
    client = Client("http://127.0.0.1:1", token=TOKEN)
    endpoint = client._transport.endpoint
    request = endpoint.request(Call("GET", ("workflows",)))
    shown = [client, client._transport, endpoint, request, AsyncClient("http://127.0.0.1:1", token=TOKEN)]
    assert TOKEN not in "".join(map(repr, shown))
    assert request.headers["Authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize("token", ["two words", "dli_a\nX-Header: b", "dli_ключ", "dli_a\x7f", "a\tb"])
def test_a_malformed_token_is_refused_before_anything_is_sent(
    dli: Dli, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setenv("DLI_TOKEN", token)
    with scripted(EMPTY) as server:
        refused = dli("workflow", "list", "--server-url", server.url)
        assert refused.status == 2
        assert refused.err.startswith("Error: The token is not valid: it has a space")
        assert token not in refused.err
        assert server.received == []


@pytest.mark.parametrize("token", ["", "  ", "\n"])
def test_a_blank_variable_is_none(dli: Dli, monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    monkeypatch.setenv("DLI_TOKEN", token)
    with scripted(EMPTY) as server:
        assert dli("workflow", "list", "--server-url", server.url).status == 0
        assert sent(server) == [None]


def test_a_user_in_the_address_is_the_one_credential_of_a_request(
    dli: Dli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DLI_TOKEN", TOKEN)
    with scripted(EMPTY) as server:
        address = server.url.replace("http://", "http://ada:hunter2@")
        assert dli("workflow", "list", "--server-url", address).status == 0
        assert (sent(server)[0] or "").startswith("Basic ")
    with pytest.raises(InvalidSettings, match="two credentials"):
        Client("https://ada:hunter2@basecamp.example.com", token=TOKEN)


@pytest.mark.rule("26.63")
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602])
def test_a_kept_token_that_others_may_use_is_not_read(dli: Dli, environ: dict[str, str], mode: int) -> None:
    with scripted(EMPTY) as server:
        file = keep(server.url, environ)
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.parent.stat().st_mode & 0o777 == 0o700
        file.chmod(mode)
        refused = dli("workflow", "list", "--server-url", server.url)
        assert refused.status == 2
        assert f"{file} is not read: other users may use it" in refused.err
        assert (KEPT in refused.err, server.received) == (False, [])


@pytest.mark.rule("26.63")
def test_a_kept_token_of_another_user_is_not_read(
    dli: Dli, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with scripted(EMPTY) as server:
        file = keep(server.url, environ)
        monkeypatch.setattr("dataspec.trust.foreign_owners", lambda _file: [65534])
        refused = dli("workflow", "list", "--server-url", server.url)
        assert refused.status == 2
        assert f"{file} is not read" in refused.err
        assert server.received == []


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"server": 1}', json.dumps({"server": "x", "expires_at": "x"})]
)
def test_a_damaged_file_is_named_with_the_next_step(dli: Dli, environ: dict[str, str], text: str) -> None:
    with scripted(EMPTY) as server:
        file = keep(server.url, environ)
        file.write_text(text)
        refused = dli("workflow", "list", "--server-url", server.url)
        assert refused.status == 2
        assert f"Can't read {file}" in refused.err
        assert "dli login" in refused.err
