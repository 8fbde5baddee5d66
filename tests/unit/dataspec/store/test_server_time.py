"""What is known of a server's clock by the dates of its responses."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest

from dataspec.store.server_time import ServerClock

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class SetClock(ServerClock):
    """The clock of a server, seen from a machine whose clock the test sets."""

    at = NOW

    def local(self) -> datetime:
        return self.at


def after_responses(ahead: float, moments: Iterable[float]) -> SetClock:
    """Return the clock after responses that take 0.2 s each, of a server that is so many seconds ahead."""
    clock = SetClock()
    for moment in moments:
        sent = NOW + timedelta(seconds=moment)
        date = (sent + timedelta(seconds=ahead + 0.1)).replace(microsecond=0)
        clock.learn(date, sent, sent + timedelta(seconds=0.2))
    return clock


@pytest.mark.rule("5.24")
@pytest.mark.parametrize("ahead", [0.0, 0.4, -0.4, 600.0, -600.0])
def test_the_servers_time_is_known_ever_better_and_never_ahead_of_it(ahead: float) -> None:
    true = NOW + timedelta(seconds=ahead)
    early, better = after_responses(ahead, [0.0]), after_responses(ahead, [0.0, 7.25, 9.5, 12.75, 31.9])
    assert timedelta() <= true - early.now() <= timedelta(seconds=1.2)
    assert timedelta() <= true - better.now() <= timedelta(seconds=0.6)


def test_a_clock_that_was_set_is_followed() -> None:
    clock = after_responses(600, [0.0, 0.5])
    clock.learn(NOW, NOW, NOW + timedelta(seconds=0.2))
    assert timedelta() <= NOW - clock.now() <= timedelta(seconds=0.3)


def test_before_the_first_response_it_is_the_time_of_this_machine() -> None:
    assert SetClock().now() == NOW
