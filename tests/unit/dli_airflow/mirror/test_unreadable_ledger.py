"""A ledger that this machine's version can't read: the DAG files stay as they are."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from dataspec.catalog.ledger import LEDGER_KEY
from dataspec.store import open_store
from dataspec.store.base import MISSING, etag_of
from dli_airflow.mirror.store_mirror import StoreMirror
from unit.dataspec.specs import spec_text


@pytest.mark.rule("5.21")
@pytest.mark.parametrize("ledger", [b'{"format": 99}', b"\xff", b"[]"])
def test_dag_files_stay_while_the_ledger_cannot_be_read(
    tmp_path: Path, ledger: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    store = open_store(str(tmp_path / "store"))
    etag = store.put("code/a.yaml", spec_text("a").encode(), expected=MISSING)
    mirror = StoreMirror(tmp_path / "mirror", store_url=str(tmp_path / "store"), shards=1, base_url=None)
    assert mirror.refresh()
    before = {path.name: path.read_bytes() for path in mirror.path.iterdir()}
    store.put(LEDGER_KEY, ledger, expected=MISSING)
    store.delete("code/a.yaml", expected=etag)
    with caplog.at_level(logging.WARNING):
        assert mirror.refresh() == []
    assert {path.name: path.read_bytes() for path in mirror.path.iterdir()} == before
    assert f"'{LEDGER_KEY}' in the store" in caplog.text
    good = b'{"format": 1, "moved_at": null, "datasets": {}}'
    store.put(LEDGER_KEY, good, expected=etag_of(store.get(LEDGER_KEY)))
    assert mirror.refresh()
