from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from dataspec.catalog.cache import MemorySpecCache
from dataspec.catalog.reader import CatalogReader
from dataspec.catalog.spec_storage import (
    Release,
    delete_leftovers,
    delete_release,
    manual_key,
    read_release,
    write_release,
)
from dataspec.catalog.sql_map import file_map_key, mapped_files, sql_key, sql_prefix
from dataspec.errors import Conflict, InvalidSpec
from dataspec.store import MemoryStore
from dataspec.store.base import MISSING, etag_of
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

    def delete(self, key: str, *, expected: str) -> None:
        self.lives -= 1
        if self.lives < 0:
            raise Killed
        super().delete(key, expected=expected)


def seen(store: MemoryStore) -> Release | None:
    """Return what a reader with no memory sees."""
    catalog = CatalogReader(store, MemorySpecCache()).read()
    assert catalog.invalid == ()
    file = catalog.effective.get(NAME)
    return Release(file.yaml, dict(file.files)) if file else None


@pytest.mark.rule("5.3")
def test_the_yaml_is_kept_as_it_came_and_its_sql_in_a_file_of_its_own() -> None:
    store = MemoryStore()
    write_release(store, KEY, OLD)
    stored = store.get("manual/iceberg.analytics.daily_clicks.yaml")
    assert stored is not None
    assert stored.body == SPEC.encode()
    sql = [info.key for info in store.list("manual/") if info.key.endswith(".sql")]
    assert len(sql) == 1
    assert store.get_many(sql)[sql[0]].body == SQL.encode()


@pytest.mark.rule("5.4")
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


@pytest.mark.rule("5.4")
def test_after_a_writer_died_the_same_write_succeeds() -> None:
    store = MortalStore()
    write_release(store, KEY, OLD)
    store.lives = 2
    with pytest.raises(Killed):
        write_release(store, KEY, NEW_BOTH)
    store.lives = 100
    write_release(store, KEY, NEW_BOTH)
    assert seen(store) == NEW_BOTH


@pytest.mark.rule("5.5")
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


@pytest.mark.rule("5.10")
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


@pytest.mark.rule("1.6")
def test_the_hash_names_the_yaml_and_the_sql_together() -> None:
    assert len({OLD.spec_hash, NEW_SQL.spec_hash, NEW_BOTH.spec_hash}) == 3
    assert OLD.spec_hash == Release(bytes(OLD.yaml), dict(OLD.files)).spec_hash
    moved = Release(OLD.yaml, {"other.sql": SQL})
    assert moved.spec_hash != OLD.spec_hash


class Dated(MortalStore):
    """A store with a clock that the test sets."""

    def __init__(self) -> None:
        super().__init__()
        self.time = datetime(2024, 1, 15, tzinfo=UTC)
        self._now = lambda: self.time

    def write(self, release: Release, *, hours: float = 0) -> None:
        self.time += timedelta(hours=hours)
        write_release(self, KEY, release, now=lambda: self.time)

    def sql(self) -> set[str]:
        """Return the SQL that is kept."""
        return {self.get_many([info.key])[info.key].body.decode() for info in self.list(sql_prefix(KEY))}


def release(number: int) -> Release:
    return Release(OLD.yaml + f"# {number}\n".encode(), {"daily_clicks.sql": f"select {number}"})


@pytest.mark.rule("5.7")
@pytest.mark.parametrize("yaml_changes", [True, False])
def test_what_was_replaced_stays_an_hour_for_readers_under_way_and_goes_with_a_later_write(
    yaml_changes: bool,
) -> None:
    store = Dated()
    versions = [
        release(number) if yaml_changes else Release(OLD.yaml, release(number).files) for number in range(5)
    ]
    store.write(versions[0])
    store.write(versions[1], hours=48)
    store.write(versions[2], hours=0.1)
    assert store.sql() == {"select 0", "select 1", "select 2"}
    store.write(versions[3], hours=1.5)
    store.write(versions[4], hours=1.5)
    assert store.sql() == {"select 2", "select 3", "select 4"} - ({"select 2"} if not yaml_changes else set())
    assert seen(store) == versions[4]


def test_a_reader_that_has_the_yaml_of_before_finds_its_sql() -> None:
    store = Dated()
    store.write(release(0))
    for number in range(1, 4):
        before = store.get(KEY)
        assert before is not None
        store.write(release(number), hours=48 if number == 1 else 0)
        file_map = store.get(file_map_key(KEY))
        assert file_map is not None
        for old in range(number):
            mapped = mapped_files(file_map, release(old).yaml)
            assert mapped is not None
            assert store.get(sql_key(KEY, mapped["daily_clicks.sql"])) is not None


def test_going_back_to_sql_that_is_about_to_be_swept_keeps_it() -> None:
    store = Dated()
    for number in range(3):
        store.write(release(number), hours=2)
    store.write(release(0), hours=2)
    assert seen(store) == release(0)
    store.write(release(3))
    assert "select 0" in store.sql()


@pytest.mark.rule("5.8")
def test_a_release_is_removed_whole_the_yaml_first() -> None:
    for lives in range(9):
        store = MortalStore()
        etag = write_release(store, KEY, OLD)
        store.lives = lives
        try:
            delete_release(store, KEY, if_match=etag)
        except Killed:
            assert seen(store) in (OLD, None)
        else:
            break
    assert list(store.list("")) == []


def test_a_release_that_someone_changed_is_not_removed() -> None:
    store = MortalStore()
    etag = write_release(store, KEY, OLD)
    write_release(store, KEY, NEW_BOTH)
    with pytest.raises(Conflict):
        delete_release(store, KEY, if_match=etag)
    assert seen(store) == NEW_BOTH


def test_whoever_registers_while_it_is_removed_has_a_whole_dataset_or_is_told() -> None:
    """A writer steps in before each write of the removal, and the other way round."""
    for moment in range(6):
        store = Interrupted()
        etag = write_release(store, KEY, OLD)
        store.interrupt(moment, partial(write_or_be_told, store, OLD))
        delete_release_or_be_told(store, etag)
        assert seen(store) in (OLD, None)
    for moment in range(6):
        store = Interrupted()
        etag = write_release(store, KEY, OLD)
        store.interrupt(moment, partial(delete_release_or_be_told, store, etag))
        write_or_be_told(store, NEW_BOTH)
        assert seen(store) in (NEW_BOTH, None)


def write_or_be_told(store: MemoryStore, new: Release) -> None:
    try:
        write_release(store, KEY, new)
    except Conflict:
        return


def delete_release_or_be_told(store: MemoryStore, etag: str) -> None:
    try:
        delete_release(store, KEY, if_match=etag)
    except Conflict:
        return


class Interrupted(MemoryStore):
    """A store in which somebody else acts before the n-th write."""

    def __init__(self) -> None:
        super().__init__()
        self._left = -1
        self._act: Callable[[], object] | None = None

    def interrupt(self, moment: int, act: Callable[[], object]) -> None:
        self._left, self._act = moment, act

    def put(self, key: str, body: bytes, *, expected: str) -> str:
        self._count()
        return super().put(key, body, expected=expected)

    def delete(self, key: str, *, expected: str) -> None:
        self._count()
        super().delete(key, expected=expected)

    def _count(self) -> None:
        act = self._act
        if act is not None:
            self._left -= 1
            if self._left < 0:
                self._act = None
                act()


class InterruptedAndDated(Dated, Interrupted):
    """A store in which somebody else acts before the n-th write, with a clock that the test sets."""


@pytest.mark.rule("5.7")
@pytest.mark.parametrize("moment", range(8))
def test_sql_that_is_registered_again_while_it_is_swept_is_there(moment: int) -> None:
    """The sweep knows it by its ETag, which is the same when the same SQL is written again."""
    store = InterruptedAndDated()
    for number in range(3):
        store.write(release(number), hours=2)
    store.time += timedelta(hours=2)
    again = partial(write_release, store, KEY, release(0), now=lambda: store.time)
    told: list[Conflict] = []

    def register_again() -> None:
        try:
            again()
        except Conflict as conflict:
            told.append(conflict)

    store.interrupt(moment, register_again)
    try:
        store.write(release(3))
    except Conflict as conflict:
        told.append(conflict)
    assert seen(store) in (release(0), release(3))
    assert len(told) < 2
    store.interrupt(0, lambda: None)
    store.time += timedelta(minutes=2)
    again()
    assert seen(store) == release(0)


@pytest.mark.rule("4.6")
@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"versions": {"a": 1}}', b'{"versions": {"a": {}}}'])
def test_a_map_that_is_broken_counts_as_none_and_is_made_anew(body: bytes) -> None:
    store = MortalStore()
    write_release(store, KEY, OLD)
    found = store.get(file_map_key(KEY))
    assert found is not None
    store.put(file_map_key(KEY), body, expected=found.etag)
    write_release(store, KEY, NEW_BOTH)
    assert seen(store) == NEW_BOTH


def test_a_writer_that_looked_at_older_sql_is_told() -> None:
    store = MemoryStore()
    write_release(store, KEY, OLD)
    read = read_release(store, KEY)
    assert read is not None
    assert read.release == OLD
    write_release(store, KEY, NEW_SQL)
    with pytest.raises(Conflict):
        write_release(store, KEY, NEW_BOTH, if_match=read.etag, files_if_match=read.files_etag)
    assert seen(store) == NEW_SQL


def test_a_release_is_read_as_it_was_written_or_copied() -> None:
    store = MemoryStore()
    assert read_release(store, KEY) is None
    store.put(KEY, OLD.yaml, expected=MISSING)
    assert read_release(store, KEY, ["daily_clicks.sql"]) is None
    store.put("manual/daily_clicks.sql", SQL.encode(), expected=MISSING)
    read = read_release(store, KEY, ["daily_clicks.sql"])
    assert read is not None
    assert (read.release, read.files_etag) == (OLD, MISSING)


def replace_map(store: MemoryStore, body: bytes) -> None:
    found = store.get(file_map_key(KEY))
    store.put(file_map_key(KEY), body, expected=etag_of(found))


@pytest.mark.rule("5.21", "5.22")
@pytest.mark.parametrize("body", [b'{"format": 99, "versions": {}}', b"{"], ids=["newer", "damaged"])
def test_sql_beside_a_map_that_can_not_be_used_is_not_taken_for_the_specs(body: bytes) -> None:
    store = MemoryStore()
    write_release(store, KEY, OLD)
    store.put("manual/daily_clicks.sql", b"select 'of another time'", expected=MISSING)
    replace_map(store, body)
    catalog = CatalogReader(store, MemorySpecCache()).read()
    assert catalog.effective == {}
    (file,) = catalog.invalid
    assert file.error is not None
    assert "the map to the SQL files can't be used" in str(file.error.problems[0])
    with pytest.raises(InvalidSpec):
        read_release(store, KEY, named=["daily_clicks.sql"])


@pytest.mark.rule("5.21")
def test_a_newer_map_beside_a_spec_without_sql_files_costs_nothing_and_stays() -> None:
    store = MemoryStore()
    yaml = f"name: {NAME}\ntype: Dataset\nowner: a@example.com\nquery_statement: select 1\n".encode()
    store.put(KEY, yaml, expected=MISSING)
    newer = b'{"format": 99, "versions": {}}'
    replace_map(store, newer)
    assert seen(store) == Release(yaml, {})
    stored = store.get(KEY)
    assert stored is not None
    store.delete(KEY, expected=stored.etag)
    delete_leftovers(store, KEY)
    kept = store.get(file_map_key(KEY))
    assert kept is not None
    assert kept.body == newer
