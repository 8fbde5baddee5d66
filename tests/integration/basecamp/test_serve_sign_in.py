"""`basecamp serve` with sign-in, as an operator starts it: tokens from the command line, and a provider's."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from oidc_provider import AUDIENCE, OidcProvider, oidc_provider
from served_process import served_process

REVOKED_WITHIN_SECONDS = 180
"""Half a minute, on a machine that is not busy; a server that did not ask again would know the token for an hour."""


@pytest.fixture
def provider() -> Iterator[OidcProvider]:
    with oidc_provider() as provider:
        yield provider


@pytest.fixture
def environment(tmp_path: Path, provider: OidcProvider) -> dict[str, str]:
    file = tmp_path / "oidc.yaml"
    file.write_text(
        f"issuers: [{{issuer: '{provider.url}', audience: {AUDIENCE}}}]\n"
        f"rules: [{{issuer: '{provider.url}', claims: {{sub: '17'}}, role: viewer}}]\n"
    )
    return {
        "PATH": os.environ["PATH"],
        "BASECAMP_STORE_URL": str(tmp_path / "store"),
        "BASECAMP_AIRFLOW_URL": "http://127.0.0.1:1",
        "BASECAMP_AIRFLOW_AUTH": "none",
        "BASECAMP_AUTH": "tokens,oidc",
        "BASECAMP_OIDC": str(file),
        "BASECAMP_LOG_LEVEL": "debug",
    }


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def url(environment: dict[str, str], log: Path) -> Iterator[str]:
    with served_process(environment, log) as url:
        yield url


def token_command(environment: dict[str, str], *arguments: str) -> str:
    """Run `basecamp token`, with the store alone in its environment."""
    store = {name: environment[name] for name in ("PATH", "BASECAMP_STORE_URL")}
    done = subprocess.run(
        [sys.executable, "-m", "basecamp", "token", *arguments],
        env=store,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.rule("26.30", "26.32", "26.38", "26.40")
def test_tokens_of_the_command_line_and_of_a_provider_open_a_real_server_until_they_are_revoked(
    url: str, environment: dict[str, str], provider: OidcProvider, log: Path
) -> None:
    made = token_command(environment, "create", "ci", "--role", "viewer")
    signed = provider.token(preferred_username="builder")
    whoami = f"{url}/api/v1/whoami"
    with httpx.Client(trust_env=False, timeout=120) as http:

        def status(token: str) -> int:
            return http.get(whoami, headers={"Authorization": f"Bearer {token}"}).status_code

        assert http.get(whoami).status_code == 401
        assert status(made) == 200
        assert http.get(whoami, headers={"Authorization": f"Bearer {signed}"}).json()["name"] == "builder"
        assert status(f"{signed[:-4]}AAAA") == 401
        while "never" in token_command(environment, "list"):
            time.sleep(0.2)
        token_command(environment, "revoke", "ci")
        began = time.monotonic()
        while status(made) == 200:
            assert time.monotonic() - began < REVOKED_WITHIN_SECONDS
            time.sleep(0.5)
        assert status(made) == 401
        assert status(signed) == 200
    told = log.read_text()
    for secret in (made, signed, signed.rpartition(".")[2]):
        assert secret not in told
