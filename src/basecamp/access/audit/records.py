"""The objects of the audit log, and the keys under which a day's objects lie in the order of time."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal, cast

from dataspec.stored_document import Moment, StoredDocument

PREFIX = "basecamp/audit/"
KEPT = timedelta(days=400)
"""How long the audit log is kept."""
MAX_NAME = 200
MAX_REASON = 500
MAX_TITLE = 300

Kind = Literal["intention", "outcome", "entry"]
"""An ``entry`` is whole in one object: a refusal, or a change of Basecamp's own."""

_KEY = re.compile(
    rf"{PREFIX}(?P<place>[0-9]{{4}}/[0-9]{{2}}/[0-9]{{2}}/[0-9]{{12}}-[0-9a-f]{{1,32}})\.(?P<kind>intention|outcome|entry)\.json"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who makes a change, and from where."""

    name: str
    method: str
    """How the caller was identified: ``open``, ``token``, ``oidc``, ``session``; ``machine`` for a command on the
    server's machine, ``basecamp`` for the server's own work, ``airflow`` for what began in Airflow."""
    identity: str = ""
    role: str = ""
    address: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a change is about."""

    dataset: str | None = None
    run_id: str | None = None
    backfill_id: str | None = None
    subject: str | None = None
    """What belongs to no dataset, such as the name of a token."""
    reason: str | None = None


class AuditIntention(StoredDocument):
    """What somebody is going to change."""

    at: Moment
    name: str
    identity: str = ""
    method: str
    role: str = ""
    action: str
    dataset: str | None = None
    run_id: str | None = None
    backfill_id: str | None = None
    subject: str | None = None
    reason: str | None = None
    address: str = ""
    request_id: str = ""
    replica: str = ""


class AuditOutcome(StoredDocument):
    """What became of an intention, and what was not known before."""

    at: Moment
    status: int
    code: str | None = None
    title: str | None = None
    repeated: bool = False
    count: int = 1
    """Of refused requests of unknown callers: how many the entry stands for."""
    name: str | None = None
    identity: str | None = None
    dataset: str | None = None
    run_id: str | None = None
    backfill_id: str | None = None
    subject: str | None = None
    spec_hash_before: str | None = None
    spec_hash_after: str | None = None


class AuditRecord(AuditIntention):
    """An intention with its outcome, in one object."""

    outcome: AuditOutcome


def new_place(at: datetime, mark: str | None = None) -> str:
    """Return the place of a new entry: its time, and a mark that no other entry of this time has.

    Args:
        at: The time, in UTC.
        mark: Hexadecimal digits that identify what the entry is about, for one that several replicas may write;
            random ones by default.
    """
    return f"{at:%Y/%m/%d/%H%M%S%f}-{mark or secrets.token_hex(8)}"


def key_of(place: str, kind: Kind) -> str:
    """Return the key of an object of an entry."""
    return f"{PREFIX}{place}.{kind}.json"


def day_prefix(day: date) -> str:
    """Return the prefix of a day's objects."""
    return f"{PREFIX}{day:%Y/%m/%d}/"


def month_prefix(day: date) -> str:
    """Return the prefix of the objects of a day's month."""
    return f"{PREFIX}{day:%Y/%m}/"


def read_key(key: str) -> tuple[str, Kind] | None:
    """Return the place and the kind in a key; None for an object that is not the audit log's."""
    found = _KEY.fullmatch(key)
    return (found["place"], cast("Kind", found["kind"])) if found else None


def bounded(text: str | None, length: int) -> str | None:
    """Return a text from outside as one printable line of at most some characters; None for an empty one."""
    if not text:
        return None
    line = "".join(letter if letter.isprintable() else " " for letter in text[: 4 * length])
    return " ".join(line.split())[:length] or None
