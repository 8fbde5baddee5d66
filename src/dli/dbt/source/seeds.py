"""Read dbt's seeds: CSV files with any delimiter, in which ``null`` is null."""

from __future__ import annotations

import csv
import io

from dli.dbt.sql.values import NotKnown


def seed_text(text: str, delimiter: str) -> tuple[str, list[str], bool]:
    """Return a seed's text with commas and ``null`` as an empty field, its columns, and whether it has no rows.

    Raises:
        NotKnown: When it is not CSV.
    """
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if row]
    except (csv.Error, TypeError) as error:
        raise NotKnown(f"it is not CSV: {error}") from None
    if not rows:
        raise NotKnown("it has no columns")
    if delimiter != "," or any(field.lower() == "null" for row in rows for field in row):
        written = io.StringIO(newline="")
        empty = [["" if field.lower() == "null" else field for field in row] for row in rows]
        csv.writer(written, lineterminator="\n").writerows(empty)
        text = written.getvalue()
    return text, rows[0], len(rows) == 1
