from __future__ import annotations

import logging
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from airflow.dag_processing.dagbag import BundleDagBag

from dataspec.catalog.cache import MemorySpecCache
from dataspec.catalog.ledger import LEDGER_KEY, KeptVersion, Ledger, LedgerEntry
from dataspec.catalog.reader import CatalogReader
from dataspec.catalog.version_archive import KeptVersions
from dataspec.errors import InvalidSettings, StoreUnreachable
from dataspec.store import open_store
from dataspec.store.base import MISSING
from dli_airflow.bundle import DatasetBundle
from dli_airflow.mirror.broken_dags import BrokenDag, BrokenDags
from unit.dli_airflow.catalogs import spec_yaml

BUNDLES = Callable[..., DatasetBundle]
SINCE = datetime(2024, 1, 15, 12, tzinfo=UTC)


@pytest.fixture
def bundle(store: Path) -> BUNDLES:
    """Makes bundles on one folder of this machine, as every process of Airflow makes its own."""
    name = f"datasets-{uuid4().hex}"
    return lambda **arguments: DatasetBundle(name=name, store_url=str(store), **arguments)


def write(store: Path, name: str, body: bytes | None = None, prefix: str = "manual") -> None:
    (store / prefix / f"{name}.yaml").write_bytes(body or spec_yaml(name))


def loaded(bundle: DatasetBundle) -> BundleDagBag:
    return BundleDagBag(dag_folder=str(bundle.path), bundle_path=bundle.path, bundle_name=bundle.name)


def spec_lines(bundle: DatasetBundle) -> dict[str, str]:
    return {name: dag.doc_md.splitlines()[-1] for name, dag in loaded(bundle).dags.items()}


def unplug(store: Path) -> None:
    """Put a file where the store's folder was, so that it does not answer."""
    store.rename(store.with_name("unplugged"))
    store.touch()


def plug_in(store: Path) -> None:
    store.unlink()
    store.with_name("unplugged").rename(store)


@pytest.mark.rule("15.6")
def test_every_effective_dataset_has_a_dag_and_code_wins(store: Path, bundle: BUNDLES) -> None:
    write(store, "a")
    write(store, "b")
    write(store, "b", prefix="code")
    one = bundle()
    one.initialize()
    assert one.is_initialized
    lines = spec_lines(one)
    assert set(lines) == {"a", "b"}
    assert lines["b"].endswith(" · code · code/b.yaml")


@pytest.mark.rule("15.6")
def test_a_refresh_brings_what_changed_and_takes_away_what_is_gone(store: Path, bundle: BUNDLES) -> None:
    write(store, "a")
    write(store, "b")
    one = bundle()
    one.initialize()
    before = spec_lines(one)
    write(store, "a", spec_yaml("a", "select 2"))
    write(store, "c")
    (store / "manual" / "b.yaml").unlink()
    one.refresh()
    after = spec_lines(one)
    assert set(after) == {"a", "c"}
    assert after["a"] != before["a"]


def test_an_empty_store_has_no_dags(bundle: BUNDLES) -> None:
    one = bundle()
    one.initialize()
    assert spec_lines(one) == {}


@pytest.mark.rule("15.11")
def test_a_spec_that_can_not_be_used_is_an_import_error_of_its_own(store: Path, bundle: BUNDLES) -> None:
    write(store, "a")
    write(store, "b", spec_yaml("b", more="shcedule: {}\n"))
    one = bundle()
    one.initialize()
    bag = loaded(one)
    assert set(bag.dags) == {"a"}
    [(file, error)] = bag.import_errors.items()
    assert "manual_b" in file
    assert "manual/b.yaml:5:1: unknown key 'shcedule'. Did you mean 'schedule'?" in error


def test_the_last_good_version_keeps_running_while_the_spec_is_broken(store: Path, bundle: BUNDLES) -> None:
    write(store, "a")
    one = bundle()
    one.initialize()
    good = spec_lines(one)["a"]
    write(store, "a", b"name: a\ntype: Dataset\nowner: [")
    one.refresh()
    bag = loaded(one)
    assert bag.dags["a"].doc_md.splitlines()[-1] == good
    assert "The last version that could be used keeps running." in next(iter(bag.import_errors.values()))
    write(store, "a", spec_yaml("a", "select 2"))
    one.refresh()
    bag = loaded(one)
    assert bag.import_errors == {}
    assert bag.dags["a"].doc_md.splitlines()[-1] != good


def keep(store: Path) -> None:
    """Write down what is good now, as Basecamp's check does."""
    place = open_store(str(store))
    effective = CatalogReader(place, MemorySpecCache()).read().effective
    KeptVersions(place).keep(effective.values())
    entries = {
        name: LedgerEntry(
            since=SINCE,
            source=file.source,
            versions={
                file.source: KeptVersion(
                    key=file.key, spec_hash=str(file.spec_hash), written_at=file.last_modified
                )
            },
        )
        for name, file in effective.items()
    }
    place.put(LEDGER_KEY, Ledger(moved_at=SINCE, entries=entries).body(), expected=MISSING)


@pytest.mark.rule("4.5")
def test_a_machine_that_is_new_and_empty_runs_the_last_good_version_of_a_broken_spec(
    store: Path, bundle: BUNDLES
) -> None:
    write(store, "a")
    write(store, "b")
    keep(store)
    write(store, "a", b"name: a\ntype: Dataset\ncorn: [")
    one = bundle()
    one.initialize()
    assert set(spec_lines(one)) == {"a", "b"}
    [error] = loaded(one).import_errors.values()
    assert "manual/a.yaml can't be used. The last version that could be used keeps running." in error


@pytest.mark.rule("4.8")
def test_a_removed_dataset_keeps_its_dag_unscheduled_while_the_ledger_lists_it(
    store: Path, bundle: BUNDLES
) -> None:
    daily = b"schedule:\n  cron: 0 9 * * *\n"
    write(store, "a", spec_yaml("a") + daily)
    keep(store)
    one = bundle()
    one.initialize()
    assert loaded(one).dags["a"].timetable.can_be_scheduled
    (store / "manual" / "a.yaml").unlink()
    one.refresh()
    assert not loaded(one).dags["a"].timetable.can_be_scheduled
    (store / LEDGER_KEY).unlink()
    one.refresh()
    assert loaded(one).dags == {}


@pytest.mark.parametrize("ledger", [False, True])
def test_when_a_dataset_was_registered_does_not_move_when_its_spec_changes(
    store: Path, bundle: BUNDLES, ledger: bool
) -> None:
    daily = b"schedule:\n  cron: 0 9 * * *\n"
    write(store, "a", spec_yaml("a") + daily)
    if ledger:
        keep(store)
    one = bundle()
    one.initialize()
    before = loaded(one).dags["a"].timetable.registered_at
    assert (before == SINCE) is ledger
    write(store, "a", spec_yaml("a", "select 2") + daily)
    one.refresh()
    assert loaded(one).dags["a"].timetable.registered_at == before


@pytest.mark.rule("15.10")
def test_a_dag_that_can_not_be_built_is_shown_until_its_spec_changes(store: Path, bundle: BUNDLES) -> None:
    write(store, "a")
    one = bundle()
    one.initialize()
    spec_hash = spec_lines(one)["a"].split()[1]
    BrokenDags(one.path).keep("shard", "v1", [BrokenDag("a", spec_hash, "ValueError: too odd")])
    one.refresh()
    [problem] = one.path.glob("problem_*.py")
    assert "ValueError: too odd" in problem.read_text()
    write(store, "a", spec_yaml("a", "select 2"))
    one.refresh()
    assert not list(one.path.glob("problem_*.py"))


@pytest.mark.rule("15.12")
def test_an_unreachable_store_leaves_every_dag_as_it_was(
    store: Path, bundle: BUNDLES, caplog: pytest.LogCaptureFixture
) -> None:
    write(store, "a")
    bundle().initialize()
    unplug(store)
    worker = bundle()
    with caplog.at_level(logging.WARNING):
        worker.initialize()
    assert set(spec_lines(worker)) == {"a"}
    assert "The store does not answer." in caplog.text
    assert "Going on with the specs as they were at 20" in caplog.text
    plug_in(store)
    write(store, "b")
    worker.refresh()
    assert set(spec_lines(worker)) == {"a", "b"}


@pytest.mark.rule("15.12")
def test_an_unreachable_store_with_nothing_on_disk_is_an_error_and_no_empty_folder(
    store: Path, bundle: BUNDLES
) -> None:
    write(store, "a")
    unplug(store)
    one = bundle()
    with pytest.raises(StoreUnreachable):
        one.initialize()
    assert not one.is_initialized
    assert not one.path.exists()
    plug_in(store)
    one.initialize()
    assert set(spec_lines(one)) == {"a"}


def test_without_a_stores_address_it_says_where_to_set_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DLI_STORE_URL", raising=False)
    with pytest.raises(InvalidSettings) as raised:
        DatasetBundle(name=f"none-{uuid4().hex}").initialize()
    assert "DLI_STORE_URL" in str(raised.value.detail)


def test_addresses_come_from_the_environment(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(store, "a")
    monkeypatch.setenv("DLI_STORE_URL", str(store))
    monkeypatch.setenv("DLI_BASECAMP_URL", "http://basecamp.example.com")
    one = DatasetBundle(name=f"env-{uuid4().hex}")
    one.initialize()
    assert "http://basecamp.example.com/workflows/a" in loaded(one).dags["a"].doc_md


def ticking(*moments: float) -> Callable[[], float]:
    left: Iterator[float] = iter(moments)
    return lambda: next(left)


def test_a_refresh_that_began_after_the_call_serves_the_caller_too(store: Path, bundle: BUNDLES) -> None:
    write(store, "a")
    bundle(clock=ticking(100, 100)).refresh()  # asked, started
    write(store, "b")
    waited = bundle(clock=ticking(99, 101))  # asked before that refresh began, waited for it
    waited.refresh()
    assert set(spec_lines(waited)) == {"a"}
    later = bundle(clock=ticking(100.5, 101, 101))
    later.refresh()
    assert set(spec_lines(later)) == {"a", "b"}


def test_those_who_waited_for_a_failed_refresh_do_not_wait_for_the_store_again(
    store: Path, bundle: BUNDLES, caplog: pytest.LogCaptureFixture
) -> None:
    write(store, "a")
    bundle(clock=ticking(100, 100)).refresh()
    unplug(store)
    bundle(clock=ticking(200, 200, 200)).refresh()
    plug_in(store)
    write(store, "b")
    waited = bundle(clock=ticking(199, 201))
    waited.refresh()
    assert set(spec_lines(waited)) == {"a"}
    assert caplog.text.count("Going on with the specs") == 2


def test_a_clock_that_was_set_back_holds_no_refresh_up(store: Path, bundle: BUNDLES) -> None:
    bundle(clock=ticking(5000, 5000)).refresh()
    write(store, "a")
    one = bundle(clock=ticking(100, 100, 100))
    one.refresh()
    assert set(spec_lines(one)) == {"a"}


@pytest.mark.parametrize("removed", ["dags", "dags/*.py", "dags/*.jsonl", "snapshot.json", "cache"])
def test_what_something_removed_from_the_machine_is_made_anew(
    store: Path, bundle: BUNDLES, removed: str
) -> None:
    write(store, "a")
    one = bundle()
    one.initialize()
    [gone] = one.base_dir.glob(removed)
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    bundle().refresh()
    assert set(spec_lines(one)) == {"a"}


REFRESH_OFTEN = """
import sys
from dli_airflow.bundle import DatasetBundle
for _ in range(5):
    DatasetBundle(name=sys.argv[1], store_url=sys.argv[2]).initialize()
"""


def test_many_processes_may_refresh_at_once(store: Path) -> None:
    name = f"shared-{uuid4().hex}"
    for number in range(30):
        write(store, f"d{number}")
    command = [sys.executable, "-c", REFRESH_OFTEN, name, str(store)]
    processes = [subprocess.Popen(command) for _ in range(3)]
    for number in range(30, 40):
        write(store, f"d{number}")
    for process in processes:
        assert process.wait(550) == 0
    one = DatasetBundle(name=name, store_url=str(store))
    one.initialize()
    assert set(spec_lines(one)) == {f"d{number}" for number in range(40)}
