"""No secret shows anywhere: marked ones are planted in a real server, and all its output is searched."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from integration.basecamp.conftest import ScriptedServer
from oidc_provider import AUDIENCE, OidcProvider, oidc_provider
from s3 import S3, SECRET_KEY
from served_process import served_process

STARTS_WITHIN_SECONDS = 180
NAME = "sales.daily"
YAML = f"""\
name: {NAME}
type: Dataset
owner: engineer@example.com
query_statement: select 1
schedule:
  cron: "0 9 * * *"
  notifications:
    on_failure: [{{type: slack, channel: "#failures"}}, {{type: email, to: kim@example.com}}]
"""

PLANTED = {
    "BASECAMP_AIRFLOW_PASSWORD": "planted-airflow-password",
    "BASECAMP_SLACK_TOKEN": "xoxb-planted-slack-token",
    "BASECAMP_SMTP_URL": "smtp://robot:planted-smtp-password@127.0.0.1:1",
    "BASECAMP_TARGETS": '{"oncall": "json://robot:planted-target-password@127.0.0.1:1/planted-target-path"}',
    "BASECAMP_OIDC_CLIENT_SECRET": "planted-client-secret",
    "AIRFLOW_CONN_WAREHOUSE": "postgresql://robot:planted-dsn-password@127.0.0.1:1/db",
}
SECRETS = {
    SECRET_KEY,
    "planted-airflow-password",
    "planted-slack-token",
    "planted-smtp-password",
    "planted-target-password",
    "planted-target-path",
    "planted-client-secret",
    "planted-dsn-password",
    "planted-wrong-token",
    "planted-cookie",
    "planted-query",
    "planted-server-password",
}


@pytest.fixture
def provider() -> Iterator[OidcProvider]:
    with oidc_provider() as provider:
        yield provider


@pytest.fixture
def environment(s3: S3, tmp_path: Path, provider: OidcProvider, server: ScriptedServer) -> dict[str, str]:
    server.script = lambda handler: handler.answer(
        500, {"detail": f"{handler.headers.get('Authorization')} {server.asked[-1:]}"}
    )
    file = tmp_path / "oidc.yaml"
    file.write_text(
        f"issuers: [{{issuer: '{provider.url}', audience: {AUDIENCE}}}]\n"
        f"rules: [{{issuer: '{provider.url}', claims: {{sub: '17'}}, role: admin}}]\n"
    )
    return {
        **PLANTED,
        **s3.environ,
        "PATH": os.environ["PATH"],
        "BASECAMP_STORE_URL": s3.url,
        "BASECAMP_AIRFLOW_URL": server.url,
        "BASECAMP_AIRFLOW_USERNAME": "robot",
        "BASECAMP_EMAIL_FROM": "basecamp@example.com",
        "BASECAMP_AUTH": "tokens,oidc",
        "BASECAMP_OIDC": str(file),
        "BASECAMP_LOG_LEVEL": "debug",
        "SYNC_INTERVAL_SECONDS": "5",
    }


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def url(environment: dict[str, str], log: Path) -> Iterator[str]:
    with served_process(environment, log) as address:
        yield address


def run(command: list[str], environment: Mapping[str, str], cwd: Path | None = None) -> tuple[str, str]:
    """Run a program; return what it printed to standard output and to standard error."""
    done = subprocess.run(
        [sys.executable, "-m", *command],
        env=environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout, done.stderr


def answers(url: str, tokens: Mapping[str, str]) -> Iterator[str]:
    """Send requests of all kinds with each credential; yield each answer, with its headers."""
    spec = {"yaml": YAML}
    with httpx.Client(base_url=url, trust_env=False, timeout=60) as http:
        for name, value in tokens.items():
            headers = {"Cookie": value} if name == "cookie" else {"Authorization": value}
            for method, path, body in (
                ("PUT", f"/api/v1/datasets/{NAME}?wait=0", spec),
                ("POST", f"/api/v1/workflows/{NAME}/runs?token=planted-query", {"parameters": {}}),
                ("POST", "/api/v1/notifications/test", {"name": NAME}),
                ("POST", "/api/v1/notifications/test", {"name": "oncall"}),
                ("POST", "/api/v1/sync", None),
                ("POST", "/api/v1/datasets/validate", spec),
                *(("GET", path, None) for path in READS),
            ):
                answer = http.request(method, path, json=body, headers=headers)
                yield f"{method} {answer.request.url.path} {answer.status_code} {dict(answer.headers)} {answer.text}"


READS = (
    "/api/v1/whoami",
    "/api/v1/workflows?access_token=planted-query",
    f"/api/v1/datasets/{NAME}",
    f"/api/v1/datasets/{NAME}/versions",
    "/api/v1/runs",
    "/api/v1/audit",
    "/openapi.json",
    "/readyz",
    "/metrics",
    "/",
    "/runs",
    f"/workflows/{NAME}",
    "/sign-in",
    "/sign-in/callback?code=planted-query&state=planted-query",
    "/nowhere",
)


def command_lines() -> str:
    """Return the command line of every process of this machine."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
        except OSError:
            continue  # it has ended
    return "\n".join(found)


def spellings(secret: str) -> set[str]:
    """Return a secret as it may show: as it is, in a URL, in JSON, and with a user's name in base64."""
    return {secret, quote(secret, safe=""), *(_base64(f"{user}{secret}") for user in ("", "robot:"))}


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.rule("26.5")
def test_no_planted_secret_shows_in_any_output(
    url: str, environment: dict[str, str], provider: OidcProvider, log: Path, s3: S3, tmp_path: Path
) -> None:
    store = {name: environment[name] for name in (*s3.environ, "PATH", "BASECAMP_STORE_URL")}
    made, _ = run(["basecamp", "token", "create", "ci", "--role", "admin"], store)
    token, signed = made.strip(), provider.token(preferred_username="builder")
    wrong = "dli_planted-wrong-token".ljust(47, "x")
    seen: dict[str, Any] = {"token list": run(["basecamp", "token", "list"], store)}

    tokens = {
        "good": f"Bearer {token}",
        "signed": f"Bearer {signed}",
        "broken": f"Bearer {signed[:-6]}AAAAAA",
        "wrong": f"Bearer {wrong}",
        "basic": f"Basic {_base64('robot:planted-wrong-token')}",
        "cookie": "__Host-basecamp=planted-cookie",
    }
    seen["answers"] = list(answers(url, tokens))
    assert any("GET /api/v1/whoami 200" in answer for answer in seen["answers"])

    project = tmp_path / "project"
    project.mkdir()
    (project / "dli.yaml").write_text(
        "connections: {dli_default: {url: 'postgresql://robot:planted-dsn-password@127.0.0.1:1/db'}}\n"
    )
    (project / "datasets").mkdir()
    (project / "datasets" / "dataset.sales.daily.yaml").write_text(YAML)
    at_home = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "DLI_CREDENTIALS": "file"}
    with_password = url.replace("http://", "http://robot:planted-server-password@")
    for value in (token, wrong):
        for server in (url, with_password, "http://robot:planted-server-password@127.0.0.1:1"):
            environ = at_home | {"DLI_TOKEN": value, "DLI_SERVER_URL": server}
            for words in (
                "workflow list",
                "whoami",
                "config show",
                "dataset run sales.daily",
                "audit",
                "version",
            ):
                seen[f"{server} {words}"] = run(["dli", "--verbose", *words.split()], environ, project)

    device = httpx.post(
        f"{url}/api/v1/logins", json={"machine": "laptop"}, trust_env=False, timeout=120
    ).json()
    seen["processes"] = command_lines()
    seen["store"] = {info.key: s3.store().get(info.key) for info in s3.store().list("")}
    assert any(key.startswith("basecamp/audit/") for key in seen["store"])
    seen["log"] = log.read_text()
    for secret in (*SECRETS, token, signed, signed.rpartition(".")[2], wrong, device["device_code"]):
        for text in spellings(secret):
            shown = [name for name, output in seen.items() if text in str(output)]
            assert shown == [], f"{text} shows in {shown}"
