"""``dli workflow watch`` and ``open``: what is going on, on the terminal and in the browser."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from basecamp.shared.waiting import run_through
from unit.dli.basecamp import Basecamp, Server
from unit.dli.conftest import Dli
from unit.dli.specs import CLICKS, CLICKS_FILES, CLICKS_YAML, spec_of
from unit.dli.terminal import CTRL_C, on_terminal

OTHER = "reports.summary"
DATE = ("-p", "execution_date=2024-01-15")


@pytest.fixture
def clicks(basecamp: Basecamp) -> Basecamp:
    """A server with two datasets."""
    basecamp.put_code(CLICKS, CLICKS_YAML, CLICKS_FILES)
    basecamp.put_manual(OTHER, spec_of(OTHER))
    return basecamp


def lines_of(screen: str) -> list[str]:
    """Return what stood on the screen, without the terminal's codes."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "\n", screen).splitlines()


@pytest.mark.rule("22.46")
def test_watch_shows_failed_datasets_first_and_the_latest_runs(clicks: Basecamp, dli: Dli) -> None:
    run_id = dli("workflow", "run", OTHER).out.removeprefix("Run started: ").strip()
    clicks.fail(run_id)
    screen = on_terminal(["workflow", "watch"], keys=[(run_id, CTRL_C)])
    assert screen.status == 130
    lines = [line for line in lines_of(screen.text) if line.strip()]
    assert "every 5 s; Ctrl-C ends" in lines[0]
    named = [line.split()[0] for line in lines if line.startswith((CLICKS, OTHER))]
    assert named[:3] == [OTHER, CLICKS, run_id]


@pytest.mark.rule("22.46")
def test_watch_stays_when_the_server_does_not_answer(clicks: Basecamp) -> None:
    server = Server()
    server.start()
    server.put(clicks)
    running = [server]

    def stop(text: str) -> None:
        if OTHER in text and running:
            running.pop().end()

    screen = on_terminal(
        ["workflow", "watch", "--every", "1"],
        keys=[("What follows was known before.", CTRL_C)],
        environ={"DLI_SERVER_URL": server.url},
        meanwhile=stop,
    )
    assert screen.status == 130
    last = screen.text[screen.text.index("What follows was known before.") :]
    assert OTHER in last


@pytest.mark.rule("22.46")
def test_watch_needs_a_terminal_and_names_the_commands_of_a_script(clicks: Basecamp, dli: Dli) -> None:
    result = dli("workflow", "watch")
    assert result.status == 2
    assert "dli workflow list" in result.err


@pytest.mark.rule("22.45")
def test_open_prints_the_page_of_a_dataset_a_run_and_a_backfill(clicks: Basecamp, dli: Dli) -> None:
    run_id = dli("workflow", "run", CLICKS, *DATE).out.removeprefix("Run started: ").strip()
    started = dli("workflow", "backfill", CLICKS, "-s", "2024-01-01", "-e", "2024-01-03")
    backfill = started.out.removeprefix("Backfill started: ").strip()
    run_through(clicks.services.backfill_steps.advance(CLICKS), clicks.clock)
    server = clicks.url
    assert dli("workflow", "open", CLICKS).out == f"{server}/workflows/{CLICKS}\n"
    assert dli("workflow", "open", run_id).out == f"{server}/runs/{run_id}?dataset={CLICKS}\n"
    assert dli("workflow", "open", backfill).out == f"{server}/backfills/{backfill}\n"
    printed = json.loads(dli("workflow", "open", CLICKS, "-f", "json").out)
    assert printed == {"url": f"{server}/workflows/{CLICKS}"}


@pytest.mark.rule("22.45")
def test_open_shows_the_page_in_the_browser_of_a_desktop(clicks: Basecamp, tmp_path: Path) -> None:
    script = tmp_path / "browser"
    script.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n')
    script.chmod(0o755)
    screen = on_terminal(
        ["workflow", "open", CLICKS],
        environ={"DISPLAY": ":0", "BROWSER": f"{script} %s", "SSH_CONNECTION": ""},
    )
    assert screen.status == 0
    assert (tmp_path / "opened").read_text() == f"{clicks.url}/workflows/{CLICKS}\n"


@pytest.mark.rule("22.45")
def test_open_of_what_is_not_there_exits_with_3(clicks: Basecamp, dli: Dli) -> None:
    result = dli("workflow", "open", "reports.nothing")
    assert result.status == 3
    assert "reports.nothing" in result.err
