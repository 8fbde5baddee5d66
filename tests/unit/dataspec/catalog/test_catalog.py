from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path

import pytest

from dataspec.catalog.cache import DiskSpecCache, MemorySpecCache, SpecCache
from dataspec.catalog.effective import Catalog
from dataspec.catalog.reader import CatalogReader
from dataspec.catalog.spec_storage import Release, write_release
from dataspec.errors import InvalidSpec
from dataspec.models import SourceType
from dataspec.store import Found, MemoryStore
from dataspec.store.base import MISSING
from unit.dataspec.specs import spec_text


class CountingStore(MemoryStore):
    """A store that counts what is read from it."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[str] = []

    def get_many(self, keys: Iterable[str]) -> Found:
        wanted = list(keys)
        self.read.extend(wanted)
        return super().get_many(wanted)


@pytest.fixture
def store() -> CountingStore:
    return CountingStore()


@pytest.fixture(params=["memory", "disk"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> SpecCache:
    return MemorySpecCache() if request.param == "memory" else DiskSpecCache(tmp_path)


@pytest.fixture
def reader(store: CountingStore, cache: SpecCache) -> CatalogReader:
    return CatalogReader(store, cache)


def put(store: MemoryStore, key: str, text: str) -> None:
    stored = store.get(key)
    store.put(key, text.encode(), expected=stored.etag if stored else MISSING)


def remove(store: MemoryStore, key: str) -> None:
    stored = store.get(key)
    assert stored is not None
    store.delete(key, expected=stored.etag)


def sources(catalog: Catalog) -> dict[str, str]:
    return {name: file.source.value for name, file in catalog.effective.items()}


@pytest.mark.rule("1.3", "4.1")
def test_code_wins_the_manual_file_is_kept_and_takes_over_again(
    store: CountingStore, reader: CatalogReader
) -> None:
    put(store, "manual/a.yaml", spec_text("a", sql="select 'manual'"))
    assert sources(reader.read()) == {"a": "manual"}
    put(store, "code/team/a.yaml", spec_text("a", sql="select 'code'"))
    both = reader.read()
    assert sources(both) == {"a": "code"}
    assert both.overridden["a"].key == "manual/a.yaml"
    assert both.get("a", SourceType.MANUAL) is both.overridden["a"]
    remove(store, "code/team/a.yaml")
    after = reader.read()
    assert sources(after) == {"a": "manual"}
    assert after.overridden == {}


@pytest.mark.rule("1.1", "4.2")
def test_the_name_inside_the_yaml_counts_not_the_files(store: CountingStore, reader: CatalogReader) -> None:
    put(store, "code/some/folder/x.yml", spec_text("sales.daily"))
    assert sources(reader.read()) == {"sales.daily": "code"}


@pytest.mark.rule("2.1")
def test_yaml_of_another_kind_and_other_files_are_passed_over(
    store: CountingStore, reader: CatalogReader
) -> None:
    put(store, "code/dbt_project.yaml", "version: 2")
    put(store, "code/readme.md", "type: Dataset")
    put(store, "elsewhere/a.yaml", spec_text("a"))
    assert reader.read().files == ()


@pytest.mark.rule("4.4")
def test_a_spec_that_breaks_goes_on_running_as_it_last_was_and_shows_why(
    store: CountingStore, reader: CatalogReader
) -> None:
    put(store, "code/a.yaml", spec_text("a", sql="select 'good'"))
    put(store, "code/b.yaml", spec_text("b"))
    good = reader.read().effective["a"]
    put(store, "code/a.yaml", spec_text("a", extra="corn: 1"))
    broken = reader.read()
    assert broken.effective["a"] == good
    assert [file.key for file in broken.invalid] == ["code/a.yaml"]
    assert "unknown key 'corn'" in str(broken.invalid[0].error and broken.invalid[0].error.detail)
    assert set(broken.effective) == {"a", "b"}
    put(store, "code/a.yaml", spec_text("a", sql="select 'mended'"))
    assert reader.read().invalid == ()


@pytest.mark.rule("4.4")
def test_a_broken_spec_that_was_never_good_leaves_the_other_source_in_place(
    store: CountingStore, reader: CatalogReader
) -> None:
    put(store, "manual/a.yaml", spec_text("a"))
    put(store, "code/a.yaml", spec_text("a", extra="corn: 1"))
    catalog = reader.read()
    assert sources(catalog) == {"a": "manual"}
    assert [(file.key, file.name) for file in catalog.invalid] == [("code/a.yaml", "a")]


@pytest.mark.rule("4.3")
def test_of_two_files_with_one_name_the_older_stays_and_the_newer_is_an_error(
    store: CountingStore, reader: CatalogReader
) -> None:
    put(store, "code/z.yaml", spec_text("a", sql="select 1"))
    put(store, "code/a.yaml", spec_text("a", sql="select 2"))
    catalog = reader.read()
    assert catalog.effective["a"].key == "code/z.yaml"
    assert [file.key for file in catalog.invalid] == ["code/a.yaml"]
    assert "the dataset 'a' is defined in code/z.yaml already." in str(catalog.invalid[0].error.detail)  # type: ignore[union-attr]


@pytest.mark.rule("5.6")
def test_a_plain_copy_has_its_sql_beside_it(store: CountingStore, reader: CatalogReader) -> None:
    yaml = "name: a\ntype: Dataset\nowner: a@b.c\nquery_file: sql/a.sql\n"
    put(store, "code/team/a.yaml", yaml)
    assert "the SQL file 'sql/a.sql' does not exist" in str(reader.read().invalid[0].error.detail)  # type: ignore[union-attr]
    put(store, "code/team/sql/a.sql", "select 1")
    assert dict(reader.read().effective["a"].files) == {"sql/a.sql": "select 1"}
    put(store, "code/team/sql/a.sql", "select 2")
    assert dict(reader.read().effective["a"].files) == {"sql/a.sql": "select 2"}


@pytest.mark.rule("4.7")
def test_what_did_not_change_is_not_read_again(store: CountingStore, reader: CatalogReader) -> None:
    for name in "abc":
        put(store, f"code/{name}.yaml", spec_text(name))
    reader.read()
    store.read.clear()
    before = reader.listing().fingerprint
    assert set(reader.read().effective) == {"a", "b", "c"}
    assert store.read == []
    put(store, "code/b.yaml", spec_text("b", sql="select 2"))
    assert reader.listing().fingerprint != before
    reader.read()
    assert store.read == ["code/b.yaml"]


@pytest.mark.rule("4.7")
def test_a_new_process_on_the_same_folder_reads_nothing_again(store: CountingStore, tmp_path: Path) -> None:
    put(store, "code/a.yaml", spec_text("a"))
    put(store, "code/b.yaml", spec_text("b", extra="corn: 1"))
    first = CatalogReader(store, DiskSpecCache(tmp_path)).read()
    store.read.clear()
    second = CatalogReader(store, DiskSpecCache(tmp_path)).read()
    assert store.read == []
    assert second.effective == first.effective
    assert [file.key for file in second.invalid] == ["code/b.yaml"]


def test_two_processes_on_one_folder_each_see_what_the_other_kept(
    store: CountingStore, tmp_path: Path
) -> None:
    one, other = (CatalogReader(store, DiskSpecCache(tmp_path)) for _ in range(2))
    put(store, "code/a.yaml", spec_text("a"))
    one.read()
    put(store, "code/b.yaml", spec_text("b"))
    other.read()
    store.read.clear()
    assert set(one.read().effective) == {"a", "b"}
    assert store.read == []


def test_a_cache_that_cannot_be_read_is_made_anew(store: CountingStore, tmp_path: Path) -> None:
    put(store, "code/a.yaml", spec_text("a"))
    CatalogReader(store, DiskSpecCache(tmp_path)).read()
    for path in tmp_path.iterdir():
        path.write_bytes(b"not a database" * 100)
    assert set(CatalogReader(store, DiskSpecCache(tmp_path)).read().effective) == {"a"}


def test_a_cache_that_cannot_be_read_is_closed(tmp_path: Path) -> None:
    cache = DiskSpecCache(tmp_path)
    cache.load()
    (file,) = tmp_path.iterdir()
    opened = len(list(Path("/dev/fd").iterdir()))
    kept = []  # what was raised holds the frames, and all that they opened
    for _ in range(3):
        file.write_bytes(b"not a database" * 100)
        with pytest.raises(sqlite3.DatabaseError) as raised:
            cache.save({}, ["code/a.yaml"])
        kept.append(raised)
    assert len(list(Path("/dev/fd").iterdir())) == opened


def test_a_file_that_vanishes_between_listing_and_reading_is_left_out(store: CountingStore) -> None:
    reader = CatalogReader(store, MemorySpecCache())
    put(store, "code/a.yaml", spec_text("a"))
    put(store, "code/b.yaml", spec_text("b"))
    listing = reader.listing()
    remove(store, "code/a.yaml")
    assert set(reader.read(listing).effective) == {"b"}


@pytest.mark.rule("2.20")
def test_a_file_that_is_too_large_is_not_even_fetched(store: CountingStore, reader: CatalogReader) -> None:
    put(store, "code/a.yaml", spec_text("a") + "#" * 10_000_000)
    catalog = reader.read()
    assert store.read == []
    assert "a spec may have 256 KiB at most" in str(catalog.invalid[0].error.detail)  # type: ignore[union-attr]


@pytest.mark.rule("2.20")
def test_a_file_that_is_no_utf8_is_listed_with_its_place(store: CountingStore, reader: CatalogReader) -> None:
    store.put("code/a.yaml", b"type: Dataset\nname: \xff", expected=MISSING)
    assert "code/a.yaml:2:7: the byte 0xff is not UTF-8" in str(reader.read().invalid[0].error.detail)  # type: ignore[union-attr]


FOLLOWS = 'depends_on: [up]\nschedule: {cron: "@upstream"}\n'


@pytest.mark.rule("31.37")
def test_a_dataset_that_follows_has_the_clock_of_the_effective_upstream(
    store: CountingStore, reader: CatalogReader
) -> None:
    put(store, "manual/down.yaml", spec_text("down", extra=FOLLOWS))
    put(store, "manual/up.yaml", spec_text("up", extra="schedule: {cron: 0 7 * * *, timezone: Asia/Seoul}\n"))
    assert clock_in(reader, "down") == ("0 7 * * *", "Asia/Seoul")
    put(store, "code/up.yaml", spec_text("up", extra="schedule: {cron: 5 * * * *}\n"))
    assert clock_in(reader, "down") == ("5 * * * *", "UTC")


@pytest.mark.rule("31.38")
def test_a_dataset_that_follows_nothing_stays_usable_without_a_clock(
    store: CountingStore, reader: CatalogReader
) -> None:
    put(store, "manual/down.yaml", spec_text("down", extra=FOLLOWS))
    assert clock_in(reader, "down") is None
    file = reader.read().effective["down"]
    assert (file.error, file.no_clock) == (None, "its upstream dataset 'up' is not registered")
    put(store, "manual/up.yaml", spec_text("up"))
    assert reader.read().effective["down"].no_clock == "none of its upstream datasets has a schedule"


@pytest.mark.rule("31.37")
def test_an_overridden_spec_that_follows_has_a_clock_as_well(
    store: CountingStore, reader: CatalogReader
) -> None:
    put(store, "manual/up.yaml", spec_text("up", extra="schedule: {cron: 0 7 * * *}\n"))
    put(store, "manual/down.yaml", spec_text("down", extra=FOLLOWS))
    put(store, "code/down.yaml", spec_text("down"))
    (overridden,) = reader.read().overridden.values()
    assert overridden.spec is not None
    assert overridden.spec.schedule is not None
    assert overridden.spec.schedule.clock == ("0 7 * * *", "UTC")


def clock_in(reader: CatalogReader, name: str) -> tuple[str, str] | None:
    spec = reader.read().effective[name].spec
    assert spec is not None
    assert spec.schedule is not None
    return spec.schedule.clock


@pytest.mark.rule("36.14")
def test_a_seed_is_read_up_to_ten_mebibytes_and_a_sql_file_up_to_one(
    store: CountingStore, reader: CatalogReader
) -> None:
    head = "type: Dataset\nowner: dana@example.com\n"
    query = "query_statement: select count(*) as n from {{ seed('places') }}\nmaterialization: table\n"
    seed = "code,name\n" + "".join(f"K{number},{'x' * 1_000}\n" for number in range(3_000))
    yaml = f"name: shop.seeded\n{head}{query}".encode()
    write_release(store, "code/seeded.yaml", Release(yaml, {"seeds/places.csv": seed}))
    sql = f"select 1 as n -- {'x' * 1_100_000}\n"
    yaml = f"name: shop.long\n{head}query_file: long.sql\n".encode()
    write_release(store, "code/long.yaml", Release(yaml, {"long.sql": sql}))
    catalog = reader.read()
    assert sources(catalog) == {"shop.seeded": "code"}
    assert catalog.effective["shop.seeded"].files["seeds/places.csv"] == seed
    [broken] = [file for file in catalog.files if file.error]
    assert isinstance(broken.error, InvalidSpec)
    assert "1,024 KiB" in str(broken.error.problems[0])
