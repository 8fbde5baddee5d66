"""The ``dli`` command line, and the Python client that it is made of.

``from dli import Client`` gives the client, ``from dli import AsyncClient`` its asynchronous
twin (``pip install 'dli-basecamp[async]'``). Each is imported when it is first asked for, so that a
command pays only for what it uses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dli.client.async_client import AsyncClient
    from dli.client.client import Client

__all__ = ["AsyncClient", "Client"]


def __getattr__(name: str) -> Any:
    if name == "Client":
        from dli.client.client import Client

        return Client
    if name == "AsyncClient":
        from dli.client.async_client import AsyncClient

        return AsyncClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
