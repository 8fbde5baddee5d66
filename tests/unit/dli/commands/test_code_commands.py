from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from dataspec.catalog.publication import read_publication
from dataspec.catalog.spec_storage import manual_key
from dataspec.store import Store, open_store
from dataspec.store.base import MISSING
from dataspec.store.folder import FolderStore
from dli.project.revision import find_revision
from unit.dli.conftest import Dli
from unit.dli.published import planned, put_files, seen, spec, wanted
from unit.dli.terminal import on_terminal

CI_VARIABLES = ("GITHUB_", "CI_", "GITLAB_", "GIT_")
FOUR = {f"{letter}.yaml": spec(f"shop.{letter}", sql=None) for letter in "abcd"}


@pytest.fixture(autouse=True)
def _outside_ci(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith(CI_VARIABLES)]:
        monkeypatch.delenv(name)
    # No repository around the tests' folder is to be found.
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The store that ``DLI_STORE_URL`` names."""
    (tmp_path / "store").mkdir()
    monkeypatch.setenv("DLI_STORE_URL", str(tmp_path / "store"))
    return open_store(str(tmp_path / "store"))


@pytest.mark.rule("22.26", "10.14")
def test_publish_says_what_it_does_and_does_it(dli: Dli, project: Path, store: Store) -> None:
    put_files(project, FOUR)
    assert dli("code", "publish").status == 0
    store.put(manual_key("shop.e"), spec("shop.e", sql=None).encode(), expected=MISSING)
    store.put(manual_key("shop.d"), spec("shop.d", sql=None).encode(), expected=MISSING)
    changed = FOUR | {"a.yaml": FOUR["a.yaml"] + "# new\n", "e.yaml": spec("shop.e", sql=None)}
    changed["sub/b.yaml"] = changed.pop("b.yaml")
    del changed["d.yaml"]
    shop = put_files(project, changed)
    result = dli("code", "publish")
    assert result.status == 0
    unstored = [line for line in result.err.splitlines() if "the rows of the query are not stored" in line]
    assert [line.split(":")[1] for line in unstored] == [
        f" datasets/{file}.yaml" for file in ("a", "sub/b", "e")
    ]
    assert result.out == (
        "ACTION   DATASET   FILE              NOTE\n"
        "change   shop.a    code/a.yaml       YAML\n"
        "move     shop.b    code/sub/b.yaml   was code/b.yaml\n"
        "add      shop.e    code/e.yaml       overrides the manual spec\n"
        "remove   shop.d    code/d.yaml       the manual spec becomes effective again\n"
        "Published: 1 added, 1 changed, 1 moved, 1 removed, 1 unchanged.\n"
    )
    assert {name for name in seen(store) if name != "shop.d"} == set(wanted(shop))
    assert dli("code", "publish").out == "Published: 4 unchanged.\n"


@pytest.mark.rule("22.26")
def test_a_dry_run_says_the_same_and_writes_nothing(dli: Dli, project: Path, store: Store) -> None:
    put_files(project, FOUR)
    dry = dli("code", "publish", "--dry-run")
    assert not list(store.list(""))
    table = dli("code", "publish").out.splitlines()[:-1]
    assert (dry.status, dry.out.splitlines()[:-1]) == (0, table)
    assert dry.out.splitlines()[-1] == "Would be published: 4 added, 0 unchanged. Nothing was written."


@pytest.mark.rule("33.25")
def test_changed_keys_are_named(dli: Dli, project: Path, store: Store) -> None:
    put_files(project, FOUR)
    dli("code", "publish")
    put_files(project, FOUR | {"a.yaml": FOUR["a.yaml"] + "tags: [a]\ndescription: New.\n"})
    dry = dli("code", "publish", "--dry-run")
    assert "change   shop.a    code/a.yaml   YAML; keys: tags, description\n" in dry.out
    [change] = json.loads(dli("code", "publish", "-f", "json").out)["changes"]
    assert change["changed_keys"] == {"tags": "added", "description": "added"}


@pytest.mark.rule("22.26")
def test_as_json_it_prints_one_object(dli: Dli, project: Path, store: Store) -> None:
    put_files(project, FOUR)
    dry, done = (
        json.loads(dli("code", "publish", *options, "-f", "json").out) for options in (["--dry-run"], [])
    )
    assert dry | {"dry_run": False} == done
    assert done["changes"][0] == {
        "action": "add",
        "name": "shop.a",
        "file": "code/a.yaml",
        "moved_from": None,
        "changed": [],
        "changed_keys": {},
        "overrides_manual": False,
        "releases_manual": False,
        "note": None,
    }
    again = json.loads(dli("code", "publish", "-f", "json").out)
    assert (again["changes"], again["unchanged"]) == ([], ["shop.a", "shop.b", "shop.c", "shop.d"])


@pytest.mark.rule("17.1")
def test_nothing_is_written_where_one_spec_is_wrong(dli: Dli, project: Path, store: Store) -> None:
    put_files(project, FOUR | {"e.yaml": "type: Dataset\nname: a\n", "f.yaml": FOUR["a.yaml"]})
    result = dli("code", "publish")
    assert (result.status, result.out) == (2, "")
    assert "datasets/e.yaml:1:1: the key 'owner' is missing." in result.err
    assert (
        "datasets/f.yaml:1:7: duplicate dataset name 'shop.a': already defined in datasets/a.yaml"
        in result.err
    )
    assert not list(store.list(""))


@pytest.mark.rule("17.5")
def test_a_large_removal_is_refused_where_nobody_can_be_asked(dli: Dli, project: Path, store: Store) -> None:
    put_files(project, FOUR)
    dli("code", "publish")
    put_files(project, {"a.yaml": FOUR["a.yaml"], "b.yaml": FOUR["b.yaml"]})
    refused = dli("code", "publish")
    assert refused.status == 4
    assert refused.err == (
        "Error: This publish needs your confirmation.\n"
        "       2 of 4 datasets would be removed, more than a third.\n"
        "       Nothing was written. Confirm with --yes.\n"
    )
    assert len(seen(store)) == 4
    dry = dli("code", "publish", "--dry-run")
    assert (dry.status, "This needs --yes." in dry.err) == (0, True)
    assert dli("code", "publish", "--no-prune").status == 0
    assert len(seen(store)) == 4
    assert dli("code", "publish", "--yes").status == 0
    assert len(seen(store)) == 2


@pytest.mark.rule("17.5")
def test_a_person_is_asked_about_a_large_removal(dli: Dli, project: Path, store: Store) -> None:
    put_files(project, FOUR)
    dli("code", "publish")
    put_files(project, {"a.yaml": FOUR["a.yaml"]})
    no = on_terminal(["code", "publish"], keys=[("Proceed?", "n\r")])
    assert (no.status, "Error: Not published." in no.text, len(seen(store))) == (4, True, 4)
    yes = on_terminal(["code", "publish"], keys=[("Proceed?", "y\r")])
    assert (yes.status, len(seen(store))) == (0, 1)
    assert "remove   shop.d" in yes.text.partition("Proceed?")[0]


@pytest.mark.rule("32.15")
def test_a_dataset_that_others_depend_on_is_removed_with_consent_alone(
    dli: Dli, project: Path, store: Store
) -> None:
    files = FOUR | {"d.yaml": spec("shop.d", sql=None, more="depends_on: [shop.a]\n")}
    put_files(project, files)
    assert dli("code", "publish").status == 0
    del files["a.yaml"]
    put_files(project, files)
    refused = dli("code", "publish")
    assert (refused.status, len(seen(store))) == (4, 4)
    assert "'shop.a' would be removed, and 'shop.d' depends on it." in refused.err
    published = dli("code", "publish", "--yes")
    assert (published.status, len(seen(store))) == (0, 3)
    assert "'shop.d' depends on 'shop.a', which neither the project nor the store has." in published.err


def put_manual(store: Store, name: str, **options: str) -> None:
    store.put(manual_key(name), spec(name, sql=None, **options).encode(), expected=MISSING)


@pytest.mark.rule("32.15", "32.28")
def test_what_manual_datasets_depend_on_is_removed_with_consent_alone(
    dli: Dli, project: Path, store: Store
) -> None:
    put_files(project, FOUR)
    assert dli("code", "publish").status == 0
    put_manual(store, "shop.m", more="depends_on: [shop.a]\n")
    put_manual(store, "shop.broken", more="depends_on: [shop.a]\nowner: 1\n")
    put_files(project, {name: text for name, text in FOUR.items() if name != "a.yaml"})
    refused = dli("code", "publish")
    assert (refused.status, len(seen(store))) == (4, 5)
    assert "'shop.a' would be removed, and 'shop.m' depends on it." in refused.err
    assert dli("code", "publish", "--yes").status == 0
    put_files(project, FOUR)
    assert dli("code", "publish").status == 0


@pytest.mark.rule("32.28")
def test_a_schedule_for_which_manual_datasets_wait_changes_with_consent_alone(
    dli: Dli, project: Path, store: Store
) -> None:
    on_it = {"d.yaml": spec("shop.d", sql=None, more="depends_on: [shop.a]\n")}
    put_files(project, FOUR | on_it)
    assert dli("code", "publish").status == 0
    put_manual(store, "shop.m", more="depends_on: [shop.a]\n")
    put_manual(store, "shop.n", more="depends_on: [shop.b]\n")
    off = FOUR["a.yaml"].replace("{cron:", "{enabled: false, cron:")
    put_files(project, FOUR | on_it | {"a.yaml": off})
    refused = dli("code", "publish")
    text = (
        "The schedule of 'shop.a' would change, and 'shop.{}' waits for partitions of 'shop.a', "
        "which no schedule would build."
    )
    assert refused.status == 4
    assert f"Warning: {text.format('d')}" in refused.err
    assert f"       {text.format('m')}" in refused.err
    assert "shop.n" not in refused.err
    moved = FOUR | on_it
    moved["sub/a.yaml"] = off
    del moved["a.yaml"]
    put_files(project, moved)
    assert text.format("m") in dli("code", "publish").err
    assert dli("code", "publish", "--yes").status == 0


@pytest.mark.rule("32.28")
def test_a_publish_that_breaks_nothing_reads_no_manual_spec(
    dli: Dli, project: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_manual(store, "shop.m", more="depends_on: [shop.a]\n")
    read: list[str] = []
    get_many = FolderStore.get_many

    def noting(self: FolderStore, keys: Iterable[str]) -> Any:
        wanted = list(keys)
        read.extend(wanted)
        return get_many(self, wanted)

    monkeypatch.setattr(FolderStore, "get_many", noting)
    put_files(project, FOUR)
    assert dli("code", "publish").status == 0
    put_files(project, FOUR | {"a.yaml": FOUR["a.yaml"] + "# new\n"})
    assert dli("code", "publish").status == 0
    assert manual_key("shop.m") not in read
    put_files(project, {name: text for name, text in FOUR.items() if name != "a.yaml"})
    assert dli("code", "publish").status == 4
    assert manual_key("shop.m") in read


@pytest.mark.rule("32.16")
def test_publish_warns_of_unknown_upstreams_cycles_and_lost_clocks(
    dli: Dli, project: Path, store: Store
) -> None:
    store.put(manual_key("shop.m"), spec("shop.m", sql=None).encode(), expected=MISSING)
    upstream = {"a": "[shop.b]", "b": "[shop.a]", "c": "[shop.gone]", "d": "[shop.m]"}
    files = {
        f"{name}.yaml": spec(f"shop.{name}", sql=None, more=f"depends_on: {on}\n")
        for name, on in upstream.items()
    }
    plain = spec("shop.p", sql=None).partition("schedule")[0]
    files |= {
        "p.yaml": plain,
        "q.yaml": spec("shop.q", sql=None, cron="@upstream", more="depends_on: [shop.p]\n"),
    }
    put_files(project, files)
    result = dli("code", "publish", "--dry-run")
    assert result.status == 0
    told = [line.removeprefix("Warning: ") for line in result.err.splitlines() if "not stored" not in line]
    assert [line for line in told if "shop." in line and "datasets/" not in line] == [
        "'shop.c' depends on 'shop.gone', which neither the project nor the store has.",
        "These datasets depend on each other, so no scheduled run of them can start: shop.a → shop.b → shop.a.",
        "The schedule '@upstream' of 'shop.q' gives no clock: none of its upstream datasets has a schedule.",
    ]


@pytest.mark.rule("17.5")
def test_an_empty_project_removes_nothing_by_mistake(dli: Dli, project: Path, store: Store) -> None:
    put_files(project, FOUR)
    dli("code", "publish")
    put_files(project, {})
    result = dli("code", "publish")
    assert (result.status, len(seen(store))) == (3, 4)
    assert result.err.startswith("Error: No Dataset Spec in datasets.\n")
    assert dli("code", "publish", "--yes").out.endswith("Published: 4 removed, 0 unchanged.\n")
    assert seen(store) == {}
    assert dli("code", "publish", "--yes", "--path", "datasets").status == 3


# The store


def test_without_a_store_the_message_says_where_to_name_one(dli: Dli, project: Path) -> None:
    put_files(project, FOUR)
    result = dli("code", "publish")
    assert (result.status, result.out) == (2, "")
    assert result.err == (
        "Error: No store is set.\n"
        "       Name it with --store, DLI_STORE_URL, or 'store.url' in dli.yaml: s3://bucket/prefix, or a folder.\n"
    )


@pytest.mark.parametrize("url", ["nowhere", "s3:/bucket", "http://bucket", "bucket/prefix"])
def test_what_is_no_store_is_refused_and_made_nowhere(dli: Dli, project: Path, url: str) -> None:
    put_files(project, FOUR)
    result = dli("code", "publish", "--store", url)
    assert (result.status, result.out, "s3://bucket/prefix" in result.err) == (2, "", True)
    assert {path.name for path in project.iterdir()} == {"datasets"}


def test_the_option_stands_before_the_variable_and_that_before_the_file(
    dli: Dli, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_files(project, FOUR)
    for name in ("option", "variable", "file", "prod"):
        (project / name).mkdir()
    (project / "dli.yaml").write_text("store: {url: file}\nenvironments: {prod: {store: {url: prod}}}\n")
    assert dli("code", "publish").status == 0
    assert dli("code", "publish", "--env", "prod").status == 0
    monkeypatch.setenv("DLI_STORE_URL", "variable")
    assert dli("code", "publish").status == 0
    assert dli("code", "publish", "--store", "option").status == 0
    for name in ("option", "variable", "file", "prod"):
        assert (project / name / "code" / "a.yaml").is_file()


def test_a_folder_in_dli_yaml_is_meant_from_there(
    dli: Dli, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_files(project, FOUR)
    (project / "store").mkdir()
    (project / "dli.yaml").write_text("store:\n  url: ./store\n")
    monkeypatch.chdir(project / "datasets")
    assert dli("code", "publish").status == 0
    assert (project / "store" / "code" / "a.yaml").is_file()


def test_where_the_bucket_s_library_is_missing_the_extra_is_named(project: Path) -> None:
    put_files(project, FOUR)
    program = (
        "import sys; sys.modules['obstore'] = None\nfrom dli.main import main\nsys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", program, "code", "publish", "--store", "s3://lake/specs"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "It comes with the extra 's3': pip install 'dli-basecamp[s3]'" in done.stderr


# The commit


@pytest.mark.rule("17.7")
@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        (
            {"GITHUB_SHA": "abc", "GITHUB_REPOSITORY": "shop/etl", "GITHUB_REF": "refs/heads/main"},
            ("abc", "shop/etl", "refs/heads/main", "dana"),
        ),
        (
            {"CI_COMMIT_SHA": "def", "CI_PROJECT_PATH": "shop/etl", "CI_COMMIT_REF_NAME": "main"}
            | {"GITLAB_USER_LOGIN": "kim"},
            ("def", "shop/etl", "main", "kim"),
        ),
        ({"GITHUB_SHA": "abc", "GITHUB_ACTOR": "kim", "DLI_USER": "robot"}, ("abc", None, None, "robot")),
        ({}, (None, None, None, "dana")),
    ],
    ids=["GitHub", "GitLab", "DLI_USER", "neither"],
)
def test_the_commit_is_the_one_that_ci_names(
    dli: Dli,
    project: Path,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    expected: tuple[str | None, ...],
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    put_files(project, FOUR)
    assert dli("code", "publish").status == 0
    found = read_publication(store)
    assert found is not None
    assert (found.commit, found.repository, found.ref, found.by) == expected


def git(folder: Path, *arguments: str) -> str:
    settings = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"]
    command = ["git", "-C", str(folder), *settings, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.rule("17.7")
def test_outside_ci_the_commit_is_git_s(project: Path) -> None:
    put_files(project, FOUR)
    datasets = project / "datasets"
    assert find_revision(datasets, {}).commit is None
    git(project, "init")
    assert find_revision(datasets, {}).commit is None
    git(project, "add", ".")
    git(project, "commit", "-m", "first")
    commit = git(project, "rev-parse", "HEAD")
    revision = find_revision(datasets, {})
    assert (revision.commit, revision.ref, revision.repository) == (commit, "main", None)
    (datasets / "a.yaml").write_text("changed")
    assert find_revision(datasets, {}).commit == f"{commit}-dirty"


@pytest.mark.parametrize(
    ("url", "repository"),
    [
        ("https://kim:secret@git.example.com/shop/etl.git", "shop/etl"),
        ("git@git.example.com:shop/etl.git", "shop/etl"),
        ("ssh://git@git.example.com:2222/shop/deep/etl", "shop/deep/etl"),
        ("/srv/git/etl.git", None),
    ],
)
def test_the_repository_is_its_path_without_host_and_password(
    project: Path, url: str, repository: str | None
) -> None:
    put_files(project, FOUR)
    git(project, "init")
    git(project, "add", ".")
    git(project, "commit", "-m", "first")
    git(project, "remote", "add", "origin", url)
    assert find_revision(project, {}).repository == repository


# Killed

_KILLED_AT = """
import os, signal, sys
from dataspec.store.folder import FolderStore
left = int(sys.argv.pop(1))
class Mortal(FolderStore):
    def _writing(self):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return super()._writing()
import dataspec.store.opening
dataspec.store.opening.FolderStore = Mortal
from dli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.rule("17.3")
def test_a_publish_that_was_killed_is_finished_by_the_next_one(project: Path, store: Store) -> None:
    files = {f"{letter}.yaml": spec(f"shop.{letter}", sql=f"{letter}.sql") for letter in "abc"}
    put_files(project, files | {f"{letter}.sql": "select 1" for letter in "abc"})
    old = wanted(put_files(project, files | {f"{letter}.sql": "select 1" for letter in "abc"}))
    assert run_publish(1_000) == 0
    del files["c.yaml"]
    later = files | {"d.yaml": spec("shop.d", sql="d.sql")}
    shop = put_files(project, later | {f"{letter}.sql": "select 2" for letter in "abd"})
    new = wanted(shop)
    for lives in (1, 2, 3, 4):
        assert run_publish(lives) == -signal.SIGKILL
        for name, release in seen(store).items():
            assert release in (old.get(name), new.get(name))
    assert run_publish(1_000) == 0
    assert seen(store) == new
    assert planned(store, shop).changes == ()


def run_publish(lives: int) -> int:
    command = [sys.executable, "-c", _KILLED_AT, str(lives), "code", "publish"]
    return subprocess.run(command, capture_output=True, check=False, timeout=60).returncode
