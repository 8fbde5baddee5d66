"""Where a DAG of somebody else has a dataset's id, the dataset's own DAG steps back, and returns."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from dataspec.contract import read_takeovers, write_takeover
from dli_airflow.mirror.dag_folder import read_shard
from dli_airflow.mirror.other_dags import HOLDS_SECONDS, OtherDags
from dli_airflow.mirror.store_mirror import StoreMirror

SPEC = "name: {name}\ntype: Dataset\nowner: ann@example.com\nquery_statement: select 1\n"


@pytest.fixture
def etl(tmp_path: Path) -> Path:
    """A file of DAGs that is none of ours."""
    file = tmp_path / "dags" / "etl.py"
    file.parent.mkdir()
    file.write_text("DAG('a.b')")
    return file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "mirror"


@pytest.fixture
def mirror(tmp_path: Path, folder: Path) -> StoreMirror:
    """A mirror of a store with two datasets."""
    manual = tmp_path / "store" / "manual"
    manual.mkdir(parents=True)
    for name in ("a.b", "a.c"):
        (manual / f"{name}.yaml").write_text(SPEC.format(name=name))
    return StoreMirror(folder, store_url=str(tmp_path / "store"), shards=2, base_url=None)


def datasets(mirror: StoreMirror) -> set[str]:
    """Return the datasets that have a DAG."""
    return {str(data["name"]) for code in mirror.path.glob("shard_*.py") for data in read_shard(code)}


def problems(mirror: StoreMirror) -> str:
    return "\n".join(file.read_text() for file in mirror.path.glob("problem_*.py"))


@pytest.mark.rule("15.19")
def test_the_dag_of_a_dataset_whose_id_another_has_steps_back_and_returns(
    mirror: StoreMirror, folder: Path, etl: Path
) -> None:
    mirror.refresh()
    assert datasets(mirror) == {"a.b", "a.c"}
    OtherDags(folder).note("a.b", str(etl), "company")
    assert mirror.refresh()
    assert datasets(mirror) == {"a.c"}
    assert f"another DAG has its id, in {etl} in the bundle 'company'." in problems(mirror)
    assert not mirror.refresh()
    etl.unlink()
    assert mirror.refresh()
    assert (datasets(mirror), problems(mirror)) == ({"a.b", "a.c"}, "")


@pytest.mark.rule("15.19")
def test_a_dataset_that_comes_under_the_id_of_a_dag_never_gets_one_of_its_own(
    mirror: StoreMirror, folder: Path, etl: Path
) -> None:
    OtherDags(folder).note("a.b", str(etl))
    mirror.refresh()
    assert datasets(mirror) == {"a.c"}


@pytest.mark.rule("15.19")
def test_a_note_holds_while_its_file_is_as_it_was(folder: Path, etl: Path) -> None:
    notes = OtherDags(folder)
    notes.note("a.b", str(etl))
    assert notes.among(["a.b", "a.c"]) == {"a.b": str(etl)}
    os.utime(etl, (1, 1))
    assert notes.among(["a.b"]) == {}
    notes.note("a.b", str(etl))
    assert notes.among(["a.b"]) == {"a.b": str(etl)}


def test_a_note_of_a_file_within_an_archive_holds_while_the_archive_is_as_it_was(
    folder: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "dags.zip"
    archive.write_bytes(b"PK")
    notes = OtherDags(folder)
    notes.note("a.b", f"{archive}/etl.py")
    assert notes.among(["a.b"]) == {"a.b": f"{archive}/etl.py"}
    os.utime(archive, (1, 1))
    assert notes.among(["a.b"]) == {}


@pytest.mark.rule("15.19")
def test_a_note_that_no_parse_renews_lapses_and_goes(folder: Path, etl: Path) -> None:
    notes = OtherDags(folder)
    notes.note("a.b", str(etl))
    notes.keep(["a.b"])
    [note] = (folder / "others").iterdir()
    old = time.time() - HOLDS_SECONDS - 1
    os.utime(note, (old, old))
    assert notes.known() == {}
    notes.keep(["a.b"])
    assert not note.exists()


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"file": 1, "changed": null}', '{"file": "/", "changed": 3}']
)
def test_a_note_that_cannot_be_read_holds_nothing_back(folder: Path, etl: Path, text: str) -> None:
    notes = OtherDags(folder)
    notes.note("a.b", str(etl))
    [note] = (folder / "others").iterdir()
    note.write_text(text)
    assert notes.among(["a.b"]) == {}


@pytest.mark.rule("15.20")
def test_what_airflow_shows_can_be_read_back() -> None:
    texts = [write_takeover("a.b", "/dags/etl.py"), write_takeover("a.c", "/dags/it's 100%.zip/x.py")]
    trace = "Traceback (most recent call last):\n  File x\nImportError: " + "\n\n".join(texts)
    assert read_takeovers(trace) == {"a.b": "/dags/etl.py", "a.c": "/dags/it's 100%.zip/x.py"}
    assert read_takeovers("ImportError: code/x.yaml can't be used.") == {}
