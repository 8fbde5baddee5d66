"""Each command's calls of the server are routes whose row in the table of rights names the command."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
import pytest

from basecamp.access.rights import RIGHTS
from dli.reference import commands
from unit.dli.basecamp import Basecamp
from unit.dli.conftest import Dli
from unit.dli.specs import CLICKS, CLICKS_FILES, CLICKS_YAML, write_clicks
from unit.dli.terminal import CTRL_C, on_terminal

DATE = ("-p", "execution_date=2024-01-14")

CALLS: Mapping[str, Sequence[Sequence[str]]] = {
    "dli workflow run": [[CLICKS, *DATE], [CLICKS, *DATE, "--dry-run"]],
    "dli workflow backfill": [[CLICKS, "--start", "2024-01-01", "--end", "2024-01-02"]],
    "dli workflow status": [["RUN"], ["BACKFILL"], [CLICKS]],
    "dli workflow backfills": [[], [CLICKS]],
    "dli workflow list": [[]],
    "dli workflow graph": [[], [CLICKS]],
    "dli workflow why": [[CLICKS], [CLICKS, "2024-01-14"]],
    "dli workflow stop": [["RUN"], ["BACKFILL"], [CLICKS, "--yes"]],
    "dli workflow retry": [["ENDED"], [CLICKS]],
    "dli workflow pause": [[CLICKS]],
    "dli workflow unpause": [[CLICKS]],
    "dli workflow history": [[], ["--run-type", "backfill"]],
    "dli workflow watch": [[]],
    "dli workflow open": [["RUN"], ["BACKFILL"], [CLICKS]],
    "dli workflow sync": [[]],
    "dli workflow logs": [["ENDED"], [CLICKS]],
    "dli dataset check": [[CLICKS, *DATE, "--server"]],
    "dli dataset register": [[CLICKS]],
    "dli dataset update": [[CLICKS, "--cron", "0 5 * * *"]],
    "dli dataset unregister": [[CLICKS, "--yes"]],
    "dli dataset diff": [[CLICKS], [CLICKS, "VERSION"]],
    "dli dataset versions": [[CLICKS]],
    "dli dataset rollback": [[CLICKS, "VERSION", "--yes"]],
    "dli dataset list": [["--registered"]],
    "dli dataset show": [
        [CLICKS, "--registered"],
        [CLICKS, "--version", "VERSION"],
        [CLICKS, "--registered", "--columns"],
    ],
    "dli notifications test": [[CLICKS]],
    "dli audit": [[]],
    "dli whoami": [[]],
}
"""Invocations of the commands that call the server."""

SIGN_IN = {"dli login", "dli logout"}
"""The commands that need a server with sign-in: ``test_login_commands.py`` has them."""

LOCAL = {
    "dli init",
    "dli version",
    "dli config show",
    "dli config trust",
    "dli code publish",
    "dli dataset init",
    "dli dataset export",
    "dli dataset graph",
    "dli dataset schema",
    "dli dataset run",
    "dli dataset test",
    "dli dataset validate",
    "dli import dbt",
}
"""The commands that work on this machine, or on the store, alone."""

ASSISTANT = {"dli mcp"}
"""It calls what an assistant asks for: its tools have the rights of the commands that they stand for."""


@pytest.fixture
def ids(basecamp: Basecamp, dli: Dli, project: Path) -> Mapping[str, str]:
    """A dataset in the project and on the server, with a queued run, an ended run and an active backfill."""
    write_clicks(project)
    basecamp.put_manual(CLICKS, CLICKS_YAML + "# before\n", CLICKS_FILES)
    assert dli("workflow", "sync").status == 0
    basecamp.put_manual(CLICKS, CLICKS_YAML, CLICKS_FILES)
    assert dli("workflow", "sync").status == 0

    def start(*arguments: str) -> str:
        done = dli("workflow", *arguments)
        assert done.status == 0, done.err
        found = re.search(rf"{re.escape(CLICKS)}_\w+", done.out)
        assert found is not None
        return found[0]

    ended = start("run", CLICKS, "-p", "execution_date=2024-01-13")
    basecamp.fail(ended)
    run = start("run", CLICKS, *DATE)
    backfill = start("backfill", CLICKS, "--start", "2024-01-01", "--end", "2024-01-02")
    _, version = json.loads(dli("dataset", "versions", CLICKS, "-f", "json").out)
    return {"RUN": run, "ENDED": ended, "BACKFILL": backfill, "VERSION": version["spec_hash"]}


def row_of(method: str, path: str) -> str:
    """Return the row of the table that a request belongs to; the most specific one."""

    def fits(row: str) -> bool:
        pattern = re.sub(r"\{\w+\}", "[^/]+", row.split()[1])
        return row.startswith(f"{method} ") and re.fullmatch(pattern, path) is not None

    return min(filter(fits, RIGHTS), key=lambda row: row.count("{"))


def requests_in(told: str) -> set[str]:
    """Return the rows of the calls that ``--verbose`` tells of."""
    found = re.findall(r"(GET|PUT|POST|PATCH|DELETE) \S*?(/api/v1/[^\s?:]+)", told)
    return {row_of(method, path) for method, path in found}


def test_every_command_calls_the_server_or_is_known_not_to() -> None:
    leaves = {context.command_path for context, one in commands() if not isinstance(one, click.Group)}
    assert leaves == set(CALLS) | SIGN_IN | LOCAL | ASSISTANT


def test_the_table_names_no_other_command() -> None:
    assert {command for right in RIGHTS.values() for command in right.commands} == set(CALLS) | SIGN_IN


@pytest.mark.rule("26.20")
@pytest.mark.parametrize("command", CALLS)
def test_the_routes_that_a_command_calls_name_it(command: str, ids: Mapping[str, str], dli: Dli) -> None:
    called: set[str] = set()
    for arguments in CALLS[command]:
        words = [*command.split()[1:], *(ids.get(one, one) for one in arguments), "--verbose"]
        if command == "dli workflow watch":
            called |= requests_in(on_terminal(words, keys=[("Ctrl-C ends", CTRL_C)]).text)
        else:
            called |= requests_in(dli(*words).err)
    assert called == {row for row, right in RIGHTS.items() if command in right.commands}
