"""What the ledger tells a reader that never saw a store before (docs/sources.md, "The ledger")."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dataspec.catalog.cache import DiskSpecCache, MemorySpecCache
from dataspec.catalog.effective import Catalog, SpecFile
from dataspec.catalog.ledger import (
    LEDGER_KEY,
    ArchivedVersion,
    KeptVersion,
    Ledger,
    LedgerEntry,
    version_key,
)
from dataspec.catalog.reader import CatalogReader
from dataspec.catalog.spec_storage import Release, write_release
from dataspec.catalog.version_archive import KeptVersions
from dataspec.errors import CorruptObject, NewerFormat
from dataspec.models import SourceType
from dataspec.store import MemoryStore, StoredObject
from unit.dataspec.catalog.test_catalog import CountingStore, put, remove
from unit.dataspec.specs import spec_text

NOW = datetime(2024, 1, 15, 12, tzinfo=UTC)

Keep = Callable[[], Catalog]


@pytest.fixture
def store() -> CountingStore:
    return CountingStore()


@pytest.fixture
def keep(store: CountingStore) -> Keep:
    """Return what writes down the specs that are good now, as a check of the server does."""

    def keep() -> Catalog:
        catalog = fresh(store)
        KeptVersions(store).keep([*catalog.effective.values(), *catalog.overridden.values()])
        entries = {
            name: LedgerEntry(
                since=NOW,
                source=file.source,
                versions={each.source: kept(each) for each in files(catalog, name)},
            )
            for name, file in catalog.effective.items()
        }
        put(
            store,
            LEDGER_KEY,
            Ledger(moved_at=NOW, entries={**catalog.ledger.entries, **entries}).body().decode(),
        )
        return catalog

    return keep


def fresh(store: MemoryStore) -> Catalog:
    """Read a store as a machine does that is new and empty."""
    return CatalogReader(store, MemorySpecCache()).read()


def files(catalog: Catalog, name: str) -> list[SpecFile]:
    return [each[name] for each in (catalog.effective, catalog.overridden) if name in each]


def kept(file: SpecFile) -> KeptVersion:
    assert file.spec_hash is not None
    return KeptVersion(key=file.key, spec_hash=file.spec_hash, written_at=file.last_modified)


@pytest.mark.rule("4.5")
def test_a_new_machine_runs_the_last_good_version_of_a_spec_that_is_broken_now(
    store: CountingStore, keep: Keep
) -> None:
    write_release(store, "code/a.yaml", Release(spec_with_file("a"), {"a.sql": "select 'good'"}))
    good = keep().effective["a"]
    put(store, "code/a.yaml", "name: a\ntype: Dataset\ncorn: [")
    broken = fresh(store)
    assert broken.effective["a"].spec == good.spec
    assert dict(broken.effective["a"].files) == {"a.sql": "select 'good'"}
    assert [(file.key, file.name) for file in broken.invalid] == [("code/a.yaml", "a")]


def test_a_broken_code_spec_still_overrides_the_manual_one_on_a_new_machine(
    store: CountingStore, keep: Keep
) -> None:
    put(store, "manual/a.yaml", spec_text("a", sql="select 'manual'"))
    put(store, "code/a.yaml", spec_text("a", sql="select 'code'"))
    keep()
    put(store, "code/a.yaml", "name: a\ntype: Dataset\ncorn: [")
    catalog = fresh(store)
    assert catalog.effective["a"].source is SourceType.CODE
    assert catalog.overridden["a"].source is SourceType.MANUAL


def test_a_reader_goes_on_with_what_it_saw_itself_where_that_is_newer_than_the_ledger(
    store: CountingStore, keep: Keep
) -> None:
    reader = CatalogReader(store, MemorySpecCache())
    put(store, "code/a.yaml", spec_text("a", sql="select 'first'"))
    keep()
    put(store, "code/a.yaml", spec_text("a", sql="select 'second'"))
    second = reader.read().effective["a"]
    put(store, "code/a.yaml", spec_text("a", extra="corn: 1"))
    assert reader.read().effective["a"] == second


@pytest.mark.rule("4.4")
@pytest.mark.parametrize("new_process", [False, True])
def test_a_reader_that_was_away_goes_on_with_the_newer_version_of_the_ledger(
    store: CountingStore, keep: Keep, tmp_path: Path, new_process: bool
) -> None:
    reader = CatalogReader(store, DiskSpecCache(tmp_path))
    put(store, "code/a.yaml", spec_text("a", sql="select 'first'"))
    reader.read()
    put(store, "code/a.yaml", spec_text("a", sql="select 'second'"))
    second = keep().effective["a"]
    put(store, "code/a.yaml", spec_text("a", extra="corn: 1"))
    if new_process:
        reader = CatalogReader(store, DiskSpecCache(tmp_path))
    assert reader.read().effective["a"].spec_hash == second.spec_hash


def test_a_file_that_now_names_another_dataset_keeps_no_version_of_the_first(
    store: CountingStore, keep: Keep
) -> None:
    put(store, "code/a.yaml", spec_text("a"))
    keep()
    put(store, "code/a.yaml", spec_text("b", extra="corn: 1"))
    catalog = fresh(store)
    assert catalog.effective == {}
    assert set(catalog.retired) == {"a"}


@pytest.mark.rule("4.3")
def test_of_two_files_with_one_name_the_one_that_was_effective_stays_though_it_is_newer_by_time(
    store: CountingStore, keep: Keep
) -> None:
    put(store, "code/z.yaml", spec_text("a", sql="select 1"))
    keep()
    put(store, "code/a.yaml", spec_text("a", sql="select 2"))
    put(store, "code/z.yaml", spec_text("a", sql="select 3"))
    catalog = fresh(store)
    assert catalog.effective["a"].key == "code/z.yaml"
    assert [file.key for file in catalog.invalid] == ["code/a.yaml"]


def test_a_file_that_was_effective_and_broke_keeps_its_name_against_another_file(
    store: CountingStore, keep: Keep
) -> None:
    put(store, "code/z.yaml", spec_text("a", sql="select 1"))
    keep()
    put(store, "code/z.yaml", spec_text("a", extra="corn: 1"))
    put(store, "code/a.yaml", spec_text("a", sql="select 2"))
    catalog = fresh(store)
    assert catalog.effective["a"].key == "code/z.yaml"
    assert [file.key for file in catalog.invalid] == ["code/a.yaml", "code/z.yaml"]


@pytest.mark.rule("4.2")
def test_a_dataset_that_was_renamed_inside_its_file_goes_and_the_new_name_comes(
    store: CountingStore, keep: Keep
) -> None:
    put(store, "code/a.yaml", spec_text("a"))
    keep()
    put(store, "code/a.yaml", spec_text("b"))
    catalog = fresh(store)
    assert set(catalog.effective) == {"b"}
    assert set(catalog.retired) == {"a"}


@pytest.mark.parametrize("machine", ["new", "that saw it"])
def test_a_removed_dataset_is_known_while_the_ledger_lists_it(
    store: CountingStore, keep: Keep, machine: str
) -> None:
    put(store, "code/a.yaml", spec_text("a", sql="select 'last'"))
    reader = CatalogReader(store, MemorySpecCache())
    reader.read()
    last = keep().effective["a"]
    remove(store, "code/a.yaml")
    catalog = fresh(store) if machine == "new" else reader.read()
    assert catalog.effective == {}
    assert catalog.retired["a"].spec == last.spec
    remove(store, LEDGER_KEY)
    after = fresh(store) if machine == "new" else reader.read()
    assert after.retired == {}


def test_a_dataset_of_which_no_version_was_kept_is_gone_at_once(store: CountingStore, keep: Keep) -> None:
    put(store, "code/a.yaml", spec_text("a"))
    spec_hash = keep().effective["a"].spec_hash
    assert spec_hash is not None
    remove(store, "code/a.yaml")
    remove(store, version_key(spec_hash))
    assert fresh(store).retired == {}


@pytest.mark.rule("4.5")
def test_a_version_that_is_not_what_its_hash_says_is_none() -> None:
    release = Release(b"name: a", {"a.sql": "select 1"})
    body = ArchivedVersion(yaml="name: a", files={"a.sql": "select 1"}).body()
    key = version_key(release.spec_hash)
    assert ArchivedVersion.read(StoredObject(key, "", body)).release == release
    for damaged in (body.replace(b"select 1", b"select 2"), b"{"):
        with pytest.raises(CorruptObject):
            ArchivedVersion.read(StoredObject(key, "", damaged))


def test_with_nothing_changed_a_reader_asks_for_the_ledger_alone_and_returns_the_very_catalog(
    store: CountingStore, keep: Keep
) -> None:
    put(store, "code/a.yaml", spec_text("a"))
    put(store, "code/b.yaml", spec_text("b", extra="corn: 1"))
    keep()
    reader = CatalogReader(store, MemorySpecCache())
    first = reader.read()
    store.read.clear()
    assert reader.read() is first
    assert store.read == []


@pytest.mark.rule("4.7")
@pytest.mark.parametrize(
    ("yaml", "sql", "read"),
    [
        ("new", "old", ["code/a.files.json", "code/a.yaml"]),
        ("old", "new", ["code/a.files.json", "the SQL"]),
        ("new", "new", ["code/a.files.json", "the SQL", "code/a.yaml"]),
    ],
)
def test_of_a_release_that_changed_only_the_objects_that_did_are_read(
    store: CountingStore, yaml: str, sql: str, read: list[str]
) -> None:
    write_release(store, "code/a.yaml", Release(spec_with_file("a"), {"a.sql": "select 'old'"}))
    reader = CatalogReader(store, MemorySpecCache())
    reader.read()
    store.read.clear()
    body = spec_with_file("a") + (b"description: new\n" if yaml == "new" else b"")
    write_release(store, "code/a.yaml", Release(body, {"a.sql": f"select '{sql}'"}))
    file = reader.read().effective["a"]
    assert (file.yaml, dict(file.files)) == (body, {"a.sql": f"select '{sql}'"})
    assert sorted("the SQL" if key.endswith(".sql") else key for key in store.read) == sorted(read)


def test_two_sql_files_that_change_places_are_told_apart(store: CountingStore) -> None:
    yaml = b"name: a\ntype: Dataset\nowner: a@b.c\nquery_file: a.sql\npre_statements:\n- {name: p, file: p.sql}\n"
    write_release(store, "code/a.yaml", Release(yaml, {"a.sql": "select 1", "p.sql": "select 2"}))
    reader = CatalogReader(store, MemorySpecCache())
    reader.read()
    swapped = {"a.sql": "select 2", "p.sql": "select 1"}
    later = datetime.now(UTC) + timedelta(hours=2)
    write_release(store, "code/a.yaml", Release(yaml, swapped), now=lambda: later)
    assert dict(reader.read().effective["a"].files) == swapped


def spec_with_file(name: str) -> bytes:
    return f"name: {name}\ntype: Dataset\nowner: a@example.com\nquery_file: {name}.sql\n".encode()


@pytest.mark.rule("5.21")
def test_a_version_of_a_newer_format_is_written_by_no_keeper(store: CountingStore, keep: Keep) -> None:
    put(store, "code/a.yaml", spec_text("a"))
    file = keep().effective["a"]
    key = version_key(file.spec_hash or "")
    put(store, key, '{"format": 99}')
    archive = KeptVersions(store)
    before = list(store.list(key))
    archive.keep([file])
    archive.renew([file.spec_hash or ""])
    assert list(store.list(key)) == before  # times of writing included


@pytest.mark.rule("5.22")
@pytest.mark.parametrize("damage", ["", "{", '{"yaml": "name: b", "files": {}}'])
def test_a_damaged_version_is_mended_by_the_next_keeper(
    store: CountingStore, keep: Keep, damage: str
) -> None:
    put(store, "code/a.yaml", spec_text("a"))
    file = keep().effective["a"]
    put(store, version_key(file.spec_hash or ""), damage)
    archive = KeptVersions(store)
    assert archive.release(file.spec_hash or "") is None
    archive.keep([file])
    found = archive.release(file.spec_hash or "")
    assert found is not None
    assert found.yaml == file.yaml


@pytest.mark.rule("5.21")
@pytest.mark.parametrize("text", ['"1"', "true", "0", "-1", "1.0", "null", "[1]"])
def test_a_format_that_is_no_number_from_1_is_damage(text: str) -> None:
    body = f'{{"format": {text}, "datasets": {{}}}}'.encode()
    with pytest.raises(CorruptObject, match="its format is not a number"):
        Ledger.read(StoredObject(LEDGER_KEY, "1", body))


@pytest.mark.rule("5.22")
@pytest.mark.parametrize(
    "since", ["1705316400", "1705316400.5", "true", '"2024-01-15T12:00:00"', '"yesterday"']
)
def test_a_time_that_is_no_iso_text_with_an_offset_is_damage(since: str) -> None:
    body = f'{{"moved_at": {since}, "datasets": {{}}}}'.encode()
    with pytest.raises(CorruptObject, match="moved_at"):
        Ledger.read(StoredObject(LEDGER_KEY, "1", body))


@pytest.fixture
def ledger() -> Ledger:
    versions = {
        SourceType.MANUAL: KeptVersion(key="manual/a.yaml", spec_hash="a" * 64, written_at=NOW),
    }
    entry = LedgerEntry(since=NOW, source=SourceType.MANUAL, versions=versions, team="@데이터")
    return Ledger(moved_at=NOW, entries={"a": entry, "b": entry.changed(team=None), "c": entry})


def stored(ledger: Ledger, **changed: object) -> StoredObject:
    """Return a ledger's object, as another process wrote it with other entries."""
    values = json.loads(ledger.body())
    return StoredObject(LEDGER_KEY, "2", json.dumps({**values, **changed}).encode())


@pytest.mark.rule("6.10")
def test_only_changed_entries_of_a_ledger_are_checked_again(ledger: Ledger) -> None:
    values = ledger.to_json()["datasets"]
    changed = {**values["b"], "switches": 3, "key_of_a_newer_version": "kept"}
    later = ledger.following(stored(ledger, datasets={"a": values["a"], "b": changed, "d": values["c"]}))
    assert later.entries["a"] is ledger.entries["a"]
    assert later.entries["b"].switches == 3
    assert later.entries["b"].json_values == changed
    assert later.entries.keys() == {"a", "b", "d"}
    assert later == Ledger.read(stored(later))


@pytest.mark.rule("6.10")
def test_a_changed_entry_that_is_damaged_damages_the_ledger(ledger: Ledger) -> None:
    values = ledger.to_json()["datasets"]
    for damaged in ({**values["b"], "since": 1705316400}, {}, None, [values["b"]]):
        with pytest.raises(CorruptObject, match=r"datasets\.b"):
            ledger.following(stored(ledger, datasets={**values, "b": damaged}))
    with pytest.raises(CorruptObject, match="datasets"):
        ledger.following(stored(ledger, datasets=[]))
    with pytest.raises(NewerFormat):
        ledger.following(stored(ledger, format=2))


@pytest.mark.rule("6.10")
def test_a_ledger_is_written_as_its_models_say(ledger: Ledger) -> None:
    """Serialize entries once, but never an entry's values of before a change."""
    ledger.body()
    again = ledger.changed(entries={**ledger.entries, "a": ledger.entries["a"].changed(switches=1)})
    assert json.loads(again.body()) == again.model_dump(mode="json", by_alias=True)
    assert json.loads(again.body())["datasets"]["a"]["switches"] == 1


@pytest.mark.rule("6.11")
def test_a_change_of_the_ledger_alone_reads_and_decides_nothing_again(
    store: CountingStore, keep: Keep
) -> None:
    put(store, "code/a.yaml", spec_text("a"))
    put(store, "manual/b.yaml", spec_text("b"))
    reader = CatalogReader(store, MemorySpecCache())
    before = reader.read()
    keep()
    store.read.clear()
    after = reader.read()
    assert store.read == []
    assert after.effective is before.effective
    assert after.ledger.entries.keys() == {"a", "b"}
    assert reader.read() is after


@pytest.mark.rule("6.11")
def test_a_change_of_the_ledger_alone_still_decides_for_broken_and_removed_specs(
    store: CountingStore, keep: Keep
) -> None:
    put(store, "code/a.yaml", spec_text("a"))
    put(store, "manual/b.yaml", spec_text("b"))
    keep()
    ledger = store.get(LEDGER_KEY)
    assert ledger is not None
    store.delete(LEDGER_KEY, expected=ledger.etag)
    put(store, "code/a.yaml", "type: Dataset\nname: a\n")
    remove(store, "manual/b.yaml")
    reader = CatalogReader(store, MemorySpecCache())
    assert not reader.read().effective
    put(store, LEDGER_KEY, ledger.body.decode())
    assert reader.read().effective.keys() == {"a"}
    assert reader.read().retired.keys() == {"b"}
