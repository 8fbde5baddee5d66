"""Writes to a bucket on a network that holds them back: none takes effect after its writer has stopped waiting."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest

from basecamp.outages.guarded_store import GuardedStore
from basecamp.outages.request_budget import request_budget
from dataspec.errors import StoreUnreachable
from dataspec.store import Store
from dataspec.store.base import MISSING
from dataspec.store.bucket import BucketStore, StoreTimeouts
from http_proxy import HELD_SECONDS, Fault, Handler, Held, Proxy, Request, answer
from s3 import S3

BRISK = StoreTimeouts(request=12, retry=10, removal=12, settled=14)
"""The tests wait for the end of what the server accepts; a busy machine needs seconds for each request."""
BUDGET_SECONDS = 3.0
KEY = "manual/sales.daily.yaml"


@pytest.fixture
def brisk(place: S3) -> BucketStore:
    return place.limited(BRISK)


def opened(place: S3, kind: type[BucketStore], **options: str) -> BucketStore:
    parts = urlsplit(place.url)
    settings = place.options | dict(parse_qsl(parts.query)) | options
    return kind(parts.netloc, parts.path.strip("/"), settings, limits=BRISK)


def is_put(request: Request) -> bool:
    return request.method == "PUT"


def is_signed_url(request: Request) -> bool:
    return "X-Amz-Signature" in request.path


def body_at(store: Store, key: str) -> bytes | None:
    stored = store.get(key)
    return stored.body if stored else None


@pytest.mark.rule("5.24")
@pytest.mark.parametrize("key", [KEY, "basecamp/backfills/active/sales.daily.json"])
def test_a_creation_that_the_network_holds_back_does_not_undo_a_removal(
    key: str, brisk: Store, between: Proxy
) -> None:
    held = Held(is_put)
    between.rule = held
    with pytest.raises(StoreUnreachable):
        brisk.put(key, b"x", expected=MISSING)
    etag = brisk.put(key, b"x", expected=MISSING)  # the client repeats its request
    brisk.delete(key, expected=etag)
    held.let_go()
    assert held.status == 403
    assert body_at(brisk, key) is None


@pytest.mark.rule("5.24")
def test_an_update_that_the_network_holds_back_does_not_undo_a_later_one(
    brisk: Store, between: Proxy
) -> None:
    first = brisk.put(KEY, b"old", expected=MISSING)
    held = Held(is_put)
    between.rule = held
    with pytest.raises(StoreUnreachable):
        brisk.put(KEY, b"new", expected=first)
    second = brisk.put(KEY, b"new", expected=first)
    assert brisk.put(KEY, b"old", expected=second) == first  # the condition of the one held back holds again
    held.let_go()
    assert held.status == 403
    assert body_at(brisk, KEY) == b"old"


@pytest.mark.rule("5.24")
def test_nothing_of_a_write_is_accepted_or_sent_once_the_request_that_made_it_is_answered(
    place: S3, between: Proxy, s3: S3
) -> None:
    held, ended = Held(is_put), threading.Event()
    between.rule = held

    class Watched(BucketStore):
        def put(self, key: str, body: bytes, *, expected: str) -> str:
            try:
                return super().put(key, body, expected=expected)
            finally:
                ended.set()

    with request_budget(BUDGET_SECONDS), pytest.raises(StoreUnreachable, match="does not answer"):
        GuardedStore(opened(place, Watched)).put(KEY, b"x", expected=MISSING)
    held.let_go()
    assert held.status == 403
    assert ended.wait(HELD_SECONDS)
    assert [request.method for request in between.asked if is_put(request)] == ["PUT"]
    assert body_at(s3.store(), KEY) is None


@pytest.mark.rule("5.24")
def test_a_write_is_one_request_that_expires(brisk: Store, between: Proxy) -> None:
    brisk.put(KEY, b"x", expected=MISSING)
    (request,) = between.asked
    assert (request.method, request.headers["if-none-match"]) == ("PUT", "*")
    assert 1 <= valid_seconds(request) <= BRISK.request


def valid_seconds(request: Request) -> int:
    return int(parse_qs(urlsplit(request.path).query)["X-Amz-Expires"][0])


def with_clock(server_is_ahead: timedelta) -> Callable[[Request], Fault | None]:
    """Let the server's clock be wrong: it judges signed URLs by it, and its responses have its date."""

    def answered(handler: Handler) -> None:
        now = datetime.now(UTC) + server_is_ahead
        query = parse_qs(urlsplit(handler.path).query)
        signed_at = datetime.strptime(query["X-Amz-Date"][0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        expired = now >= signed_at + timedelta(seconds=int(query["X-Amz-Expires"][0]))
        status, headers, body = (403, {}, b"") if expired else handler.ask_server()
        handler.reply(status, headers | {"Date": format_datetime(now.replace(microsecond=0))}, body)

    return lambda request: answered if is_signed_url(request) else None


@pytest.mark.rule("5.24")
def test_a_server_whose_clock_is_ahead_refuses_one_request_and_accepts_the_next_ones(
    brisk: Store, between: Proxy
) -> None:
    ahead = timedelta(minutes=10)
    between.rule = with_clock(ahead)
    brisk.put("code/a", b"x", expected=MISSING)
    brisk.put("code/b", b"x", expected=MISSING)
    refused, first, second = between.asked
    assert valid_seconds(refused) <= BRISK.request
    for request in (first, second):
        assert 1 <= valid_seconds(request) - ahead.total_seconds() <= BRISK.request


def test_with_a_server_whose_clock_is_behind_a_write_lasts_no_longer_than_it_must(
    brisk: Store, between: Proxy
) -> None:
    between.rule = with_clock(timedelta(minutes=-10))
    brisk.put("code/a", b"x", expected=MISSING)
    brisk.put("code/b", b"x", expected=MISSING)
    assert valid_seconds(between.asked[-1]) == 1


def test_where_a_policy_refuses_signed_urls_headers_are_signed_instead(brisk: Store, between: Proxy) -> None:
    between.rule = lambda request: (
        answer(403, "<Error><Code>AccessDenied</Code></Error>") if is_signed_url(request) else None
    )
    etag = brisk.put("code/a", b"x", expected=MISSING)
    brisk.put("code/a", b"y", expected=etag)
    assert [is_signed_url(request) for request in between.asked] == [True, False, False]
    assert body_at(brisk, "code/a") == b"y"


def test_what_a_signed_url_can_not_carry_is_sent_by_signed_headers(place: S3, between: Proxy) -> None:
    between.rule = lambda _: answer(200, ETag='"x"')
    opened(place, BucketStore, checksum_algorithm="sha256").put("code/a", b"x", expected=MISSING)
    (request,) = between.asked
    assert "x-amz-checksum-sha256" in request.headers
    assert not is_signed_url(request)
