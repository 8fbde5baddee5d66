"""A store's address, and what is a folder's own; what all kinds of store do is in the contract's tests."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dataspec.errors import DliError, InvalidKey, InvalidSettings, StoreUnreachable
from dataspec.store import open_store
from dataspec.store.base import MISSING, etag_of, try_delete, try_put


@pytest.mark.rule("5.15", "5.16")
@pytest.mark.parametrize("key", ["../x", "a/../b", "/etc/passwd", "a//b", "", ".lock", "a\\b", "a\x00"])
def test_no_key_leaves_the_folder(key: str, tmp_path: Path) -> None:
    folder = open_store(str(tmp_path / "store"))
    with pytest.raises(InvalidKey, match="is not a key"):
        folder.put(key, b"x", expected=MISSING)
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_a_folder_that_cannot_be_made_is_told_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreUnreachable) as caught:
        open_store(str(tmp_path / "file" / "store"))
    assert str(tmp_path) in (caught.value.detail or "")


@pytest.mark.rule("5.13")
def test_a_folder_that_has_gone_is_no_empty_store(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    etag = store.put("code/a", b"x", expected=MISSING)
    shutil.rmtree(tmp_path / "store")
    for call in (
        lambda: list(store.list("code/")),
        lambda: store.get("code/a"),
        lambda: store.get_many(["code/a"]),
        lambda: store.put("code/a", b"y", expected=etag),
        lambda: store.delete("code/a", expected=etag),
    ):
        with pytest.raises(StoreUnreachable) as caught:
            call()
        assert str(tmp_path / "store") in (caught.value.detail or "")


def test_a_folder_that_is_there_without_the_prefix_is_an_empty_listing(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    assert list(store.list("code/")) == []


@pytest.mark.rule("5.1")
@pytest.mark.parametrize(
    "url", ["ftp://x/y", "s3://", "http://bucket", " ", "s3:///prefix", "s3://bucket:9000/x", "s3://b/x#y"]
)
def test_an_address_of_no_known_kind_is_refused(url: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        open_store(url)
    assert isinstance(caught.value, DliError)
    assert caught.value.exit_status == 2


@pytest.mark.rule("5.1")
def test_a_file_address_names_a_folder(tmp_path: Path) -> None:
    address = (tmp_path / "my store").as_uri()
    open_store(address).put("a", b"x", expected=MISSING)
    assert open_store(str(tmp_path / "my store")).url == address
    assert (tmp_path / "my store" / "a").read_bytes() == b"x"


@pytest.mark.rule("5.1")
@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("s3://bucket/prod?unquoted_etag=true", "Did you mean 'unquoted_etags'?"),
        ("s3://bucket?secret_access_key=hidden-word", "It may have: unquoted_etags."),
        ("s3://bucket?unquoted_etags=hidden-word", "Write true or false."),
        ("s3://key:hidden-word@bucket/prod", "Set AWS_ACCESS_KEY_ID"),
        ("s3a://key:hidden-word@bucket/prod", "Write s3://bucket/prefix"),
    ],
)
def test_an_address_says_nothing_that_is_not_known_and_its_secrets_are_not_repeated(
    url: str, told: str
) -> None:
    with pytest.raises(InvalidSettings) as caught:
        open_store(url)
    assert told in (caught.value.detail or "")
    assert "hidden-word" not in f"{caught.value.title} {caught.value.detail}"


def test_a_store_in_a_bucket_shows_where_it_is_and_no_more() -> None:
    assert open_store("s3://bucket/team/prod/?unquoted_etags=true").url == "s3://bucket/team/prod"
    assert open_store("s3://bucket").url == "s3://bucket"


def test_a_setting_of_s3_that_is_not_known_is_refused_without_its_value() -> None:
    with pytest.raises(InvalidSettings) as caught:
        open_store("s3://bucket", options={"secret_key": "hidden-word"})
    assert "'secret_key'" in f"{caught.value.title} {caught.value.detail}"
    assert "hidden-word" not in f"{caught.value.title} {caught.value.detail}"


def test_a_write_that_another_writer_preceded_returns_none_and_changes_nothing(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    first = try_put(store, "a", b"1", expected=etag_of(store.get("a")))
    assert first == etag_of(store.get("a"))
    assert try_put(store, "a", b"2", expected=MISSING) is None
    assert not try_delete(store, "a", expected="another")
    found = store.get("a")
    assert found is not None
    assert found.body == b"1"
    assert try_delete(store, "a", expected=etag_of(found))
    assert not try_delete(store, "a", expected=etag_of(found))
    assert etag_of(store.get("a")) == MISSING
