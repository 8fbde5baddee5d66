"""Calls that are measured side by side, and the table of what they cost."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Cost:
    """What one call took."""

    wall: float
    """Milliseconds."""
    cpu: float
    """Milliseconds of this process, without the server's."""
    gets: int = 0
    """How many objects were asked for one by one."""


@dataclass
class Call:
    """Something to measure, and what its runs have cost."""

    name: str
    run: Callable[[], Cost]
    beside: str
    """The name of what it is compared with."""
    before: Callable[[], object] = lambda: None
    """What happens before each run, and is not counted."""
    costs: list[Cost] = field(default_factory=list)

    def measure(self) -> None:
        """Run it once."""
        self.before()
        self.costs.append(self.run())


def measure(calls: Sequence[Call], rounds: int) -> None:
    """Run the calls in turn, round by round, so that a drift of the machine's speed meets all of them."""
    for _ in range(rounds + 1):
        for call in calls:
            call.measure()
    for call in calls:  # the first round warms up
        del call.costs[0]


def table(calls: Sequence[Call], *, times: str) -> str:
    """Return the medians as a Markdown table; a ratio is the median of those of each round."""
    by_name = {call.name: call for call in calls}
    lines = [
        f"| call | GETs | CPU, ms | wall, ms | {times} | runs |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for call in calls:
        gets, cpu, wall = (
            statistics.median(getattr(cost, of) for cost in call.costs) for of in ("gets", "cpu", "wall")
        )
        pairs = zip(call.costs, by_name[call.beside].costs, strict=True)
        ratio = statistics.median(own.wall / bare.wall for own, bare in pairs)
        lines.append(
            f"| {call.name} | {gets:.0f} | {cpu:.0f} | {wall:.0f} | {ratio:.2f} | {len(call.costs)} |"
        )
    return "\n".join(lines)
