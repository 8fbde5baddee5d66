from __future__ import annotations

from pathlib import Path

import pytest

from dli_airflow.mirror.broken_dags import BrokenDag, BrokenDags

A, B = BrokenDag("a", "h1", "too bad"), BrokenDag("b", "h2", "worse")


@pytest.mark.rule("15.10")
def test_notes_stay_until_the_shard_is_parsed_again(tmp_path: Path) -> None:
    notes = BrokenDags(tmp_path / "dags")
    assert list(notes) == []
    notes.keep("shard_000.py", "v1", [A])
    notes.keep("shard_001.py", "v1", [B])
    assert set(BrokenDags(tmp_path / "dags")) == {A, B}
    notes.keep("shard_000.py", "v2", [])
    assert set(BrokenDags(tmp_path / "dags")) == {B}


@pytest.mark.rule("15.10")
def test_a_shard_is_sound_in_the_version_that_was_parsed_without_trouble(tmp_path: Path) -> None:
    notes = BrokenDags(tmp_path / "dags")
    notes.keep("shard_000.py", "v1", [])
    notes.keep("shard_001.py", "v1", [B])
    assert notes.is_sound("shard_000.py", "v1")
    assert not notes.is_sound("shard_000.py", "v2")
    assert not notes.is_sound("shard_001.py", "v1")
    assert not notes.is_sound("shard_002.py", "v1")


@pytest.mark.parametrize(
    "body",
    [b'{"version": "v1", "bro', b"[]", b'{"version": "v1", "broken": [{"name": 1}]}', b"\xff", b"[" * 99_999],
)
def test_a_note_that_is_damaged_counts_as_none(tmp_path: Path, body: bytes) -> None:
    notes = BrokenDags(tmp_path / "dags")
    notes.keep("shard_000.py", "v1", [A])
    [file] = (tmp_path / "parsed").iterdir()
    file.write_bytes(body)
    assert list(notes) == []
    assert not notes.is_sound("shard_000.py", "v1")
