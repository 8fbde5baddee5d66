"""Cursors of our own lists: where the next page begins, as text that means nothing to its bearer."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode

from basecamp.airflow.gateway import WrongCursor

MAX_LENGTH = 2000


def encode_cursor(place: list[str]) -> str:
    """Write a place in a list as text."""
    return urlsafe_b64encode(json.dumps(place, separators=(",", ":")).encode()).decode().rstrip("=")


def decode_cursor(text: str, *, parts: int) -> list[str]:
    """Read a place of as many parts; one that is not there is empty.

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
