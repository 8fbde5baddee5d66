"""The fixed DAG files of Airflow 2, as Airflow loads them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from airflow.models.dagbag import DagBag

from dataspec.errors import InvalidSettings
from dli_airflow.dag_files import touch, write
from dli_airflow.mirror.dag_folder import shard_of
from dli_airflow.mirror.settings import MirrorSettings
from unit.dli_airflow.catalogs import spec_yaml

SHARDS = 4


@pytest.fixture
def dags_folder(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A DAGs folder with the files, on a store that is looked at in each parse."""
    monkeypatch.setenv("DLI_STORE_URL", str(store))
    monkeypatch.setenv("DLI_DATASETS_DIR", str(tmp_path / "datasets"))
    monkeypatch.setenv("DLI_REFRESH_INTERVAL", "0")
    folder = tmp_path / "dags"
    write(folder, SHARDS)
    return folder


def put(store: Path, name: str, body: bytes | None = None, prefix: str = "manual") -> None:
    (store / prefix / f"{name}.yaml").write_bytes(body or spec_yaml(name))


def loaded(folder: Path) -> DagBag:
    return DagBag(dag_folder=folder, include_examples=False)


def file_of(folder: Path, name: str) -> Path:
    return folder / f"dli_shard_{shard_of(name, SHARDS):03}.py"


@contextmanager
def in_a_worker_for(name: str, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Be the process that runs a task, as Airflow's task runner tells it."""
    with patch.context() as worker:
        worker.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", name)
        yield


@pytest.mark.rule("15.7")
def test_every_effective_dataset_has_a_dag_in_the_file_of_its_share(store: Path, dags_folder: Path) -> None:
    names = [f"d{number}" for number in range(10)]
    for name in names:
        put(store, name)
    put(store, "d3", prefix="code")
    bag = loaded(dags_folder)
    assert bag.import_errors == {}
    assert sorted(bag.dags) == sorted(names)
    assert {name: Path(dag.fileloc) for name, dag in bag.dags.items()} == {
        name: file_of(dags_folder, name) for name in names
    }
    assert " · code · " in bag.dags["d3"].doc_md.splitlines()[-1]
    assert " · manual · " in bag.dags["d4"].doc_md.splitlines()[-1]


def test_each_file_has_the_words_by_which_airflow_tells_that_it_holds_dags(dags_folder: Path) -> None:
    for path in dags_folder.glob("*.py"):
        text = path.read_text().lower()
        assert "dag" in text
        assert "airflow" in text


def test_a_store_without_datasets_is_no_error(dags_folder: Path) -> None:
    bag = loaded(dags_folder)
    assert (bag.dags, bag.import_errors) == ({}, {})


@pytest.mark.rule("15.7")
def test_a_look_that_finds_a_change_has_airflow_parse_that_share_and_no_other(
    store: Path, dags_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dli_airflow.dag_files._AHEAD_SECONDS", 600)
    for name in ("a", "b", "c"):
        put(store, name)
    loaded(dags_folder)
    before = {path: path.stat().st_mtime for path in dags_folder.glob("*.py")}
    put(store, "b", spec_yaml("b", more="description: Changed\n"))
    # Airflow may parse any file; another than b's finds the change.
    other = next(
        path
        for path in sorted(before)
        if path.name.startswith("dli_shard") and path != file_of(dags_folder, "b")
    )
    DagBag(dag_folder=other, include_examples=False)
    after = {path: path.stat().st_mtime for path in dags_folder.glob("*.py")}
    assert {path for path in before if after[path] != before[path]} == {file_of(dags_folder, "b")}
    assert after[file_of(dags_folder, "b")] > time.time()  # ahead of every parse that has begun


def test_a_folder_that_can_not_be_written_to_is_no_error(tmp_path: Path) -> None:
    touch(tmp_path / "nowhere", ["shard_001.py", "problem_x.py", "shard_002.jsonl"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.rule("4.6")
def test_a_spec_that_can_not_be_used_is_an_import_error_and_hurts_no_other(
    store: Path, dags_folder: Path
) -> None:
    put(store, "good")
    put(store, "bad", b"name: bad\ntype: Dataset\nownr: x\n")
    put(store, "worse", b"type: Dataset\nname: [")
    bag = loaded(dags_folder)
    assert list(bag.dags) == ["good"]
    [(file, trace)] = bag.import_errors.items()
    assert Path(file).name == "dli_problems.py"
    assert "manual/bad.yaml:3:1: unknown key 'ownr'. Did you mean 'owner'?" in trace
    assert "manual/worse.yaml:3:1: not valid YAML" in trace


@pytest.mark.rule("15.9")
def test_a_worker_builds_the_one_dag_that_it_runs_as_it_is_now(
    store: Path, dags_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DLI_REFRESH_INTERVAL", "3600")
    for name in ("a", "b"):
        put(store, name)
    loaded(dags_folder)
    put(store, "b", spec_yaml("b", more="description: Mended\n"))
    assert loaded(dags_folder).dags["b"].description != "Mended"  # a parse takes a look that is not old
    with in_a_worker_for("b", monkeypatch):
        bag = DagBag(dag_folder=file_of(dags_folder, "b"), include_examples=False)
    assert list(bag.dags) == ["b"]
    assert bag.dags["b"].description == "Mended"


@pytest.mark.rule("15.12")
def test_while_the_store_does_not_answer_the_datasets_of_before_stay(store: Path, dags_folder: Path) -> None:
    put(store, "a")
    loaded(dags_folder)
    shutil.move(store, store.with_name("unplugged"))
    store.touch()
    bag = loaded(dags_folder)
    assert (list(bag.dags), bag.import_errors) == (["a"], {})


def test_a_new_machine_whose_store_does_not_answer_says_so(store: Path, dags_folder: Path) -> None:
    shutil.rmtree(store)
    store.touch()
    errors = loaded(dags_folder).import_errors
    assert len(errors) == SHARDS + 1
    assert all("StoreUnreachable" in trace for trace in errors.values())


def test_a_store_that_is_not_named_says_which_variable_to_set(
    dags_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DLI_STORE_URL")
    errors = loaded(dags_folder).import_errors
    assert all("The datasets' store is not named." in trace for trace in errors.values())


def test_another_number_of_shares_takes_the_files_of_before_away(tmp_path: Path) -> None:
    assert len(write(tmp_path, 3)) == 4
    assert write(tmp_path, 3) == []
    write(tmp_path, 2)
    names = [path.name for path in sorted(tmp_path.iterdir())]
    assert names == ["dli_problems.py", "dli_shard_000.py", "dli_shard_001.py"]


def test_an_interval_that_is_no_number_is_named() -> None:
    with pytest.raises(InvalidSettings, match="DLI_REFRESH_INTERVAL is 'soon'"):
        MirrorSettings.from_environment({"DLI_REFRESH_INTERVAL": "soon"})


@pytest.mark.rule("15.7")
def test_who_watches_has_a_change_parsed_without_any_parse(store: Path, dags_folder: Path) -> None:
    put(store, "a")
    loaded(dags_folder)
    file, begun = file_of(dags_folder, "a"), time.time()
    os.utime(file, (begun - 100, begun - 100))
    command = [
        sys.executable,
        "-m",
        "dli_airflow.dag_files",
        "watch",
        str(dags_folder),
        "--shards",
        str(SHARDS),
    ]
    with subprocess.Popen(command, env=os.environ | {"DLI_REFRESH_INTERVAL": "0.1"}) as watcher:
        try:
            put(store, "a", spec_yaml("a", more="description: Changed\n"))
            until(lambda: file.stat().st_mtime > begun, watcher)
        finally:
            watcher.kill()


def until(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 240
    while not condition():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
