"""The pages that lead a newcomer, followed to the letter."""

import os
import re
import shlex
import shutil
import subprocess
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from lines_here import on_airflow_3
from stacks import BIN, REPOSITORY, Stack, copy_of_flights

pytestmark = on_airflow_3


def files_in(page: str) -> dict[str, str]:
    """Return the files that a page has its reader write, by their paths."""
    text = (REPOSITORY / page).read_text()
    return dict(re.findall(r"^`([\w./]+)`:\n\n```\w+\n(.*?)^```", text, re.DOTALL | re.MULTILINE))


def blocks_in(page: str) -> list[str]:
    """Return what a page has its reader type, block by block."""
    return re.findall(r"^```bash\n(.*?)^```", (REPOSITORY / page).read_text(), re.DOTALL | re.MULTILINE)


def commands_in(page: str) -> list[list[str]]:
    """Return the commands that a page has its reader run against a server, in their order."""
    return [
        shlex.split(line)[1:]
        for block in blocks_in(page)
        for line in block.splitlines()
        if line.startswith("dli ")
    ]


def follow(page: str, stack: Stack) -> None:
    commands = commands_in(page)
    assert commands
    for arguments in commands:
        done = stack.program(*arguments)
        assert done.returncode == 0, (arguments, done.stderr)


@pytest.mark.rule("28.1")
@pytest.mark.parametrize("page", ["README.md", "README.ko.md"])
def test_the_readme_leads_from_an_empty_folder_to_a_table_here_and_then_unchanged_to_the_same_on_the_server(
    stack: Stack, tmp_path: Path, page: str
) -> None:
    blocks = blocks_in(page)
    _, local, dev, server = blocks[:4]
    assert dev == "basecamp dev\n"  # the server that the tests share is up already, in another folder

    without_server = {
        **os.environ,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "DLI_SERVER_URL": "http://127.0.0.1:9",
    }
    here = subprocess.run(
        ["bash", "-euc", local], cwd=tmp_path, env=without_server, capture_output=True, text=True, check=False
    )
    assert here.returncode == 0, here.stderr
    (shown,) = re.findall(r"^```text\n(.*?)^```", (REPOSITORY / page).read_text(), re.DOTALL | re.MULTILINE)
    assert here.stdout.endswith(shown)
    project = tmp_path / "shop"
    files = {path: path.read_bytes() for path in project.rglob("*.yaml")} | {
        path: path.read_bytes() for path in project.rglob("*.sql")
    }

    stack.cli("dataset", "unregister", "shop.hello", "--yes")  # of the page in the other language
    for line in server.splitlines():
        done = replace(stack, project=project).program(*shlex.split(line)[1:])
        assert done.returncode == 0, (line, done.stderr)

    assert {path: path.read_bytes() for path in files} == files
    with duckdb.connect(str(project / "warehouse.duckdb"), read_only=True) as warehouse:
        built = warehouse.execute("select * from shop.hello where day = '2024-01-15'").fetchall()
    assert stack.rows("select * from shop.hello") == built


def test_the_quickstart_builds_the_table_that_it_shows(stack: Stack, tmp_path: Path) -> None:
    for name, text in files_in("docs/quickstart.md").items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    # The page has its reader start the server in this folder; here it was started in another.
    shutil.copy(tmp_path / "data" / "orders.csv", stack.project / "data")

    follow("docs/quickstart.md", replace(stack, project=tmp_path))

    assert stack.rows("select product, quantity, revenue from shop.daily_sales order by product") == [
        ("cup", 8, Decimal("36.00")),
        ("teapot", 2, Decimal("60.00")),
    ]


def test_the_example_s_page_builds_its_three_tables(stack: Stack, tmp_path: Path) -> None:
    # In a copy of its own: other tests write wrong specs beside those of the shared one.
    follow("examples/flights/README.md", replace(stack, project=copy_of_flights(tmp_path)))

    assert stack.rows("select count(*) from flights.daily where flight_date = '2013-01-01'") == [(842,)]
    assert stack.rows("select sum(flights) from flights.carrier_delays where flight_date = '2013-01-01'") == [
        (842,)
    ]
    assert stack.rows(
        "select sum(flights) >= 842 from flights.weekly_summary where week_start = '2012-12-31'"
    ) == [(True,)]
