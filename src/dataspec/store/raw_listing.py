"""List a bucket with any keys: obstore fails for a page with a key that it can't parse.

The requests are ordinary ``ListObjectsV2``, signed by obstore with its credentials.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPException
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote_to_bytes, urlencode
from urllib.request import urlopen
from xml.etree import ElementTree as ET

import obstore

from dataspec.store.signed_requests import SIGNED_FOR

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from obstore.store import S3Store

_LAST: Final = "dli"
"""The last parameter, which S3 ignores: obstore appends the ``/`` of an object's path to it."""


@dataclass(frozen=True, slots=True)
class RawObject:
    """An object in the server's listing; bytes of its key that are not UTF-8 are lone surrogates."""

    key: str
    etag: str
    size: int
    last_modified: datetime


def raw_pages(
    connect: Callable[[str | None], S3Store], prefix: str, *, page_keys: int, timeout: float
) -> Iterator[list[RawObject]]:
    """Yield the pages of a listing.

    Args:
        connect: Returns a client of the bucket at an address; at the configured one for None.
        prefix: The prefix of the keys, from the bucket's root.
        page_keys: Maximum number of keys on a page.
        timeout: Seconds for each page.

    Raises:
        OSError: When the server does not answer, or its response is not a listing.
    """
    bucket = obstore.sign(connect(None), "GET", "", SIGNED_FOR).partition("?")[0].rstrip("/")
    asked = {"list-type": "2", "encoding-type": "url", "prefix": prefix, "max-keys": str(page_keys)}
    token: str | None = ""
    while token is not None:
        query = urlencode(asked | ({"continuation-token": token} if token else {}), quote_via=quote)
        client = connect(f"{bucket}?{query}&{_LAST}=")
        page, token = _page_at(obstore.sign(client, "GET", "", SIGNED_FOR), timeout)
        yield page


def _page_at(address: str, timeout: float) -> tuple[list[RawObject], str | None]:
    try:
        with urlopen(address, timeout=timeout) as answer:  # noqa: S310 - the store's address
            return _read_page(answer.read())
    except (HTTPException, ET.ParseError, ValueError) as error:
        raise OSError(f"the server's listing can't be read: {type(error).__name__} {error}") from error


def _read_page(body: bytes) -> tuple[list[RawObject], str | None]:
    """Return a page's objects and the token of the next page."""
    root = ET.fromstring(body)  # noqa: S314 - of the server that gets our credentials
    encoded = _text(root, "EncodingType") == "url"
    page = [_read_object(part, encoded=encoded) for part in root.iterfind("{*}Contents")]
    return page, _text(root, "NextContinuationToken") or None


def _read_object(part: ET.Element, *, encoded: bool) -> RawObject:
    key = _text(part, "Key")
    if encoded:
        # AWS writes a space as "+"; Ceph and others as "%20".
        key = unquote_to_bytes(key.replace("+", " ")).decode("utf-8", "surrogateescape")
    written = datetime.fromisoformat(_text(part, "LastModified"))
    at = written if written.tzinfo else written.replace(tzinfo=UTC)
    return RawObject(key, _text(part, "ETag"), int(_text(part, "Size") or 0), at)


def _text(part: ET.Element, name: str) -> str:
    return part.findtext(f"{{*}}{name}") or ""
