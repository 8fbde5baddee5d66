"""What every kind of store does: memory, a folder, and a bucket on a real S3 server."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from dataspec.errors import InvalidKey
from dataspec.store import MemoryStore, PreconditionFailed, Store, open_store
from dataspec.store.base import MISSING, age_of
from s3 import S3

ODD_LETTERS = [
    "with space",
    "a+b",
    "한글",
    "é (two code points: e\u0301)",
    "100%",
    "a%20b",
    "a&b=c;d,e",
    "a#b?c",
    "~'!*(x)",
    '[x]{y}^`|"<>',
    "a:b@c$d",
]


@pytest.fixture(params=["memory", "folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "memory":
        return MemoryStore()
    if request.param == "folder":
        return open_store(str(tmp_path / "store"))
    place: S3 = request.getfixturevalue("s3")
    return place.store()


def test_what_was_put_is_got_with_the_etag_that_put_returned(store: Store) -> None:
    etag = store.put("manual/a.yaml", b"one", expected=MISSING)
    found = store.get("manual/a.yaml")
    assert found is not None
    assert (found.key, found.body, found.etag) == ("manual/a.yaml", b"one", etag)
    assert [(info.key, info.etag, info.size) for info in store.list("manual/")] == [
        ("manual/a.yaml", etag, 3)
    ]


@pytest.mark.rule("5.19")
def test_the_age_of_an_object_is_measured_by_the_stores_own_clock(store: Store) -> None:
    assert age_of(store, "manual/a.yaml") == timedelta(0)
    store.put("manual/a.yaml", b"one", expected=MISSING)
    assert age_of(store, "manual/a.yaml") < timedelta(seconds=30)
    until = time.monotonic() + 120
    while age_of(store, "manual/a.yaml") < timedelta(seconds=1):  # a bucket tells whole seconds
        assert time.monotonic() < until


def test_what_is_not_there_is_none(store: Store) -> None:
    assert store.get("manual/a.yaml") is None
    assert store.get_many(["manual/a.yaml"]) == {}
    assert list(store.list("manual/")) == []


def test_what_is_known_and_unchanged_is_returned_as_it_is(store: Store) -> None:
    etag = store.put("a", b"one", expected=MISSING)
    known = store.get("a")
    assert store.get("a", known=known) is known
    store.put("a", b"two", expected=etag)
    changed = store.get("a", known=known)
    assert changed is not None
    assert changed.body == b"two"
    store.delete("a", expected=changed.etag)
    assert store.get("a", known=changed) is None


@pytest.mark.rule("1.5")
def test_a_listing_is_of_its_prefix_in_the_order_of_keys(store: Store) -> None:
    for key in ("code/b/2.yaml", "code/a.yaml", "codex/z.yaml", "manual/a.yaml", "code/b/1.yaml", "code/Z"):
        store.put(key, key.encode(), expected=MISSING)
    assert [info.key for info in store.list("code/")] == [
        "code/Z",
        "code/a.yaml",
        "code/b/1.yaml",
        "code/b/2.yaml",
    ]
    assert [info.key for info in store.list("code/b/1")] == ["code/b/1.yaml"]
    assert [info.key for info in store.list("cod")][-1] == "codex/z.yaml"
    assert len(list(store.list(""))) == 6


@pytest.mark.rule("5.13")
def test_a_listing_of_several_pages_has_every_key_once(store: Store) -> None:
    keys = [f"code/{number:05d}.yaml" for number in range(2_345)]
    with ThreadPoolExecutor(16) as writers:
        list(writers.map(lambda key: store.put(key, key.encode(), expected=MISSING), keys))
    assert [info.key for info in store.list("code/")] == keys
    found = store.get_many(keys)
    assert {key: stored.body for key, stored in found.items()} == {key: key.encode() for key in keys}


def test_many_are_got_at_once_and_what_is_not_there_is_left_out(store: Store) -> None:
    for number in range(40):
        store.put(f"a/{number}", str(number).encode(), expected=MISSING)
    found = store.get_many(f"a/{number}" for number in range(0, 80, 2))
    assert {key: stored.body for key, stored in found.items()} == {
        f"a/{number}": str(number).encode() for number in range(0, 40, 2)
    }


def test_what_vanishes_between_the_listing_and_the_reading_is_left_out(store: Store) -> None:
    etags = {key: store.put(key, b"x", expected=MISSING) for key in ("code/a", "code/b")}
    listed = [info.key for info in store.list("code/")]
    store.delete("code/a", expected=etags["code/a"])
    assert listed == ["code/a", "code/b"]
    assert store.get_many(listed).keys() == {"code/b"}


@pytest.mark.rule("4.7")
def test_the_etag_changes_with_the_content_alone(store: Store) -> None:
    first = store.put("a", b"one", expected=MISSING)
    second = store.put("a", b"two", expected=first)
    assert second != first
    assert store.put("a", b"one", expected=second) == first


def test_a_create_only_write_of_what_exists_is_refused_and_changes_nothing(store: Store) -> None:
    store.put("a", b"one", expected=MISSING)
    with pytest.raises(PreconditionFailed):
        store.put("a", b"two", expected=MISSING)
    assert store.get_many(["a"])["a"].body == b"one"


@pytest.mark.rule("5.9")
def test_a_write_that_expects_another_version_is_refused_and_changes_nothing(store: Store) -> None:
    old = store.put("a", b"one", expected=MISSING)
    store.put("a", b"two", expected=old)
    with pytest.raises(PreconditionFailed):
        store.put("a", b"three", expected=old)
    with pytest.raises(PreconditionFailed):
        store.delete("a", expected=old)
    assert store.get_many(["a"])["a"].body == b"two"


def test_a_write_that_expects_what_was_removed_meanwhile_creates_nothing(store: Store) -> None:
    etag = store.put("a", b"one", expected=MISSING)
    store.delete("a", expected=etag)
    with pytest.raises(PreconditionFailed):
        store.put("a", b"two", expected=etag)
    with pytest.raises(PreconditionFailed):
        store.delete("a", expected=etag)
    assert store.get("a") is None


def test_what_was_removed_may_be_created_again(store: Store) -> None:
    store.delete("a", expected=store.put("a", b"one", expected=MISSING))
    assert list(store.list("")) == []
    store.put("a", b"two", expected=MISSING)
    assert store.get_many(["a"])["a"].body == b"two"


@pytest.mark.rule("5.9", "5.15")
def test_of_many_writers_at_once_exactly_one_wins(store: Store) -> None:
    etag = store.put("a", b"start", expected=MISSING)

    def write(number: int) -> bool:
        try:
            store.put("a", str(number).encode(), expected=etag)
        except PreconditionFailed:
            return False
        return True

    with ThreadPoolExecutor(16) as writers:
        won = list(writers.map(write, range(32)))
    assert sum(won) == 1
    assert store.get_many(["a"])["a"].body == str(won.index(True)).encode()


@pytest.mark.rule("5.9")
def test_of_many_creators_at_once_exactly_one_wins(store: Store) -> None:
    def create(number: int) -> bool:
        try:
            store.put("a", str(number).encode(), expected=MISSING)
        except PreconditionFailed:
            return False
        return True

    with ThreadPoolExecutor(16) as writers:
        won = list(writers.map(create, range(32)))
    assert sum(won) == 1
    assert store.get_many(["a"])["a"].body == str(won.index(True)).encode()


def test_no_step_is_lost_where_many_count_one_object_up(store: Store) -> None:
    store.put("count", b"0", expected=MISSING)

    def step(_: int) -> int:
        while True:
            stored = store.get("count")
            assert stored is not None
            after = int(stored.body) + 1
            try:
                store.put("count", str(after).encode(), expected=stored.etag)
            except PreconditionFailed:
                continue
            return after

    with ThreadPoolExecutor(4) as writers:
        steps = sorted(writers.map(step, range(24)))
    assert all(later == earlier + 1 for earlier, later in pairwise(steps))
    assert store.get_many(["count"])["count"].body == b"24"


@pytest.mark.rule("5.16")
@pytest.mark.parametrize("letters", ODD_LETTERS)
def test_a_key_may_have_odd_letters(letters: str, store: Store) -> None:
    key = f"code/{letters}/{letters}.yaml"
    etag = store.put(key, b"one", expected=MISSING)
    assert [info.key for info in store.list("code/")] == [key]
    assert [info.key for info in store.list(f"code/{letters}/")] == [key]
    assert store.get_many([key])[key].body == b"one"
    store.delete(key, expected=store.put(key, b"two", expected=etag))
    assert store.get(key) is None


@pytest.mark.parametrize("size", [0, 1, 1 << 20])
def test_a_body_of_any_size_comes_back_as_it_was(size: int, store: Store) -> None:
    body = bytes(range(256)) * (size // 256) or b"x" * size
    etag = store.put("a", body, expected=MISSING)
    stored = store.get("a")
    assert stored is not None
    assert (stored.body, stored.etag) == (body, etag)
    assert [info.size for info in store.list("")] == [size]


def test_a_store_sees_nothing_beside_its_prefix(s3: S3) -> None:
    for place in (s3.below("one"), s3.below("one-more"), s3.below("one/more")):
        place.store().put("code/a", b"x", expected=MISSING)
    assert [info.key for info in s3.below("one").store().list("")] == ["code/a", "more/code/a"]
    with pytest.raises(InvalidKey, match="is not a key"):
        s3.below("one-more").store().get("../one/code/a")
