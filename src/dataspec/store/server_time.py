"""The time of an S3 server's clock, by the ``Date`` of a response."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dataspec.store.http_date import read_http_date
from dataspec.store.signed_requests import send_signed

if TYPE_CHECKING:
    from datetime import datetime

    from obstore.store import S3Store

TIME_KEY = "basecamp/time"
"""The key of the request; there need be no such object."""


def server_time(client: S3Store, timeout: float) -> datetime:
    """Return the server's time, cut to the second.

    Raises:
        OSError: When the server does not answer, or its response has no date.
    """
    header = send_signed(client, "HEAD", TIME_KEY, timeout=timeout).headers.get("Date")
    date = read_http_date(header)
    if date is None:
        raise OSError(f"the server's response has no date: {header!r}")
    return date
