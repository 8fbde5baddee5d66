"""Whatever one file of a project, or one object in code/, is: the others are checked, and published."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dataspec.catalog.cache import MemorySpecCache
from dataspec.catalog.publication import PUBLICATION_KEY, read_publication
from dataspec.catalog.reader import CatalogReader
from dataspec.errors import InvalidSpec
from dataspec.spec.yaml_reader import Document, read_document
from dataspec.store import Store, open_store
from dataspec.store.base import MISSING
from dli.project.check import check_local
from dli.project.project import Project
from dli.project.publish_plan import checked_datasets
from s3 import S3
from unit.dli.conftest import Dli
from unit.dli.published import publish, put_files, seen, spec
from unit.dli.specs import spec_of

HEAD = "name: bad\ntype: Dataset\nowner: a@example.com\n"


def write(project: Path, name: str, text: str) -> None:
    (project / "datasets" / name).write_text(text)


@pytest.mark.parametrize("path", ["./q.sql", "a//b.sql", ".q.sql", "sql/", "q\\0.sql", "l" * 400])
def test_validate_tells_a_path_that_is_no_key_at_its_place(path: str, dli: Dli, project: Path) -> None:
    write(project, "good.yaml", spec_of("good"))
    write(project, "bad.yaml", f'{HEAD}query_file: "{path}"\n')
    result = dli("dataset", "validate")
    assert result.status == 2
    assert "datasets/bad.yaml:4:13: 'query_file': no store can have a file of this path" in result.err
    assert dli("dataset", "validate", "good").status == 0


@pytest.mark.rule("4.6")
def test_an_error_that_nobody_foresaw_is_told_of_its_file_and_the_others_are_read(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(project, "good.yaml", spec_of("good", more="corn: 1\n"))
    write(project, "bad.yaml", spec_of("bad"))

    def failing(body: bytes, file: str) -> Document:
        if file.endswith("bad.yaml"):
            raise RecursionError("deep")
        return read_document(body, file)

    monkeypatch.setattr("dli.project.project.read_document", failing)
    bad, good = Project(project, project / "datasets").datasets()
    assert "an unexpected error while reading it: RecursionError: deep" in str(bad.problems[0])
    assert "unknown key 'corn'" in str(good.problems[0])
    checked = check_local(bad, {})
    assert checked.problems == bad.problems


@pytest.mark.rule("4.6")
def test_a_check_that_fails_as_nobody_foresaw_is_told_of_its_file(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(project, "a.yaml", spec_of("a"))
    monkeypatch.setattr("dli.project.check.check_valid", lambda *_: 1 // 0)
    (dataset,) = Project(project, project / "datasets").datasets()
    (problem,) = check_local(dataset, {}).problems
    assert "an unexpected error while reading it: ZeroDivisionError" in str(problem)


def test_a_pipe_among_the_files_holds_no_command(dli: Dli, project: Path) -> None:
    write(project, "good.yaml", spec_of("good"))
    write(project, "bad.yaml", f"{HEAD}query_file: q.sql\n")
    os.mkfifo(project / "datasets/pipe.yaml")
    os.mkfifo(project / "datasets/q.sql")
    assert "the SQL file 'q.sql' does not exist" in dli("dataset", "validate").err
    assert dli("dataset", "validate", "good").status == 0


@pytest.mark.parametrize("name", [f"{'x' * 248}.yaml", ".x.yaml", "a\\b.yaml", "a\nb.yaml"])
def test_a_file_that_no_store_can_have_is_told_before_anything_is_written(name: str, project: Path) -> None:
    write(project, name, spec_of("bad"))
    with pytest.raises(InvalidSpec, match="Invalid") as caught:
        checked_datasets(Project(project, project / "datasets"))
    assert "the file can't be published: " in (caught.value.detail or "")


def test_a_name_that_is_not_utf_8_is_told_in_letters_that_can_be_printed(dli: Dli, project: Path) -> None:
    write(project, "good.yaml", spec_of("good"))
    path = os.fsencode(project) + b"/datasets/\xff.yaml"
    Path(os.fsdecode(path)).write_text(spec_of("bad", more="corn: 1\n"))
    assert "datasets/\\xff.yaml:" in dli("dataset", "validate").err


@pytest.fixture
def folder(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


@pytest.mark.parametrize(
    "body",
    [b"[" * 100_000, b"\xff", b'{"versions": {"x": {"files": {"q.sql": "../x"}}}}', b"[]"],
    ids=["deep", "no text", "no digest", "no map"],
)
def test_a_publish_mends_a_map_that_is_broken(body: bytes, folder: Store, project: Path) -> None:
    shop = put_files(project, {"a.yaml": spec("a", sql="q.sql"), "q.sql": "select 1"})
    publish(folder, shop)
    before = folder.get("code/a.files.json")
    assert before is not None
    folder.put("code/a.files.json", body, expected=before.etag)
    folder.put("code/b.yaml", f"{HEAD}query_file: ./q.sql\n".encode(), expected=MISSING)
    publish(folder, shop)
    assert seen(folder)["a"].files == {"q.sql": "select 1"}
    assert CatalogReader(folder, MemorySpecCache()).read().invalid == ()


def test_what_fails_among_the_deployed_as_nobody_foresaw_is_replaced(
    folder: Store, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = put_files(project, {"a.yaml": spec_of("a"), "b.yaml": spec_of("b")})
    folder.put("code/a.yaml", b"name: a", expected=MISSING)
    monkeypatch.setattr("dli.project.published_state.looks_like_dataset", lambda _: 1 // 0)
    monkeypatch.setattr("dli.project.published_state.is_dataset", lambda _: 1 // 0)
    publish(folder, shop)
    assert len(seen(folder)) == 2


def test_a_publish_tells_of_keys_that_it_can_not_remove(s3: S3, project: Path) -> None:
    store = s3.store()
    s3.send("PUT", "code//x.yaml", HEAD.encode())
    plan = publish(store, put_files(project, {"a.yaml": spec_of("a")}))
    assert [warning.partition(":")[0] for warning in plan.warnings] == [
        "code//x.yaml can't be used, and a publish can't remove it"
    ]
    assert len(seen(store)) == 1


def test_a_publication_that_is_no_json_keeps_nobody_from_publishing(folder: Store, project: Path) -> None:
    folder.put(PUBLICATION_KEY, b"[" * 100_000, expected=MISSING)
    publish(folder, put_files(project, {"a.yaml": spec_of("a")}))
    assert list(seen(folder)) == ["a"]
    assert read_publication(folder) is not None
