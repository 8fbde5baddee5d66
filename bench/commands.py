"""Measure the command line: cold processes, beside Python's own start and Airflow's two command lines.

`make bench` runs it. It prints Markdown; ``docs/benchmarks.md`` keeps a run with its date.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from processes import Command, measure, table
from server import AIRFLOW_ENV, BIN, REPOSITORY, Server, airflow_environ, get, running

DATASETS = 1000
NAME = "bench.dataset_00000"
AIRFLOWCTL_ENV = REPOSITORY / ".basecamp" / "airflowctl-env"


def main() -> None:
    """Measure and print."""
    print(f"{datetime.now(UTC):%Y-%m-%d}, {machine()}\n")
    print("## Start of a process\n")
    print(table(measured(starts()), beside="python -c pass"), "\n")
    airflowctl = install_airflowctl()
    with (
        tempfile.TemporaryDirectory(prefix="dli-bench-") as folder,
        running(Path(folder) / "home", DATASETS) as server,
    ):
        control = log_in(airflowctl, server, Path(folder))
        print(f"## List {DATASETS:,} datasets\n")
        print(table(measured(lists(server, airflowctl, control)), beside="dli workflow list"), "\n")
        print("## Start a run\n")
        print(table(measured(runs(server, airflowctl, control)), beside="dli workflow run"))


def measured(commands: list[Command]) -> list[Command]:
    measure(commands)
    return commands


def starts() -> list[Command]:
    python = str(BIN / "python")
    return [
        Command("python -c pass", [python, "-c", "pass"], rounds=15),
        Command("import click", [python, "-c", "import click"], rounds=15),
        Command("dli --help", [str(BIN / "dli"), "--help"], rounds=15),
        Command("dli version", [str(BIN / "dli"), "version"], rounds=15),
    ]


def lists(server: Server, airflowctl: str, control: dict[str, str]) -> list[Command]:
    return [
        Command("dli workflow list", [str(BIN / "dli"), "workflow", "list"], ours(server), rounds=15),
        Command(
            "dli workflow list --format json",
            [str(BIN / "dli"), "workflow", "list", "--format", "json"],
            ours(server),
            rounds=15,
        ),
        Command("airflowctl dags list", [airflowctl, "dags", "list"], control, rounds=3),
        Command("airflow dags list", [airflow(), "dags", "list"], airflow_environ(server), rounds=3),
    ]


def runs(server: Server, airflowctl: str, control: dict[str, str]) -> list[Command]:
    # Without parameters: airflowctl takes no --conf that it can read.
    return [
        Command("dli workflow run", [str(BIN / "dli"), "workflow", "run", NAME], ours(server)),
        Command("airflowctl dags trigger", [airflowctl, "dags", "trigger", NAME], control),
        Command(
            "airflow dags trigger", [airflow(), "dags", "trigger", NAME], airflow_environ(server), rounds=3
        ),
    ]


def ours(server: Server) -> dict[str, str]:
    return {"DLI_SERVER_URL": server.server_url}


def airflow() -> str:
    return str(AIRFLOW_ENV / "bin" / "airflow")


def install_airflowctl() -> str:
    """Install Airflow's remote command line into an environment of its own, once."""
    command = AIRFLOWCTL_ENV / "bin" / "airflowctl"
    if not command.exists():
        uv = str(BIN / "uv")
        subprocess.run([uv, "venv", "-q", "--clear", "--python", sys.executable, AIRFLOWCTL_ENV], check=True)
        python = AIRFLOWCTL_ENV / "bin" / "python"
        subprocess.run([uv, "pip", "install", "-q", "--python", python, "apache-airflow-ctl"], check=True)
    return str(command)


def log_in(airflowctl: str, server: Server, folder: Path) -> dict[str, str]:
    """Log airflowctl in, and return the environment in which it stays so."""
    token = get(f"{server.airflow_url}/auth/token")["access_token"]
    environ = {"AIRFLOW_HOME": str(folder / "airflowctl"), "AIRFLOW_CLI_TOKEN": token}
    login = [airflowctl, "auth", "login", "--api-url", server.airflow_url, "--skip-keyring"]
    subprocess.run(login, env={**os.environ, **environ}, check=True, stdout=subprocess.DEVNULL)
    return environ


def machine() -> str:
    model = next(
        (line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor() or platform.machine(),
    )
    return f"{os.cpu_count()} cores ({model}), {platform.platform(terse=True)}, Python {platform.python_version()}"


def _lines(path: str) -> list[str]:
    found = Path(path)
    return found.read_text().splitlines() if found.exists() else []


if __name__ == "__main__":
    main()
