"""Dates in HTTP headers, such as ``Date`` and ``Retry-After``."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def read_http_date(text: str | None) -> datetime | None:
    """Return the time in a header; None if the header is missing or is not a date."""
    try:
        date = parsedate_to_datetime(text or "")
    except (ValueError, TypeError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
