"""Work that a thread repeats: an error ends no loop, and is logged once until a call succeeds."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from basecamp.shared.background import BackgroundLoop
from dataspec.errors import StoreUnreachable

PATIENCE_SECONDS = 120


def failing(error: Exception) -> Callable[[], float]:
    def turn() -> float:
        raise error

    return turn


def test_an_unreachable_part_is_logged_once_until_a_call_succeeds(caplog: pytest.LogCaptureFixture) -> None:
    answers = iter([False, False, True, False])

    def turn() -> float:
        if next(answers):
            return 5.0
        raise StoreUnreachable("The store does not answer.")

    loop = BackgroundLoop("check", turn, retry_seconds=7)
    assert [loop.call() for _ in range(4)] == [7, 7, 5, 7]
    assert caplog.text.count("The check failed: The store does not answer.") == 2


def test_an_unexpected_error_is_logged_with_its_trace_and_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    loop = BackgroundLoop("check", failing(RuntimeError("a bug")), retry_seconds=7)
    assert loop.call() == 7
    assert any(record.exc_info for record in caplog.records)


def test_a_loop_that_is_woken_does_not_wait_and_one_that_is_ended_returns() -> None:
    called = threading.Semaphore(0)

    def turn() -> float:
        called.release()
        return 3600.0

    loop = BackgroundLoop("check", turn, retry_seconds=7)
    thread = threading.Thread(target=loop.run)
    thread.start()
    assert called.acquire(timeout=PATIENCE_SECONDS)
    loop.wake()
    assert called.acquire(timeout=PATIENCE_SECONDS), "an hour was waited for"
    loop.end()
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()
