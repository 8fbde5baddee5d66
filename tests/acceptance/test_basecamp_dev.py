"""`basecamp dev` as a process: what it refuses, what it keeps, and that it leaves nothing behind."""

import json
import os
import signal
import socket
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path

import pytest

from basecamp.dev.release_lines import AIRFLOW_2
from endless import ENDLESS
from lines_here import on_airflow_3
from stacks import BIN, Dev, Stack, alive, command_of, copy_of_flights, family_of

RETRIED = {"cron": "0 9 * * *", "retry": {"max_attempts": 1, "delay_seconds": 15}}
"""The retry waits longer than an end takes: a scheduler that is ending could still start it."""


def basecamp_dev(*options: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / "basecamp", "dev", *options],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


@pytest.mark.rule("28.5")
def test_a_second_start_on_a_home_in_use_is_refused_naming_the_process(stack: Stack) -> None:
    done = basecamp_dev("--home", str(stack.home), folder=stack.project)

    assert done.returncode == 4
    assert done.stderr.startswith(
        f"Error: {stack.home} is in use by another basecamp dev (pid {stack.pid}).\n"
    )


def test_a_taken_port_is_refused_naming_who_holds_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        done = basecamp_dev("--home", str(tmp_path / "home"), "--port", str(port), folder=tmp_path)

    assert done.returncode == 4
    assert f"Port {port} is in use" in done.stderr
    assert f"(pid {os.getpid()})" in done.stderr


def test_airflow_lets_its_page_be_seen_on_loopback(stack: Stack) -> None:
    connection = HTTPConnection(stack.airflow_url.removeprefix("http://"), timeout=180)
    connection.request("GET", "/api/v1/dags" if stack.line == AIRFLOW_2 else "/api/v2/dags")
    response = connection.getresponse()

    assert response.status == 200
    assert json.loads(response.read())["total_entries"] >= 0
    connection.close()


@pytest.mark.rule("26.1", "28.1")
@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux who listens")
def test_nothing_listens_beyond_loopback(stack: Stack) -> None:
    family = family_of(stack.pid)

    assert not [address for address in listening(family) if address != "0100007F"]


def listening(pids: set[int]) -> list[str]:
    """Return the addresses, as the kernel writes them, on which processes listen."""
    sockets = {
        link.readlink().name
        for pid in pids
        for link in Path(f"/proc/{pid}/fd").iterdir()
        if str(link.readlink()).startswith("socket:")
    }
    rows = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
    ]
    return [row[1].rpartition(":")[0] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets]


@pytest.mark.rule("28.3")
@on_airflow_3
def test_a_second_start_finds_all_that_was_there_and_each_end_leaves_no_process(
    airflow_env: Path, tmp_path: Path
) -> None:
    project, home = copy_of_flights(tmp_path), tmp_path / "home"
    with Dev(home, airflow_env, project) as dev:
        stack = Stack(home=home, project=project, **dev.ready())
        name = stack.register(
            "create or replace table built as select 1 as answer", schedule={"cron": "0 9 * * *"}
        )
        run_id = stack.run(name)
        assert stack.wait(run_id)["status"] == "COMPLETED"
        assert stack.cli("workflow", "pause", name).returncode == 0
        cut_off = stack.run(stack.register(ENDLESS, schedule=RETRIED))
        stack.wait(cut_off, "RUNNING")
        family = dev.family()
        assert dev.stop() == 128 + signal.SIGTERM
    assert not alive(family)
    assert not (home / "dev.json").exists()

    with Dev(home, airflow_env, project) as dev:
        stack = Stack(home=home, project=project, **dev.ready())
        (row,) = stack.ask("workflow", "list", "-d", name)
        assert row["status"] == "paused"
        assert stack.status(run_id)["status"] == "COMPLETED"
        assert stack.wait(cut_off, "RUNNING")["attempts"] == 2
        assert stack.cli("workflow", "stop", cut_off).returncode == 0
        assert stack.rows("select answer from built") == [(1,)]

        os.kill(part_of(dev, "basecamp serve"), signal.SIGKILL)
        dev.wait_for(lambda: stack.cli("workflow", "list").returncode == 0, 300)
        assert "basecamp was killed by SIGKILL: restarting it" in dev.output.read_text()
        assert stack.status(run_id)["status"] == "COMPLETED"

        family, scheduler = dev.family(), part_of(dev, "scheduler")
        os.kill(scheduler, signal.SIGKILL)
        assert dev.process.wait(300) == 5
        assert "Error: scheduler was killed by SIGKILL." in dev.output.read_text()
    assert not alive(family)


def part_of(dev: Dev, words: str) -> int:
    """Return the first process of a `basecamp dev` whose command holds these words."""
    return min(pid for pid in dev.family() if words in command_of(pid))
