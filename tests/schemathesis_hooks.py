"""What Schemathesis must know of the HTTP API that an OpenAPI document can't say."""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import uuid4

import schemathesis
from hypothesis import strategies

from dataspec.schedule.date_ranges import MAX_DATES

# A cursor is opaque: the empty one is the first page. Other texts are sent as invalid data.
schemathesis.openapi.format("cursor", strategies.just(""))
schemathesis.openapi.format("log-cursor", strategies.just("start"))

KEY = "idempotency-key"
_CHANGES = ("cron", "timezone", "enabled", "catch_up", "retry_max_attempts", "retry_delay_seconds")


@schemathesis.hook
def filter_case(_context: Any, case: schemathesis.Case[Any]) -> bool:
    """Leave out, of the valid requests, those that break a rule between two of their values."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return True
    query, body = case.query or {}, case.body if isinstance(case.body, dict) else {}
    return not (
        {"since", "until"} <= query.keys()
        or {"cursor", "attempt"} <= query.keys()
        or (body.get("spec") is not None and body.get("dry_run") is not True)
        or ("start" in body and not _is_range(str(body["start"]), str(body["end"])))
        or (case.method == "PATCH" and all(body.get(name) is None for name in _CHANGES))
    )


@schemathesis.hook
def map_case(_context: Any, case: schemathesis.Case[Any]) -> schemathesis.Case[Any]:
    """Give each valid request a key of its own: a key belongs to one request."""
    headers = case.headers
    if case.meta is not None and case.meta.generation.mode.is_positive and headers and KEY in headers:
        headers[KEY] = uuid4().hex
    return case


def _is_range(start: str, end: str) -> bool:
    """Return whether a backfill may have these dates: in this order, and not too many."""
    days = (date.fromisoformat(end) - date.fromisoformat(start)).days
    return 0 <= days < MAX_DATES
