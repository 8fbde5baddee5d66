"""The lines of Airflow that can run on this machine, and what is left out where one can't."""

from __future__ import annotations

from basecamp.dev.airflow.interpreters import interpreter_for
from basecamp.dev.lines import LINES, Line
from dataspec.errors import InvalidUsage


def _refusal(line: Line) -> str | None:
    """Say why no Python of this machine runs a line; None where one does."""
    try:
        interpreter_for(line)
    except InvalidUsage as error:
        return f"{error.title} {error.detail}"
    return None


_REFUSALS = {name: _refusal(line) for name, line in LINES.items()}
LINES_HERE = {name: line for name, line in LINES.items() if _REFUSALS[name] is None}
LEFT_OUT = [
    f"left out: all tests on Airflow {name}. {refusal}" for name, refusal in _REFUSALS.items() if refusal
]
"""A line for each line of Airflow whose tests are not even collected; no skips, which CI does not allow."""
