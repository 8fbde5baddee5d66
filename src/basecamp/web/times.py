"""Times in a page: UTC for whoever has no script, the reader's own zone for the others."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from markupsafe import Markup

Style = Literal["absolute", "relative", "since"]
"""How the script shows a time: itself, as ``3 min ago``, or as the time that has passed since."""

NONE = "–"  # noqa: RUF001 - an en dash, for what there is none of

_TIME = Markup('<time datetime="{}" data-style="{}">{}</time>')


def moment(at: datetime | None, style: Style = "absolute") -> Markup | str:
    """Return a time as an element that the script shows in the reader's zone; a dash for none."""
    if at is None:
        return NONE
    at = at.astimezone(UTC)
    return _TIME.format(at.isoformat(timespec="seconds"), style, f"{at:%Y-%m-%d %H:%M:%S} UTC")


def in_own_zone(at: datetime | None) -> Markup | str:
    """Return a time as ``YYYY-MM-DD HH:MM`` in the zone that it is in already (specification 24.5)."""
    if at is None:
        return NONE
    return _TIME.format(at.isoformat(timespec="seconds"), "kept", f"{at:%Y-%m-%d %H:%M}")


def duration(start: datetime | None, end: datetime | None) -> str:
    """Return a span in its two largest units, such as ``1h 02m`` or ``4s``."""
    if start is None or end is None:
        return NONE
    minutes, seconds = divmod(max(0, round((end - start).total_seconds())), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h {minutes:02}m"
    return f"{minutes}m {seconds:02}s" if minutes else f"{seconds}s"
