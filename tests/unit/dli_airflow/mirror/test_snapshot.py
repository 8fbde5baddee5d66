from __future__ import annotations

from pathlib import Path

import pytest

from dli_airflow.mirror.store_mirror import Snapshot, SnapshotFile

TAKEN = Snapshot(state="abc", taken_at=1_700_000_000.0, attempted_at=1_700_000_000.0)


def test_a_snapshot_is_kept_until_the_next(tmp_path: Path) -> None:
    file = SnapshotFile(tmp_path / "bundle" / "snapshot.json")
    assert file.read() is None
    file.write(TAKEN)
    file.write(TAKEN.failed(1_700_000_060.0, "no answer"))
    kept = SnapshotFile(tmp_path / "bundle" / "snapshot.json").read()
    assert kept == Snapshot(
        state="abc", taken_at=1_700_000_000.0, attempted_at=1_700_000_060.0, error="no answer"
    )
    assert kept.taken_words == "2023-11-14T22:13:20+00:00"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        '{"state": "x", "unknown": 1}',
        "\x00",
        '{"state": "x", "taken_at": "soon", "attempted_at": []}',
        "[" * 100_000,
    ],
)
def test_a_file_that_can_not_be_read_counts_as_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "snapshot.json"
    path.write_text(text)
    assert SnapshotFile(path).read() is None
