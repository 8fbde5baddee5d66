"""Whole processes, measured from outside: what the operating system says they used."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Cost:
    """What one process used, in milliseconds."""

    cpu: float
    wall: float


@dataclass
class Command:
    """A command to measure, and what its runs have cost."""

    name: str
    arguments: Sequence[str]
    environ: Mapping[str, str] = field(default_factory=dict)
    rounds: int = 7
    costs: list[Cost] = field(default_factory=list)

    def run(self, *, counted: bool = True) -> None:
        cost = cost_of(self.arguments, self.environ)
        if counted:
            self.costs.append(cost)

    @property
    def median(self) -> Cost:
        return Cost(*(statistics.median(getattr(cost, of) for cost in self.costs) for of in ("cpu", "wall")))


def cost_of(arguments: Sequence[str], environ: Mapping[str, str]) -> Cost:
    """Run a command to its end and return what it used; its output is thrown away."""
    began = time.perf_counter()
    process = subprocess.Popen(
        arguments, env={**os.environ, **environ}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    complaint = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stderr.close()
    if process.returncode:
        raise SystemExit(f"{' '.join(arguments)} failed:\n{complaint.decode(errors='replace')[-2000:]}")
    return Cost((usage.ru_utime + usage.ru_stime) * 1000, wall * 1000)


def measure(commands: Sequence[Command]) -> None:
    """Run the commands in turn, round by round, so that a drift of the machine's speed meets all of them."""
    for command in commands:
        command.run(counted=False)
    for number in range(max(command.rounds for command in commands)):
        for command in commands:
            if number < command.rounds:
                command.run()


def table(commands: Sequence[Command], *, beside: str) -> str:
    """Return the medians as a Markdown table; ratios are of wall time to the command named."""
    base = next(command for command in commands if command.name == beside).median.wall
    lines = ["| command | CPU, ms | wall, ms | wall, times | runs |", "| --- | ---: | ---: | ---: | ---: |"]
    for command in commands:
        cost = command.median
        ratio = f"{cost.wall / base:.1f}"
        lines.append(
            f"| {command.name} | {cost.cpu:.0f} | {cost.wall:.0f} | {ratio} | {len(command.costs)} |"
        )
    return "\n".join(lines)
