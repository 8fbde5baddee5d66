from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dataspec.catalog_reader import CatalogReader
from dataspec.errors import Conflict
from dataspec.releases import Release, manual_key, write_release
from dataspec.spec_cache import MemorySpecCache
from dataspec.store import MemoryStore
from unit.dataspec.specs import SPEC, SQL

NAME = "iceberg.analytics.daily_clicks"
KEY = manual_key(NAME)
OLD = Release(SPEC.encode(), {"daily_clicks.sql": SQL})
NEW_SQL = Release(OLD.yaml, {"daily_clicks.sql": "select 2"})
NEW_BOTH = Release(OLD.yaml.replace(b"0 9 * * *", b"0 8 * * *"), {"daily_clicks.sql": "select 3"})


class Killed(Exception):
    """The writer died here."""


class MortalStore(MemoryStore):
    """A store whose writer dies before its n-th write."""

    def __init__(self) -> None:
        super().__init__()
        self.lives = 1_000

    def put(self, key: str, body: bytes, *, expected: str) -> str:
        self.lives -= 1
        if self.lives < 0:
            raise Killed
        return super().put(key, body, expected=expected)


def seen(store: MemoryStore) -> Release | None:
    """Return what a reader with no memory sees."""
    catalog = CatalogReader(store, MemorySpecCache()).read()
    assert catalog.invalid == ()
    file = catalog.effective.get(NAME)
    return Release(file.yaml, dict(file.files)) if file else None


def test_the_yaml_is_kept_as_it_came_and_its_sql_in_a_file_of_its_own() -> None:
    store = MemoryStore()
    write_release(store, KEY, OLD)
    stored = store.get("manual/iceberg.analytics.daily_clicks.yaml")
    assert stored is not None
    assert stored.body == SPEC.encode()
    sql = [info.key for info in store.list("manual/") if info.key.endswith(".sql")]
    assert len(sql) == 1
    assert store.get_many(sql)[sql[0]].body == SQL.encode()


@pytest.mark.parametrize("new", [NEW_SQL, NEW_BOTH], ids=["sql", "yaml and sql"])
@pytest.mark.parametrize("before", [None, OLD], ids=["first", "update"])
def test_wherever_the_writer_dies_a_reader_sees_the_old_pair_or_the_new_one(
    before: Release | None, new: Release
) -> None:
    outcomes = []
    for writes in range(5):
        store = MortalStore()
        if before is not None:
            write_release(store, KEY, before)
        store.lives = writes
        try:
            write_release(store, KEY, new)
        except Killed:
            outcomes.append(seen(store))
        else:
            outcomes.append(seen(store))
            break
    assert outcomes[-1] == new
    assert all(outcome in (before, new) for outcome in outcomes)
    assert len(outcomes) > 2


def test_after_a_writer_died_the_same_write_succeeds() -> None:
    store = MortalStore()
    write_release(store, KEY, OLD)
    store.lives = 2
    with pytest.raises(Killed):
        write_release(store, KEY, NEW_BOTH)
    store.lives = 100
    write_release(store, KEY, NEW_BOTH)
    assert seen(store) == NEW_BOTH


def test_two_datasets_may_both_call_their_sql_query_sql() -> None:
    store = MemoryStore()
    for name in ("a", "b"):
        yaml = f"name: {name}\ntype: Dataset\nowner: a@b.c\nquery_file: query.sql\n".encode()
        write_release(store, manual_key(name), Release(yaml, {"query.sql": f"select '{name}'"}))
    effective = CatalogReader(store, MemorySpecCache()).read().effective
    assert {name: dict(file.files) for name, file in effective.items()} == {
        "a": {"query.sql": "select 'a'"},
        "b": {"query.sql": "select 'b'"},
    }


def test_a_writer_that_looked_at_an_older_version_is_told() -> None:
    store = MemoryStore()
    etag = write_release(store, KEY, OLD)
    write_release(store, KEY, NEW_BOTH)
    with pytest.raises(Conflict, match="changed by someone else"):
        write_release(store, KEY, NEW_SQL, if_match=etag)
    assert seen(store) == NEW_BOTH


def test_of_two_updates_at_once_the_second_is_told_and_the_first_stands() -> None:
    class Racing(MemoryStore):
        rival: Release | None = None

        def put(self, key: str, body: bytes, *, expected: str) -> str:
            if key == KEY and self.rival is not None:
                rival, self.rival = self.rival, None
                super().put(KEY, rival.yaml, expected=expected)
            return super().put(key, body, expected=expected)

    store = Racing()
    write_release(store, KEY, OLD)
    store.rival = Release(OLD.yaml + b"# mine\n", OLD.files)
    with pytest.raises(Conflict):
        write_release(store, KEY, NEW_BOTH)
    stored = store.get(KEY)
    assert stored is not None
    assert stored.body == OLD.yaml + b"# mine\n"


def test_sql_alone_is_not_changed_under_an_update_that_is_half_written() -> None:
    store = MortalStore()
    write_release(store, KEY, OLD)
    store.lives = 2
    with pytest.raises(Killed):
        write_release(store, KEY, NEW_BOTH)
    store.lives = 100
    with pytest.raises(Conflict):
        write_release(store, KEY, NEW_SQL)
    later = datetime.now(UTC) + timedelta(minutes=2)
    write_release(store, KEY, NEW_SQL, now=lambda: later)
    assert seen(store) == NEW_SQL


def test_writing_the_same_again_writes_nothing() -> None:
    store = MortalStore()
    etag = write_release(store, KEY, OLD)
    store.lives = 0
    assert write_release(store, KEY, OLD) == etag


def test_the_hash_names_the_yaml_and_the_sql_together() -> None:
    assert len({OLD.spec_hash, NEW_SQL.spec_hash, NEW_BOTH.spec_hash}) == 3
    assert OLD.spec_hash == Release(bytes(OLD.yaml), dict(OLD.files)).spec_hash
    moved = Release(OLD.yaml, {"other.sql": SQL})
    assert moved.spec_hash != OLD.spec_hash
