"""A server that is killed at any of its writes loses nothing and doubles nothing (specification 5.4, 18.1)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stacks import REPOSITORY


def deaths(folder: Path, work: str) -> list[dict[str, Any]]:
    """Kill a server at each write of some work; return what was found each time."""
    program = REPOSITORY / "tests" / "deaths.py"
    done = subprocess.run(
        [sys.executable, program, folder / "store", work],
        capture_output=True,
        text=True,
        timeout=550,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [death["died"] for death in found[-2:]] == [False, False], "it came through at last"
    assert sum(death["died"] for death in found) >= 2 * 2, "it was killed at several writes"
    return found


@pytest.mark.rule("5.4", "18.1")
@pytest.mark.parametrize("work", ["register", "replace"])
def test_a_registration_that_dies_leaves_the_old_version_or_the_new_one_and_may_be_repeated(
    tmp_path: Path, work: str
) -> None:
    old, new = (None, "one") if work == "register" else ("one", "two")
    for death in deaths(tmp_path, work):
        assert death["found"]["effective"] in {old, new}
        assert death["checked"]["effective"] == death["found"]["effective"]
        assert death["repeated"]["effective"] == new
        assert [death[when]["invalid"] for when in ("found", "checked", "repeated")] == [0, 0, 0]
        assert death["repeated"]["retired"] == death["repeated"]["notices"] == 0


@pytest.mark.rule("5.4")
def test_an_update_that_dies_leaves_the_old_schedule_or_the_new_one_and_may_be_repeated(
    tmp_path: Path,
) -> None:
    for death in deaths(tmp_path, "update"):
        assert death["found"]["effective"] in {"one", "one at 0 21 * * *"}
        assert death["checked"]["effective"] == death["found"]["effective"]
        assert death["repeated"]["effective"] == "one at 0 21 * * *"
        assert [death[when]["invalid"] for when in ("found", "checked", "repeated")] == [0, 0, 0]


@pytest.mark.rule("5.8")
def test_a_removal_that_dies_leaves_the_whole_dataset_or_nothing_of_it(tmp_path: Path) -> None:
    for death in deaths(tmp_path, "unregister"):
        assert death["found"]["effective"] in {"one", None}
        assert death["found"]["invalid"] == death["checked"]["invalid"] == 0
        assert death["checked"]["effective"] == death["found"]["effective"]
        if death["checked"]["effective"] is None:
            assert death["checked"]["objects"] == 0
        assert death["repeated"]["effective"] is None
        assert death["repeated"]["objects"] == 0
        assert death["repeated"]["retired"] == 1, "its DAG stays until its runs have ended"


@pytest.mark.rule("6.3", "18.1")
@pytest.mark.parametrize(("work", "effective", "notices"), [("override", "code", 1), ("release", "one", 2)])
def test_a_check_that_dies_is_made_up_for_by_the_next_and_everything_is_told_once(
    tmp_path: Path, work: str, effective: str, notices: int
) -> None:
    for death in deaths(tmp_path, work):
        assert death["found"]["effective"] == effective
        assert death["checked"]["effective"] == death["repeated"]["effective"] == effective
        assert death["checked"]["notices"] == death["repeated"]["notices"] == notices
        assert death["checked"]["retired"] == death["checked"]["invalid"] == 0
        assert death["checked"]["overridden"] == ("one" if work == "override" else None)
