"""Open the store at an address."""

from __future__ import annotations

import re
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from dataspec.errors import InvalidSettings
from dataspec.store.folder import FolderStore
from dataspec.store.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Mapping
    from urllib.parse import SplitResult

    from dataspec.store.base import Store
    from dataspec.store.bucket import StoreTimeouts

QUERY_KEYS: Final = ("unquoted_etags",)
"""Settings in the query of an S3 address; all others come from the ``AWS_…`` variables."""

_FORMS: Final = "Write s3://bucket/prefix, or the path of a folder."


def open_store(
    url: str, *, options: Mapping[str, str] | None = None, timeouts: StoreTimeouts | None = None
) -> Store:
    """Open the store at an address.

    Args:
        url: ``s3://bucket/prefix``, ``file:///folder``, a folder's path, or ``memory:``. An S3
            address may end in ``?unquoted_etags=true``, for servers that take ``If-Match`` only
            without the quotes of the ETag, as Ceph does.
        options: Settings of the kind of store; S3 takes those of its environment
            variables (``AWS_…``) as well.
        timeouts: The timeouts of S3; the default ones if not given.

    Raises:
        InvalidSettings: When the address has an unknown form, or contains credentials or an unknown setting.
        StoreUnreachable: When the folder can't be created.
    """
    parts = urlsplit(url)
    if parts.scheme == "memory":
        return MemoryStore()
    if parts.scheme == "file" and parts.netloc in {"", "localhost"}:
        return FolderStore(Path(unquote(parts.path)))
    if parts.scheme == "s3":
        return _open_bucket(parts, options or {}, timeouts)
    if not parts.scheme and url.strip():
        return FolderStore(Path(url).expanduser())
    raise InvalidSettings(f"'{_shown(parts)}' is not a store's address.", detail=_FORMS)


def _open_bucket(parts: SplitResult, options: Mapping[str, str], timeouts: StoreTimeouts | None) -> Store:
    from dataspec.store.bucket import BucketStore, StoreTimeouts

    if "@" in parts.netloc:
        raise InvalidSettings(
            f"The store's address {_shown(parts)} must hold no credentials.",
            detail="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead.",
        )
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}", parts.netloc) or parts.fragment:
        raise InvalidSettings(f"'{_shown(parts)}' is not a store's address.", detail=_FORMS)
    options = {**options, **_query(parts)}
    return BucketStore(parts.netloc, parts.path.strip("/"), options, limits=timeouts or StoreTimeouts())


def _query(parts: SplitResult) -> dict[str, str]:
    """Return the settings in the query; errors don't show values, which may be secret."""
    found = dict(parse_qsl(parts.query, keep_blank_values=True))
    for key, value in found.items():
        if key not in QUERY_KEYS:
            near = get_close_matches(key, QUERY_KEYS, n=1, cutoff=0.4)
            hint = f"Did you mean '{near[0]}'?" if near else f"It may have: {', '.join(QUERY_KEYS)}."
            raise InvalidSettings(
                f"The store's address {_shown(parts)} has an unknown setting '{key}'.",
                detail=f"{hint} All else is set by the AWS_… variables.",
            )
        if value not in {"true", "false"}:
            raise InvalidSettings(
                f"The store's address {_shown(parts)} has a wrong value for '{key}'.",
                detail="Write true or false.",
            )
    return found


def _shown(parts: SplitResult) -> str:
    """Return an address without credentials and query."""
    scheme = f"{parts.scheme}://" if parts.scheme else ""
    return f"{scheme}{parts.netloc.rpartition('@')[2]}{parts.path}"
