"""What `make dist` builds: the same bytes each time, with what belongs in it and nothing else."""

from __future__ import annotations

import tarfile
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path, PurePosixPath

import pytest

from integration.distribution.conftest import Built, build
from stacks import REPOSITORY

pytestmark = pytest.mark.xdist_group("distribution")


@pytest.fixture(scope="module")
def unpacked(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an unpacked sdist."""
    folder = tmp_path_factory.mktemp("sdist")
    with tarfile.open(built.sdist) as archive:
        archive.extractall(folder, filter="data")
    [found] = folder.iterdir()
    return found


@pytest.mark.rule("29.1")
def test_a_build_from_the_sdist_has_the_same_bytes_as_one_from_the_checkout(
    built: Built, unpacked: Path, tmp_path: Path
) -> None:
    again = build(tmp_path, unpacked)
    assert again.wheel.read_bytes() == built.wheel.read_bytes()
    assert again.sdist.read_bytes() == built.sdist.read_bytes()


@pytest.mark.rule("29.1")
def test_the_sdist_has_the_source_and_no_tests_and_no_tools(unpacked: Path) -> None:
    assert sorted(path.name for path in unpacked.iterdir()) == [
        ".gitignore", "CHANGELOG.md", "LICENSE", "PKG-INFO", "README.md", "pyproject.toml", "src",
    ]  # fmt: skip
    assert sorted(path.name for path in (unpacked / "src").iterdir()) == [
        "basecamp", "dataspec", "dli", "dli_airflow",
    ]  # fmt: skip


@pytest.mark.rule("29.1")
def test_the_wheel_has_every_file_of_the_packages_and_says_that_they_are_typed(built: Built) -> None:
    files = zipfile.Path(built.wheel)
    packages = ["basecamp", "dataspec", "dli", "dli_airflow"]
    assert sorted(path.name for path in files.iterdir()) == [*packages, "dli_basecamp-0.1.0.dist-info"]
    assert all((files / package / "py.typed").is_file() for package in packages)
    kept = {
        path.relative_to(REPOSITORY / "src").as_posix()
        for path in (REPOSITORY / "src").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    names = zipfile.ZipFile(built.wheel).namelist()
    assert {name for name in names if PurePosixPath(name).parts[0] in packages} == kept


@pytest.mark.rule("29.1")
def test_the_metadata_is_complete(built: Built) -> None:
    metadata = _metadata(built.wheel)
    assert (metadata["Name"], metadata["License-Expression"]) == ("dli-basecamp", "Apache-2.0")
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert "# dli and Basecamp" in metadata.get_payload()
    assert metadata["Requires-Python"] == ">=3.11"
    for several in ("Classifier", "Project-URL", "License-File", "Keywords"):
        assert metadata.get_all(several), several
    extras = metadata.get_all("Provides-Extra") or []
    assert {"airflow", "async", "dev", "local", "s3", "server"} <= set(extras)


def _metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return message_from_bytes(archive.read(name))
