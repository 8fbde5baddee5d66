"""``dli mcp``: an assistant's client speaks with the command by standard input and output."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest
from mcp import ClientSession
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.types import CallToolResult, Tool

from unit.dli.basecamp import NOW, Basecamp
from unit.dli.conftest import Dli
from unit.dli.specs import CLICKS, CLICKS_FILES, CLICKS_YAML, spec_of

UP, DOWN = "sales.orders", "sales.report"
DATE = "parameters: [{name: execution_date, type: date}]\n"
SCHEDULE = 'schedule: {cron: "0 0 * * *"}\n'

Call = tuple[str, Mapping[str, Any]]


def converse(
    server: str, *calls: Call, options: Sequence[str] = ()
) -> tuple[list[Tool], list[CallToolResult]]:
    """Return the tools that the command has, and the results of calls."""

    async def talk() -> tuple[list[Tool], list[CallToolResult]]:
        command = StdioServerParameters(
            command=sys.executable, args=["-m", "dli", "mcp", *options], env={"DLI_SERVER_URL": server}
        )
        async with stdio_client(command) as streams, ClientSession(*streams) as session:
            await session.initialize()
            tools = (await session.list_tools()).tools
            return tools, [await session.call_tool(name, dict(given)) for name, given in calls]

    return asyncio.run(talk())


def text(result: CallToolResult) -> str:
    return "\n".join(getattr(part, "text", "") for part in result.content)


@pytest.fixture
def clicks(basecamp: Basecamp) -> Basecamp:
    basecamp.put_code(CLICKS, CLICKS_YAML, CLICKS_FILES)
    return basecamp


@pytest.mark.rule("40.1")
def test_it_only_reads_unless_changes_are_allowed(clicks: Basecamp) -> None:
    tools, (refused,) = converse(clicks.url, ("start_run", {"name": CLICKS}))
    assert all(tool.annotations and tool.annotations.read_only_hint for tool in tools)
    assert refused.is_error
    more, _ = converse(clicks.url, options=["--allow-changes"])
    added = {tool.name for tool in more} - {tool.name for tool in tools}
    assert added == {
        "start_run",
        "retry_run",
        "stop_run",
        "start_backfill",
        "stop_backfill",
        "pause",
        "unpause",
    }


@pytest.mark.rule("40.2")
def test_it_follows_a_missing_partition_to_the_run_that_failed(basecamp: Basecamp) -> None:
    basecamp.put_code(UP, spec_of(UP, more=SCHEDULE))
    basecamp.put_code(DOWN, spec_of(DOWN, more=f"depends_on: [{UP}]\n{DATE}{SCHEDULE}"))
    end = NOW.replace(hour=0, minute=0, second=0)
    runs = {name: f"{name}_{end:%Y%m%d_%H%M%S}" for name in (UP, DOWN)}
    for name, run_id in runs.items():
        basecamp.airflow.schedule(name, run_id, (end - timedelta(days=1), end))
    basecamp.airflow.wait(DOWN, runs[DOWN])
    for _ in range(2):
        basecamp.start_attempt(runs[UP])
        basecamp.log(runs[UP], "no such table")
        basecamp.airflow.end(UP, runs[UP], "failed")
    _, (why, runs_failed, log, graph) = converse(
        basecamp.url,
        ("why", {"name": DOWN}),
        ("list_runs", {"status": "FAILED"}),
        ("get_log", {"run_id": runs[UP]}),
        ("get_graph", {}),
    )
    found = why.structured_content
    assert found is not None
    assert (found["state"], found["upstream"][0]["run_id"]) == ("waiting", runs[UP])
    assert runs_failed.structured_content is not None
    assert [run["run_id"] for run in runs_failed.structured_content["runs"]] == [runs[UP]]
    assert "no such table" in text(log)
    assert UP in text(graph)


@pytest.mark.rule("40.2")
def test_it_shows_a_dataset_with_its_spec_its_versions_and_what_a_run_would_do(
    clicks: Basecamp, dli: Dli
) -> None:
    assert dli("workflow", "sync").status == 0
    _, (listed, one, preview, versions, lineage) = converse(
        clicks.url,
        ("list_datasets", {"pattern": "ice*"}),
        ("get_dataset", {"name": CLICKS}),
        ("preview_run", {"name": CLICKS, "parameters": {"execution_date": "2024-01-15"}}),
        ("diff_versions", {"name": CLICKS}),
        ("get_lineage", {"name": CLICKS}),
    )
    assert listed.structured_content is not None
    assert [row["dataset_name"] for row in listed.structured_content["datasets"]] == [CLICKS]
    assert one.structured_content is not None
    assert one.structured_content["spec"]["yaml"] == CLICKS_YAML
    for result in (preview, versions, lineage):
        assert not result.is_error, text(result)
    assert "2024-01-15" in text(preview)
    assert CLICKS not in dli("workflow", "history").out


@pytest.mark.rule("40.3")
def test_an_error_is_told_in_the_words_of_the_command_line(clicks: Basecamp) -> None:
    _, (unknown, wrong) = converse(
        clicks.url,
        ("why", {"name": "iceberg.analytics.daily_click"}),
        ("preview_run", {"name": CLICKS, "parameters": {"execution_dat": "2024-01-15"}}),
    )
    assert unknown.is_error
    assert f"Did you mean '{CLICKS}'?" in text(unknown)
    assert wrong.is_error
    assert "execution_dat" in text(wrong)


@pytest.mark.rule("40.1")
def test_with_changes_it_starts_and_stops_a_run_as_the_person(clicks: Basecamp, dli: Dli) -> None:
    _, (started,) = converse(
        clicks.url,
        ("start_run", {"name": CLICKS, "parameters": {"execution_date": "2024-01-15"}}),
        options=["--allow-changes"],
    )
    assert started.structured_content is not None
    run_id = started.structured_content["run_id"]
    assert run_id in dli("workflow", "history").out
    _, (stopped,) = converse(
        clicks.url, ("stop_run", {"run_id": run_id, "reason": "wrong date"}), options=["--allow-changes"]
    )
    assert stopped.structured_content is not None
    assert stopped.structured_content["status"] == "KILLED"
