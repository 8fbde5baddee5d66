"""Entity tags in the headers ``If-Match`` and ``If-None-Match`` (RFC 9110, 13.1)."""

from __future__ import annotations

import re

from dataspec.errors import InvalidUsage

_ELEMENT = re.compile(r'[\s,]*(?P<weak>W/)?(?:"(?P<quoted>[^"]*)"|(?P<bare>[^\s",]+))\s*(?:,|$)')
_DIGEST = re.compile(r"\.[0-9a-f]{16}")


def is_one_of(header: str, etag: str | None, *, weak: bool = False) -> bool:
    """Return whether a header names an ETag.

    Args:
        header: ``*``, or a list of ETags; older clients send one without quotes.
        etag: The ETag of what is stored, in quotes or not; None if nothing is stored.
        weak: Whether a weak ETag, as a proxy makes that compresses, names the strong one.

    Raises:
        InvalidUsage: When the header can't be read.
    """
    if header.strip() == "*":
        return etag is not None
    named = list(_read(header))
    return etag is not None and any(
        (weak or not is_weak) and _is_version(tag, etag.strip('"')) for is_weak, tag in named
    )


def _read(header: str) -> list[tuple[bool, str]]:
    tags, position = [], 0
    header = header.rstrip(" \t,")  # elements of a list may be empty (RFC 9110, 5.6.1)
    while position < len(header):
        element = _ELEMENT.match(header, position)
        if element is None:
            raise InvalidUsage(
                f"Can't read the ETags {header!r}.", detail='Write "an-etag", several with commas, or *.'
            )
        tags.append((element["weak"] is not None, element["quoted"] or element["bare"] or ""))
        position = element.end()
    return tags


def _is_version(tag: str, etag: str) -> bool:
    """Return whether a tag is an ETag, or that of a response with the object of this ETag."""
    return tag == etag or (tag.startswith(etag) and bool(_DIGEST.fullmatch(tag, len(etag))))
