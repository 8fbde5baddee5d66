"""Removals in a bucket, on a network that holds requests back and on servers that ignore a DELETE's condition."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import obstore
import pytest

from basecamp.backfills.plans import PlanStore
from basecamp.shared.clock import SystemClock
from basecamp.shared.lease import Lease
from basecamp.shared.object_reader import ObjectReader
from dataspec.catalog.spec_storage import Release, delete_release, manual_key, read_release, write_release
from dataspec.models import RunStatus
from dataspec.schedule.backfill_plan import BackfillPlan, Outcome
from dataspec.store import PreconditionFailed, Store, try_put
from dataspec.store.base import MISSING
from dataspec.store.bucket import StoreTimeouts
from dataspec.store.removal import TOMBSTONE_BYTES, is_tombstone, new_tombstone
from http_proxy import HELD_SECONDS, Fault, Handler, Held, Proxy, Request, answer, swallow
from s3 import S3

BRISK = StoreTimeouts(request=5, retry=8, removal=5, settled=7)
"""The tests wait for the end of what the server accepts, and no longer."""
PATIENT = StoreTimeouts(removal=30, settled=30)
"""For tests that need the DELETE to be sent, also on a busy machine."""


@pytest.fixture
def store(place: S3) -> Store:
    return place.limited(PATIENT)


@pytest.fixture
def brisk(place: S3) -> Store:
    return place.limited(BRISK)


def is_delete(request: Request) -> bool:
    return request.method == "DELETE"


def refusal(status: int, code: str) -> Fault:
    return answer(status, f"<?xml version='1.0'?><Error><Code>{code}</Code></Error>")


def refusing(wanted: Callable[[Request], bool], status: int, code: str) -> Callable[[Request], Fault | None]:
    return lambda request: refusal(status, code) if wanted(request) else None


def stored_sizes(s3: S3) -> list[int]:
    """Return the sizes of all objects, also of tombstones."""
    return [info["size"] for page in obstore.list(s3.client()) for info in page]


def plan(backfill_id: str) -> BackfillPlan:
    return BackfillPlan(
        backfill_id=backfill_id,
        dataset="sales.daily",
        start="2026-01-01",
        end="2026-01-01",
        every="day",
        reverse=False,
        keep_going=False,
        parameters={},
        dates=("2026-01-01",),
        requested_by="tests",
        created_at=datetime(2026, 1, 2, tzinfo=UTC),
    )


def replace_a_plan(store: Store, meanwhile: Callable[[], None]) -> bool:
    plans = PlanStore(store, ObjectReader(store, SystemClock()))
    first = plans.create(plan("sales.daily_20240115_093045"))
    assert first is not None
    outcome = Outcome(status=RunStatus.COMPLETED, at=datetime.now(UTC))
    plans.put_away(replace(first, plan=first.plan.ended(outcome)))
    second = plan("sales.daily_20240115_093046")
    assert plans.create(second) is not None
    meanwhile()
    active = PlanStore(store, ObjectReader(store, SystemClock())).active("sales.daily")
    return active is not None and active.plan == second


def replace_a_lease(store: Store, meanwhile: Callable[[], None]) -> bool:
    first, second, third = (Lease(store, "work", owner, SystemClock()) for owner in "abc")
    assert first.take(3600) == 0
    first.release()
    assert second.take(3600) == 0
    meanwhile()
    return third.take(3600) > 0


def replace_a_spec(store: Store, meanwhile: Callable[[], None]) -> bool:
    key = manual_key("sales.daily")
    release = Release(b"type: Dataset\nname: sales.daily\n", {})
    delete_release(store, key, if_match=write_release(store, key, release))
    write_release(store, key, release)
    meanwhile()
    stored = read_release(store, key)
    return stored is not None and stored.release == release


@pytest.mark.rule("5.12")
@pytest.mark.parametrize("replaces", [replace_a_plan, replace_a_lease, replace_a_spec])
def test_a_delete_that_the_network_holds_back_removes_nothing_that_was_created_since(
    replaces: Callable[[Store, Callable[[], None]], bool], brisk: Store, between: Proxy
) -> None:
    held = Held(is_delete, ignored=("If-Match",))
    between.rule = held
    assert replaces(brisk, held.let_go)
    assert held.status == 403


@pytest.mark.rule("5.12")
def test_a_removal_that_the_network_holds_back_removes_nothing_that_was_created_since(
    brisk: Store, between: Proxy
) -> None:
    held = Held(lambda request: request.method == "PUT" and is_tombstone(request.body))
    between.rule = held
    assert replace_a_spec(brisk, held.let_go)
    assert held.status == 403


@pytest.mark.rule("5.12")
def test_a_removal_is_a_conditional_write_then_a_delete_that_soon_expires(
    store: Store, between: Proxy, s3: S3
) -> None:
    etag = store.put("code/a", b"x", expected=MISSING)
    between.asked.clear()
    store.delete("code/a", expected=etag)
    put, delete = between.asked
    assert (put.method, delete.method) == ("PUT", "DELETE")
    assert put.headers["if-match"].strip('"') == etag.strip('"')
    assert delete.headers["if-match"] != put.headers["if-match"]
    assert "X-Amz-Expires=" in put.path
    assert "X-Amz-Expires=" in delete.path
    assert stored_sizes(s3) == []


@pytest.mark.rule("5.12")
@pytest.mark.parametrize(("status", "code"), [(412, "PreconditionFailed"), (404, "NoSuchKey")])
def test_a_removal_that_the_server_refuses_is_told_as_someone_elses_change(
    status: int, code: str, store: Store, between: Proxy
) -> None:
    etag = store.put("code/a", b"x", expected=MISSING)
    between.rule = refusing(lambda request: request.method == "PUT", status, code)
    with pytest.raises(PreconditionFailed):
        store.delete("code/a", expected=etag)
    assert store.get("code/a") is not None


def test_a_server_that_knows_no_conditional_delete_gets_a_plain_one(
    store: Store, between: Proxy, s3: S3
) -> None:
    etag = store.put("code/a", b"x", expected=MISSING)
    between.rule = refusing(
        lambda sent: is_delete(sent) and "if-match" in sent.headers, 501, "NotImplemented"
    )
    store.delete("code/a", expected=etag)
    assert stored_sizes(s3) == []


@pytest.mark.rule("5.18")
def test_a_removal_whose_answer_was_lost_is_ours(store: Store, between: Proxy) -> None:
    etag = store.put("code/a", b"x", expected=MISSING)
    faults = iter([swallow])
    between.rule = lambda request: next(faults, None) if request.method == "PUT" else None
    store.delete("code/a", expected=etag)
    assert store.get("code/a") is None


def test_where_a_policy_refuses_signed_urls_the_object_counts_as_removed(
    store: Store, between: Proxy, s3: S3
) -> None:
    etag = store.put("code/a", b"x", expected=MISSING)
    between.rule = refusing(lambda request: "X-Amz-Signature" in request.path, 403, "AccessDenied")
    with pytest.raises(PreconditionFailed):
        store.delete("code/a", expected="another")
    store.delete("code/a", expected=etag)
    assert store.get("code/a") is None
    assert stored_sizes(s3) == [TOMBSTONE_BYTES]


@pytest.fixture
def left(place: S3, between: Proxy) -> S3:
    """The place with an object, and two tombstones whose DELETE the server refused."""
    store = place.limited(BRISK)
    store.put("code/kept", b"x" * TOMBSTONE_BYTES, expected=MISSING)
    between.rule = refusing(is_delete, 403, "AccessDenied")
    for key in ("code/a", "code/b"):
        store.delete(key, expected=store.put(key, b"x", expected=MISSING))
    between.rule = lambda _: None
    assert stored_sizes(place) == [TOMBSTONE_BYTES] * 3
    return place


@pytest.mark.rule("5.20")
def test_a_tombstone_counts_as_missing_for_every_reader(left: S3) -> None:
    store = left.store()  # as another process opens it
    assert store.get("code/a") is None
    assert list(store.get_many(["code/a", "code/b", "code/kept"])) == ["code/kept"]
    assert [info.key for info in store.list("")] == ["code/kept"]
    with pytest.raises(PreconditionFailed):
        store.delete("code/a", expected="x")
    left.send("PUT", "code//x.yaml", b"x")
    assert [info.key for info in store.list("code/")] == ["code//x.yaml", "code/kept"]


@pytest.mark.rule("5.20")
def test_a_listing_reads_each_object_of_a_tombstones_size_once(left: S3, between: Proxy) -> None:
    store = left.store()
    for expected in (["GET"] * 4, ["GET"]):
        between.asked.clear()
        assert [info.key for info in store.list("code/")] == ["code/kept"]
        assert [request.method for request in between.asked] == expected


@pytest.mark.rule("5.20")
def test_a_tombstone_is_known_where_the_etag_is_no_digest_of_the_content(left: S3, between: Proxy) -> None:
    def encrypted(handler: Handler) -> None:
        status, headers, body = handler.ask_server()
        changed = {
            name: f'"{value[::-1]}-kms"' if name.lower() == "etag" else value
            for name, value in headers.items()
        }
        handler.reply(status, changed, body.replace(b"<ETag>", b"<ETag>kms-"))

    between.rule = lambda _: encrypted
    store = left.store()
    assert [info.key for info in store.list("code/")] == ["code/kept"]
    assert store.get("code/a") is None


@pytest.mark.rule("5.20")
def test_of_several_writers_one_creates_an_object_over_a_tombstone(left: S3) -> None:
    stores = [left.limited(BRISK) for _ in range(6)]
    with ThreadPoolExecutor(len(stores)) as writers:
        etags = list(writers.map(lambda store: try_put(store, "code/a", b"new", expected=MISSING), stores))
    assert len([etag for etag in etags if etag is not None]) == 1
    stored = left.store().get("code/a")
    assert stored is not None
    assert (stored.body, stored.etag) == (b"new", next(filter(None, etags)))


def test_an_old_tombstone_is_replaced_at_once(s3: S3) -> None:
    s3.send("PUT", "code/a", new_tombstone(datetime(2026, 1, 1, tzinfo=UTC)))
    store = s3.limited(replace(PATIENT, settled=HELD_SECONDS))
    assert store.put("code/a", b"x", expected=MISSING)
    assert store.get("code/a") is not None


@pytest.mark.rule("5.20")
def test_tombstones_that_stayed_are_removed_by_a_store_that_lists_them_and_may_delete(
    store: Store, between: Proxy, s3: S3
) -> None:
    for key in ("code/a", "code/b"):
        s3.send("PUT", key, new_tombstone(datetime(2026, 1, 1, tzinfo=UTC)))
    assert list(store.list("code/")) == []
    assert {request.method for request in between.asked} == {"GET"}
    store.delete("code/c", expected=store.put("code/c", b"x", expected=MISSING))
    assert list(store.list("code/")) == []
    deadline = time.monotonic() + HELD_SECONDS
    while stored_sizes(s3):
        assert time.monotonic() < deadline
        time.sleep(0.05)
