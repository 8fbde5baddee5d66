"""Files of the mirror that are damaged on the machine's disk."""

from __future__ import annotations

from pathlib import Path

from dli_airflow.mirror.dag_folder import DagFolder
from dli_airflow.mirror.other_dags import OtherDags


def test_dag_file_that_is_not_utf_8_is_written_again(tmp_path: Path) -> None:
    folder = DagFolder(tmp_path, shards=1, base_url=None)
    problem = ("code/a.yaml", "it can't be used")
    [name] = folder.write([], [problem])
    good = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(b"\xff\xfe")
    assert folder.write([], [problem]) == [name]
    assert (tmp_path / name).read_bytes() == good


def test_damaged_notes_of_other_dags_count_as_none(tmp_path: Path) -> None:
    others = OtherDags(tmp_path)
    others.note("a", str(tmp_path / "etl.py"))
    others.keep(["a"])
    [note] = (tmp_path / "others").iterdir()
    for body in (b"[]", b'{"file": [], "bundle": 1, "changed": "x"}', b"\xff"):
        note.write_bytes(body)
        assert others.known() == {}
    for body in (b"{}", b"[1, null]", b"\xff"):
        (tmp_path / "names.json").write_bytes(body)
        assert others.known() == {}
