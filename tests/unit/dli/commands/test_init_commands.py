"""``dli init`` and ``dli dataset init``: what they write runs as it is."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from unit.dli.conftest import Dli


@pytest.mark.rule("22.25")
def test_a_new_project_s_first_dataset_is_valid_and_runs_as_it_is(
    dli: Dli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = dli("init", "shop")
    assert made.out == "Created: shop/dli.yaml\nCreated: shop/.gitignore\n"
    assert made.err == "Next:\ncd shop\ndli dataset init NAME\n"
    monkeypatch.chdir(tmp_path / "shop")
    first = dli("dataset", "init")
    assert first.out == "Created: datasets/dataset.shop.hello.yaml\nCreated: datasets/shop.hello.sql\n"
    assert dli("dataset", "validate", "--all").status == 0
    for _ in range(2):
        result = dli("dataset", "run", "shop.hello", "-p", "execution_date=2024-01-15")
        assert result.out == "day          greeting\n2024-01-15   hello\n"
    assert "shop.hello: 1 row written" in result.err


@pytest.mark.parametrize(
    "name", ["daily", "iceberg.analytics.daily_clicks", "sales.by-day", "0.1", "yes", "order", "group.end"]
)
def test_whatever_its_name_a_first_dataset_runs(dli: Dli, name: str) -> None:
    assert dli("dataset", "init", name).status == 0
    assert dli("dataset", "validate", name).status == 0
    result = dli("dataset", "run", name, "-p", "execution_date=2024-01-15", "-p", "greeting=it's")
    assert result.out == "day          greeting\n2024-01-15   it's\n", result.err


def test_the_current_folder_becomes_a_project_and_what_is_there_stays(
    dli: Dli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "clicks"
    folder.mkdir()
    (folder / ".gitignore").write_text("mine\n")
    monkeypatch.chdir(folder)
    result = dli("init")
    assert (result.status, result.out) == (0, "Created: dli.yaml\n")
    assert result.err == "Next:\ndli dataset init NAME\n"
    assert (folder / ".gitignore").read_text() == "mine\n"
    assert "name: clicks\n" in (folder / "dli.yaml").read_text()
    assert (folder / "datasets").is_dir()


def test_what_a_run_leaves_behind_is_nothing_for_git(
    dli: Dli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    dli("init", "shop")
    monkeypatch.chdir(tmp_path / "shop")
    subprocess.run(["git", "init", "--quiet"], check=True)
    dli("dataset", "init")
    dli("dataset", "run", "shop.hello", "-p", "execution_date=2024-01-15")
    assert (tmp_path / "shop" / "warehouse.duckdb").exists()
    status = subprocess.run(
        ["git", "status", "--porcelain", "--untracked-files=all"], capture_output=True, text=True, check=True
    )
    assert sorted(line[3:] for line in status.stdout.splitlines()) == [
        ".gitignore",
        "datasets/dataset.shop.hello.yaml",
        "datasets/shop.hello.sql",
        "dli.yaml",
    ]


def test_the_owner_is_who_git_says_is_here(dli: Dli, project: Path) -> None:
    subprocess.run(["git", "init", "--quiet"], check=True)
    subprocess.run(["git", "config", "user.email", "dana@example.org"], check=True)
    dli("dataset", "init", "a.b")
    assert "owner: dana@example.org\n" in (project / "datasets" / "dataset.a.b.yaml").read_text()


@pytest.mark.rule("22.25")
def test_nothing_that_is_there_is_written_over(dli: Dli, project: Path) -> None:
    (project / "dli.yaml").write_text("name: shop\n")
    again = dli("init")
    assert (again.status, again.out) == (4, "")
    assert (
        "This is already a project: dli.yaml exists.\n       Add a dataset: dli dataset init\n" in again.err
    )
    dli("dataset", "init", "a.b")
    twice = dli("dataset", "init", "a.b")
    assert twice.status == 4
    assert "Already defined in datasets/dataset.a.b.yaml." in twice.err
    (project / "datasets" / "c.d.sql").write_text("select 1")
    beside = dli("dataset", "init", "c.d")
    assert (beside.status, beside.err) == (
        4,
        "Error: datasets/c.d.sql already exists.\n       Nothing was written.\n",
    )
    assert not (project / "datasets" / "dataset.c.d.yaml").exists()


def test_a_name_that_no_dataset_can_have_is_refused(dli: Dli, project: Path) -> None:
    result = dli("dataset", "init", "two words")
    assert result.status == 2
    assert not list((project / "datasets").iterdir())


def test_a_file_is_no_folder_for_a_project(dli: Dli, project: Path) -> None:
    (project / "taken").write_text("")
    assert dli("init", "taken").status == 4


def test_nothing_is_written_through_a_link(dli: Dli, project: Path) -> None:
    (project / "datasets" / "a.b.sql").symlink_to(project.parent / "elsewhere.sql")
    assert dli("dataset", "init", "a.b").status == 4
    assert not (project.parent / "elsewhere.sql").exists()
