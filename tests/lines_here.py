"""The lines of Airflow that can run on this machine, and what is left out where one can't."""

from __future__ import annotations

import pytest

from basecamp.dev.airflow_environment import interpreter_for
from basecamp.dev.release_lines import AIRFLOW_2, AIRFLOW_3, LINES, ReleaseLine
from dataspec.errors import InvalidUsage


def _refusal(line: ReleaseLine) -> str | None:
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


def _on(line: ReleaseLine) -> pytest.MarkDecorator:
    """Return the mark that runs a test on one line, or on 3.3 where this machine lacks that line."""
    found = LINES_HERE.get(line.name, AIRFLOW_3)
    return pytest.mark.parametrize("line", [found], ids=[found.name], indirect=True, scope="session")


on_airflow_3, on_airflow_2 = _on(AIRFLOW_3), _on(AIRFLOW_2)
"""For behaviour that does not depend on the line: one line proves it. They share these tests evenly, to end together."""
