"""One call of Basecamp's API: what is sent, and how long its answer may take."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

from dli.client.decoding import decode, unreadable

PAGE = 10_000
"""How many items are asked for at once; the server may send fewer."""

T = TypeVar("T")


class Call(NamedTuple):
    """One request to the API, and how long its answer may take."""

    method: str
    path: tuple[str, ...]
    """The parts of the route below ``/api/v1``, unquoted."""
    query: Mapping[str, Any] | None = None
    """What is None or False is left out."""
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] | None = None
    timeout_seconds: float | None = None
    """For a call that may take longer than others."""
    more_seconds: float = 0
    """What a call may take beyond the time of others, since it asks the server to wait."""

    def seconds(self, usual: float) -> float:
        """Return how long it may take, where others may take the usual time."""
        return (self.timeout_seconds or usual) + self.more_seconds


Steps: TypeAlias = Generator[Call, Any, T]
"""What yields calls, is sent their answers, and returns a result."""


class Listing(list[T], Generic[T]):
    """A list from the server, and its warnings: who did not answer, and how old the figures are."""

    def __init__(self) -> None:
        super().__init__()
        self.warnings: list[str] = []


def user_headers(user: str | None) -> dict[str, str]:
    """Return the header that says who acts: in percent-encoding where it is not plain ASCII."""
    if not user:
        return {}
    from urllib.parse import quote

    return {"Dli-User": quote(user, safe=" @.+-_")}


def get(*path: str, **query: Any) -> Call:
    """Return the call that reads what stands at a route."""
    return Call("GET", path, query)


def post(
    *path: str,
    body: Mapping[str, Any] | None,
    query: Mapping[str, Any] | None = None,
    key: str | None = None,
    timeout: float | None = None,
) -> Call:
    """Return the call that asks for something to be done, once however often it is sent: under a key."""
    return Call("POST", path, query, body, {"Idempotency-Key": key or new_key()}, timeout)


def read_list(
    kind: type[T], route: str, query: Mapping[str, Any], *, limit: int | None = None
) -> Steps[Listing[T]]:
    """Return a list's items over all its pages, or as many as ``limit``."""
    listing: Listing[T] = Listing()
    cursor = None
    while True:
        left = PAGE if limit is None else min(PAGE, limit - len(listing))
        page = yield get(route, **query, limit=left, cursor=cursor)
        if not isinstance(page, dict) or not isinstance(page.get("items"), list):
            raise unreadable(f"{route}: there are no items in it")
        listing.extend(decode(kind, item) for item in page["items"][:left])
        listing.warnings += [text for text in page.get("warnings", ()) if text not in listing.warnings]
        cursor = page.get("next_cursor")
        if not cursor or (limit is not None and len(listing) >= limit):
            return listing


def new_key() -> str:
    """Return a key that no other request has; by hand, for ``uuid`` takes every command 4 ms to load."""
    return os.urandom(16).hex()
