"""Say what checks found in the rows of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from dataspec.models import CheckResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dataspec.spec.checks import Check

SAMPLE_PREFIX = "rows that fail "
"""Prefix of the name of a statement that reads some of the rows that fail a check, to show them."""
_TEXT = 200
"""Maximum number of characters of a condition in a message."""
_NAMED = 5
"""Maximum number of checks that a message's first line names."""


class ChecksFailed(Exception):
    """Rows failed checks, so another attempt would fail as well.

    Args:
        failed: The results of these checks.
        published: Whether the rows are in the table already.
    """

    def __init__(self, failed: Sequence[CheckResult], *, published: bool) -> None:
        names = ", ".join(f"'{result.name}'" for result in failed[:_NAMED])
        more = f" and {len(failed) - _NAMED:,} more" if len(failed) > _NAMED else ""
        what = "The check" if len(failed) == 1 else "The checks"
        self.title = (
            f"{what} {names}{more} failed: "
            f"{'the rows are in the table.' if published else 'the rows were not published.'}"
        )
        self.details = tuple(result.message or "" for result in failed)
        super().__init__(" ".join((self.title, *self.details)))


def finding(check: Check, name: str, place: str, rows: int, total: int) -> CheckResult:
    """Return the result of a check.

    Args:
        check: The check.
        name: Its name.
        place: Where it is written.
        rows: How many rows fail; for ``row_count`` how many there are.
        total: How many rows there are.
    """
    reason = _reason(check, rows, total)
    if reason is None:
        return CheckResult(name=name, severity=check.severity, status="passed", rows=rows)
    return not_passed(check, name, rows, place, reason)


def not_passed(check: Check, name: str, rows: int | None, place: str, reason: str) -> CheckResult:
    """Return the result of a check that found something, or could not be done."""
    status: Literal["failed", "warned"] = "failed" if check.severity == "error" else "warned"
    return CheckResult(
        name=name,
        severity=check.severity,
        status=status,
        rows=rows,
        message=f"{place}: the check '{name}': {reason}",
    )


def _reason(check: Check, rows: int, total: int) -> str | None:
    """Return what is wrong with the rows; None for nothing."""
    if bounds := check.row_count:
        if bounds.min is not None and rows < bounds.min:
            return f"there {_rows(rows)}, fewer than {bounds.min:,}."
        if bounds.max is not None and rows > bounds.max:
            return f"there {_rows(rows)}, more than {bounds.max:,}."
        return None
    if not rows:
        return None
    one = rows == 1
    if check.sql:
        return f"the query returns {rows:,} row{'' if one else 's'}."
    columns = ", ".join(check.columns)
    have = "has" if one else "have"
    found = f"{rows:,} of {total:,} row{'' if total == 1 else 's'}"
    if check.not_null:
        return f"{found} {have} null in {columns}."
    if check.unique:
        return f"{found} {have} the {columns} of another row."
    if check.accepted_values:
        return f"{found} {have} a value of {columns} that is not accepted."
    if check.relationships:
        other = check.relationships
        return f"{found} {have} a value of {columns} that {other.to} lacks in {other.field}."
    text = " ".join((check.expression or "").split())
    shown = text if len(text) <= _TEXT else f"{text[: _TEXT - 1]}…"
    return f"for {found} it is not true that {shown}."


def _rows(count: int) -> str:
    return "is 1 row" if count == 1 else f"are {count:,} rows"
