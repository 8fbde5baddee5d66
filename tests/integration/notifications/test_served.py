"""Notifications of a real `basecamp serve`, whose Airflow is down."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from receivers import SLACK_TOKEN, Slack, WebhookReceiver

PATIENCE_SECONDS = 180
SPEC = """\
name: sales.daily
type: Dataset
owner: kim@example.com
query_statement: SELECT 1
schedule:
  cron: "0 9 * * *"
  notifications:
    on_source_change:
      - {type: slack, channel: "#data"}
      - {type: target, name: oncall}
"""


def wait_until(condition: Callable[[], bool], told: Callable[[], str]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, told()
        time.sleep(0.05)


class Served:
    """A running server, at its most talkative."""

    def __init__(self, folder: Path, slack: Slack, receiver: WebhookReceiver) -> None:
        self.store = folder / "store"
        self._log = folder / "log"
        targets = {"oncall": f"json://127.0.0.1:{receiver.port}/hooks/t0ps3cr3t"}
        environment = {
            "PATH": os.environ["PATH"],
            "BASECAMP_STORE_URL": str(self.store),
            "BASECAMP_AIRFLOW_URL": "http://127.0.0.1:1",
            "BASECAMP_AIRFLOW_AUTH": "none",
            "BASECAMP_PUBLIC_URL": "https://basecamp.example.com",
            "BASECAMP_SLACK_TOKEN": SLACK_TOKEN,
            "BASECAMP_SLACK_API_URL": slack.api_url,
            "BASECAMP_TARGETS": json.dumps(targets),
            "BASECAMP_LOG_LEVEL": "debug",
        }
        with self._log.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "basecamp", "serve", "--port", "0"],
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        wait_until(lambda: "Basecamp listens on " in self.log, lambda: self.log)
        url = self.log.split("Basecamp listens on ")[1].split()[0]
        self.client = httpx.Client(base_url=url, timeout=PATIENCE_SECONDS)

    @property
    def log(self) -> str:
        return self._log.read_text()

    def put(self, key: str) -> None:
        path = self.store / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(SPEC)

    def sync(self) -> None:
        self.client.post("/api/v1/sync").raise_for_status()

    def channels(self) -> str:
        answer: str = self.client.get("/readyz").json()["checks"]["notifications"]
        return answer


@pytest.fixture
def slack() -> Iterator[Slack]:
    with Slack() as slack:
        yield slack


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    with WebhookReceiver() as receiver:
        yield receiver


@pytest.fixture
def served(tmp_path: Path, slack: Slack, receiver: WebhookReceiver) -> Iterator[Served]:
    served = Served(tmp_path, slack, receiver)
    yield served
    served.client.close()
    if served.process.poll() is None:
        served.process.kill()
    served.process.wait()


def test_a_change_of_source_reaches_every_channel_and_a_failing_one_is_seen_until_it_is_well(
    served: Served, slack: Slack, receiver: WebhookReceiver
) -> None:
    served.put("manual/sales.daily.yaml")
    served.sync()
    slack.channels = set()
    served.put("code/sales.daily.yaml")
    served.sync()
    wait_until(lambda: len(receiver.asked) == 1, lambda: served.log)
    wait_until(lambda: "slack #data has failed since" in served.channels(), lambda: served.log)
    assert "channel_not_found" in served.channels()
    slack.channels = None
    wait_until(lambda: slack.count("#data", "sales.daily: manual → code") == 1, lambda: served.log)
    wait_until(lambda: served.channels() == "ok", lambda: served.log)
    (message,) = slack.messages
    assert "<https://basecamp.example.com/workflows/sales.daily|Dataset>" in message.text
    assert "slack #data did not accept 'sales.daily: manual → code' (attempt 1;" in served.log
    for secret in (SLACK_TOKEN, "t0ps3cr3t"):
        assert secret not in served.log


@pytest.mark.rule("18.12")
def test_a_server_that_is_told_to_end_lets_a_message_arrive_that_is_on_its_way(
    served: Served, slack: Slack
) -> None:
    served.put("manual/sales.daily.yaml")
    served.sync()
    slack.hang()
    served.put("code/sales.daily.yaml")
    served.sync()
    outbox = served.store / "basecamp" / "outbox"

    def notices() -> list[dict[str, object]]:
        return [json.loads(path.read_text()) for path in outbox.glob("*.json")]

    def only_slack_is_waited_for() -> bool:
        states = [(bool(notice["sent_at"]), bool(notice["claimed_by"])) for notice in notices()]
        return sorted(states) == [(False, True), (True, False)]

    wait_until(only_slack_is_waited_for, lambda: served.log)
    served.process.send_signal(signal.SIGTERM)
    slack.release()
    assert served.process.wait(PATIENCE_SECONDS) == 0
    assert slack.count("#data") == 1
    assert all(notice["sent_at"] for notice in notices())
