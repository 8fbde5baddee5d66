"""Check what a request asks for the table of a dataset: to take it over, or to build it anew."""

from __future__ import annotations

from dataspec.errors import InvalidUsage
from dataspec.spec.full_refresh import why_no_full_refresh
from dataspec.spec.model import DatasetSpec


def check_table_options(spec: DatasetSpec, *, adopt: bool, full_refresh: bool, by_backfill: bool) -> None:
    """Check that a dataset has a table that a run can take over, or build anew.

    Raises:
        InvalidUsage: When it has not.
    """
    if adopt and spec.materialization is None:
        raise InvalidUsage(f"'{spec.name}' has no 'materialization', so no run takes over a table.")
    if full_refresh and (why := why_no_full_refresh(spec, by_backfill=by_backfill)):
        message, detail = why
        raise InvalidUsage(message, detail=detail)
