"""A notice in the outbox, with how far its delivery is; one object in the store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from pydantic import TypeAdapter, ValidationError

from basecamp.notifications.notice import Link, Message, Notice, target_json
from dataspec.spec.model import Target

FORMAT = 1
FIRST_RETRY = timedelta(seconds=5)
LONGEST_RETRY = timedelta(minutes=15)
LONGEST_WAIT_ASKED = timedelta(hours=1)
"""How long a channel may ask to be left alone."""
GIVEN_UP_AFTER = timedelta(hours=24)

_TARGET: TypeAdapter[Target] = TypeAdapter(Target)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A notice, and what became of it so far."""

    notice: Notice
    attempts: int = 0
    """How often it was sent in vain."""
    due_at: datetime
    claimed_by: str | None = None
    claimed_until: datetime | None = None
    failing_since: datetime | None = None
    asked_to_wait: bool = False
    """Whether the channel itself said when to come again."""
    error: str | None = None
    sent_at: datetime | None = None
    given_up_at: datetime | None = None

    @classmethod
    def new(cls, notice: Notice) -> Entry:
        """Return a notice that is to be sent at once."""
        return cls(notice=notice, due_at=notice.created_at)

    @property
    def ended_at(self) -> datetime | None:
        """When nothing was left to be done for it; None while there is."""
        return self.sent_at or self.given_up_at

    def is_claimed(self, now: datetime) -> bool:
        """Say whether somebody is sending it at this moment, as far as is known."""
        return self.claimed_until is not None and self.claimed_until > now

    def claimed(self, owner: str, until: datetime) -> Entry:
        """Return it in somebody's hands."""
        return replace(self, claimed_by=owner, claimed_until=until)

    def sent(self, now: datetime) -> Entry:
        """Return it as it stays for a while once it was sent."""
        return replace(self._free(), sent_at=now, error=None)

    def failed(self, now: datetime, reason: str, retry_after: float | None = None) -> Entry:
        """Return it after an attempt in vain: to be tried again later, or given up after a day."""
        since = self.failing_since or now
        failed = replace(
            self._free(),
            attempts=self.attempts + 1,
            failing_since=since,
            asked_to_wait=bool(retry_after),
            error=reason,
        )
        if now - since >= GIVEN_UP_AFTER:
            return replace(failed, given_up_at=now)
        return replace(failed, due_at=now + max(_wait(self.attempts), _asked(retry_after)))

    def _free(self) -> Entry:
        return replace(self, claimed_by=None, claimed_until=None)

    def body(self) -> bytes:
        """Return what :meth:`read` reads."""
        return json.dumps(
            {
                "format": FORMAT,
                "notice": _notice_json(self.notice),
                "attempts": self.attempts,
                "due_at": self.due_at.isoformat(),
                "claimed_by": self.claimed_by,
                "claimed_until": _text(self.claimed_until),
                "failing_since": _text(self.failing_since),
                "asked_to_wait": self.asked_to_wait,
                "error": self.error,
                "sent_at": _text(self.sent_at),
                "given_up_at": _text(self.given_up_at),
            },
            ensure_ascii=False,
        ).encode()

    @classmethod
    def read(cls, body: bytes) -> Entry | None:
        """Return the notice in an object; None for one of another form."""
        try:
            data = json.loads(body)
            if data["format"] != FORMAT:
                return None
            return cls(
                notice=_notice(data["notice"]),
                attempts=data["attempts"],
                due_at=datetime.fromisoformat(data["due_at"]),
                claimed_by=data["claimed_by"],
                claimed_until=_time(data["claimed_until"]),
                failing_since=_time(data["failing_since"]),
                asked_to_wait=data["asked_to_wait"],
                error=data["error"],
                sent_at=_time(data["sent_at"]),
                given_up_at=_time(data["given_up_at"]),
            )
        except (ValueError, LookupError, TypeError, ValidationError):
            return None


def _wait(attempts: int) -> timedelta:
    # The power is bounded because a day of attempts would make it larger than a time can be.
    return min(FIRST_RETRY * (1 << min(attempts, 10)), LONGEST_RETRY)


def _asked(seconds: float | None) -> timedelta:
    return min(timedelta(seconds=seconds or 0), LONGEST_WAIT_ASKED)


def _notice_json(notice: Notice) -> dict[str, Any]:
    message = notice.message
    return {
        "id": notice.id,
        "target": target_json(notice.target),
        "told": list(notice.told),
        "created_at": notice.created_at.isoformat(),
        "event": message.event,
        "dataset": message.dataset,
        "title": message.title,
        "lines": list(message.lines),
        "links": [[link.text, link.url] for link in message.links],
        "data": dict(message.data),
    }


def _notice(data: Mapping[str, Any]) -> Notice:
    return Notice(
        id=data["id"],
        target=_TARGET.validate_python(data["target"]),
        told=tuple(data["told"]),
        created_at=datetime.fromisoformat(data["created_at"]),
        message=Message(
            event=data["event"],
            dataset=data["dataset"],
            title=data["title"],
            lines=tuple(data["lines"]),
            links=tuple(Link(text=text, url=url) for text, url in data["links"]),
            data=data["data"],
        ),
    )


def _text(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
