"""Notices, and channels that the test plays itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from basecamp.notifications.channels.channel import SendFailed, channel_name
from basecamp.notifications.delivery import Delivery
from basecamp.notifications.messages import Messages
from basecamp.notifications.notification import Notification, SourceChange
from basecamp.notifications.outbox import PREFIX, Outbox
from basecamp.shared.clock import ManualClock
from basecamp.shared.object_reader import ObjectReader
from dataspec.models import SourceType
from dataspec.spec.model import SlackTarget
from dataspec.store import MemoryStore


def slack(channel: str = "#data") -> SlackTarget:
    return SlackTarget(type="slack", channel=channel)


class Channels:
    """Takes messages, or refuses them as the test says.

    Attributes:
        sent: The channel and title of each message that was taken.
        tried: The channel of each message that came.
        failing: Why a channel refuses, by its name.
    """

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []
        self.tried: list[str] = []
        self.failing: dict[str, SendFailed] = {}

    def send(self, notification: Notification) -> None:
        name = channel_name(notification.target)
        self.tried.append(name)
        if name in self.failing:
            raise self.failing[name]
        self.sent.append((name, notification.title))


@pytest.fixture
def outbox(store: MemoryStore, clock: ManualClock) -> Outbox:
    return Outbox(store, clock, Messages("https://basecamp.example.com"), ObjectReader(store, clock))


@pytest.fixture
def channels() -> Channels:
    return Channels()


@pytest.fixture
def poll(outbox: Outbox, channels: Channels, clock: ManualClock) -> Iterator[Callable[[], float]]:
    """Let a replica poll once, and wait until it has sent what was due."""
    delivery = Delivery(outbox, channels, clock, "one")

    def poll() -> float:
        pause = delivery.poll()
        assert delivery.wait_until_idle(10)
        return pause

    yield poll
    delivery.end(10)


@pytest.fixture
def change(clock: ManualClock) -> Callable[..., SourceChange]:
    """Return a change of source, from manual to code unless it is said otherwise."""

    def make(dataset: str = "sales.daily", **more: Any) -> SourceChange:
        told: dict[str, Any] = {
            "dataset": dataset,
            "before": SourceType.MANUAL,
            "after": SourceType.CODE,
            "file": f"code/{dataset}.yaml",
            "previous_file": f"manual/{dataset}.yaml",
            "spec_hash": "0123456789abcdef",
            "next_run": datetime(2024, 1, 16, 9, 0, tzinfo=ZoneInfo("Asia/Seoul")),
            "at": clock.now(),
            "occurrence": "once-1",
        }
        return SourceChange(**told | more)

    return make


@pytest.fixture
def notices(store: MemoryStore) -> Callable[[], int]:
    """Count the objects in the outbox."""
    return lambda: sum(1 for _ in store.list(PREFIX))
