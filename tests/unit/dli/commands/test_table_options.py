"""``--adopt`` and ``--full-refresh`` of the commands that ask the server."""

from __future__ import annotations

import pytest

from basecamp.airflow.models import RunFilter
from basecamp.shared.waiting import run_through
from dataspec.contract import adopts, full_refresh_of
from unit.dli.basecamp import Basecamp
from unit.dli.conftest import Dli
from unit.dli.specs import CLICKS, CLICKS_FILES, CLICKS_YAML
from unit.dli.terminal import on_terminal

RUN = ("workflow", "run", CLICKS, "-p", "execution_date=2024-01-01")
BACKFILL = ("workflow", "backfill", CLICKS, "-s", "2024-01-01", "-e", "2024-01-03")
APPENDED = f"{CLICKS} is appended to: the rows of a partition that is built already would be in it twice."
REPLACED = f"After the last partition a new table replaces {CLICKS}: it has the rows of these 3 alone."


def put(basecamp: Basecamp, form: str) -> None:
    yaml = CLICKS_YAML.replace("query_file", f"materialization: {form}\nquery_file")
    basecamp.put_code(CLICKS, yaml, CLICKS_FILES)


@pytest.mark.rule("22.50")
@pytest.mark.parametrize("command", [RUN, BACKFILL])
@pytest.mark.parametrize("option", ["--adopt", "--full-refresh"])
def test_the_options_reach_the_run(
    basecamp: Basecamp, dli: Dli, command: tuple[str, ...], option: str
) -> None:
    put(basecamp, "table")
    yes = ("--yes",) if command is BACKFILL else ()
    assert dli(*command, option, *yes).status == 0
    if command is BACKFILL:
        run_through(basecamp.services.backfill_steps.advance(CLICKS), basecamp.clock)
    [run] = basecamp.airflow.list_runs(RunFilter(), limit=5).runs
    assert (adopts(run.conf), full_refresh_of(run.conf) is not None) == (
        option == "--adopt",
        option != "--adopt",
    )


@pytest.mark.rule("22.50")
def test_one_run_of_an_incremental_dataset_is_told_how_it_is_built_anew(basecamp: Basecamp, dli: Dli) -> None:
    put(basecamp, "{type: incremental, strategy: append}")
    told = dli(*RUN, "--full-refresh")
    assert told.status == 2
    assert f"dli workflow backfill {CLICKS} --start YYYY-MM-DD --end YYYY-MM-DD --full-refresh" in told.err


@pytest.mark.rule("22.51")
@pytest.mark.parametrize(
    ("form", "more", "reason"),
    [
        ("{type: incremental, strategy: append}", (), APPENDED),
        ("{type: incremental, strategy: append}", ("--full-refresh",), REPLACED),
        ("{type: incremental, strategy: merge, unique_key: [id]}", ("--full-refresh",), REPLACED),
    ],
)
def test_a_backfill_that_appends_or_replaces_the_table_asks_first(
    basecamp: Basecamp, dli: Dli, form: str, more: tuple[str, ...], reason: str
) -> None:
    put(basecamp, form)
    refused = dli(*BACKFILL, *more)
    assert (refused.status, refused.out) == (4, "")
    assert refused.err == f"Error: This would build 3 dates.\n       {reason}\n       Confirm with --yes.\n"
    screen = on_terminal((*BACKFILL, *more), keys=[("[y/N]: ", "y\n")])
    assert (
        f"This builds 3 dates, from 2024-01-01 to 2024-01-03, one after the other.\n{reason}\n" in screen.text
    )
    assert screen.status == 0
