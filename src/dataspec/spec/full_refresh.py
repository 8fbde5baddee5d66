"""Say which part a run has in a full refresh: building a table anew, beside the old one (docs/materialization.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from dataspec.spec.model import DatasetSpec


class FullRefresh(NamedTuple):
    """The part of one run in a full refresh."""

    backfill: str | None = None
    """The id of the backfill that builds the table; None for a run that builds it alone."""
    begins: bool = True
    """Whether no partition of the new table is built yet."""
    ends: bool = True
    """Whether the new table takes the place of the old one after this run."""

    @property
    def is_whole(self) -> bool:
        """Whether the run builds the whole table."""
        return self.begins and self.ends


def why_no_full_refresh(spec: DatasetSpec, *, by_backfill: bool) -> tuple[str, str] | None:
    """Return why a dataset can't be built anew, and the next step; None if it can.

    Args:
        spec: The spec of the dataset.
        by_backfill: Whether a backfill would build it, and not one run.
    """
    form = spec.materialization
    if form is None:
        return f"'{spec.name}' has no 'materialization', so its SQL decides what a run replaces.", ""
    if form.type == "view":
        return f"'{spec.name}' is a view, which holds no rows that a full refresh could build anew.", ""
    if by_backfill or form.type == "table":
        return None
    message = (
        f"'{spec.name}' is incremental: a full refresh by one run would leave the rows of that run alone."
    )
    if spec.takes_execution_date:
        command = f"dli workflow backfill {spec.name} --start YYYY-MM-DD --end YYYY-MM-DD --full-refresh"
        return message, f"Build all of its partitions anew: {command}"
    return message, "Drop the table, and run the dataset."
