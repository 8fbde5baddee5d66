"""Calls in child processes: what they may use, and that nothing they do reaches the parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dataspec.isolation import MIB, LimitExceeded, Limits, Worker, restart_clock
from unit.dataspec import isolated_calls

SMALL = Limits(cpu_seconds=0.3, wall_seconds=30, memory_bytes=64 * MIB)


@pytest.fixture
def worker() -> Iterator[Worker]:
    """A worker with little time and memory, by whichever way of starting fits this process."""
    worker = Worker(SMALL)
    yield worker
    worker.end()


def test_a_worker_answers_one_call_after_the_other_in_one_process(worker: Worker) -> None:
    assert worker.call(partial(isolated_calls.double, 21)) == 42
    first, second = worker.call(isolated_calls.own_pid), worker.call(isolated_calls.own_pid)
    assert first == second != os.getpid()


def test_an_error_of_the_function_is_raised_here_and_the_worker_goes_on(worker: Worker) -> None:
    with pytest.raises(ValueError, match="refused") as caught:
        worker.call(isolated_calls.refuse)
    assert "in refuse" in caught.value.__notes__[0], "the traceback of the child process is kept"
    assert worker.call(partial(isolated_calls.double, 1)) == 2


@pytest.mark.rule("10.12", "27.2")
@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (isolated_calls.spin, "it took more than 0.3 s"),
        (isolated_calls.spin_in_c, "it took more than 0.3 s"),
        (isolated_calls.allocate, "it took more memory than is allowed"),
        (isolated_calls.crash, "it is too large or nested too deep for the parser"),
    ],
)
def test_a_call_that_exceeds_its_limits_ends_its_own_process_alone(
    worker: Worker, call: Callable[[], Any], reason: str
) -> None:
    with pytest.raises(LimitExceeded) as caught:
        worker.call(call)
    assert caught.value.reason == reason
    assert not worker.alive


@pytest.mark.rule("27.2")
def test_a_call_that_waits_for_ever_is_ended_by_the_clock_on_the_wall() -> None:
    worker = Worker(Limits(wall_seconds=0.2))
    with pytest.raises(LimitExceeded, match=r"it took more than 0\.2 s"):
        worker.call(isolated_calls.sleep)
    assert not worker.alive


def test_each_call_has_the_whole_time(worker: Worker) -> None:
    for _ in range(4):
        worker.call(partial(isolated_calls.spin, 0.15))
    assert worker.alive


@pytest.mark.rule("27.2")
def test_each_item_of_a_batch_may_have_the_whole_time(worker: Worker) -> None:
    each = [0.15] * 4
    assert worker.call(partial(isolated_calls.spin_each, each)) == each


def test_outside_a_worker_no_clock_is_started() -> None:
    restart_clock()
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)


PARENT = """
import sys, threading, time
from dataspec.isolation import LIMITS, Worker
from unit.dataspec import isolated_calls
if __name__ == "__main__":
    if sys.argv[1] == "threads":
        threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
    workers = [Worker(LIMITS), Worker(LIMITS)]
    print(*(worker.call(isolated_calls.own_pid) for worker in workers), flush=True)
    workers[1].call(isolated_calls.sleep) if sys.argv[2] == "busy" else time.sleep(3600)
"""


@pytest.mark.rule("27.2")
@pytest.mark.parametrize("threads", ["threads", "one thread"])
def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path, threads: str) -> None:
    program = tmp_path / "parent.py"
    program.write_text(PARENT)
    tests = str(Path(__file__).parents[2])
    parent = subprocess.Popen(
        [sys.executable, str(program), threads, "idle"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": tests},
    )
    with parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 2
        parent.kill()
    until = time.monotonic() + 120
    while any(map(is_running, pids)):
        assert time.monotonic() < until, "a worker outlived its parent"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
