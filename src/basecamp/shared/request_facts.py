"""Facts of the current request: its id, and what it turns out to change, which the services note for the audit log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from dataspec.errors import DliError


@dataclass(slots=True)
class RequestFacts:
    """The facts of one change; None for what is not known, or does not apply."""

    dataset: str | None = None
    run_id: str | None = None
    backfill_id: str | None = None
    subject: str | None = None
    """What is changed that belongs to no dataset, such as the name of a token."""
    name: str | None = None
    """The caller's name, for a request that signs them in."""
    identity: str | None = None
    spec_hash_before: str | None = None
    spec_hash_after: str | None = None
    repeated: bool = False
    """Whether an earlier request with the same idempotency key has made the change."""
    error: DliError | None = None
    """The error, if a page shows it."""


_CURRENT: ContextVar[RequestFacts | None] = ContextVar("request_facts", default=None)

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id that a request's response, log lines, problem document and audit entry have in common."""


@contextmanager
def collect_facts() -> Iterator[RequestFacts]:
    """Collect the facts that are noted within, also in the threads that it starts."""
    facts = RequestFacts()
    token = _CURRENT.set(facts)
    try:
        yield facts
    finally:
        _CURRENT.reset(token)


def note_facts(**facts: Any) -> None:
    """Note facts of the current request; do nothing outside of one that changes something."""
    if (current := _CURRENT.get()) is not None:
        for name, value in facts.items():
            setattr(current, name, value)
