"""A value that is slow to fetch: how old it may be, and how many fetches it costs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from basecamp.outages.request_budget import request_budget
from basecamp.shared.clock import ManualClock
from basecamp.shared.refresh_cache import SHARED_SECONDS, Changes, RefreshCache
from dataspec.errors import StoreUnreachable

PATIENCE_SECONDS = 120


class Source:
    """Counts the fetches of a value, and lets each end when the test allows it."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.may_end = threading.Event()
        self.may_end.set()
        self.fetches = 0
        self.is_down = False

    def fetch(self) -> int:
        self.fetches += 1
        number = self.fetches
        self.begun.release()
        assert self.may_end.wait(PATIENCE_SECONDS)
        if self.is_down:
            raise StoreUnreachable("The store does not answer.")
        return number


def unanswered() -> StoreUnreachable:
    return StoreUnreachable("The store does not answer.")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2024, 1, 15, tzinfo=UTC))


@pytest.fixture
def source() -> Iterator[Source]:
    source = Source()
    yield source
    source.may_end.set()


@pytest.fixture
def cache(source: Source, clock: ManualClock) -> RefreshCache[int]:
    return RefreshCache("test", source.fetch, clock, unanswered=unanswered, min_age=2, max_age=30)


def test_a_fresh_value_is_never_one_whose_fetch_began_before(
    cache: RefreshCache[int], source: Source
) -> None:
    source.may_end.clear()
    cache.refresh()
    assert source.begun.acquire(timeout=PATIENCE_SECONDS)
    found: list[int] = []
    asking = threading.Thread(target=lambda: found.append(cache.fresh()))
    asking.start()
    source.may_end.set()
    asking.join(PATIENCE_SECONDS)
    assert found == [2], "the fetch that was under way had begun before the question"


@pytest.mark.rule("18.16")
def test_callers_share_a_fetch_that_hangs_and_wait_no_longer_than_their_budget(
    cache: RefreshCache[int], source: Source
) -> None:
    source.may_end.clear()
    for _ in range(5):
        with request_budget(0.05), pytest.raises(StoreUnreachable, match="does not answer"):
            cache.next()
    assert source.fetches == 1
    source.may_end.set()
    assert cache.next() >= 1, "the fetch itself went on"


def test_a_value_is_usable_until_its_time_is_over(cache: RefreshCache[int], clock: ManualClock) -> None:
    assert cache.usable() is None
    cache.fresh()
    clock.advance(1)
    assert cache.usable() == 1
    clock.advance(1.5)
    assert cache.usable() is None


@pytest.mark.rule("18.25")
def test_readers_share_a_value_for_ten_times_as_long_as_its_fetch_took_and_at_most_a_second(
    clock: ManualClock,
) -> None:
    fetches: list[float] = []
    took = 0.05

    def fetch() -> int:
        fetches.append(took)
        clock.advance(took)
        return len(fetches)

    cache = RefreshCache("test", fetch, clock, unanswered=unanswered, min_age=0.0, max_age=SHARED_SECONDS)
    assert cache.next() == 1
    clock.advance(0.15)
    assert cache.usable() == 1
    clock.advance(0.4)
    assert cache.usable() is None
    took = 0.8
    cache.next()
    clock.advance(0.3)
    assert cache.usable() is None, "a second after its fetch began"
    took = 0.0
    cache.next()
    assert cache.usable() is None, "what costs nothing is fetched for each reader"


@pytest.mark.rule("18.25")
def test_a_value_from_before_a_change_of_this_replica_is_not_used(source: Source, clock: ManualClock) -> None:
    changes = Changes()
    cache = RefreshCache(
        "test", source.fetch, clock, unanswered=unanswered, min_age=2, max_age=30, changes=changes
    )
    cache.fresh()
    assert cache.usable() == 1
    changes.note()
    assert cache.usable() is None
    assert cache.next() == 2
    assert cache.usable() == 2


def test_a_failed_fetch_shows_the_last_value_with_its_age(
    cache: RefreshCache[int], source: Source, clock: ManualClock
) -> None:
    source.is_down = True
    with pytest.raises(StoreUnreachable):
        cache.refreshed(PATIENCE_SECONDS)
    source.is_down = False
    cache.fresh()
    source.is_down = True
    clock.advance(45)
    known = cache.refreshed(PATIENCE_SECONDS)
    assert (known.value, known.warnings) == (
        2,
        ("The store does not answer. What is shown is 45 s old.",),
    )
