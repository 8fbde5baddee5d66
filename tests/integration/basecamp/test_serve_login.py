"""A login on real processes: the server by HTTPS, its page, the command line, and a desktop's keyring."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from browser import Browser
from desktop_keyring import PATIENT_DLI, desktop_keyring
from integration.basecamp.test_serve import Serve, settings
from nginx import Company
from s3 import free_port


@contextmanager
def serving(environ: dict[str, str], log: Path, *options: str) -> Iterator[Serve]:
    serve = Serve(environ, log, *options)
    try:
        serve.url()
        yield serve
    finally:
        serve.process.kill()
        serve.process.wait()


def made_token(environ: Mapping[str, str]) -> str:
    """Return a new API token, made on the server's machine."""
    command = [
        sys.executable,
        "-m",
        "basecamp",
        "token",
        "create",
        "dana",
        "--role",
        "editor",
        "--team",
        "data",
    ]
    made = subprocess.run(
        command, env={"PATH": os.environ["PATH"], **environ}, capture_output=True, text=True, check=True
    )
    return made.stdout.strip()


@pytest.mark.rule("26.60", "26.62", "26.63")
def test_a_person_signs_in_by_page_and_keyring_though_the_server_is_killed_meanwhile(tmp_path: Path) -> None:
    company, port, project = Company(tmp_path), free_port(), tmp_path / "project"
    project.mkdir()
    url = f"https://127.0.0.1:{port}"
    options = ("--port", str(port), "--tls-cert", str(company.certificate), "--tls-key", str(company.key))
    environ = {**settings(tmp_path), "BASECAMP_AUTH": "tokens", "BASECAMP_PUBLIC_URL": url}
    token = made_token(environ)
    with desktop_keyring(tmp_path) as desktop:
        here = {
            **desktop,
            "PATH": os.environ["PATH"],
            "DLI_SERVER_URL": url,
            "SSL_CERT_FILE": str(company.bundle),
        }
        with serving(environ, tmp_path / "log 1", *options):
            login = subprocess.Popen(
                [*PATIENT_DLI, "login"],
                cwd=project,
                env=here,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            assert login.stderr is not None
            page = login.stderr.readline().removeprefix("Open ").strip()
            assert page.startswith(f"{url}/device?code=")
        with serving(environ, tmp_path / "log 2", *options):
            browser = Browser(None, url, authority=company.bundle)
            browser.open(page)
            browser.submit("/sign-in/token", {"token": token})
            assert "The machine is signed in" in browser.submit("/device", {"do": "approve"}).text
            out, err = login.communicate(timeout=300)
            assert (login.returncode, out.startswith(f"Signed in to {url} as dana until ")) == (0, True), err
            assert "The token is kept in the system's keyring." in err

            def run(*arguments: str) -> subprocess.CompletedProcess[str]:
                return subprocess.run(
                    [*PATIENT_DLI, *arguments],
                    cwd=project,
                    env=here,
                    capture_output=True,
                    text=True,
                    check=False,
                )

            whoami = run("whoami", "--format", "json")
            caller = json.loads(whoami.stdout)
            assert (caller["name"], caller["credential"]) == ("dana", "the system's keyring")
            assert caller["grants"] == [{"role": "editor", "teams": ["@data"]}]
            logout = run("logout")
            assert (logout.returncode, logout.stdout) == (0, f"Signed out of {url}.\n")
            refused = run("whoami")
            assert refused.returncode == 4
            assert "dli login" in refused.stderr
    told = [out, err, whoami.stdout, whoami.stderr, logout.stdout, refused.stderr]
    told += [(tmp_path / f"log {number}").read_text() for number in (1, 2)]
    assert "dli_" not in "".join(told)
