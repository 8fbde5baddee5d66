"""The pipelines under ``examples/ci``: sound YAML, and commands that the command line takes."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from dli.main import cli
from unit.dli.conftest import Dli
from unit.dli.specs import write_clicks

PIPELINES = sorted((Path(__file__).parents[4] / "examples" / "ci").glob("*.yml"))


def commands(node: Any) -> Iterator[list[str]]:
    """Yield every command of ``dli`` in a pipeline, as its arguments."""
    if isinstance(node, dict):
        for value in node.values():
            yield from commands(value)
    elif isinstance(node, list):
        for value in node:
            yield from commands(value)
    elif isinstance(node, str) and node.startswith("dli "):
        yield shlex.split(node)[1:]


@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: path.stem)
def test_a_pipeline_checks_shows_and_publishes(path: Path) -> None:
    found = list(commands(yaml.safe_load(path.read_text())))
    assert found == [["dataset", "validate"], ["code", "publish", "--dry-run"], ["code", "publish"]]
    for arguments in found:
        parse(cli, arguments)


def parse(command: click.Command | None, arguments: list[str], parent: click.Context | None = None) -> None:
    """Read a command line as the command would; one that is wrong raises."""
    assert command is not None
    if isinstance(command, click.Group):
        context = click.Context(command, parent=parent, **command.context_settings)
        _, inner, rest = command.resolve_command(context, arguments)
        parse(inner, rest, context)
    else:
        command.make_context("dli", arguments, parent)


def test_both_systems_have_a_pipeline() -> None:
    assert [path.stem for path in PIPELINES] == ["github-actions", "gitlab-ci"]


@pytest.mark.rule("17.1")
@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: path.stem)
def test_the_commands_of_a_pipeline_publish_a_project(
    path: Path, dli: Dli, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_clicks(project)
    (tmp_path / "store").mkdir()
    monkeypatch.setenv("DLI_STORE_URL", str(tmp_path / "store"))
    for arguments in commands(yaml.safe_load(path.read_text())):
        assert dli(*arguments).status == 0
    assert list((tmp_path / "store" / "code").glob("*.yaml"))


@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: path.stem)
def test_a_pipeline_installs_what_a_bucket_needs_before_it_asks(path: Path) -> None:
    text = path.read_text()
    assert 0 < text.index('pip install "dli-basecamp[s3]"') < text.index("dli dataset validate")
