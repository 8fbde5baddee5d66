"""Files are replaced whole, with the permissions asked for, and nothing is left behind."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from dataspec.files import write_atomically


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_written_file_has_its_content_and_mode_whatever_the_umask(tmp_path: Path, mode: int) -> None:
    before = os.umask(0o077)
    try:
        write_atomically(tmp_path / "a", "한 줄\n", mode=mode)
        write_atomically(tmp_path / "a", b"two", mode=mode, durable=True)
    finally:
        os.umask(before)
    assert (tmp_path / "a").read_bytes() == b"two"
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == mode
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_failed_write_keeps_the_old_content_and_leaves_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(tmp_path / "a", "new", durable=True)
    assert (tmp_path / "a").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_reader_that_opened_the_old_file_reads_it_to_its_end(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a", "old")
    with (tmp_path / "a").open() as reader:
        write_atomically(tmp_path / "a", "new")
        assert reader.read() == "old"
    assert (tmp_path / "a").read_text() == "new"
