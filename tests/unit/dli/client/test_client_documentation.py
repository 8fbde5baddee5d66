"""docs/client.md: its programs run, and its table names every method."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import click
import pytest

from dli import AsyncClient, Client
from dli.client.calls import Listing
from dli.reference import commands
from unit.dli.basecamp import Basecamp
from unit.dli.specs import spec_of

PAGE = (Path(__file__).parents[4] / "docs" / "client.md").read_text()
NAME = "sales.daily"
PARAMETER = "parameters: [{name: execution_date, type: date}]\n"


@pytest.fixture
def sales(basecamp: Basecamp) -> Basecamp:
    """The server of the page: runs complete by themselves, but one that has failed is there."""
    basecamp.put_code(NAME, spec_of(NAME, more=PARAMETER))
    basecamp.fail(run_of(basecamp))
    basecamp.clock.let_pass(1)
    basecamp.finish_queued = True
    return basecamp


def run_of(basecamp: Basecamp) -> str:
    with Client(basecamp.url) as client:
        return client.start_run(NAME, {"execution_date": "2024-01-13"}).run_id


@pytest.mark.rule("20.18")
def test_every_program_of_the_page_runs_as_it_says(
    sales: Basecamp, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weekly = spec_of("sales.weekly", more="parameters: [{name: week, type: date}]\n")
    yaml = weekly.replace("query_statement: select 1", "query_file: weekly.sql")
    (project / "datasets" / "dataset.sales.weekly.yaml").write_text(yaml)
    (project / "datasets" / "weekly.sql").write_text("select * from sales where week = '{{ week }}'")
    world: dict[str, Any] = {}
    for program in re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        here = program.replace("http://127.0.0.1:8800", sales.url)
        now = here.replace("datetime.now(UTC)", "datetime(2024, 1, 15, tzinfo=UTC)")
        exec(compile(now, "client.md", "exec"), world)
    world["client"].close()
    first, preview, failed, missing, *last = capsys.readouterr().out.splitlines()
    assert first.startswith("COMPLETED 1 ")
    assert preview == """["select * from sales where week = '2024-01-15'"] ['sales']"""
    assert failed.endswith("{'execution_date': '2024-01-13'} Binder Error: no table 'clicks'")
    assert missing == "Missing required parameter: execution_date"
    assert last == ["COMPLETED", "COMPLETED"]
    assert isinstance(world["failed"], Listing)


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_the_page_names_every_method_with_its_arguments(kind: type) -> None:
    table = "\n".join(line for line in PAGE.splitlines() if line.startswith("| `"))
    for name, method in inspect.getmembers(kind, inspect.isfunction):
        if name.startswith("_") or name == "close":
            continue
        found = re.search(rf"`{name}\((.*?)\)`", table)
        assert found, name
        documented = {word.strip() for word in found[1].split(",")} - {"", "…"}
        assert documented <= inspect.signature(method).parameters.keys(), name


def test_the_page_says_for_each_command_which_methods_it_is_made_of() -> None:
    rows = dict(re.findall(r"^\| (.*`dli .*?) \| (.*) \|$", PAGE, re.MULTILINE))
    methods = {word for cell in rows.values() for word in re.findall(r"`(\w+)`", cell)}
    assert all(hasattr(Client, word) for word in methods), methods
    told = set(re.findall(r"`dli ([\w ]+)`", PAGE))
    names = {
        context.command_path.removeprefix("dli ")
        for context, command in commands()
        if not isinstance(command, click.Group)
    }
    assert names <= told | {"completion"}, names - told
