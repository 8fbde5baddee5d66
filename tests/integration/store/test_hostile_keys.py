"""Whatever lies in a store, the effect is on that one thing: keys, maps, files that can't be read (specification 4.6, 5.16).

The same on every kind of store: memory, a folder, and a bucket on a real S3 server.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dataspec.catalog.cache import MemorySpecCache
from dataspec.catalog.effective import Catalog, SpecFile
from dataspec.catalog.ledger import LEDGER_KEY, KeptVersion, Ledger, LedgerEntry
from dataspec.catalog.reader import CatalogReader
from dataspec.catalog.spec_storage import Release, read_release, write_release
from dataspec.catalog.sql_map import file_map_key, sql_key
from dataspec.catalog.version_archive import KeptVersions
from dataspec.errors import InvalidKey, InvalidSpec, UnreadableObject
from dataspec.keys import MAX_KEY_BYTES, MAX_PART_BYTES, why_no_key
from dataspec.store import MemoryStore, Store, open_store
from dataspec.store.base import MISSING, usable
from s3 import S3

NOBODY = 65534
GOOD = "code/good.yaml"
SPEC = b"name: good\ntype: Dataset\nowner: a@example.com\nquery_statement: select 1\n"

IN_A_BUCKET = [
    "code//x.yaml",
    "code/\x01.yaml",
    "code/a\nb.yaml",
    "code/\x7f.yaml",
    "code/a\\b.yaml",
    f"code/{'l' * 300}.yaml",
]
"""Keys that S3 takes from other programs, and that no reader can use."""
BESIDE = ["code/dir/", "code//", "code/.hidden.yaml", "code/.git/x.yaml", "code//q.sql"]
"""Others that are nobody's spec: they are passed over without a word."""

examples = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
odd_text = st.text(st.characters(), max_size=12) | st.sampled_from(
    [
        "",
        ".",
        "..",
        ".x",
        "x" * 255,
        "é" * 128,
        "x/" * 400 + "x",
        "\x00",
        "\ud800",
        "a\\b",
        "%2F",
        "+ &<>\"'",
        "\ufffe",
    ]
)
keys = st.lists(odd_text, min_size=1, max_size=3).map("/".join)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture(params=["memory", "folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "memory":
        return MemoryStore()
    if request.param == "folder":
        return open_store(str(tmp_path / "store"))
    place: S3 = request.getfixturevalue("s3")
    return place.store()


def read(store: Store) -> Catalog:
    return CatalogReader(store, MemorySpecCache()).read()


def reason(catalog: Catalog, key: str) -> str:
    """Return why a file can't be used; the good one must be there."""
    assert set(catalog.effective) >= {"good"}
    return next(str(file.error and file.error.detail) for file in catalog.invalid if file.key == key)


numbers = count()


@pytest.mark.rule("5.16")
@examples
@given(key=keys)
@example(key="x" * MAX_PART_BYTES)
@example(key="x" * (MAX_PART_BYTES + 1))
def test_every_store_takes_the_same_keys_and_refuses_the_same(key: str, store: Store) -> None:
    folder = f"n{next(numbers)}"
    key, beside = f"{folder}/{key}", f"{folder}-beside"
    store.put(beside, b"good", expected=MISSING)
    if why_no_key(key, limit=MAX_KEY_BYTES - 100) is None:
        etag = store.put(key, b"one", expected=MISSING)
        found = store.get(key)
        assert found is not None
        assert (found.body, found.etag) == (b"one", etag)
        assert [(info.key, info.etag, info.problem) for info in store.list(f"{folder}/")] == [
            (key, etag, None)
        ]
        store.delete(key, expected=etag)
    elif why_no_key(key) is not None:
        for call in (
            lambda: store.put(key, b"one", expected=MISSING),
            lambda: store.get(key),
            lambda: store.delete(key, expected="x"),
        ):
            with pytest.raises(InvalidKey):
                call()
        found_among = store.get_many([key, beside])
        assert (list(found_among), list(found_among.unreadable)) == ([beside], [key])
    assert store.get_many([beside])[beside].body == b"good"


@pytest.mark.rule("5.16")
def test_the_longest_keys_are_taken_by_every_store(store: Store) -> None:
    part = "é" * (MAX_PART_BYTES // 2)
    key = "/".join([part] * 3)
    store.put(key, b"x", expected=MISSING)
    assert [info.key for info in store.list(f"{part}/")] == [key]


@pytest.mark.rule("5.16")
def test_a_bucket_is_listed_whole_whatever_keys_other_programs_put_there(s3: S3) -> None:
    store = s3.store()
    good = [GOOD, "code/z z+é%20.yaml", "code/deep/er/y.yaml"]
    etags = {key: store.put(key, SPEC, expected=MISSING) for key in good}
    plain = list(store.list("code/"))
    for key in IN_A_BUCKET + BESIDE:
        s3.send("PUT", key, SPEC)
    listed = list(store.list("code/"))
    assert [info for info in listed if info.key in etags] == plain
    assert {info.key: info.etag for info in usable(listed)} == etags
    assert len([info for info in listed if info.problem]) == len(IN_A_BUCKET) + 3
    assert [info.key for info in listed] == sorted(info.key for info in listed)


@pytest.mark.rule("5.13")
def test_more_than_a_page_of_keys_is_listed_whole_around_a_bad_one(
    s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dataspec.store.bucket.PAGE_KEYS", 3)
    store = s3.store()
    names = [f"code/{number}.yaml" for number in range(10)]
    for key in names:
        store.put(key, b"x", expected=MISSING)
    s3.send("PUT", "code/5//x.yaml", b"x")
    assert [info.key for info in usable(store.list("code/"))] == names


@pytest.mark.rule("5.16")
@pytest.mark.parametrize("key", IN_A_BUCKET)
def test_a_bad_key_in_a_bucket_is_a_row_with_its_reason_and_nothing_else(key: str, s3: S3) -> None:
    store = s3.store()
    store.put(GOOD, SPEC, expected=MISSING)
    s3.send("PUT", key, SPEC)
    catalog = read(store)
    assert list(catalog.effective) == ["good"]
    (row,) = catalog.invalid
    assert row.key.isprintable()
    assert "no store can have this key" in reason(catalog, row.key)


@pytest.mark.rule("5.16")
def test_what_is_nobodys_spec_in_a_bucket_is_passed_over(s3: S3) -> None:
    store = s3.store()
    store.put(GOOD, SPEC, expected=MISSING)
    for key in BESIDE:
        s3.send("PUT", key, SPEC)
    assert [file.key for file in read(store).files] == [GOOD]


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_dead_link(path: Path) -> None:
    path.symlink_to("nowhere")


def a_link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


def a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def too_large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 30)


@pytest.mark.rule("4.6")
@pytest.mark.parametrize("make", [a_pipe, a_dead_link, a_link_to_itself, a_device, too_large])
@pytest.mark.parametrize("name", ["x.yaml", "q.sql", "x.files.json"])
def test_a_file_that_is_none_is_a_row_of_the_spec_that_needs_it(
    make: Callable[[Path], None], name: str, tmp_path: Path
) -> None:
    store = open_store(str(tmp_path / "store"))
    store.put(GOOD, SPEC, expected=MISSING)
    if name != "x.yaml":
        store.put("code/x.yaml", spec("q.sql"), expected=MISSING)
    make(tmp_path / "store/code" / name)
    catalog = read(store)
    assert reason(catalog, "code/x.yaml")
    assert [file.key for file in catalog.invalid] == ["code/x.yaml"]


def test_folders_as_deep_as_a_disk_takes_them_end_no_listing(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    store.put(GOOD, SPEC, expected=MISSING)
    begun = Path.cwd()
    os.chdir(tmp_path / "store/code")
    try:
        for _ in range(1_500):
            Path("d").mkdir()
            os.chdir("d")
    finally:
        os.chdir(begun)
    try:
        catalog = read(store)
    finally:  # deeper than what clears up after tests goes
        subprocess.run(["rm", "-rf", "d"], cwd=tmp_path / "store/code", check=True)
    (row,) = catalog.invalid
    assert "at most 1,024 are allowed" in reason(catalog, row.key)


@pytest.mark.rule("5.16")
@pytest.mark.parametrize("name", [b"\xff.yaml", b"a\\b.yaml", b"a\nb.yaml", b"\x01.yaml"])
def test_a_name_that_is_no_key_is_a_row_in_a_folder_too(name: bytes, tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    store.put(GOOD, SPEC, expected=MISSING)
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/store/code/" + name)).write_bytes(SPEC)
    catalog = read(store)
    (row,) = catalog.invalid
    assert row.key.isprintable()
    assert "no store can have this key" in reason(catalog, row.key)


def test_a_folder_with_the_name_of_a_spec_is_none(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    store.put(GOOD, SPEC, expected=MISSING)
    (tmp_path / "store/code/x.yaml").mkdir()
    assert [file.key for file in read(store).files] == [GOOD]
    with pytest.raises(InvalidKey, match=r"x\.yaml"):
        store.put("code/x.yaml", SPEC, expected=MISSING)
    with pytest.raises(InvalidKey):
        store.put(f"{GOOD}/x.yaml", SPEC, expected=MISSING)


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder for a user who is not root, since root may read everything."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        root = os.geteuid() == 0
        if root:
            os.seteuid(NOBODY)
        try:
            yield folder
        finally:
            if root:
                os.seteuid(0)


@pytest.mark.rule("4.6")
@pytest.mark.parametrize("name", ["code/secret.yaml", "code/secret"])
def test_what_may_not_be_read_is_a_row_and_a_dataset_within_keeps_running(name: str, shared: Path) -> None:
    store, path = open_store(str(shared)), shared / name
    store.put(GOOD, SPEC, expected=MISSING)
    key = name if path.suffix else f"{name}/x.yaml"
    store.put(key, SPEC.replace(b"good", b"secret"), expected=MISSING)
    keep(store)
    path.chmod(0)
    try:
        catalog = read(store)
        with pytest.raises(UnreadableObject):
            store.get(key)
        assert list(store.get_many([GOOD, key])) == [GOOD]
    finally:
        path.chmod(0o700)
    assert key in [file.key for file in catalog.invalid]
    assert set(catalog.effective) == {"good", "secret"}
    assert read(store).invalid == ()


def keep(store: Store) -> None:
    """Write the ledger, and keep the versions, as Basecamp does."""
    catalog = read(store)
    KeptVersions(store).keep(catalog.files)
    entries = {
        name: LedgerEntry(since=file.last_modified, source=file.source, versions={file.source: kept(file)})
        for name, file in catalog.effective.items()
    }
    store.put(LEDGER_KEY, Ledger(moved_at=datetime.now(UTC), entries=entries).body(), expected=MISSING)


def kept(file: SpecFile) -> KeptVersion:
    return KeptVersion(key=file.key, spec_hash=file.spec_hash or "", written_at=file.last_modified)


def test_a_dataset_whose_key_is_hidden_is_told_where_the_ledger_knows_it(s3: S3) -> None:
    store = s3.store()
    store.put(GOOD, SPEC, expected=MISSING)
    keep(store)
    ledger = store.get(LEDGER_KEY)
    assert ledger is not None
    store.put(
        LEDGER_KEY, ledger.body.replace(b"code/good.yaml", b"code/.team/good.yaml"), expected=ledger.etag
    )
    store.delete(GOOD, expected=next(iter(store.list("code/"))).etag)
    s3.send("PUT", "code/.team/good.yaml", SPEC)
    assert "begins with a dot" in reason(read(store), "code/.team/good.yaml")


def spec(query_file: str, name: str = "x") -> bytes:
    text = json.dumps(query_file)
    return f"name: {name}\ntype: Dataset\nowner: a@example.com\nquery_file: {text}\n".encode()


@pytest.mark.rule("2.6")
@pytest.mark.parametrize(
    "path",
    [
        "./q.sql",
        "a//b.sql",
        ".hidden.sql",
        "sql/",
        "a/./b.sql",
        "q\x00.sql",
        "q\x1f.sql",
        "l" * 400,
        "é" * 200,
        "\x85",
    ],
)
def test_a_path_of_sql_that_is_no_key_is_told_at_its_place(path: str, store: Store) -> None:
    store.put(GOOD, SPEC, expected=MISSING)
    store.put("code/x.yaml", spec(path), expected=MISSING)
    told = reason(read(store), "code/x.yaml")
    assert told.startswith("code/x.yaml:4:13: 'query_file': no store can have a file of this path")


def test_a_path_that_is_usual_but_for_its_first_step_is_told_how_to_be_written(store: Store) -> None:
    store.put(GOOD, SPEC, expected=MISSING)
    store.put("code/x.yaml", spec("./sql//q.sql"), expected=MISSING)
    assert "Write 'sql/q.sql'." in reason(read(store), "code/x.yaml")


def test_a_path_that_is_too_long_only_with_its_folder_is_a_row(store: Store) -> None:
    folder = "code/" + "/".join(["f" * 200] * 4)
    store.put(GOOD, SPEC, expected=MISSING)
    store.put(f"{folder}/x.yaml", spec("/".join(["p" * 200] * 2)), expected=MISSING)
    assert "at most 1,024 are allowed" in reason(read(store), f"{folder}/x.yaml")


def entry(yaml: bytes, **more: object) -> dict[str, object]:
    return {"versions": {hashlib.sha256(yaml).hexdigest(): {"files": {"q.sql": "x"}, **more}}}


YAML = spec("q.sql")
MAPS = [
    b"",
    b"\xff\xfe",
    b"[]",
    b"null",
    b'"x"',
    b"{",
    b"[" * 100_000,
    b'{"versions": []}',
    b'{"versions": {"x": {"files": 1}}}',
    json.dumps(entry(YAML)).encode(),
    json.dumps(entry(YAML, files={"q.sql": "../../../x"})).encode(),
    json.dumps(entry(YAML, files={"q.sql": ["0" * 64]})).encode(),
    json.dumps(entry(YAML, files={"q.sql": "0" * 64 + "\n"})).encode(),
    json.dumps(entry(YAML, files={f"q{number}.sql": "0" * 64 for number in range(1_000)})).encode(),
    json.dumps(entry(YAML, files={"q.sql": "0" * 64}, written_at="2024-01-01T00:00:00")).encode(),
    json.dumps(entry(YAML, files={"q.sql": "0" * 64}, written_at=[])).encode(),
    b'{"versions": {}, "removed_at": {}}',
    b" " * (2 << 20) + b"{}",
]


@pytest.mark.rule("4.6", "5.3")
@pytest.mark.parametrize("body", MAPS, ids=range(len(MAPS)))
def test_a_map_that_cannot_be_used_is_a_row_and_is_made_anew_by_the_next_writer(
    body: bytes, store: Store
) -> None:
    store.put(GOOD, SPEC, expected=MISSING)
    store.put("code/q.sql", b"select 'of another day'", expected=MISSING)
    store.put("code/x.yaml", YAML, expected=MISSING)
    store.put(file_map_key("code/x.yaml"), body, expected=MISSING)
    catalog = read(store)
    assert "map to the SQL files can't be used" in reason(catalog, "code/x.yaml")
    assert "x" not in catalog.effective
    write_release(store, "code/x.yaml", Release(YAML, {"q.sql": "select 2"}))
    assert read(store).effective["x"].files == {"q.sql": "select 2"}


@pytest.mark.rule("4.6")
@examples
@given(value=anything, digest=st.text(max_size=70), wraps=st.integers(0, 3))
def test_whatever_json_a_map_is_the_others_are_read(
    value: object, digest: str, wraps: int, store: Store
) -> None:
    name = f"m{next(numbers)}"
    key, yaml = f"code/{name}.yaml", spec("q.sql", name)
    wrapped = [value, {"versions": value}, entry(yaml, files=value), entry(yaml, files={"q.sql": digest})][
        wraps
    ]
    if store.get(GOOD) is None:
        store.put(GOOD, SPEC, expected=MISSING)
    yaml_etag = store.put(key, yaml, expected=MISSING)
    map_etag = store.put(file_map_key(key), json.dumps(wrapped).encode(), expected=MISSING)
    catalog = read(store)
    assert reason(catalog, key)
    store.delete(file_map_key(key), expected=map_etag)
    store.delete(key, expected=yaml_etag)


def test_a_map_is_of_no_account_to_a_spec_without_sql_files(store: Store) -> None:
    store.put(GOOD, SPEC, expected=MISSING)
    store.put(file_map_key(GOOD), b"broken", expected=MISSING)
    assert read(store).invalid == ()


@pytest.mark.rule("2.21")
@pytest.mark.parametrize("body", [b"\xff", b"x" * (2 << 20)], ids=["no text", "too large"])
def test_sql_that_is_no_text_or_too_large_is_a_row(body: bytes, store: Store) -> None:
    store.put(GOOD, SPEC, expected=MISSING)
    store.put("code/x.yaml", YAML, expected=MISSING)
    store.put("code/q.sql", body, expected=MISSING)
    assert "q.sql" in reason(read(store), "code/x.yaml")


def test_sql_that_is_no_text_under_its_hash_is_told_to_the_one_who_changes_it(store: Store) -> None:
    write_release(store, "manual/x.yaml", Release(YAML, {"q.sql": "select 1"}))
    place = next(info for info in store.list("manual/") if info.key.endswith(".sql"))
    store.put(place.key, b"\xff", expected=place.etag)
    assert place.key.startswith(sql_key("manual/x.yaml", "").removesuffix(".sql"))
    with pytest.raises(InvalidSpec):
        read_release(store, "manual/x.yaml", ["q.sql"])
