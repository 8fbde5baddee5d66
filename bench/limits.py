"""Measure what the limits on SQL and templates cost a usual spec, beside the same work without them.

`make bench` runs it. It prints Markdown; ``docs/benchmarks.md`` keeps a run with its date.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from commands import machine
from jinja2.sandbox import ImmutableSandboxedEnvironment
from validate import generate

from dataspec.isolation import LIMITS, Worker
from dataspec.sql.template.render import render
from dli.project.check import _check_batch
from dli.project.project import Project

SPECS = 200
"""As many as one batch of `dli dataset validate` holds, twice."""
ROUNDS = 5
RENDERINGS = 300

VALUES: dict[str, Any] = {"execution_date": "2024-01-15", "minimum": 10, "carriers": ["AA", "UA"]}
NAMES = (
    "select a, b from t where day = '{{ execution_date }}' and n >= {{ minimum }} and c in ({{ carriers }})"
)
CONDITIONS = (
    NAMES + "{% if minimum > 5 %} and d > 1{% endif %}{% for c in carriers %} or e = '{{ c }}'{% endfor %}"
)


def main() -> None:
    """Measure and print."""
    print(f"{datetime.now(UTC):%Y-%m-%d}, {machine()}\n")
    print("| work | without limits, ms | with, ms | times |\n| --- | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory(prefix="dli-bench-") as folder:
        root = generate(Path(folder), SPECS)
        paths = list(Project(root, root / "datasets").yaml_files())
        check = partial(_check_batch, root, root / "datasets", {}, paths)
        row(f"check {SPECS} specs", *in_turn(check, partial(in_worker, check)))
    bare = ImmutableSandboxedEnvironment().from_string(CONDITIONS)
    row("render conditions and a loop, Jinja alone beside values as data",
        *in_turn(partial(bare.render, VALUES), partial(rendered, CONDITIONS), times=RENDERINGS))  # fmt: skip
    row(
        "render names alone, beside the same",
        *in_turn(partial(bare.render, VALUES), partial(rendered, NAMES), times=RENDERINGS),
    )


def in_worker(check: Callable[[], Any]) -> None:
    """Do the work in a new child process, as the command line does."""
    worker = Worker(LIMITS)
    try:
        worker.call(check)
    finally:
        worker.end()


def rendered(sql: str) -> str:
    """Render a template as a run does."""
    return render(sql, VALUES, dialect="duckdb", file="q.sql").sql


def in_turn(without: Callable[[], Any], limited: Callable[[], Any], *, times: int = 1) -> tuple[float, float]:
    """Return the median of what each takes, in ms, one after the other, so that a drift meets both."""
    costs: tuple[list[float], list[float]] = ([], [])
    for number in range(ROUNDS + 1):
        for work, cost in zip((without, limited), costs, strict=True):
            began = time.perf_counter()
            for _ in range(times):
                work()
            if number:
                cost.append((time.perf_counter() - began) * 1000 / times)
    return statistics.median(costs[0]), statistics.median(costs[1])


def row(name: str, without: float, limited: float) -> None:
    """Print a row of the table."""
    print(f"| {name} | {without:,.2f} | {limited:,.2f} | {limited / without:.2f} |")


if __name__ == "__main__":
    main()
