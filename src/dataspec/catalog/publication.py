"""The record of the last publication to ``code/``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator

from dataspec.errors import CorruptObject, NewerFormat
from dataspec.stored_document import Moment, StoredDocument

if TYPE_CHECKING:
    from dataspec.store.base import Store

PUBLICATION_KEY = "code/publish.json"


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _with_zone(value: Any) -> Any:
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    return at.replace(tzinfo=UTC) if isinstance(at, datetime) and at.tzinfo is None else at


_Text = Annotated[str | None, BeforeValidator(_text_or_none)]


class Publication(StoredDocument):
    """The last publication to ``code/``: its commit, author and time."""

    commit: _Text = None
    repository: _Text = None
    ref: _Text = None
    """The branch or tag, as the CI system names it."""
    published_at: Annotated[Moment, BeforeValidator(_with_zone)]
    by: _Text = None
    content: _Text = None
    """Identifies what was published."""


def read_publication(store: Store) -> Publication | None:
    """Return the last publication; None if there is none or it is damaged.

    Raises:
        NewerFormat: When a newer version of this program wrote it.
        StoreUnreachable: When the store does not answer.
    """
    stored = store.get(PUBLICATION_KEY)
    try:
        return Publication.read(stored) if stored else None
    except CorruptObject:
        return None


def known_publication(store: Store) -> Publication | None:
    """Return the last publication; None also for one that a newer version of this program wrote.

    Raises:
        StoreUnreachable: When the store does not answer.
    """
    try:
        return read_publication(store)
    except NewerFormat:
        return None
