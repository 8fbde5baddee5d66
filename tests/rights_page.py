"""The page ``docs/rights.md``: the table of rights, as people read it.

``python tests/rights_page.py`` writes it anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from basecamp.access.rights import RIGHTS, Right, Scope

PAGE = Path(__file__).parents[1] / "docs" / "rights.md"

HEAD = """\
# The table of rights

Which role each command and each route needs on a server with [sign-in](access.md), and for which datasets.
Written from `basecamp.access.rights` by `python tests/rights_page.py`; don't edit it.

| for | a role that is limited to teams |
| --- | --- |
| the dataset | must be for the dataset's team |
| the dataset and the spec | must be for the dataset's team, and for the team in the spec that is sent |
| its datasets | is enough: the answer has the datasets of its teams alone |
| all datasets | is not enough |
| the caller | is enough |
"""

DATASETS = {
    Scope.PUBLIC: "–",  # noqa: RUF001 - an en dash
    Scope.SIGNED_IN: "the caller",
    Scope.SERVER: "all datasets",
    Scope.LIST: "its datasets",
    Scope.DATASET: "the dataset",
    Scope.BODY: "the dataset",
    Scope.SPEC: "the dataset and the spec",
    Scope.RUN: "the run's dataset",
    Scope.BACKFILL: "the backfill's dataset",
}


def page() -> str:
    """Return the page."""
    return f"{HEAD}\n## Commands\n\n{_commands()}\n## Routes\n\n{_routes()}"


def _commands() -> str:
    named = {command for right in RIGHTS.values() for command in right.commands}
    rows = (f"| `{command}` | {_role(_strictest(command))} |\n" for command in sorted(named))
    return f"| command | role |\n| --- | --- |\n{''.join(rows)}"


def _strictest(command: str) -> Right:
    """Return the row of a command that needs the highest role."""
    return max(
        (right for right in RIGHTS.values() if command in right.commands), key=lambda one: one.role or 0
    )


def _routes() -> str:
    return f"| route | role | for |\n| --- | --- | --- |\n{''.join(_rows())}"


def _rows() -> Iterator[str]:
    for row, right in RIGHTS.items():
        yield f"| `{row}` | {_role(right)} | {DATASETS[right.scope]} |\n"


def _role(right: Right) -> str:
    if right.role is not None:
        return right.role.label
    return "no sign-in" if right.scope is Scope.PUBLIC else "any"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
