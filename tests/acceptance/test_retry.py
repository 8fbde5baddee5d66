"""A failed run is mended, and runs again under its own id."""

from __future__ import annotations

import time
from typing import Any

import pytest
import yaml

from stacks import Stack

NO_RETRY = {"cron": "0 0 1 1 *", "retry": {"max_attempts": 0}}


def mend(stack: Stack, name: str, query: str) -> str:
    """Write another query into a dataset's file and register it; return the hash of the spec."""
    file = stack.project / "datasets" / f"dataset.{name}.yaml"
    spec: dict[str, Any] = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump({**spec, "query_statement": query}, sort_keys=False))
    registered: dict[str, Any] = stack.ask("dataset", "register", name, "--wait-seconds", "120")
    return str(registered["spec_hash"])


def told(stack: Stack, name: str) -> list[dict[str, Any]]:
    """Return a dataset's failed runs, the earliest first, once Airflow has told why each failed."""
    deadline = time.monotonic() + 300
    while True:
        runs: list[dict[str, Any]] = stack.ask("workflow", "history", "-d", name)[::-1]
        if all(run["error"] for run in runs):
            return runs
        assert time.monotonic() < deadline, runs
        time.sleep(1)


@pytest.mark.rule("12.6", "13.5")
def test_failed_runs_are_mended_by_a_mended_query_and_retried_under_their_ids(stack: Stack) -> None:
    name = stack.register("select * from no_such_table", schedule=NO_RETRY)
    runs = [stack.run(name) for _ in range(3)]
    followed = stack.cli("workflow", "logs", runs[-1], "--follow")
    assert (followed.returncode, "no_such_table" in followed.stdout) == (0, True), followed.stderr
    failed = told(stack, name)
    assert [(run["run_id"], run["status"], run["attempts"]) for run in failed] == [
        (run_id, "FAILED", 1) for run_id in runs
    ]
    assert all("no_such_table" in run["error"] for run in failed)
    mended = mend(stack, name, "select 1")

    one = stack.cli("workflow", "retry", runs[0])
    assert (one.returncode, one.stdout) == (0, f"Retry started: {runs[0]}\n"), one.stderr
    many = stack.cli("workflow", "retry", "--failed", "--since", "1h", "-d", name, "--yes", "--wait")
    assert (many.returncode, many.stdout.split()[2::3]) == (0, runs[1:]), many.stderr
    assert "Retried 2 of 2 runs." in many.stderr

    both = stack.cli("workflow", "logs", runs[0], "--follow")
    assert ("no_such_table" in both.stdout, both.stderr) == (True, "Attempt 2.\n")
    lines = [line for line in both.stdout.splitlines() if line.startswith("20")]
    assert len(lines) == len(set(lines))
    for run, before in zip(stack.ask("workflow", "history", "-d", name)[::-1], failed, strict=True):
        same = ("run_id", "parameters", "created_at", "run_type")
        assert [run[field] for field in same] == [before[field] for field in same]
        assert (run["status"], run["attempts"], run["error"]) == ("COMPLETED", 2, None)
        assert (run["spec_hash"], before["spec_hash"] == mended) == (mended, False)
