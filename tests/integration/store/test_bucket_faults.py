"""An S3 server that is slow, refuses, breaks off, or is not there: each call ends, clearly."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from dataspec.errors import StoreUnreachable, UnreadableObject
from dataspec.store import PreconditionFailed, Store, StoredObject
from dataspec.store.base import MISSING
from dataspec.store.bucket import BucketStore, StoreTimeouts
from http_proxy import FAULT_SECONDS, Fault, Handler, Proxy, Request, answer, cut_short, hang, stall, swallow
from s3 import S3, free_port

SHORT = StoreTimeouts(connect=1, request=1, retry=1.5, call=5)
QUICK_SECONDS = FAULT_SECONDS - 20
"""Well above what the limits allow, also on a machine that is busy with other things; a fault lasts longer."""


@pytest.fixture
def hurried(place: S3) -> BucketStore:
    """For calls that are to fail: with time enough for nothing else."""
    return place.limited(SHORT)


@pytest.fixture
def store(place: S3) -> Store:
    return place.store()


def refusal(status: int, code: str) -> Fault:
    """Refuse a request, with an error document of that code."""
    return answer(status, f"<?xml version='1.0'?><Error><Code>{code}</Code></Error>")


def fails(call: Callable[[], object]) -> StoreUnreachable:
    """Return the error of a call that must fail in time."""
    begun = time.monotonic()
    with pytest.raises(StoreUnreachable) as caught:
        call()
    assert time.monotonic() - begun < QUICK_SECONDS
    assert caught.value.exit_status == 5
    return caught.value


CALLS: dict[str, Callable[[Store], object]] = {
    "list": lambda store: list(store.list("code/")),
    "get": lambda store: store.get("code/a"),
    "get_many": lambda store: store.get_many([f"code/{number}" for number in range(100)]),
    "put": lambda store: store.put("code/b", b"x", expected=MISSING),
    "delete": lambda store: store.delete("code/a", expected="x"),
}

each_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())


@pytest.mark.rule("5.14")
@each_call
def test_a_server_that_hangs_ends_a_call_in_time(
    call: Callable[[Store], object], hurried: Store, between: Proxy
) -> None:
    between.rule = lambda _: hang
    error = fails(lambda: call(hurried))
    assert error.title == "The store does not answer."


@pytest.mark.rule("5.14")
def test_with_the_limits_of_production_a_call_ends_within_half_a_minute(place: S3, between: Proxy) -> None:
    between.rule = lambda _: hang
    store = place.store()
    fails(lambda: store.get("code/a"))


def test_an_answer_that_stops_half_way_ends_the_call_in_time(
    store: Store, hurried: Store, between: Proxy
) -> None:
    store.put("code/a", b"x" * 100_000, expected=MISSING)
    between.rule = lambda _: stall
    fails(lambda: hurried.get("code/a"))
    fails(lambda: list(hurried.list("code/")))


@pytest.mark.rule("5.14")
def test_many_slow_answers_end_the_call_however_many_there_are(hurried: Store, between: Proxy) -> None:
    def slowly(_: Request) -> None:
        time.sleep(0.9)  # just quick enough for a request

    between.rule = slowly
    error = fails(lambda: hurried.get_many([f"code/{number}" for number in range(5_000)]))
    assert error.title == "The store does not answer."


@each_call
def test_a_server_that_is_overloaded_is_asked_again_then_told_of(
    call: Callable[[Store], object], hurried: Store, between: Proxy
) -> None:
    between.rule = lambda _: refusal(503, "SlowDown")
    asked = []
    for _ in range(5):  # a busy machine comes to no third request within the limits
        before = len(between.asked)
        error = fails(lambda: call(hurried))
        assert "503" in (error.detail or "")
        asked.append(len(between.asked) - before)
        if asked[-1] >= 3:
            break
    assert max(asked) >= 3


def test_an_overload_that_passes_is_not_noticed(store: Store, between: Proxy) -> None:
    store.put("code/a", b"x", expected=MISSING)
    refused = iter([refusal(503, "SlowDown"), answer(500), None, refusal(503, "SlowDown"), None])
    between.rule = lambda _: next(refused)
    assert [info.key for info in store.list("code/")] == ["code/a"]
    assert store.get_many(["code/a"])["code/a"].body == b"x"
    assert next(refused, "all used") == "all used"


def test_after_an_overload_the_same_store_answers_again(store: Store, between: Proxy) -> None:
    between.rule = lambda _: refusal(503, "SlowDown")
    fails(lambda: store.put("code/a", b"x", expected=MISSING))
    between.rule = lambda _: None
    store.put("code/a", b"x", expected=MISSING)
    assert [info.key for info in store.list("code/")] == ["code/a"]


@pytest.mark.rule("5.17")
@each_call
def test_a_secret_that_does_not_fit_is_told_without_showing_it(
    call: Callable[[Store], object], s3: S3
) -> None:
    store = s3.secretly(AWS_SECRET_ACCESS_KEY="not-the-secret").store()
    error = fails(lambda: call(store))
    assert error.title == "The store refuses these credentials."
    assert "AWS_SECRET_ACCESS_KEY" in (error.detail or "")
    assert "not-the-secret" not in f"{error.title} {error.text} {error.detail} {error.__cause__}"


@pytest.mark.rule("5.17")
def test_an_access_key_that_is_not_known_is_told(s3: S3) -> None:
    error = fails(lambda: s3.secretly(AWS_ACCESS_KEY_ID="NOBODY").store().list(""))
    assert "AWS_ACCESS_KEY_ID" in (error.detail or "")


@pytest.mark.rule("5.17")
def test_a_right_that_is_missing_is_told_with_the_key(store: Store, between: Proxy) -> None:
    between.rule = lambda request: refusal(403, "AccessDenied") if request.method == "PUT" else None
    error = fails(lambda: store.put("manual/a.yaml", b"x", expected=MISSING))
    assert error.title == "The store refuses these credentials."
    assert "'manual/a.yaml'" in (error.detail or "")


@pytest.mark.rule("5.13")
@each_call
def test_a_bucket_that_is_missing_is_no_empty_store(call: Callable[[Store], object], s3: S3) -> None:
    error = fails(lambda: call(s3.in_bucket("dli-tests-no-such-bucket").store()))
    assert error.title == "The store's bucket does not exist."
    assert "Create it" in (error.detail or "")
    assert "dli-tests-no-such-bucket" in (error.detail or "")


@pytest.mark.rule("5.17")
@each_call
def test_a_server_that_is_not_there_is_told_with_its_address(call: Callable[[Store], object], s3: S3) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    error = fails(lambda: call(s3.through(endpoint).limited(SHORT)))
    assert error.title == "The store does not answer."
    assert endpoint in (error.detail or "")


@pytest.mark.rule("5.13")
@pytest.mark.parametrize("fault", [cut_short, hang, answer(500), refusal(403, "AccessDenied")])
def test_a_listing_that_fails_on_its_second_page_is_no_half_listing(
    fault: Callable[..., None], s3: S3, store: Store, hurried: Store, between: Proxy
) -> None:
    fill(s3.store(), 1_200)
    assert len(list(store.list("code/"))) == 1_200
    between.rule = lambda request: fault if "continuation-token" in request.path else None
    fails(lambda: hurried.list("code/"))
    assert any("continuation-token" in request.path for request in between.asked)


def fill(store: Store, count: int) -> None:
    with ThreadPoolExecutor(16) as writers:
        list(
            writers.map(lambda number: store.put(f"code/{number:05d}", b"x", expected=MISSING), range(count))
        )


def lost(times: int, fault: Fault) -> Callable[[Request], Fault | None]:
    """Lose the answers to the first PUTs."""
    left = iter(range(times))
    return lambda request: fault if request.method == "PUT" and next(left, None) is not None else None


def overloaded(handler: Handler) -> None:
    """Let the server act, then answer that it is overloaded."""
    handler.ask_server()
    handler.reply(503, {}, b"<Error><Code>SlowDown</Code></Error>")


@pytest.mark.rule("5.18")
@pytest.mark.parametrize("fault", [swallow, overloaded])
@pytest.mark.parametrize("times", [1, 100], ids=["the first answer", "every answer"])
def test_a_write_whose_answer_was_lost_is_ours(
    times: int, fault: Fault, store: Store, between: Proxy
) -> None:
    between.rule = lost(times, fault)
    created = store.put("code/a", b"x", expected=MISSING)
    assert store.get("code/a") == StoredObject("code/a", created, b"x")
    between.rule = lost(times, fault)
    changed = store.put("code/a", b"y", expected=created)
    assert store.get("code/a") == StoredObject("code/a", changed, b"y")


@pytest.mark.rule("5.18")
def test_a_write_whose_answer_was_lost_is_not_taken_for_anothers_of_the_same_content(
    s3: S3, store: Store, between: Proxy
) -> None:
    s3.store().put("code/a", b"x", expected=MISSING)
    between.rule = lost(1, overloaded)
    with pytest.raises(PreconditionFailed):
        store.put("code/a", b"x", expected=MISSING)


@pytest.mark.rule("5.18")
def test_a_write_that_another_one_replaced_meanwhile_is_told_as_someone_elses_change(
    s3: S3, store: Store, between: Proxy
) -> None:
    def replaced(handler: Handler) -> None:
        handler.ask_server()
        other = s3.store()
        written = other.get("code/a")
        assert written is not None
        other.put("code/a", b"theirs", expected=written.etag)
        handler.reply(503, {}, b"<Error><Code>SlowDown</Code></Error>")

    between.rule = lost(1, replaced)
    with pytest.raises(PreconditionFailed):
        store.put("code/a", b"x", expected=MISSING)


def test_one_object_that_may_not_be_read_keeps_no_other_from_being_read(store: Store, between: Proxy) -> None:
    for name in ("a", "b"):
        store.put(f"code/{name}.yaml", b"x", expected=MISSING)
    refused = refusal(403, "AccessDenied")
    between.rule = lambda request: refused if request.path.partition("?")[0].endswith("a.yaml") else None
    found = store.get_many(["code/a.yaml", "code/b.yaml"])
    assert (list(found), list(found.unreadable)) == (["code/b.yaml"], ["code/a.yaml"])
    assert "AccessDenied" in found.unreadable["code/a.yaml"]
    with pytest.raises(UnreadableObject):
        store.get("code/a.yaml")


@pytest.mark.parametrize("step", [".", ".."])
def test_a_step_in_a_key_which_no_client_but_its_writers_sends_is_listed_with_its_reason(
    step: str, store: Store, between: Proxy
) -> None:
    for name in ("a", "b"):
        store.put(f"code/{name}.yaml", b"x", expected=MISSING)

    def with_a_step(handler: Handler) -> None:
        status, headers, body = handler.ask_server()
        plain = body.replace(b"code/a.yaml", f"code/{step}/a.yaml".encode())
        handler.reply(status, headers, plain.replace(b"code%2Fa.yaml", f"code%2F{step}%2Fa.yaml".encode()))

    between.rule = lambda request: with_a_step if "list-type=2" in request.path else None
    bad, good = store.list("code/")
    assert (bad.key, good.key) == (f"code/{step}/a.yaml", "code/b.yaml")
    assert f"one of its parts is '{step}'" in (bad.problem or "")


def test_a_listing_that_is_cut_off_behind_a_bad_key_is_an_error_and_no_shorter_listing(
    s3: S3, store: Store, between: Proxy
) -> None:
    s3.send("PUT", "code//x.yaml", b"x")

    def cut_off(handler: Handler) -> None:
        status, headers, body = handler.ask_server()
        handler.reply(status, headers, body[: len(body) // 2])

    between.rule = lambda request: cut_off if "encoding-type=url" in request.path else None
    assert "can't be read" in (fails(lambda: list(store.list("code/"))).detail or "")
