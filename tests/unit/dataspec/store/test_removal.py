"""What a tombstone is, and what a reader sees in it that does not know tombstones."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from dataspec.catalog.cache import MemorySpecCache
from dataspec.catalog.reader import CatalogReader
from dataspec.catalog.sql_map import check_map, mapped_files
from dataspec.store import MemoryStore, StoredObject
from dataspec.store.base import MISSING
from dataspec.store.removal import TOMBSTONE_BYTES, is_tombstone, new_tombstone, removed_at

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.rule("5.20")
def test_a_tombstone_is_known_by_its_content_and_tells_its_time() -> None:
    tombstone = new_tombstone(NOW)
    assert len(tombstone) == TOMBSTONE_BYTES
    assert removed_at(tombstone) == NOW
    assert new_tombstone(NOW) != tombstone


@pytest.mark.rule("5.20")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"x" * TOMBSTONE_BYTES,
        b"\xff" * TOMBSTONE_BYTES,
        new_tombstone(NOW)[:-1],
        new_tombstone(NOW)[:-1] + b" ",
        new_tombstone(NOW).replace(b"2026-01", b"2026-99"),
        new_tombstone(NOW).replace(b"removal", b"renewal"),
    ],
    ids=["empty", "as long", "not UTF-8", "cut", "another end", "no time", "another key"],
)
def test_other_content_is_no_tombstone(body: bytes) -> None:
    assert not is_tombstone(body)


@pytest.mark.rule("5.20")
def test_a_reader_that_knows_no_tombstones_ignores_one_among_specs_and_maps() -> None:
    tombstone = new_tombstone(NOW)
    assert "type" not in json.loads(tombstone)
    file_map = StoredObject("manual/a.b.files.json", "", tombstone)
    assert mapped_files(file_map, b"name: a.b") is None
    check_map(file_map)
    store = MemoryStore()  # it stands for a reader of an older version: it has no tombstones
    store.put("manual/sales.daily.yaml", tombstone, expected=MISSING)
    store.put("code/sales/daily.yaml", tombstone, expected=MISSING)
    assert CatalogReader(store, MemorySpecCache()).read().files == ()
