from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]


def hook() -> dict[str, object]:
    (found,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert isinstance(found, dict)
    return found


@pytest.mark.rule("22.30")
def test_the_hook_has_what_pre_commit_asks_for_and_is_documented() -> None:
    found = hook()
    assert {"id", "name", "entry", "language"} <= found.keys()
    assert (found["id"], found["language"], found["pass_filenames"]) == ("dli-validate", "python", False)
    assert "id: dli-validate" in (ROOT / "docs" / "cli.md").read_text()


@pytest.mark.rule("22.30")
def test_the_hook_is_for_yaml_and_sql_alone() -> None:
    files = re.compile(str(hook()["files"]))
    assert all(files.search(path) for path in ("datasets/a.yaml", "b.yml", "x/q.sql", "dli.yaml"))
    assert not any(files.search(path) for path in ("README.md", "a.yaml.bak", "sql/notes.txt"))


@pytest.mark.rule("22.30")
def test_the_hooks_command_passes_a_sound_project_and_fails_a_broken_one(tmp_path: Path) -> None:
    program, *arguments = shlex.split(str(hook()["entry"]))
    assert program == "dli"
    command = [sys.executable, "-m", "dli", *arguments]
    spec = tmp_path / "datasets" / "a.yaml"
    spec.parent.mkdir()
    spec.write_text("name: a\ntype: Dataset\nowner: ann@example.com\nquery_statement: select 1\n")
    assert subprocess.run(command, cwd=tmp_path, check=False, capture_output=True).returncode == 0
    spec.write_text(spec.read_text() + "tagz: []\n")
    assert subprocess.run(command, cwd=tmp_path, check=False, capture_output=True).returncode == 2
