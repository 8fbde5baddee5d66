"""Cursors of Basecamp's lists: the start of the next page as opaque text."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode

from basecamp.airflow.gateway import WrongCursor

MAX_LENGTH = 2000


def encode_cursor(place: list[str]) -> str:
    """Encode a position in a list as text."""
    return urlsafe_b64encode(json.dumps(place, separators=(",", ":")).encode()).decode().rstrip("=")


def decode_cursor(text: str, *, parts: int) -> list[str]:
    """Decode a position with this number of parts.

    Raises:
        WrongCursor: When the text is no cursor of this list.
    """
    try:
        place = json.loads(urlsafe_b64decode(text[:MAX_LENGTH] + "=" * (-len(text) % 4)))
    except ValueError:
        place = None
    if not isinstance(place, list) or len(place) != parts or not all(isinstance(part, str) for part in place):
        raise WrongCursor
    return place
