"""A team on one server: behind nginx with HTTPS, three people and a pipeline do, and are refused, what the table says.

The server listens on all addresses of this machine and is reached by the proxy's name alone. It works on the real
Airflow and the store that the tests share.
"""

from __future__ import annotations

import json
import os
import re
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
import yaml

import nginx
from integration.basecamp.test_serve import Serve
from lines_here import on_airflow_3
from oidc_provider import AUDIENCE, OidcProvider, oidc_provider
from s3 import free_port
from stacks import BIN, REPOSITORY, Stack

pytestmark = on_airflow_3

SERVER_PAGE = REPOSITORY / "docs" / "server.md"
ACCESS_PAGE = REPOSITORY / "docs" / "access.md"

PEOPLE = {
    "vera": ("viewer",),
    "olga": ("operator", "--team", "@ops"),
    "adam": ("admin",),
}
"""The people, with the options of their tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """A server with sign-in, and the tokens of those who use it."""

    url: str
    stack: Stack
    company: nginx.Company
    provider: OidcProvider
    tokens: dict[str, str] = field(repr=False)

    def token_of(self, who: str) -> str:
        """Return somebody's token; the pipeline's is fresh from its provider."""
        return self.provider.token() if who == "pipeline" else self.tokens[who]

    def dli(self, who: str | None, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `dli` as somebody; as nobody without a name."""
        environ = {"DLI_SERVER_URL": self.url, "SSL_CERT_FILE": str(self.company.bundle)}
        if who is not None:
            environ["DLI_TOKEN"] = self.token_of(who)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("DLI_")}
        return subprocess.run(
            [BIN / "dli", *arguments],
            cwd=self.stack.project,
            env=inherited | environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    def ask(self, who: str, *arguments: str) -> Any:
        """Run a `dli` command that must succeed; return what its JSON says."""
        done = self.dli(who, *arguments, "--format", "json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def refused(self, who: str | None, *arguments: str) -> str:
        """Run a `dli` command that must be refused; return what it says."""
        done = self.dli(who, *arguments)
        assert done.returncode == 4, (arguments, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        return done.stderr

    def api(self, who: str | None = None) -> httpx.Client:
        """Return a client of the API, or of the page."""
        context = ssl.create_default_context(cafile=str(self.company.bundle))
        token = {} if who is None else {"Authorization": f"Bearer {self.token_of(who)}"}
        return httpx.Client(base_url=self.url, verify=context, timeout=120, headers=token)

    def row(self, name: str) -> dict[str, Any]:
        """Return a dataset's row, as the viewer's command line shows it."""
        [row] = self.ask("vera", "workflow", "list", "--dataset", name)
        return dict(row)

    def write(self, team: str) -> str:
        """Write a dataset of a team into the project; return its name."""
        return self.stack.write("select 1", team=team)


@pytest.fixture(scope="module")
def team(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    nginx.program()
    folder = tmp_path_factory.mktemp("team")
    company, ports = nginx.Company(folder), {name: free_port() for name in ("plain", "tls", "basecamp")}
    url = f"https://{nginx.HOST}:{ports['tls']}"
    with oidc_provider() as provider:
        rules = {
            "issuers": [{"issuer": provider.url, "audience": AUDIENCE}],
            "rules": [
                {
                    "issuer": provider.url,
                    "claims": {"repository": "acme/datasets", "ref": "refs/heads/main"},
                    "role": "editor",
                    "teams": ["@data"],
                }
            ],
        }
        (folder / "oidc.yaml").write_text(yaml.safe_dump(rules))
        settings = {
            "BASECAMP_STORE_URL": stack.store_url,
            "BASECAMP_AIRFLOW_URL": stack.airflow_url,
            "BASECAMP_AIRFLOW_AUTH": "none",
            "BASECAMP_AUTH": "tokens,oidc",
            "BASECAMP_OIDC": str(folder / "oidc.yaml"),
            "BASECAMP_PUBLIC_URL": url,
            "BASECAMP_TRUSTED_PROXIES": "127.0.0.1",
        }
        options = ("--host", "0.0.0.0", "--port", str(ports["basecamp"]))
        server = Serve(settings, folder / "basecamp.log", *options)
        tokens = {who: _token(stack, who, *granted) for who, granted in PEOPLE.items()}
        try:
            server.url()
            site = nginx.site(ports, company.certificate, company.key)
            with nginx.running(folder, site, ports["tls"]):
                yield Team(url=url, stack=stack, company=company, provider=provider, tokens=tokens)
        finally:
            server.process.kill()
            server.process.wait()


def _token(stack: Stack, name: str, role: str, *options: str) -> str:
    """Make a token on the server's machine, with the store's address alone."""
    done = subprocess.run(
        [BIN / "basecamp", "token", "create", f"{name}-{free_port()}", "--role", role, *options],
        env={"PATH": os.environ["PATH"], "BASECAMP_STORE_URL": stack.store_url},
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.fullmatch(r"dli_[A-Za-z0-9_-]{43}\n", done.stdout)
    return done.stdout.strip()


@pytest.mark.rule("26.20")
def test_nobody_does_anything_without_a_sign_in(team: Team) -> None:
    name = team.write("@data")
    for command in (["workflow", "list"], ["dataset", "register", name], ["workflow", "run", name]):
        assert "dli login" in team.refused(None, *command)
    with team.api() as nobody:
        assert nobody.get("/api/v1/workflows").status_code == 401
        assert nobody.get("/healthz").status_code == 200
        page = nobody.get("/", headers={"Accept": "text/html"})
        assert page.status_code in {302, 303, 401}


@pytest.mark.rule("26.20")
@pytest.mark.rule("26.70")
def test_each_does_what_their_role_and_team_allow_and_the_audit_log_has_it_all(team: Team) -> None:
    of_data, of_ops = team.write("@data"), team.write("@ops")

    # The pipeline registers what its team owns, and nothing else.
    team.ask("pipeline", "dataset", "register", of_data)
    assert "@ops" in team.refused("pipeline", "dataset", "register", of_ops)
    team.ask("adam", "dataset", "register", of_ops)

    # The viewer sees both, and changes nothing.
    seen = {row["dataset_name"] for row in team.ask("vera", "workflow", "list")}
    assert {of_data, of_ops} <= seen
    assert "operator" in team.refused("vera", "workflow", "run", of_data)
    assert "editor" in team.refused("vera", "dataset", "unregister", of_data, "--yes")

    # The operator of one team sees and runs its datasets alone, and registers none.
    seen = {row["dataset_name"] for row in team.ask("olga", "workflow", "list")}
    assert of_ops in seen
    assert of_data not in seen
    run = team.ask("olga", "workflow", "run", of_ops)
    assert of_data not in team.dli("olga", "workflow", "status", of_data).stdout
    assert "@ops" in team.refused("olga", "workflow", "run", of_data)
    assert "editor" in team.refused("olga", "dataset", "register", of_ops)

    # The admin may do everything, and says why.
    team.ask("adam", "workflow", "pause", of_data, "--reason", "the source is late")
    assert team.row(of_data)["paused_by"].startswith("adam")
    assert team.ask("vera", "workflow", "status", run["run_id"])["requested_by"].startswith("olga")

    # By the API, the same.
    with team.api("vera") as vera, team.api("olga") as olga:
        assert vera.get(f"/api/v1/workflows/{of_data}").status_code == 200
        assert vera.post(f"/api/v1/workflows/{of_data}/unpause").status_code == 403
        assert olga.get(f"/api/v1/workflows/{of_data}").status_code == 404
        assert olga.post(f"/api/v1/workflows/{of_data}/unpause").status_code == 403
    assert team.row(of_data)["paused"]

    # The audit log has what was done, and what was refused; the admin alone reads it.
    entries = team.ask("adam", "audit", "--dataset", of_data)
    told = [(entry["name"].partition("-")[0], entry["action"], entry["outcome"]) for entry in entries]
    assert len([one for one in told if one[2] == "done"]) == 2, told
    assert any(entry["reason"] == "the source is late" for entry in entries)
    assert len([one for one in told if one[2] == "refused"]) >= 4, told
    assert "admin" in team.refused("vera", "audit")
    assert not any(token in json.dumps(entries) for token in team.tokens.values())


class Person:
    """Somebody at a browser, on the page."""

    def __init__(self, team: Team, who: str) -> None:
        self.http = team.api()
        self.http.headers["Origin"] = team.url
        self.http.follow_redirects = True
        self.submit("/sign-in", "/sign-in/token", token=team.token_of(who))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def submit(self, page: str, action: str, **fields: str) -> httpx.Response:
        """Open a page, and send a form of it with what it hides."""
        shown = self.http.get(page).text
        [form, *_] = [part for part in shown.split("<form")[1:] if f'action="{action}"' in part]
        hidden = dict(
            re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form.split("</form>")[0])
        )
        return self.http.post(action, data=hidden | fields)


@pytest.mark.rule("26.20")
def test_the_page_shows_each_what_they_may_do(team: Team) -> None:
    name = team.write("@data")
    team.ask("adam", "dataset", "register", name)
    with Person(team, "vera") as vera, Person(team, "olga") as olga, Person(team, "adam") as adam:
        pause = f"/workflows/{name}/pause"
        seen = vera.http.get(f"/workflows/{name}")
        assert "vera" in seen.text
        assert f'action="{pause}"' not in seen.text
        assert olga.http.get(f"/workflows/{name}").status_code == 404
        assert adam.submit(f"/workflows/{name}", pause).status_code == 200
        assert team.row(name)["paused"]
        assert name in adam.http.get(f"/audit?dataset={name}").text
        assert vera.http.get("/audit").status_code == 403

        # What the page does not show, it refuses; and no other site's page may ask.
        assert vera.http.post(f"/workflows/{name}/unpause").status_code == 403
        adam.http.headers["Origin"] = "https://evil.example.com"
        assert adam.http.post(f"/workflows/{name}/unpause").status_code == 403
        assert team.row(name)["paused"]

        vera.submit("/", "/sign-out")
        assert "vera" not in vera.http.get("/").text


@pytest.mark.rule("26.60")
def test_a_person_signs_in_from_the_command_line_by_the_page(team: Team, tmp_path: Path) -> None:
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "DLI_SERVER_URL": team.url,
        "SSL_CERT_FILE": str(team.company.bundle),
        "DLI_CREDENTIALS": "file",
    }

    def dli(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [BIN / "dli", *arguments],
            cwd=tmp_path,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    assert "dli login" in dli("workflow", "list").stderr
    with subprocess.Popen(
        [BIN / "dli", "login"],
        cwd=tmp_path,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as login:
        assert login.stderr
        shown = ""
        while not (found := re.search(r"/device\?code=([A-Z-]+)", shown)):
            line = login.stderr.readline()
            assert line, shown
            shown += line
        with Person(team, "vera") as vera:
            vera.submit(f"/device?code={found[1]}", "/device", do="approve")
        printed, _ = login.communicate(timeout=120)
    assert login.returncode == 0, printed
    me = json.loads(dli("whoami", "--format", "json").stdout)
    assert "vera" in me["name"]
    assert dli("workflow", "list").returncode == 0
    kept = [
        path for path in tmp_path.rglob("*") if path.is_file() and "dli_" in path.read_text(errors="replace")
    ]
    assert [path.stat().st_mode & 0o077 for path in kept] == [0]
    assert dli("logout").returncode == 0
    assert "dli login" in dli("workflow", "list").stderr


@pytest.mark.rule("26.30")
def test_a_token_that_was_revoked_ends_within_half_a_minute(team: Team) -> None:
    name = f"short-{free_port()}"
    environ = {"PATH": os.environ["PATH"], "BASECAMP_STORE_URL": team.stack.store_url}
    basecamp = [str(BIN / "basecamp"), "token"]
    made = subprocess.run(
        [*basecamp, "create", name, "--role", "viewer"],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    team.tokens["leaver"] = made.stdout.strip()
    team.ask("leaver", "workflow", "list")
    subprocess.run([*basecamp, "revoke", name], env=environ, capture_output=True, check=True)
    deadline = time.monotonic() + 240  # without the revocation the token would be good for a year
    while team.dli("leaver", "workflow", "list").returncode == 0:
        assert time.monotonic() < deadline
        time.sleep(1)


@pytest.mark.rule("26.93")
def test_the_pages_lead_from_nothing_to_a_team(stack: Stack, tmp_path: Path) -> None:
    """Its commands run as they stand, with the addresses of this machine in the place of the examples."""
    nginx.program()
    company, ports = nginx.Company(tmp_path), {name: free_port() for name in ("plain", "tls", "basecamp")}
    here = {
        "s3://data-specs/prod": stack.store_url,
        "https://airflow.example.com": stack.airflow_url,
        "https://basecamp.example.com": f"https://{nginx.HOST}:{ports['tls']}",
        "--port 8800": f"--port {ports['basecamp']}",
        "PASSWORD=…": "PASSWORD=any-will-do",
        # The store is shared with other tests, and living tokens share no name.
        "create first-admin": f"create first-admin-{ports['tls']}",
        "create vera": f"create vera-{ports['tls']}",
        "create ops-pipeline": f"create ops-pipeline-{ports['tls']}",
        "--user vera": f"--user vera-{ports['tls']}",
    }
    section = SERVER_PAGE.read_text(encoding="utf-8").split("## A server for a team")[1].split("\n## ")[0]
    for written, this in here.items():
        assert written in section, written
        section = section.replace(written, this)
    start, *others = re.findall(r"^```bash\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
    *exports, token, serve = start.splitlines()
    settings = dict(line.removeprefix("export ").split("=", 1) for line in exports)
    environ = {
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "SSL_CERT_FILE": str(company.bundle),
        **settings,
    }

    def shell(script: str) -> str:
        done = subprocess.run(
            ["bash", "-euc", script],
            cwd=tmp_path,
            env=environ,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, (script, done.stdout, done.stderr)
        return done.stdout

    shell(token)
    server = Serve(settings, tmp_path / "basecamp.log", *serve.split()[2:])
    try:
        server.url()
        with nginx.running(tmp_path, nginx.site(ports, company.certificate, company.key), ports["tls"]):
            shown = shell("\n".join(others))
            environ |= {"DLI_SERVER_URL": here["https://basecamp.example.com"]}
            environ |= {"DLI_TOKEN": (tmp_path / "first-admin.token").read_text().strip()}
            for block in re.findall(
                r"^```bash\n(.*?)^```", ACCESS_PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
            ):
                # Names of tokens that others have made on this store.
                shell(re.sub(r"(create|revoke) ([\w-]+)", rf"\1 \2-{ports['plain']}", block))
    finally:
        server.process.kill()
        server.process.wait()
    assert f"first-admin-{ports['tls']}" in shown
    assert "refused" in shown
    assert "sync" in shown.rpartition("refused\n")[2], shown
