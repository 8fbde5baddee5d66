"""From a store's address to the store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from dataspec.errors import InvalidSettings
from dataspec.store.folder import FolderStore
from dataspec.store.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dataspec.store.base import Store


def open_store(url: str, *, options: Mapping[str, str] | None = None) -> Store:
    """Open the store at an address.

    Args:
        url: ``s3://bucket/prefix``, ``file:///folder``, a folder's path, or ``memory:``.
        options: Settings of the kind of store; S3 takes those of its environment
            variables (``AWS_…``) as well.

    Raises:
        InvalidSettings: When the address is of no known kind.
        StoreUnreachable: When a folder can't be made.
    """
    parts = urlsplit(url)
    if parts.scheme == "memory":
        return MemoryStore()
    if parts.scheme == "file" and parts.netloc in {"", "localhost"}:
        return FolderStore(Path(unquote(parts.path)))
    if parts.scheme == "s3" and parts.netloc:
        from dataspec.store.bucket import BucketStore

        return BucketStore(parts.netloc, parts.path.strip("/"), options or {})
    if not parts.scheme and url.strip():
        return FolderStore(Path(url).expanduser())
    raise InvalidSettings(
        f"'{url}' is not a store's address.", detail="Write s3://bucket/prefix, or the path of a folder."
    )
