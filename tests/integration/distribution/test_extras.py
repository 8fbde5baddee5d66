"""The built wheel in an empty environment, with each extra: its programs start and do their work."""

from __future__ import annotations

import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_api import until
from integration.distribution.conftest import Built, Environment
from s3 import free_port
from stacks import REPOSITORY

pytestmark = pytest.mark.xdist_group("distribution")

Installed = Callable[[str], Environment]


@pytest.fixture
def installed(built: Built, new_environment: Callable[..., Environment]) -> Installed:
    """What installs the wheel with extras, in the versions of the lock file."""

    def install(extras: str) -> Environment:
        environment = new_environment()
        environment.install("--constraint", REPOSITORY / "requirements.lock", f"{built.wheel}{extras}")
        return environment

    return install


def check_programs(environment: Environment) -> None:
    """Check what every installation has."""
    assert environment.run("dli", "version") == "dli 0.1.0 (dli-basecamp)\n"
    assert environment.run("basecamp", "--version") == "basecamp 0.1.0 (dli-basecamp)\n"
    assert "Start here:" in environment.run("dli", "--help")
    helped = environment.run("basecamp", "--help")
    assert all(f"  {command} " in helped for command in ("dev", "serve", "token"))


def run_first_dataset(environment: Environment, folder: Path) -> subprocess.CompletedProcess[str]:
    """Create a project with a dataset, and run it on this machine."""
    environment.run("dli", "init", "shop", cwd=folder)
    environment.run("dli", "dataset", "init", "shop.hello", cwd=folder / "shop")
    environment.run("dli", "dataset", "validate", cwd=folder / "shop")
    run = ("dataset", "run", "shop.hello", "-p", "execution_date=2024-01-14")
    return environment.try_running("dli", *run, cwd=folder / "shop")


@pytest.mark.rule("29.2")
def test_without_an_extra_the_command_line_names_the_extra_that_something_needs(
    installed: Installed, tmp_path: Path
) -> None:
    environment = installed("")
    check_programs(environment)
    assert "pip install 'dli-basecamp[local]'" in run_first_dataset(environment, tmp_path).stderr
    for command in (["serve"], ["token", "list"]):
        refused = environment.try_running("basecamp", *command)
        assert refused.returncode == 2
        assert refused.stderr.startswith("Error: This command needs the package '")
        assert refused.stderr.endswith("pip install 'dli-basecamp[server]'\n")
        assert refused.stderr.count("\n") == 1
    assert "pip install 'dli-basecamp[dev]'" in environment.try_running("basecamp", "dev").stderr


@pytest.mark.rule("29.2")
def test_with_local_a_dataset_runs_on_this_machine(installed: Installed, tmp_path: Path) -> None:
    environment = installed("[local]")
    check_programs(environment)
    done = run_first_dataset(environment, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "2024-01-14   hello" in done.stdout


@pytest.mark.rule("29.2")
def test_with_server_the_server_starts_and_answers(installed: Installed, tmp_path: Path) -> None:
    environment = installed("[server]")
    check_programs(environment)
    (tmp_path / "store").mkdir()
    port = free_port()
    settings = {
        "BASECAMP_STORE_URL": str(tmp_path / "store"),
        "BASECAMP_AIRFLOW_URL": f"http://127.0.0.1:{free_port()}",
        "BASECAMP_AIRFLOW_AUTH": "none",
    }
    command = [str(environment.folder / "bin" / "basecamp"), "serve", "--port", str(port)]
    with subprocess.Popen(command, env=os.environ | settings, stderr=subprocess.PIPE) as server:
        try:
            until(lambda: _answers(f"http://127.0.0.1:{port}/healthz"), 300)
        finally:
            server.terminate()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError):
        return False


@pytest.mark.rule("29.2")
def test_with_dev_basecamp_dev_installs_the_same_wheel_by_the_uv_that_came_along(
    built: Built, installed: Installed
) -> None:
    environment = installed("[dev]")
    check_programs(environment)
    assert "--airflow-env" in environment.run("basecamp", "dev", "--help")
    asked = "from basecamp.dev.airflow_environment import running_origin, uv; print(uv(), *running_origin().requirement)"
    program, _, requirement = environment.run("python", "-c", asked).strip().partition(" ")
    assert Path(program) == environment.folder / "bin" / "uv"
    assert requirement == f"dli-basecamp @ {built.wheel.as_uri()}"
