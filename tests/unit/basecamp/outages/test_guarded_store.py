"""A store that hangs: how long a request waits for it, what a write says, and when it is asked again."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from basecamp.outages.guarded_store import PROBE_KEY, GuardedStore
from basecamp.outages.request_budget import map_within_budget, renew_budget, request_budget
from dataspec.errors import StoreUnreachable, UnreadableObject
from dataspec.store import MemoryStore, PreconditionFailed, Store, StoredObject
from dataspec.store.base import MISSING, ObjectInfo, StoreDown
from dataspec.store.call_budget import seconds_left

PATIENCE_SECONDS = 120
SHORT_SECONDS = 0.2


class HangingStore(MemoryStore):
    """A store whose calls wait while the test lets them hang."""

    def __init__(self) -> None:
        super().__init__()
        self.answers = threading.Event()
        self.answers.set()
        self.calls: list[str] = []
        self.pause = 0.0
        self.left: list[float] = []
        """The seconds that the caller of each call may wait, at its start and at its end."""

    def get(self, key: str, *, known: StoredObject | None = None) -> StoredObject | None:
        self._wait(key)
        return super().get(key, known=known)

    def put(self, key: str, body: bytes, *, expected: str) -> str:
        self._wait(key)
        return super().put(key, body, expected=expected)

    def _wait(self, key: str) -> None:
        if key != PROBE_KEY:
            self.calls.append(key)
        self.left.append(seconds_left(math.inf))
        time.sleep(self.pause)
        self.left.append(seconds_left(math.inf))
        assert self.answers.wait(PATIENCE_SECONDS)


class ListingStore(MemoryStore):
    """A store whose listings end when the test allows it."""

    def __init__(self) -> None:
        super().__init__()
        self.began = threading.Semaphore(0)
        self.may_end = threading.Event()
        self.listings = 0

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        self.listings += 1
        found = [*super().list(prefix)]
        self.began.release()
        assert self.may_end.wait(PATIENCE_SECONDS)
        return iter(found)


@pytest.fixture
def behind() -> Iterator[HangingStore]:
    store = HangingStore()
    yield store
    store.answers.set()


@pytest.fixture
def store(behind: HangingStore) -> GuardedStore:
    return GuardedStore(behind)


def failure_of(call: Callable[[], Any], *, seconds: float = SHORT_SECONDS) -> tuple[StoreUnreachable, float]:
    """Return the error of a call within a request's budget, and how long it took."""
    began = time.monotonic()
    with request_budget(seconds), pytest.raises(StoreUnreachable, match="does not answer") as caught:
        call()
    return caught.value, time.monotonic() - began


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def answers(store: Store) -> bool:
    try:
        store.get("code/b")
    except StoreUnreachable:
        return False
    return True


@pytest.mark.rule("18.16")
def test_all_calls_of_a_request_share_its_budget(store: GuardedStore, behind: HangingStore) -> None:
    behind.pause = 0.1
    failure_of(lambda: [store.get(f"code/{number}") for number in range(100)], seconds=0.35)
    assert 1 <= len(behind.calls) <= 4


@pytest.mark.rule("18.16")
def test_threads_of_a_request_share_its_budget(store: GuardedStore, behind: HangingStore) -> None:
    behind.answers.clear()

    def read_all() -> None:
        with ThreadPoolExecutor(4) as pool:
            list(map_within_budget(pool, store.get, ["code/a", "code/b", "code/c", "code/d"]))

    assert failure_of(read_all)[1] < PATIENCE_SECONDS


@pytest.mark.rule("18.16")
def test_a_request_that_polls_has_its_budget_for_each_poll(store: GuardedStore, behind: HangingStore) -> None:
    """A poll may wait for longer at its start than the one before it could at its end."""
    behind.pause = 0.1
    with request_budget(PATIENCE_SECONDS):
        for number in range(15):
            renew_budget()
            store.get(f"code/{number}")
    assert behind.left != sorted(behind.left, reverse=True)


def test_work_in_the_background_has_the_time_of_the_store_itself(
    store: GuardedStore, behind: HangingStore
) -> None:
    behind.pause = 0.3
    store.put("code/a", b"x", expected=MISSING)
    assert store.get("code/a") is not None


@pytest.mark.rule("18.17")
def test_after_one_call_without_an_answer_the_others_fail_at_once_until_the_store_answers(
    store: GuardedStore, behind: HangingStore
) -> None:
    behind.answers.clear()
    failure_of(lambda: store.get("code/a"))
    for _ in range(20):
        assert failure_of(lambda: store.get("code/b"), seconds=PATIENCE_SECONDS)[1] < PATIENCE_SECONDS
    until(lambda: behind.calls == ["code/a"])
    behind.answers.set()
    until(lambda: answers(store))


@pytest.mark.rule("18.17")
def test_calls_that_wait_at_once_wait_together(store: GuardedStore, behind: HangingStore) -> None:
    behind.answers.clear()
    began = time.monotonic()
    with ThreadPoolExecutor(20) as callers:
        waiting = [callers.submit(failure_of, lambda: store.get("code/a")) for _ in range(20)]
    assert all(each.result() for each in waiting)
    assert time.monotonic() - began < PATIENCE_SECONDS


@pytest.mark.rule("18.21")
def test_listings_at_once_are_one_that_began_after_each_caller_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    store, asked = ListingStore(), threading.Semaphore(0)
    guarded = GuardedStore(store)
    join = guarded._lists._joined

    def joined(*question: Any) -> Any:
        found = join(*question)
        asked.release()
        return found

    with ThreadPoolExecutor(21) as callers:
        first = callers.submit(lambda: [info.key for info in guarded.list("code/")])
        assert store.began.acquire(timeout=PATIENCE_SECONDS)
        guarded.put("code/a", b"x", expected=MISSING)
        monkeypatch.setattr(guarded._lists, "_joined", joined)
        others = [callers.submit(lambda: [info.key for info in guarded.list("code/")]) for _ in range(20)]
        for _ in others:
            assert asked.acquire(timeout=PATIENCE_SECONDS)
        store.may_end.set()
        assert first.result(PATIENCE_SECONDS) == []
        assert [other.result(PATIENCE_SECONDS) for other in others] == [["code/a"]] * 20
    assert store.listings == 2


@pytest.mark.rule("18.18")
def test_a_write_without_an_answer_says_that_its_effect_is_not_known(
    store: GuardedStore, behind: HangingStore
) -> None:
    behind.answers.clear()
    error, _ = failure_of(lambda: store.put("manual/a.yaml", b"x", expected=MISSING))
    assert str(error.detail).endswith(
        "Whether 'manual/a.yaml' was changed is not known: look before you repeat this."
    )
    error, _ = failure_of(lambda: store.put("manual/b.yaml", b"x", expected=MISSING))
    assert "not known" not in str(error.detail), "it was not sent"
    until(lambda: behind.calls == ["manual/a.yaml"])


@pytest.mark.parametrize(
    "error",
    [
        StoreUnreachable("The store refuses these credentials."),
        UnreadableObject("One object.", "it can't be read", detail="code/a"),
        PreconditionFailed("code/a"),
    ],
)
def test_an_answer_of_any_kind_lets_the_next_call_through(error: Exception) -> None:
    class Refusing(MemoryStore):
        def put(self, key: str, body: bytes, *, expected: str) -> str:
            raise error

    store: Store = GuardedStore(Refusing())
    with pytest.raises(type(error)):
        store.put("code/a", b"x", expected=MISSING)
    assert store.get("code/a") is None


def test_a_store_that_says_it_is_down_is_left_alone_too() -> None:
    class Down(MemoryStore):
        def get(self, key: str, *, known: StoredObject | None = None) -> StoredObject | None:
            asked.append(key)
            raise StoreDown("The store does not answer.", detail="503")

    asked: list[str] = []
    store = GuardedStore(Down())
    for _ in range(3):
        with pytest.raises(StoreUnreachable):
            store.get("code/a")
    assert asked.count("code/a") == 1
