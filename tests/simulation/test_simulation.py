"""The simulation finds nothing in the product, and finds out a store that breaks its word."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


def simulate(*options: str) -> subprocess.CompletedProcess[str]:
    """Run the simulation in a process of its own: it replaces threads and random numbers there."""
    return subprocess.run(
        [sys.executable, "-m", "simulation", *options],
        cwd=TESTS,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
        timeout=1500,
    )


@pytest.mark.rule("18.23")
def test_nothing_acknowledged_is_lost_or_done_twice_whatever_fails() -> None:
    ended = simulate("--steps", "50000", "--seed", "4")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "lost 0, doubled 0" in ended.stdout
    happened = {name: int(number) for number, name in re.findall(r"(\d+) ([\w .]+)", ended.stdout)}
    for name in (
        "replicas killed",
        "Airflow answer_lost",
        "store answer_lost",
        "store late",
        "store expired",
        "run done",
    ):
        assert happened.get(name), f"it tried no '{name}':\n{ended.stdout}"


def test_a_seed_repeats_its_world() -> None:
    first, second = (simulate("--steps", "3000", "--seed", "7").stdout for _ in range(2))
    assert _without_seconds(first) == _without_seconds(second)


def test_a_store_that_ignores_conditions_is_found_out() -> None:
    ended = simulate("--steps", "30000", "--seed", "1", "--sabotage", "unconditional-writes")
    assert ended.returncode == 1, ended.stdout
    line = re.search(r"make simulate STEPS=(\d+) SEED=(\d+)", ended.stdout)
    assert line is not None, ended.stdout
    again = simulate("--steps", line[1], "--seed", line[2], "--sabotage", "unconditional-writes")
    assert again.stdout == ended.stdout


def _without_seconds(text: str) -> str:
    return re.sub(r"in \d+ s", "", text)
