"""What this replica can't read is told once, however many threads meet it at a time."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest

from basecamp.shared.clock import ManualClock
from basecamp.shared.object_reader import ObjectReader
from dataspec.errors import NewerFormat
from dataspec.store import MemoryStore

KEY = "basecamp/backfills/active/a.b.json"
PATIENCE_SECONDS = 120


class MeetingClock(ManualClock):
    """A clock at which two threads meet: each asks it before it notes what it has found."""

    def __init__(self) -> None:
        super().__init__(datetime(2024, 1, 15, tzinfo=UTC))
        self._both = threading.Barrier(2)

    def monotonic(self) -> float:
        self._both.wait(PATIENCE_SECONDS)
        return super().monotonic()


@pytest.mark.rule("5.21")
def test_two_threads_that_meet_an_object_at_once_log_it_once(caplog: pytest.LogCaptureFixture) -> None:
    objects = ObjectReader(MemoryStore(), MeetingClock())
    error = NewerFormat(KEY, 99, 1)
    threads = [threading.Thread(target=objects.note, args=(KEY, error)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert caplog.messages == [error.title]
