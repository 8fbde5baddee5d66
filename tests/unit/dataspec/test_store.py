from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dataspec.errors import DliError, InvalidSettings, StoreUnreachable
from dataspec.store import MemoryStore, PreconditionFailed, Store, open_store
from dataspec.store.base import MISSING


@pytest.fixture(params=["memory", "folder"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return MemoryStore() if request.param == "memory" else open_store(str(tmp_path / "store"))


def test_what_was_put_is_got_with_the_etag_that_put_returned(store: Store) -> None:
    etag = store.put("manual/a.yaml", b"one", expected=MISSING)
    found = store.get("manual/a.yaml")
    assert found is not None
    assert (found.body, found.etag) == (b"one", etag)
    assert [(info.key, info.etag, info.size) for info in store.list("manual/")] == [
        ("manual/a.yaml", etag, 3)
    ]


def test_what_is_not_there_is_none(store: Store) -> None:
    assert store.get("manual/a.yaml") is None
    assert store.get_many(["manual/a.yaml"]) == {}
    assert list(store.list("manual/")) == []


def test_a_listing_is_of_its_prefix_in_the_order_of_keys(store: Store) -> None:
    for key in ("code/b/2.yaml", "code/a.yaml", "codex/z.yaml", "manual/a.yaml", "code/b/1.yaml"):
        store.put(key, key.encode(), expected=MISSING)
    assert [info.key for info in store.list("code/")] == ["code/a.yaml", "code/b/1.yaml", "code/b/2.yaml"]


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


def test_a_write_that_expects_another_version_is_refused_and_changes_nothing(store: Store) -> None:
    old = store.put("a", b"one", expected=MISSING)
    store.put("a", b"two", expected=old)
    for write in (lambda: store.put("a", b"three", expected=old), lambda: store.delete("a", expected=old)):
        with pytest.raises(PreconditionFailed):
            write()
    with pytest.raises(PreconditionFailed):
        store.put("b", b"one", expected=old)
    assert store.get_many(["a", "b"]).keys() == {"a"}


def test_a_delete_that_expects_the_present_version_removes_it(store: Store) -> None:
    store.delete("a", expected=store.put("a", b"one", expected=MISSING))
    assert store.get("a") is None
    with pytest.raises(PreconditionFailed):
        store.delete("a", expected=MISSING + "x")


def test_of_many_writers_at_once_exactly_one_wins(store: Store) -> None:
    etag = store.put("a", b"start", expected=MISSING)

    def write(number: int) -> bool:
        try:
            store.put("a", str(number).encode(), expected=etag)
        except PreconditionFailed:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(write, range(16))) == 1


@pytest.mark.parametrize("key", ["../x", "a/../b", "/etc/passwd", "a//b", "", ".lock", "a\\b", "a\x00"])
def test_no_key_leaves_the_folder(key: str, tmp_path: Path) -> None:
    folder = open_store(str(tmp_path / "store"))
    with pytest.raises(ValueError, match="not a key"):
        folder.put(key, b"x", expected=MISSING)
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_a_folder_that_cannot_be_made_is_told_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreUnreachable) as caught:
        open_store(str(tmp_path / "file" / "store"))
    assert str(tmp_path) in (caught.value.detail or "")


@pytest.mark.parametrize("url", ["ftp://x/y", "s3://", "http://bucket", " "])
def test_an_address_of_no_known_kind_is_refused(url: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        open_store(url)
    assert isinstance(caught.value, DliError)
    assert caught.value.exit_status == 2


def test_a_file_address_names_a_folder(tmp_path: Path) -> None:
    address = (tmp_path / "my store").as_uri()
    open_store(address).put("a", b"x", expected=MISSING)
    assert open_store(str(tmp_path / "my store")).url == address
    assert (tmp_path / "my store" / "a").read_bytes() == b"x"
