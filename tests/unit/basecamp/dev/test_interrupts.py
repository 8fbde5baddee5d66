import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from basecamp.dev.processes.interrupts import Interrupted, Interrupts


@pytest.fixture
def interrupts() -> Iterator[Interrupts]:
    with Interrupts() as entered:
        yield entered


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_sleep_at_once_and_says_which_it_was(
    interrupts: Interrupts, signum: signal.Signals
) -> None:
    threading.Timer(0.1, os.kill, (os.getpid(), signum)).start()
    since = time.monotonic()

    with pytest.raises(Interrupted) as interrupted:
        interrupts.sleep(300)

    assert time.monotonic() - since < 300
    assert interrupted.value.signum == signum


def test_a_signal_between_two_sleeps_ends_the_next(interrupts: Interrupts) -> None:
    interrupts.sleep(0)
    os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted):
        interrupts.sleep(300)


def test_a_pause_ends_at_each_further_signal_and_counts_them(interrupts: Interrupts) -> None:
    for count in (1, 2, 3):
        os.kill(os.getpid(), signal.SIGINT)
        interrupts.pause(60)
        assert interrupts.count == count


def test_more_signals_than_a_pipe_holds_block_nothing(interrupts: Interrupts) -> None:
    for _ in range(70_000):
        interrupts._note(signal.SIGTERM, None)

    interrupts.pause(60)

    assert interrupts.count == 70_000


def test_the_handlers_are_as_before_afterwards() -> None:
    before = signal.getsignal(signal.SIGTERM)

    with Interrupts():
        assert signal.getsignal(signal.SIGTERM) != before

    assert signal.getsignal(signal.SIGTERM) == before


def test_a_signal_that_was_ignored_at_the_start_as_by_nohup_stays_ignored() -> None:
    ask = """
import os, signal
from basecamp.dev.processes.interrupts import Interrupts
signal.signal(signal.SIGHUP, signal.SIG_IGN)
with Interrupts() as interrupts:
    os.kill(os.getpid(), signal.SIGHUP)
    interrupts.sleep(0.1)
"""
    assert subprocess.run([sys.executable, "-c", ask], check=False).returncode == 0
