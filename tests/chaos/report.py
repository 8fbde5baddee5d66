"""The report of a run, as Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from chaos.run import Run

SHOWN = 20
"""How many breaches of a promise are listed."""


def report(run: Run) -> str:
    """Return what happened and what was found."""
    requests = run.clients.requests
    asked: Counter[tuple[str, str]] = Counter((it.kind, it.outcome) for it in requests)
    kinds = sorted({it.kind for it in requests})
    outcomes = ("done", "refused", "unknown")
    rows = [(kind, *(asked[kind, outcome] for outcome in outcomes)) for kind in kinds]
    rows.append(("all", *(sum(row[column] for row in rows) for column in (1, 2, 3))))  # type: ignore[misc]
    faults: Counter[str] = Counter()
    for way in run.networks:
        target = way.name.partition("→ ")[2]
        faults += Counter({f"request to {target} {kind}": count for kind, count in way.counted.items()})
    events = sorted((run.director.counted + faults).items())
    promises = [
        (promise, run.checked[promise], len(run.broken.get(promise, run.older.get(promise, ()))))
        for promise in sorted(run.checked)
    ]
    sections = [
        _table(("request", *outcomes), rows),
        f"{sum(it.tries for it in requests)} requests were sent for these {len(requests)}.",
        _table(("what happened", "times"), events),
        _table(("promise", "cases", "broken"), promises),
        *(f"- {promise}: {text}" for promise, texts in run.broken.items() for text in texts[:SHOWN]),
        *(
            f"- older version: {promise}: {text}"
            for promise, texts in run.older.items()
            for text in texts[:SHOWN]
        ),
    ]
    return "\n\n".join(sections) + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
