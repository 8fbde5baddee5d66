from __future__ import annotations

import threading
import time

import pytest

from dataspec.sql import tokens


def test_one_thread_at_a_time_loads_a_dialect(monkeypatch: pytest.MonkeyPatch) -> None:
    """sqlglot registers a dialect before its rules are complete, so a second thread would read SQL by generic ones."""
    loading: list[str] = []
    most: list[int] = []

    def load(name: str) -> str:
        loading.append(name)
        time.sleep(0.05)
        most.append(len(loading))
        loading.remove(name)
        return name

    monkeypatch.setattr("sqlglot.dialects.dialect.Dialect.get_or_raise", load)
    tokens.sqlglot_dialect.cache_clear()
    threads = [threading.Thread(target=tokens.sqlglot_dialect, args=(f"d{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tokens.sqlglot_dialect.cache_clear()
    assert most == [1, 1, 1, 1]
