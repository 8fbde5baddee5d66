"""What a person sees on a terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from unit.dli.basecamp import Basecamp
from unit.dli.specs import CLICKS, CLICKS_FILES, CLICKS_YAML, write_clicks
from unit.dli.terminal import CTRL_C, CTRL_D, on_terminal

RUN_ID = f"{CLICKS}_20240115_093045"
RUN = ("workflow", "run", CLICKS, "-p", "execution_date=2024-01-15", "--wait")
QUESTION = (
    "Warning: This dataset already exists in Code path.\n"
    "         Your Manual registration will be overridden by Code.\n"
    "         The Manual file will be kept but inactive.\n"
    "Proceed? [y/N]: "
)


@pytest.fixture
def clicks(basecamp: Basecamp, project: Path) -> Basecamp:
    """A dataset that code has, and the project as well."""
    basecamp.put_code(CLICKS, CLICKS_YAML, CLICKS_FILES)
    write_clicks(project)
    return basecamp


@pytest.mark.rule("20.10", "22.14")
def test_register_asks_as_the_specification_shows_and_goes_on_with_yes(clicks: Basecamp) -> None:
    screen = on_terminal(("dataset", "register", CLICKS), keys=[("[y/N]: ", "y\n")])
    assert screen.status == 0
    assert screen.text.startswith(QUESTION)
    assert f"Registered: {CLICKS}\n" in screen.text


@pytest.mark.parametrize("answer", ["\n", "n\n"])
def test_register_without_a_yes_stores_nothing(clicks: Basecamp, answer: str) -> None:
    screen = on_terminal(("dataset", "register", CLICKS), keys=[("[y/N]: ", answer)])
    assert (screen.status, screen.text.startswith(QUESTION)) == (4, True)
    assert "Error: Not registered.\n" in screen.text
    assert not list(clicks.store.list("manual/"))


@pytest.mark.parametrize("key", [CTRL_C, CTRL_D])
def test_register_can_be_left_at_the_question(clicks: Basecamp, key: str) -> None:
    screen = on_terminal(("dataset", "register", CLICKS), keys=[("[y/N]: ", key)])
    assert (screen.status, "Interrupted." in screen.text) == (130, True)
    assert not list(clicks.store.list("manual/"))


def test_wait_shows_how_the_run_is_doing(clicks: Basecamp) -> None:
    done: list[str] = []

    def work(text: str) -> None:
        if "PENDING" in text and not done:
            done.append("started")
            clicks.start_attempt(RUN_ID)
        if "RUNNING" in text and done == ["started"]:
            done.append("ended")
            clicks.airflow.end(CLICKS, RUN_ID, "success")

    screen = on_terminal(RUN, meanwhile=work)
    assert screen.status == 0
    assert screen.text.startswith(f"Run started: {RUN_ID}\n")
    assert screen.text.index("PENDING") < screen.text.index("RUNNING") < screen.text.index("Run completed")


@pytest.mark.rule("20.15")
def test_an_interrupted_wait_leaves_the_run_and_says_how_to_stop_it(clicks: Basecamp) -> None:
    screen = on_terminal(RUN, keys=[("PENDING", CTRL_C)])
    assert screen.status == 130
    assert "The run keeps running" in screen.text
    assert f"dli workflow stop {RUN_ID}" in screen.text
    run = clicks.airflow.get_run(CLICKS, RUN_ID)
    assert run is not None
    assert not run.finished


def test_states_have_colours_on_a_terminal(clicks: Basecamp) -> None:
    text = on_terminal(("workflow", "list")).text
    assert "\x1b[32mactive\x1b[0m" in text
    assert text.startswith("\x1b[1mDATASET")


@pytest.mark.rule("20.3")
@pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colours_can_be_turned_off(clicks: Basecamp, environ: dict[str, str]) -> None:
    text = on_terminal(("workflow", "list"), environ=environ).text
    assert "\x1b" not in text
    assert "2024-01-16 09:00 Asia/Seoul   -\n" in text


def test_a_terminal_that_is_too_narrow_folds_the_table_and_keeps_names_whole(clicks: Basecamp) -> None:
    clicks.put_manual(CLICKS, CLICKS_YAML, CLICKS_FILES)
    text = on_terminal(("workflow", "list"), columns=86, environ={"NO_COLOR": "1"}).text
    lines = [line.rstrip() for line in text.splitlines()]
    assert all(len(line) <= 86 for line in lines)
    [overridden] = [number for number, line in enumerate(lines) if "overridden" in line and CLICKS in line]
    words = " ".join(lines[overridden:]).split()
    assert {"(overridden", "by", "code)"} <= set(words)
    assert sum(CLICKS in line for line in lines) == 2


def test_a_terminal_that_is_far_too_narrow_wraps_and_cuts_nothing(clicks: Basecamp) -> None:
    text = on_terminal(("workflow", "list"), columns=40, environ={"NO_COLOR": "1"}).text
    assert f"{CLICKS}   code     active   0 9 * * *   2024-01-16 09:00 Asia/Seoul   -\n" in text
