"""docs/from-dbt.md: its project is imported, and its sessions are what a reader gets."""

from __future__ import annotations

import io
import re
import shlex
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from dli.main import main
from unit.dli.documented import sessions

PAGE = Path(__file__).parents[4] / "docs" / "from-dbt.md"
_FILE = re.compile(r"^`([\w./]+)`:\n\n```\w+\n(.*?)^```", re.DOTALL | re.MULTILINE)
_IS_NOW = re.compile(r"^`([\w./]+)` is now:\n\n```yaml\n(.*?)^```", re.DOTALL | re.MULTILINE)
_TIME = re.compile(r"\d+\.\d\d s")


def typed(command: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return what a command prints, in this process; ``cd`` changes the folder."""
    name, *arguments = shlex.split(command)
    if name == "cd":
        monkeypatch.chdir(arguments[0])
        return ""
    printed = io.StringIO()
    with redirect_stdout(printed), redirect_stderr(printed):
        main(arguments)
    return printed.getvalue()


@pytest.mark.rule("39.1")
def test_the_page_leads_from_a_model_to_an_incremental_dataset_with_a_check_and_a_unit_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text, files = PAGE.read_text(), dict(_FILE.findall(PAGE.read_text()))
    for name in (name for name in files if name.startswith("bakery/")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(files[name])
    imported = False
    for one in sessions(PAGE):
        if one.command == "dli dataset validate" and imported:
            ((name, generated),) = _IS_NOW.findall(text)
            assert (tmp_path / name).read_text() == generated
            for name in (name for name in files if name.startswith("shop/")):
                (tmp_path / name).write_text(files[name])
        found = typed(one.command, monkeypatch)
        assert _TIME.sub("0.00 s", found) == _TIME.sub("0.00 s", one.output), one.command
        imported = imported or "import" in one.command
    assert imported
