"""One set of tests for both clients: the asynchronous one, called as the other is."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Self, cast

from dli import AsyncClient, Client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from anyio.from_thread import BlockingPortal


class Blocking:
    """An :class:`AsyncClient` whose methods return when they are done."""

    def __init__(self, portal: BlockingPortal, *arguments: Any, **options: Any) -> None:
        self._portal = portal
        self._client: AsyncClient = portal.call(partial(AsyncClient, *arguments, **options))
        self._transport = self._client._transport

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._portal.call(self._client.close)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        return lambda *arguments, **options: self._portal.call(partial(method, *arguments, **options))

    def follow_run(self, *arguments: Any, **options: Any) -> Iterator[Any]:
        return self._each(self._client.follow_run(*arguments, **options))

    def follow_log(self, *arguments: Any, **options: Any) -> Iterator[Any]:
        return self._each(self._client.follow_log(*arguments, **options))

    def _each(self, items: AsyncIterator[Any]) -> Iterator[Any]:
        while True:
            try:
                item = self._portal.call(items.__anext__)
            except StopAsyncIteration:
                return
            yield item


def blocking(portal: BlockingPortal, *arguments: Any, **options: Any) -> Client:
    """Return the asynchronous client in the shape of the other."""
    return cast("Client", Blocking(portal, *arguments, **options))
