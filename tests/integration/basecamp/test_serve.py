"""The command `basecamp serve`, as an operator starts it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

ENDS_WITHIN_SECONDS = 60
"""On a busy machine; what a signal does not cut off goes on for longer than this."""
STARTS_WITHIN_SECONDS = 180


class Serve:
    """A running `basecamp serve`."""

    def __init__(self, environment: dict[str, str], log: Path, *options: str) -> None:
        self._log = log
        with log.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "basecamp", "serve", "--port", "0", *options],
                env={"PATH": os.environ["PATH"], **environment},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def folder(self) -> Path:
        return self._log.parent

    @property
    def log(self) -> str:
        return self._log.read_text()

    def wait_until(self, condition: Callable[[], bool], seconds: float = STARTS_WITHIN_SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.05)

    def url(self) -> str:
        """Wait until it listens; return where."""
        self.wait_until(lambda: "Basecamp listens on " in self.log)
        return self.log.split("Basecamp listens on ")[1].split()[0]


def settings(folder: Path) -> dict[str, str]:
    """Return enough to start: a folder for the store, and an Airflow that is not up."""
    return {
        "BASECAMP_STORE_URL": str(folder / "store"),
        "BASECAMP_AIRFLOW_URL": "http://127.0.0.1:1",
        "BASECAMP_AIRFLOW_AUTH": "none",
    }


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return settings(tmp_path)


@pytest.fixture
def serve(environment: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., Serve]]:
    """Start a server."""
    started: list[Serve] = []

    def start(*options: str, **more: str) -> Serve:
        started.append(Serve(environment | more, tmp_path / f"log-{len(started)}", *options))
        return started[-1]

    yield start
    for server in started:
        server.process.kill()
        server.process.wait()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """A server that tests share; its store is in the same folder as its log."""
    folder = tmp_path_factory.mktemp("serve")
    server = Serve(settings(folder), folder / "log")
    server.url()
    yield server
    server.process.kill()
    server.process.wait()


def refused(environment: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "basecamp", "serve", "--port", "0", *options],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=STARTS_WITHIN_SECONDS,
        check=False,
    )


@pytest.mark.rule("18.2")
def test_a_missing_setting_is_one_line_and_exit_status_2(environment: dict[str, str]) -> None:
    del environment["BASECAMP_STORE_URL"]
    done = refused(environment)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: BASECAMP_STORE_URL is not set")
    assert done.stderr.count("\n") == 1


@pytest.mark.rule("26.1")
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com"])
def test_beyond_loopback_it_refuses_to_start_without_sign_in(environment: dict[str, str], host: str) -> None:
    done = refused(environment, "--host", host)
    assert done.returncode == 2
    assert done.stderr.startswith(f"Error: --host {host} is reached from other machines, and without sign-in")
    assert "BASECAMP_AUTH" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_port_that_is_taken_is_told(environment: dict[str, str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = refused(environment, "--port", str(port))
    assert done.returncode == 2
    assert f"Can't listen on 127.0.0.1, port {port}: Address already in use" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_store_that_cannot_be_made_is_told(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = refused(environment | {"BASECAMP_STORE_URL": str(tmp_path / "file")})
    assert done.returncode == 5
    assert done.stderr.startswith("Error: The store does not answer.")
    assert done.stderr.count("\n") == 1


@pytest.mark.rule("18.4")
@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (401, {"detail": "Invalid credentials"}, "Airflow does not accept Basecamp's credentials."),
        (404, {}, "The server is not an Airflow."),
    ],
)
def test_an_airflow_that_will_not_do_is_told(
    environment: dict[str, str], server: Any, status: int, body: Any, told: str
) -> None:
    def answer(handler: Any) -> None:
        if handler.path == "/api/v2/version" and status == 401:
            handler.answer(200, {"version": "3.3.2"})
        else:
            handler.answer(status, body)

    server.script = answer
    del environment["BASECAMP_AIRFLOW_AUTH"]
    credentials = {"BASECAMP_AIRFLOW_USERNAME": "me", "BASECAMP_AIRFLOW_PASSWORD": "hunter2"}
    done = refused(environment | {"BASECAMP_AIRFLOW_URL": server.url} | credentials)
    assert done.returncode == 2
    assert told in done.stderr
    assert "hunter2" not in done.stderr
    assert done.stderr.count("Error: ") == 1


@pytest.mark.rule("18.4", "18.9")
def test_without_airflow_it_starts_and_says_that_it_is_not_ready(running: Serve) -> None:
    url = running.url()
    assert httpx.get(f"{url}/healthz", timeout=120).status_code == 200
    ready = httpx.get(f"{url}/readyz", timeout=120)
    assert (ready.status_code, ready.json()["checks"]["store"]) == (503, "ok")
    assert "Connection refused" in ready.json()["checks"]["airflow"]
    assert "Basecamp starts all the same" in running.log


@pytest.mark.rule("5.2")
def test_the_store_is_left_as_it_was(running: Serve) -> None:
    files = (path for path in (running.folder / "store").rglob("*") if path.is_file())
    found = {path.relative_to(running.folder / "store").as_posix() for path in files}
    kept = {name for name in found if not name.startswith((".", "basecamp/leases/"))}
    assert kept <= {"basecamp/housekeeping.json"}


@pytest.mark.rule("26.2")
def test_a_foreign_host_name_is_refused(running: Serve) -> None:
    answer = httpx.get(f"{running.url()}/healthz", headers={"Host": "evil.example.com"}, timeout=120)
    assert answer.status_code == 421


def test_the_page_and_the_api_are_both_there(running: Serve) -> None:
    url = running.url()
    assert httpx.get(f"{url}/docs", timeout=120).headers["content-type"].startswith("text/html")
    unknown = httpx.get(f"{url}/api/v1/nothing", timeout=120)
    assert (unknown.status_code, unknown.headers["content-type"]) == (404, "application/problem+json")


def test_an_answer_on_a_connection_that_is_kept_open_waits_for_no_acknowledgement(running: Serve) -> None:
    with httpx.Client(base_url=running.url(), timeout=120) as client:
        client.get("/healthz")
        # Held back for one, each takes the 40 ms by which Linux delays it; a busy machine slows many, not all.
        assert any(client.get("/healthz").elapsed.total_seconds() < 0.03 for _ in range(1000))


def test_it_listens_on_ipv6_loopback_as_well(serve: Callable[..., Serve]) -> None:
    if not socket.has_ipv6 or not Path("/proc/net/if_inet6").exists():
        pytest.skip("this machine has no IPv6")
    url = serve("--host", "::1").url()
    assert url.startswith("http://[::1]:")
    assert httpx.get(f"{url}/healthz", timeout=120).status_code == 200


@pytest.mark.rule("18.12")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_ends_it_within_seconds(
    serve: Callable[..., Serve], number: signal.Signals, status: int
) -> None:
    server = serve()
    server.url()
    server.process.send_signal(number)
    assert server.process.wait(ENDS_WITHIN_SECONDS) == status
    assert server.log.rstrip().endswith("Basecamp has ended.")


@pytest.mark.rule("18.12")
def test_a_signal_ends_it_while_a_registration_waits_for_airflow(
    serve: Callable[..., Serve], server: Any
) -> None:
    """An Airflow that answers and never loads anything keeps the registration waiting."""
    empty = {"version": "3.3.2", "dags": [], "import_errors": [], "total_entries": 0}

    def answer(handler: Any) -> None:
        health = handler.path.endswith("/health")
        handler.answer(404 if handler.path.endswith("/details") else 200, {} if health else empty)

    server.script = answer
    basecamp = serve(BASECAMP_AIRFLOW_URL=server.url)
    url = basecamp.url()
    yaml = "name: a\ntype: Dataset\nowner: a@example.com\nquery_statement: SELECT 1\n"
    answers: list[httpx.Response] = []

    def register() -> None:
        answers.append(httpx.put(f"{url}/api/v1/datasets/a?wait=100", json={"yaml": yaml}, timeout=300))

    caller = threading.Thread(target=register)
    caller.start()
    basecamp.wait_until(lambda: server.count("/api/v2/dags/a/details") > 0)
    basecamp.process.terminate()
    assert basecamp.process.wait(ENDS_WITHIN_SECONDS) == 0
    caller.join()
    assert answers[0].status_code == 503
    assert json.loads(answers[0].text)["title"] == "The server is going down."


@pytest.mark.rule("18.12")
def test_a_request_that_a_signal_cuts_off_is_told_to_be_repeated(
    serve: Callable[..., Serve], server: Any
) -> None:
    """An Airflow that says nothing of one run holds the request for longer than the server waits for its last ones."""
    released, empty = threading.Event(), {"version": "3.3.2", "dags": [], "dag_runs": [], "total_entries": 0}
    asked_for_it = threading.Event()

    def answer(handler: Any) -> None:
        if "held.back" in handler.path:
            asked_for_it.set()
            released.wait(300)
        handler.answer(200, {} if handler.path.endswith("/health") else empty)

    server.script = answer
    basecamp = serve(BASECAMP_AIRFLOW_URL=server.url, BASECAMP_REQUEST_SECONDS="120")
    run = f"{basecamp.url()}/api/v1/runs/held.back_20240115_093045"
    answers: list[httpx.Response] = []
    caller = threading.Thread(target=lambda: answers.append(httpx.get(run, timeout=300)))
    caller.start()
    try:
        basecamp.wait_until(asked_for_it.is_set)
        basecamp.process.terminate()
        assert basecamp.process.wait(ENDS_WITHIN_SECONDS) == 0
    finally:
        released.set()
    caller.join()
    assert answers[0].status_code == 503
    assert json.loads(answers[0].text)["title"] == "The server is going down."
    assert "Traceback" not in basecamp.log


@pytest.mark.rule("18.11")
def test_a_request_leaves_one_line_on_stderr(running: Serve) -> None:
    httpx.get(f"{running.url()}/api/v1/datasets/nothing", timeout=120)
    running.wait_until(lambda: "GET /api/v1/datasets/nothing 404" in running.log)
    assert len([line for line in running.log.splitlines() if "/api/v1/datasets/nothing" in line]) == 1


def test_help_lists_both_commands() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "basecamp", "--help"], capture_output=True, text=True, check=True
    )
    assert "dev" in done.stdout
    assert "serve" in done.stdout
