"""Write the audit log: append-only, an intention before each change and its outcome after it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any, TypeVar

from basecamp.access.audit.records import (
    MAX_NAME,
    MAX_REASON,
    MAX_TITLE,
    Actor,
    AuditIntention,
    AuditOutcome,
    AuditRecord,
    Target,
    bounded,
    key_of,
    new_place,
)
from basecamp.shared.clock import Clock
from basecamp.shared.request_facts import RequestFacts, collect_facts
from dataspec.errors import DliError, InternalError, InvalidParameters, StoreUnreachable
from dataspec.store import Store
from dataspec.store.base import MISSING, try_put
from dataspec.stored_document import StoredDocument

log = logging.getLogger(__name__)

Written = TypeVar("Written", bound=AuditIntention)

REFUSED = "Nothing was changed: the audit log can't be written."

_FACTS = AuditOutcome.model_fields.keys() - {"repeated"}


class AuditLog:
    """Writes the audit log. Safe to share between threads.

    Args:
        store: The store.
        clock: The clock.
        replica: Identifies this process.
    """

    def __init__(self, store: Store, clock: Clock, replica: str) -> None:
        self._store = store
        self._clock = clock
        self._replica = replica

    def begin(self, actor: Actor, action: str, target: Target) -> str:
        """Store the intention of a change; return the place of its entry, for :meth:`end`.

        Args:
            actor: Who makes the change.
            action: What it is, in a few words.
            target: What it is about.

        Raises:
            StoreUnreachable: When it can't be stored: the change must not be made.
        """
        intention = self._intention(AuditIntention, actor, action, target)
        place = new_place(intention.at)
        try:
            self._put(key_of(place, "intention"), intention)
        except StoreUnreachable as error:
            cause = (error.detail or "").partition("\n")[0]
            raise StoreUnreachable(REFUSED, detail=f"{error.title} {cause}".strip()) from error
        return place

    def end(self, place: str, facts: RequestFacts, *, status: int, error: DliError | None = None) -> None:
        """Store the outcome of a change. One that can't be stored is logged: the change stays as it is.

        Args:
            place: The place of its entry.
            facts: What is known of the change now.
            status: The HTTP status of the response.
            error: Why it was not made.
        """
        try:
            self._put(key_of(place, "outcome"), self._outcome(facts, status, error))
        except StoreUnreachable as failure:
            log.error("The outcome of the audit entry %s could not be stored: %s", place, failure.title)  # noqa: TRY400 - no trace

    def record(
        self,
        actor: Actor,
        action: str,
        target: Target,
        *,
        facts: RequestFacts | None = None,
        status: int = 200,
        error: DliError | None = None,
        count: int = 1,
        mark: str | None = None,
        at: datetime | None = None,
    ) -> None:
        """Store an entry about something that has happened: a refusal, or a change of the server's own.

        Args:
            actor: Who did it.
            action: What it is, in a few words.
            target: What it is about.
            facts: What else is known of it.
            status: The HTTP status of the response.
            error: Why it was refused.
            count: How many requests the entry stands for.
            mark: Identifies what has happened, if several replicas may record it, with ``at``.
            at: When it happened; now by default.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        outcome = self._outcome(facts or RequestFacts(), status, error).changed(count=count)
        entry = self._intention(AuditRecord, actor, action, target, at=at, outcome=outcome)
        self._put(key_of(new_place(entry.at, mark), "entry"), entry)

    @contextmanager
    def change(self, actor: Actor, action: str, target: Target) -> Iterator[RequestFacts]:
        """Audit a change that a command makes within: its intention before, its outcome after.

        Raises:
            StoreUnreachable: When the intention can't be stored: nothing is done.
        """
        place = self.begin(actor, action, target)
        with collect_facts() as facts:
            try:
                yield facts
            except DliError as error:
                self.end(place, facts, status=error.http_status, error=error)
                raise
            except Exception:
                self.end(
                    place, facts, status=InternalError.http_status, error=InternalError("Internal error.")
                )
                raise
            self.end(place, facts, status=200)

    def _intention(
        self,
        kind: type[Written],
        actor: Actor,
        action: str,
        target: Target,
        *,
        at: datetime | None = None,
        **more: AuditOutcome,
    ) -> Written:
        about = {
            name: bounded(value, MAX_NAME) for name, value in {**asdict(actor), **asdict(target)}.items()
        }
        about["reason"] = bounded(target.reason, MAX_REASON)
        known: dict[str, Any] = {name: value for name, value in about.items() if value is not None} | more
        return kind(at=at or self._clock.now(), action=action, replica=self._replica, **known)

    def _outcome(self, facts: RequestFacts, status: int, error: DliError | None) -> AuditOutcome:
        known = {one.name: getattr(facts, one.name) for one in fields(facts) if one.name in _FACTS}
        return AuditOutcome(
            at=self._clock.now(),
            status=status,
            code=error.code if error else None,
            title=_title(error),
            repeated=facts.repeated,
            **{name: bounded(value, MAX_NAME) for name, value in known.items()},
        )

    def _put(self, key: str, document: StoredDocument) -> None:
        """Create an object. One that exists is never overwritten: it can only be this one, written by a repeated call."""
        try_put(self._store, key, document.body(), expected=MISSING)


def _title(error: DliError | None) -> str | None:
    """Return an error's title, unless it may quote the values of parameters, which can be secret."""
    return None if error is None or isinstance(error, InvalidParameters) else bounded(error.title, MAX_TITLE)
