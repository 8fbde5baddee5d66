"""The command line on a project with bombs in it: each is an error of its own file, and the others are checked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import bombs

COMMAND = [sys.executable, "-m", "dli", "--path", "."]
HEAVY = {
    "folded center": bombs.TEMPLATES["folded center"],
    "methods in a loop": bombs.TEMPLATES["methods in a loop"],
    "subqueries": bombs.SQL["subqueries"],
    "indexes": bombs.SQL["indexes"],
    "commas": bombs.SQL["commas"],
}
"""Those that killed a process, or held it longest."""


def write(project: Path, name: str, sql: str) -> None:
    folder = project / "datasets" / name
    folder.mkdir()
    (folder / "dataset.yaml").write_text(bombs.spec_of(sql).replace("demo.bomb", f"demo.{name}"))
    (folder / "bomb.sql").write_text(sql)


def run(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], cwd=project, capture_output=True, text=True, check=False)


@pytest.mark.rule("10.12")
def test_a_project_is_checked_to_its_end_with_bombs_in_it(project: Path) -> None:
    write(project, "sound", "create table a as select 1 as a")
    write(project, "wrong", "select from from")
    for number, sql in enumerate(HEAVY.values()):
        write(project, f"bomb_{number}", sql)
    (project / "datasets" / "aliases.yaml").write_text(bombs.YAML["doubling aliases"])
    done = run(project, "dataset", "validate")
    assert done.returncode == 2
    assert "datasets/wrong/bomb.sql:1:" in done.stderr
    assert "sound" not in done.stderr
    assert "Traceback" not in done.stderr
    for number, bomb in enumerate(HEAVY):
        assert f"datasets/bomb_{number}/" in done.stderr, bomb


@pytest.mark.rule("10.12")
@pytest.mark.parametrize("bomb", ["subqueries", "indexes"])
def test_a_bomb_is_shown_and_run_dry_without_taking_the_command_along(project: Path, bomb: str) -> None:
    write(project, "bomb", bombs.SQL[bomb])
    for arguments in (("dataset", "show", "demo.bomb"), ("dataset", "run", "demo.bomb", "--dry-run")):
        done = run(project, *arguments)
        assert done.returncode in {0, 2}, done.stderr
        assert "Traceback" not in done.stderr
