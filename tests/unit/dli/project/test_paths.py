from __future__ import annotations

from pathlib import Path

import pytest

from dataspec.errors import InvalidUsage
from dli.project.paths import find_root, shown


@pytest.mark.rule("21.9")
def test_the_project_is_the_nearest_folder_above_with_a_settings_file(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project / "datasets")
    assert find_root(None) == project / "datasets"
    (project / "dli.yaml").write_text("name: shop\n")
    assert find_root(None) == project
    assert find_root("..") == Path("..")


@pytest.mark.rule("21.9")
def test_a_project_that_is_not_there_is_refused() -> None:
    with pytest.raises(InvalidUsage, match="No such folder: nowhere"):
        find_root("nowhere")


def test_a_path_is_shown_from_here_if_it_is_below(project: Path) -> None:
    assert shown(project / "datasets" / "a.yaml") == "datasets/a.yaml"
    assert shown(Path("datasets/a.yaml")) == "datasets/a.yaml"
    assert shown(project.parent / "other") == str(project.parent / "other")


def test_a_folder_that_is_gone_is_said_to_be_so(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = project / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(InvalidUsage, match="no longer exists"):
        find_root(None)
