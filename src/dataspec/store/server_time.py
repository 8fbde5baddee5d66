"""The time of an S3 server's clock, by the ``Date`` of a response."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import obstore

from dataspec.store.raw_listing import SIGNED_FOR

if TYPE_CHECKING:
    from obstore.store import S3Store

TIME_KEY = "basecamp/time"
"""The key of the request; there need be no such object."""


def server_time(client: S3Store, timeout: float) -> datetime:
    """Return the server's time, cut to the second.

    Raises:
        OSError: When the server does not answer, or its response has no date.
    """
    request = Request(obstore.sign(client, "HEAD", TIME_KEY, SIGNED_FOR), method="HEAD")  # noqa: S310 - the store's address
    try:
        with urlopen(request, timeout=timeout) as answer:  # noqa: S310 - the store's address
            said = answer.headers.get("Date", "")
    except HTTPError as error:
        said = error.headers.get("Date", "")
        error.close()
    return date_of(said)


def date_of(said: str) -> datetime:
    """Return the time in a ``Date`` header.

    Raises:
        OSError: When it is not a date.
    """
    try:
        date = parsedate_to_datetime(said)
    except ValueError as error:
        raise OSError(f"the server's response has no date: {said!r}") from error
    return date if date.tzinfo else date.replace(tzinfo=UTC)
