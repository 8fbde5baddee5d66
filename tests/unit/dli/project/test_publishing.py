from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from dataspec.catalog.cache import MemorySpecCache
from dataspec.catalog.publication import PUBLICATION_KEY, read_publication
from dataspec.catalog.reader import CatalogReader
from dataspec.catalog.spec_storage import delete_release, manual_key
from dataspec.errors import Conflict, InvalidSpec, StoreUnreachable
from dataspec.store import Found, MemoryStore, ObjectInfo, Store, StoredObject, open_store
from dataspec.store.base import MISSING
from dli.project.publish_apply import CodeWriter
from dli.project.publish_plan import PublishPlan
from unit.dli.published import (
    COMMIT,
    NOON,
    Killed,
    Watched,
    actions,
    planned,
    publish,
    put_files,
    seen,
    spec,
    wanted,
)

SHOP = {
    "a.yaml": spec("shop.a", sql="a.sql"),
    "a.sql": "select 'a'",
    "sub/b.yaml": spec("shop.b", sql="b.sql"),
    "sub/b.sql": "select 'b'",
    "sub/c.yml": spec("shop.c", sql=None),
    "d.yaml": spec("shop.d", sql="d.sql"),
    "d.sql": "select 'd'",
}


class Counting(MemoryStore):
    """A store that counts what it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.got: list[str] = []
        self.put_keys: list[str] = []
        self.lists = 0

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        self.lists += 1
        return super().list(prefix)

    def get(self, key: str, *, known: StoredObject | None = None) -> StoredObject | None:
        self.got.append(key)
        return super().get(key, known=known)

    def put(self, key: str, body: bytes, *, expected: str) -> str:
        self.put_keys.append(key)
        return super().put(key, body, expected=expected)


@pytest.fixture(params=["memory", "folder"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return MemoryStore() if request.param == "memory" else open_store(str(tmp_path / "store"))


@pytest.mark.rule("17.1")
def test_a_published_project_is_what_readers_see(store: Store, project: Path) -> None:
    shop = put_files(project, SHOP)
    plan = publish(store, shop)
    assert actions(plan) == [("add", f"shop.{letter}") for letter in "abcd"]
    assert seen(store) == wanted(shop)
    assert store.get_many(["code/sub/b.yaml", "code/sub/c.yml"]).keys() == {
        "code/sub/b.yaml",
        "code/sub/c.yml",
    }


@pytest.mark.rule("17.2")
def test_what_did_not_change_is_not_written(project: Path) -> None:
    store = Counting()
    shop = put_files(project, SHOP)
    publish(store, shop)
    store.put_keys.clear()
    plan = publish(store, shop)
    assert (plan.changes, len(plan.unchanged), store.put_keys) == ((), 4, [])


def test_an_unchanged_dataset_costs_one_request_at_most(project: Path) -> None:
    store = Counting()
    shop = put_files(project, SHOP)
    publish(store, shop)
    store.got.clear()
    store.lists = 0
    planned(store, shop)
    maps = {"code/a.files.json", "code/d.files.json", "code/sub/b.files.json"}
    assert (set(store.got), store.lists) == ({PUBLICATION_KEY, *maps}, 2)


def test_content_decides_where_the_etag_is_no_hash_of_it(project: Path) -> None:
    class Encrypted(MemoryStore):
        def list(self, prefix: str) -> Iterator[ObjectInfo]:
            for info in super().list(prefix):
                yield ObjectInfo(info.key, f'"{info.etag[::-1]}-2"', info.size, info.last_modified)

        def get(self, key: str, *, known: StoredObject | None = None) -> StoredObject | None:
            found = super().get(key)
            return StoredObject(key, f'"{found.etag[::-1]}-2"', found.body) if found else None

        def put(self, key: str, body: bytes, *, expected: str) -> str:
            plain = expected if expected == MISSING else expected.strip('"').removesuffix("-2")[::-1]
            return f'"{super().put(key, body, expected=plain)[::-1]}-2"'

    store = Encrypted()
    publish(store, put_files(project, SHOP))
    assert planned(store, put_files(project, SHOP)).changes == ()
    changed = put_files(project, SHOP | {"a.yaml": spec("shop.a", sql="a.sql", cron="0 8 * * *")})
    assert actions(publish(store, changed)) == [("change", "shop.a")]
    assert seen(store) == wanted(changed)


@pytest.mark.rule("17.2")
def test_a_change_is_told_by_its_part(store: Store, project: Path) -> None:
    publish(store, put_files(project, SHOP))
    later = {
        "a.sql": "select 'new'",
        "sub/c.yml": spec("shop.c", sql=None, cron="1 1 * * *"),
        "d.yaml": spec("shop.d", sql="d.sql", more="# so\n"),
        "d.sql": "select 'dd'",
    }
    shop = put_files(project, SHOP | later)
    plan = publish(store, shop)
    assert [(change.name, change.changed) for change in plan.changes] == [
        ("shop.a", ("SQL",)),
        ("shop.c", ("YAML",)),
        ("shop.d", ("YAML", "SQL")),
    ]
    assert seen(store) == wanted(shop)


@pytest.mark.rule("17.4")
def test_what_git_no_longer_has_goes_with_all_its_objects(store: Store, project: Path) -> None:
    publish(store, put_files(project, SHOP))
    left = {path: text for path, text in SHOP.items() if not path.startswith("a.")}
    plan = publish(store, put_files(project, left))
    assert actions(plan) == [("remove", "shop.a")]
    assert not list(store.list("code/a."))
    assert seen(store).keys() == {"shop.b", "shop.c", "shop.d"}


@pytest.mark.rule("17.4")
def test_without_prune_nothing_is_removed_and_what_stays_is_told(store: Store, project: Path) -> None:
    publish(store, put_files(project, SHOP))
    moved = {"new/" + path: text for path, text in SHOP.items() if path.startswith("a.")}
    plan = publish(store, put_files(project, moved), prune=False)
    assert actions(plan) == [("add", "shop.a")]
    assert "Duplicate dataset name 'shop.a': also in code/a.yaml" in plan.warnings[0]
    assert plan.warnings[1] == "Keeping 3 datasets that this project does not have: shop.d, shop.b, shop.c"
    assert seen(store).keys() == {"shop.a", "shop.b", "shop.c", "shop.d"}


@pytest.mark.rule("17.3")
def test_a_moved_file_is_there_all_the_time(project: Path) -> None:
    store = Watched()
    publish(store, put_files(project, SHOP), now=store.now)
    moved = put_files(project, {path.replace("sub/", "other/"): text for path, text in SHOP.items()})
    store.look = lambda: effective.append(seen(store))
    effective: list[object] = []
    plan = publish(store, moved, now=store.now)
    assert [(change.action, change.moved_from, change.file) for change in plan.changes] == [
        ("move", "code/sub/b.yaml", "code/other/b.yaml"),
        ("move", "code/sub/c.yml", "code/other/c.yml"),
    ]
    assert len(effective) > 4
    assert all(found == wanted(moved) for found in effective)
    assert not list(store.list("code/sub/"))


def test_a_file_that_gets_another_suffix_is_moved_whole(store: Store, project: Path) -> None:
    publish(store, put_files(project, SHOP))
    files = {path.replace("a.yaml", "a.yml"): text for path, text in SHOP.items()}
    shop = put_files(project, files)
    assert actions(publish(store, shop)) == [("move", "shop.a")]
    assert seen(store) == wanted(shop)


CIRCLE = {
    "1.yaml": spec("n.1", sql="1.sql"),
    "1.sql": "select 1",
    "2.yaml": spec("n.2", sql="2.sql"),
    "2.sql": "select 2",
    "3.yaml": spec("n.3", sql="3.sql"),
    "3.sql": "select 3",
}


@pytest.mark.rule("17.3")
@pytest.mark.parametrize(
    "names",
    [
        {"1": "n.2", "2": "n.1", "3": "n.3"},
        {"1": "n.3", "2": "n.1", "3": "n.2"},
        {"1": "n.2", "2": "n.3", "9": "n.1"},
        {"1": "n.9", "2": "n.1", "3": "n.2"},
    ],
    ids=["two change places", "three in a circle", "one moves on", "a new one before the others"],
)
def test_files_that_change_places_leave_no_dataset_out_at_any_moment(
    project: Path, names: dict[str, str]
) -> None:
    store = Watched()
    before = put_files(project, CIRCLE)
    publish(store, before, now=store.now)
    old = wanted(before)
    files = {f"{place}.yaml": spec(name, sql=f"{place}.sql") for place, name in names.items()}
    after = put_files(project, files | {f"{place}.sql": f"select '{name}'" for place, name in names.items()})
    new = wanted(after)

    def look() -> None:
        found = seen(store)
        for name in old.keys() & new.keys():
            assert found[name] in (old[name], new[name])

    store.look = look
    publish(store, after, now=store.now)
    assert seen(store) == new
    assert planned(store, after).changes == ()
    assert not [info.key for info in store.list("code/") if "moving" in info.key]


def test_a_dataset_that_is_renamed_in_its_file_is_a_new_one_and_the_old_one_goes(
    store: Store, project: Path
) -> None:
    publish(store, put_files(project, SHOP))
    shop = put_files(project, SHOP | {"a.yaml": spec("shop.z", sql="a.sql")})
    plan = publish(store, shop)
    assert [(change.action, change.name, change.note) for change in plan.changes] == [
        ("add", "shop.z", None),
        ("remove", "shop.a", "the file now defines shop.z"),
    ]
    assert seen(store) == wanted(shop)


@pytest.mark.rule("17.2")
def test_what_is_overridden_and_what_takes_over_again_is_told(store: Store, project: Path) -> None:
    for name in ("shop.a", "shop.d", "other"):
        store.put(manual_key(name), spec(name, sql=None).encode(), expected=MISSING)
    plan = publish(store, put_files(project, SHOP))
    assert [change.name for change in plan.changes if change.overrides_manual] == ["shop.a", "shop.d"]
    left = {path: text for path, text in SHOP.items() if not path.startswith("a.")}
    plan = planned(store, put_files(project, left))
    assert [(change.name, change.releases_manual) for change in plan.changes] == [("shop.a", True)]


def test_where_manual_can_t_be_read_the_publish_goes_on_and_says_so(project: Path) -> None:
    class CodeOnly(MemoryStore):
        def list(self, prefix: str) -> Iterator[ObjectInfo]:
            if not prefix.startswith("code/"):
                raise StoreUnreachable("The store refuses these credentials.")
            return super().list(prefix)

        def get_many(self, keys: Iterable[str]) -> Found:
            assert all(key.startswith("code/") for key in keys)
            return super().get_many(keys)

    store = CodeOnly()
    plan = publish(store, put_files(project, SHOP))
    assert "this does not show which manual specs are overridden" in plan.warnings[0]
    assert len(actions(plan)) == 4


@pytest.mark.rule("17.1")
def test_every_mistake_of_every_spec_is_told_at_once(project: Path) -> None:
    broken = {
        "a.yaml": spec("shop.a", sql="gone.sql"),
        "b.yaml": spec("shop.b", sql=None, cron="9"),
        "c.yaml": spec("shop.c", sql=None),
        "sub/c.yaml": spec("shop.c", sql=None),
        "sub/.hidden.yaml": spec("shop.h", sql=None),
    }
    with pytest.raises(InvalidSpec) as caught:
        planned(MemoryStore(), put_files(project, broken))
    assert [str(problem).partition(": ")[0] for problem in caught.value.problems] == [
        "datasets/a.yaml:4:13",
        "datasets/b.yaml:5:18",
        "datasets/sub/c.yaml:1:7",
        "datasets/sub/.hidden.yaml",
    ]


@pytest.mark.rule("5.2", "17.4")
def test_other_files_under_code_are_left_alone(store: Store, project: Path) -> None:
    others = {"code/README.md": b"# ours", "code/values.yaml": b"a: 1\n", "code/macros.sql": b"select 1"}
    for key, body in others.items():
        store.put(key, body, expected=MISSING)
    publish(store, put_files(project, SHOP))
    publish(store, put_files(project, {"x.yaml": spec("x", sql=None)}))
    assert {key: stored.body for key, stored in store.get_many(others).items()} == others


def copy_plainly(store: Store, files: dict[str, str]) -> None:
    for path, text in files.items():
        store.put(f"code/{path}", text.encode(), expected=MISSING)


def test_a_plain_copy_of_the_same_is_unchanged_and_is_taken_over_when_it_changes(
    store: Store, project: Path
) -> None:
    copy_plainly(store, SHOP)
    assert planned(store, put_files(project, SHOP)).changes == ()
    shop = put_files(project, SHOP | {"a.sql": "select 'new'"})
    assert actions(publish(store, shop)) == [("change", "shop.a")]
    assert seen(store) == wanted(shop)


def test_a_plain_copy_goes_with_the_sql_beside_it_unless_another_needs_that(project: Path) -> None:
    store = Watched()
    shared = {"e.yaml": spec("shop.e", sql="both.sql"), "f.yaml": spec("shop.f", sql="both.sql")}
    copy_plainly(store, SHOP | shared | {"both.sql": "select 2"})
    left = {path: text for path, text in SHOP.items() if not path.startswith("d.")}
    shop = put_files(project, left | {"e.yaml": shared["e.yaml"], "both.sql": "select 2"})
    publish(store, shop)
    assert seen(store) == wanted(shop)
    keys = {info.key for info in store.list("code/")}
    assert "code/both.sql" in keys
    assert not keys & {"code/d.yaml", "code/d.sql", "code/f.yaml"}


def test_a_broken_file_in_code_is_replaced_or_removed(store: Store, project: Path) -> None:
    copy_plainly(
        store, {"a.yaml": "type: Dataset\nname: [", "gone.yaml": "type: Dataset\nname: [", "x.yaml": ""}
    )
    shop = put_files(project, SHOP)
    plan = publish(store, shop)
    assert actions(plan)[0] == ("change", "shop.a")
    assert actions(plan)[-1] == ("remove", None)
    assert seen(store) == wanted(shop)


@pytest.mark.rule("17.5")
def test_a_removal_of_more_than_a_third_needs_consent(store: Store, project: Path) -> None:
    three = {f"{letter}.yaml": spec(letter, sql=None) for letter in "abc"}
    publish(store, put_files(project, three))
    assert planned(store, put_files(project, {k: three[k] for k in ("a.yaml", "b.yaml")})).consent == ()
    plan = planned(store, put_files(project, {"a.yaml": three["a.yaml"]}))
    assert plan.consent == ("2 of 3 datasets would be removed, more than a third.",)


def test_moving_everything_needs_no_consent(store: Store, project: Path) -> None:
    publish(store, put_files(project, SHOP))
    moved = put_files(project, {f"deeper/{path}": text for path, text in SHOP.items()})
    assert planned(store, moved).consent == ()


@pytest.mark.rule("17.5")
def test_removing_what_another_repository_published_needs_consent(store: Store, project: Path) -> None:
    publish(store, put_files(project, SHOP))
    left = put_files(project, {path: text for path, text in SHOP.items() if not path.startswith("a.")})
    assert planned(store, left, repository="shop/etl").consent == ()
    assert planned(store, left, repository="other/one").consent == (
        "code/ was published from another repository, shop/etl; this one is other/one.",
    )


# The publication


@pytest.mark.rule("17.7")
def test_the_commit_is_written_last_and_only_if_something_changed(project: Path) -> None:
    store = Counting()
    assert read_publication(store) is None
    publish(store, put_files(project, SHOP))
    assert store.put_keys[-1] == PUBLICATION_KEY
    published = read_publication(store)
    assert published is not None
    assert published.content
    assert published.changed(content=None) == COMMIT
    store.put_keys.clear()
    publish(store, put_files(project, SHOP))
    assert store.put_keys == []


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b"\xff", b'{"published_at": "x"}', b'{"published_at": 1}']
)
def test_a_publication_that_can_t_be_read_is_none(body: bytes) -> None:
    store = MemoryStore()
    store.put(PUBLICATION_KEY, body, expected=MISSING)
    assert read_publication(store) is None


@pytest.mark.parametrize("body", [b"", b'{"published_at": 1}'])
def test_a_publish_writes_a_publication_that_can_t_be_read_anew(project: Path, body: bytes) -> None:
    store = MemoryStore()
    publish(store, put_files(project, SHOP))
    stored = store.get(PUBLICATION_KEY)
    assert stored is not None
    store.put(PUBLICATION_KEY, body, expected=stored.etag)
    publish(store, put_files(project, SHOP))
    written = store.get(PUBLICATION_KEY)
    assert written is not None
    assert written.body == stored.body


# Killed, and two at once


def later_shop() -> dict[str, str]:
    """Return a later commit: a changes, b moves, c goes, d changes its SQL, e comes, all at once."""
    return {
        "a.yaml": spec("shop.a", sql="a.sql", cron="0 8 * * *"),
        "a.sql": "select 'a2'",
        "moved/b.yaml": SHOP["sub/b.yaml"],
        "moved/b.sql": SHOP["sub/b.sql"],
        "d.yaml": SHOP["d.yaml"],
        "d.sql": "select 'd2'",
        "e.yaml": spec("shop.e", sql="e.sql"),
        "e.sql": "select 'e'",
    }


@pytest.mark.rule("17.3")
def test_killed_before_any_write_a_reader_sees_whole_datasets_and_a_repetition_does_the_rest(
    project: Path,
) -> None:
    old = wanted(put_files(project, SHOP))
    new = wanted(put_files(project, later_shop()))
    kills = 0
    while True:
        store = Watched()
        publish(store, put_files(project, SHOP), now=store.now)
        shop = put_files(project, later_shop())

        def look(store: Watched = store) -> None:
            found = seen(store)
            for name in old.keys() | new.keys():
                assert found.get(name) in (old.get(name), new.get(name)), name

        store.look, store.lives = look, kills
        try:
            publish(store, shop, now=store.now)
        except Killed:
            kills += 1
            look()
        else:
            break
        store.lives = 1_000
        publish(store, shop, now=store.now)
        assert seen(store) == new
        assert planned(store, shop).changes == ()
        assert CatalogReader(store, MemorySpecCache()).read().invalid == ()
        found = store.get(PUBLICATION_KEY)
        assert found is not None
        assert planned(store, shop).content in found.body.decode()
    assert kills > 15


def test_what_a_killed_publish_left_is_gone_after_an_hour(project: Path) -> None:
    reference = Watched()
    publish(reference, put_files(project, later_shop()), now=reference.now)
    wanted_keys = {info.key for info in reference.list("code/")}
    for lives in range(40):
        store = Watched(lives=1_000)
        publish(store, put_files(project, SHOP), now=store.now)
        shop = put_files(project, later_shop())
        store.lives = lives
        try:
            publish(store, shop, now=store.now)
        except Killed:
            store.lives = 1_000
            publish(store, shop, now=store.now)
        store.let_pass(hours=1.1)
        publish(store, shop, now=store.now)
        keys = {info.key for info in store.list("code/")}
        replaced = {key for key in keys if key.startswith(("code/a.files/", "code/d.files/"))}
        assert keys - replaced == wanted_keys - replaced


def other_shop() -> dict[str, str]:
    return later_shop() | {"a.sql": "select 'theirs'", "d.sql": "select 'theirs'"}


@pytest.mark.rule("17.6")
@pytest.mark.parametrize("theirs", [later_shop, other_shop], ids=["the same", "another commit"])
def test_two_publishes_at_once_end_in_one_state_or_the_later_is_told(
    project: Path, theirs: Callable[[], dict[str, str]]
) -> None:
    mine = put_files(project, later_shop())
    (project / "theirs").mkdir()
    yours = put_files(project / "theirs", theirs())
    outcomes = [wanted(put_files(project, SHOP)), wanted(put_files(project, later_shop())), wanted(yours)]
    for _ in range(20):
        store = MemoryStore()
        publish(store, put_files(project, SHOP))
        put_files(project, later_shop())
        told = at_once(store, planned(store, mine), planned(store, yours))
        found = seen(store)
        for name, release in found.items():
            assert release in [outcome.get(name) for outcome in outcomes]
        if theirs is later_shop:
            assert (told, found) == ([], wanted(mine))
        elif not told:
            assert found in outcomes
        assert all(error.exit_status == 4 for error in told)


WITHOUT_A = {path: text for path, text in SHOP.items() if not path.startswith("a.")}


@pytest.mark.rule("17.6")
@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (later_shop(), SHOP | {"a.sql": "select 'x'"}),
        (later_shop(), SHOP | {"a.yaml": SHOP["a.yaml"] + "# x\n"}),
        (later_shop(), WITHOUT_A),
        (WITHOUT_A, SHOP | {"a.yaml": SHOP["a.yaml"] + "# x\n"}),
    ],
    ids=["their SQL", "their YAML", "their removal", "my removal"],
)
def test_a_plan_that_is_out_of_date_overwrites_and_removes_nothing(
    project: Path, mine: dict[str, str], theirs: dict[str, str]
) -> None:
    store = MemoryStore()
    publish(store, put_files(project, SHOP))
    plan = planned(store, put_files(project, mine))
    publish(store, put_files(project, theirs))
    a_of_theirs = seen(store).get("shop.a")
    with pytest.raises(Conflict, match="Another publish to this store is running"):
        CodeWriter(store, plan, prune=True, now=lambda: NOON).write(COMMIT)
    assert seen(store).get("shop.a") == a_of_theirs


def at_once(store: Store, *plans: PublishPlan) -> list[Conflict]:
    """Carry out plans at once; return what whoever was later was told."""
    told: list[Conflict] = []
    barrier = threading.Barrier(len(plans))

    def write(plan: PublishPlan) -> None:
        barrier.wait(120)
        try:
            CodeWriter(store, plan, prune=True, now=lambda: NOON).write(COMMIT)
        except Conflict as error:
            told.append(error)

    threads = [threading.Thread(target=write, args=(plan,)) for plan in plans]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    return told


@pytest.mark.rule("17.8")
@pytest.mark.parametrize("place", ["a.files/values.json", "a.files/sub/q.sql", "a.files/q.sql"])
def test_a_change_and_a_removal_leave_what_others_put_beside_the_sql(project: Path, place: str) -> None:
    store = Watched()
    publish(store, put_files(project, SHOP), now=store.now)
    store.put(f"code/{place}", b"ours", expected=MISSING)
    store.let_pass(hours=2)
    publish(store, put_files(project, later_shop()), now=store.now)
    store.let_pass(hours=2)
    publish(store, put_files(project, {"e.yaml": spec("shop.e", sql=None)}), now=store.now)
    assert {info.key for info in store.list("code/a.")} == {f"code/{place}"}


@pytest.mark.rule("17.8")
def test_a_dataset_in_a_folder_of_sql_outlives_a_change_of_the_dataset_beside_it(project: Path) -> None:
    store = Watched()
    publish(store, put_files(project, SHOP), now=store.now)
    store.put("code/a.files/b.yaml", spec("other.b", sql=None).encode(), expected=MISSING)
    store.let_pass(hours=2)
    publish(store, put_files(project, later_shop()), prune=False, now=store.now)
    assert "other.b" in seen(store)


@pytest.mark.rule("17.8")
def test_specs_that_share_a_map_keep_their_sql_when_one_goes(project: Path) -> None:
    """``x.yml`` and ``x.yml.yaml`` share one map: the removal of one leaves the other's SQL."""
    store = Watched()
    shop = put_files(project, {"x.yml.yaml": spec("s.x", sql="x.sql"), "x.sql": "select 1"})
    publish(store, shop, now=store.now)
    etag = store.put("code/x.yml", spec("s.y", sql=None).encode(), expected=MISSING)
    delete_release(store, "code/x.yml", if_match=etag)
    assert seen(store)["s.x"].files == {"x.sql": "select 1"}
    store.let_pass(hours=2)
    publish(store, shop, now=store.now)
    assert seen(store)["s.x"].files == {"x.sql": "select 1"}


@pytest.mark.rule("17.8")
def test_another_programs_file_under_a_maps_key_stays(project: Path) -> None:
    store = Watched()
    store.put("code/assets.files.json", b'["a.png"]', expected=MISSING)
    store.let_pass(hours=2)
    publish(store, put_files(project, SHOP), now=store.now)
    assert store.get("code/assets.files.json") is not None


@pytest.mark.rule("17.8")
def test_files_that_change_places_overwrite_no_dataset_at_the_temporary_key(project: Path) -> None:
    store = Watched()
    own = {f"{number}.moving.yaml": spec(f"m.{number}", sql=None) for number in (1, 2)}
    publish(store, put_files(project, CIRCLE | own), now=store.now)
    files = {"1.yaml": spec("n.2", sql="1.sql"), "2.yaml": spec("n.1", sql="2.sql")}
    after = put_files(project, CIRCLE | own | files)
    publish(store, after, now=store.now)
    assert seen(store) == wanted(after)


@pytest.mark.rule("17.8")
@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"a.files/b.yaml": spec("s.b", sql=None)}, "the folder 'a.files' is reserved"),
        ({"x/c.files/deep/b.yml": spec("s.b", sql=None)}, "the folder 'c.files' is reserved"),
        (
            {"b.yaml": spec("s.b", sql=f"a.files/{'0' * 64}.sql"), f"a.files/{'0' * 64}.sql": "select 1"},
            "reserved for published SQL",
        ),
        ({"x.yml": spec("s.a", sql=None), "x.yml.yaml": spec("s.b", sql=None)}, "would share its SQL"),
    ],
)
def test_a_spec_in_a_folder_of_sql_is_refused(project: Path, files: dict[str, str], reason: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        publish(Watched(), put_files(project, files))
    assert reason in (refused.value.detail or "")


@pytest.mark.rule("17.4")
@pytest.mark.parametrize("place", ["datasets/a.yaml", "datasets/sub"])
def test_what_can_t_be_read_is_an_error_and_not_removed_from_the_store(tmp_path: Path, place: str) -> None:
    """A spec or a folder without the right to read it is not one that Git no longer has."""
    put_files(tmp_path, SHOP)
    (tmp_path / "store").mkdir()
    (tmp_path / "dli.yaml").write_text("store: {url: store}\n")
    # Root may read everything unless it gives that right up.
    drop = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    command = [*drop, sys.executable, "-m", "dli", "code", "publish", "--yes"]

    def publish_here() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)

    assert publish_here().returncode == 0
    before = sorted(info.key for info in open_store(str(tmp_path / "store")).list("code/"))
    (tmp_path / place).chmod(0)
    done = publish_here()
    (tmp_path / place).chmod(0o755)
    assert done.returncode != 0
    assert place in done.stderr
    assert "Permission denied" in done.stderr
    assert sorted(info.key for info in open_store(str(tmp_path / "store")).list("code/")) == before
