from __future__ import annotations

from pathlib import Path

from dli_airflow.broken_dags import BrokenDag, BrokenDags


def test_notes_are_kept_beside_the_dags_until_they_are_removed(tmp_path: Path) -> None:
    notes = BrokenDags.beside(tmp_path / "dags")
    assert list(notes) == []
    notes.add("a", "h1", "too bad")
    notes.add("b", "h2", "worse")
    notes.add("a", "h3", "still bad")
    kept = set(BrokenDags.beside(tmp_path / "dags"))
    assert kept == {BrokenDag("a", "h3", "still bad"), BrokenDag("b", "h2", "worse")}
    notes.remove("a")
    notes.remove("never noted")
    assert list(notes) == [BrokenDag("b", "h2", "worse")]


def test_a_note_that_is_half_written_is_passed_over(tmp_path: Path) -> None:
    notes = BrokenDags(tmp_path)
    (tmp_path / "0.json").write_text('{"name": "a"')
    assert list(notes) == []
