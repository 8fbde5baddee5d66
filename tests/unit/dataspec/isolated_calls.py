"""Functions that the tests of child processes call there: good ones, and those that no process survives."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Sequence

from dataspec.isolation import restart_clock


def double(number: int) -> int:
    return 2 * number


def refuse() -> None:
    raise ValueError("refused")


def spin(seconds: float = 1e6) -> None:
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def spin_in_c() -> int:
    """Compute a power for minutes without giving the interpreter back."""
    power: int = 7 ** (10**9)
    return power


def allocate() -> int:
    return len(bytearray(10**9))


def crash() -> None:
    ctypes.string_at(0)


def sleep() -> None:
    time.sleep(3600)


def own_pid() -> int:
    return os.getpid()


def spin_each(seconds: list[float]) -> list[float]:
    """Use processor time for each item, where every item has a clock of its own."""
    for each in seconds:
        restart_clock()
        spin(each)
    return seconds


def spin_at_two(items: Sequence[int]) -> list[int]:
    for item in items:
        restart_clock()
        if item == 2:
            spin()
    return list(items)
