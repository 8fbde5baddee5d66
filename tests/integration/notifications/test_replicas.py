"""Several replicas over one store, and what happens to a message when one is killed."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from basecamp.notifications import delivery
from basecamp.notifications.channels.sending import ChannelSender
from basecamp.notifications.delivery import CLAIM, Delivery
from basecamp.notifications.messages import Messages
from basecamp.notifications.notification import Notification, SourceChange
from basecamp.notifications.outbox import PREFIX, Outbox, OutboxEntry
from basecamp.notifications.settings import NotificationSettings
from basecamp.shared.clock import ManualClock, SystemClock
from basecamp.shared.object_reader import ObjectReader
from dataspec.models import SourceType
from dataspec.spec.model import SlackTarget
from dataspec.store import Store, open_store
from receivers import SLACK_TOKEN, Slack

PATIENCE_SECONDS = 120


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def to(channel: str) -> SlackTarget:
    return SlackTarget(type="slack", channel=channel)


def change(dataset: str = "sales.daily") -> SourceChange:
    return SourceChange(
        dataset=dataset,
        before=SourceType.MANUAL,
        after=SourceType.CODE,
        file=f"code/{dataset}.yaml",
        previous_file=f"manual/{dataset}.yaml",
        spec_hash="0123456789abcdef",
        at=datetime.now(UTC),
        occurrence="once",
    )


def entries(store: Store) -> list[OutboxEntry]:
    stored = store.get_many(info.key for info in store.list(PREFIX)).values()
    return [entry for found in stored if (entry := OutboxEntry.read(found))]


@pytest.fixture
def slack() -> Iterator[Slack]:
    with Slack() as slack:
        yield slack


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


@pytest.fixture
def sender(slack: Slack) -> ChannelSender:
    return ChannelSender(NotificationSettings(slack_token=SLACK_TOKEN, slack_api_url=slack.api_url))


class Replica:
    """Delivers in a thread, as the server does."""

    def __init__(self, store: Store, sender: ChannelSender, name: str) -> None:
        clock = SystemClock()
        self.outbox = Outbox(store, clock, Messages(None), ObjectReader(store, clock))
        self.delivery = Delivery(self.outbox, sender, clock, name)
        self._thread = threading.Thread(target=self.delivery.loop.run, daemon=True)
        self._thread.start()

    def end(self) -> None:
        self.delivery.end(PATIENCE_SECONDS)
        self._thread.join(PATIENCE_SECONDS)


@pytest.fixture
def _next_look_is_far(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what waits for the next look wait for an hour."""
    monkeypatch.setattr(delivery, "POLL_SECONDS", 3600.0)


@pytest.fixture
def replicas(store: Store, sender: ChannelSender) -> Iterator[list[Replica]]:
    started = [Replica(store, sender, f"replica-{number}") for number in range(3)]
    yield started
    for replica in started:
        replica.end()


@pytest.mark.rule("1.7", "25.2")
def test_three_replicas_that_all_find_a_change_tell_it_once(
    replicas: list[Replica], slack: Slack, store: Store
) -> None:
    together = threading.Barrier(3)

    def find(replica: Replica) -> None:
        together.wait()
        replica.outbox.announce([(change(), [to("#data"), to("#other")])])

    threads = [threading.Thread(target=find, args=(replica,)) for replica in replicas]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_until(lambda: len(entries(store)) == 2 and all(entry.sent_at for entry in entries(store)))
    for replica in replicas:
        replica.delivery.poll()
        assert replica.delivery.wait_until_idle(PATIENCE_SECONDS)
    assert (slack.count("#data"), slack.count("#other")) == (1, 1)


@pytest.mark.usefixtures("_next_look_is_far")
def test_what_is_put_in_is_sent_at_once_and_not_at_the_next_look(
    replicas: list[Replica], slack: Slack
) -> None:
    replicas[0].outbox.announce([(change(), [to("#data")])])
    wait_until(lambda: slack.count("#data") == 1)


@pytest.mark.usefixtures("_next_look_is_far")
def test_what_is_put_in_while_its_channel_is_busy_is_sent_right_after(
    store: Store, sender: ChannelSender, slack: Slack
) -> None:
    replica = Replica(store, sender, "one")
    try:
        slack.hang()
        replica.outbox.announce([(change("sales.first"), [to("#data")])])
        wait_until(lambda: any(entry.claimed_by for entry in entries(store)))
        replica.outbox.announce([(change("sales.second"), [to("#data")])])
        slack.release()
        wait_until(lambda: slack.count("#data") == 2)
    finally:
        slack.release()
        replica.end()


@pytest.mark.rule("25.2")
def test_a_replica_that_is_killed_while_it_sends_leaves_the_message_to_the_others(
    store: Store, slack: Slack, sender: ChannelSender, tmp_path: Path
) -> None:
    Outbox(store, SystemClock(), Messages(None), ObjectReader(store, SystemClock())).announce(
        [(change(), [to("#data")])]
    )
    slack.hang()
    script = str(Path(__file__).with_name("replica.py"))
    killed = subprocess.Popen([sys.executable, script, str(tmp_path / "store"), slack.api_url, SLACK_TOKEN])
    try:
        wait_until(lambda: any(entry.claimed_by == "killed" for entry in entries(store)))
    finally:
        killed.kill()
        killed.wait()
    slack.release(drop=True)  # Slack never took what the killed one was sending
    (claimed,) = entries(store)
    assert claimed.sent_at is None
    clock = ManualClock(datetime.now(UTC))
    other = Delivery(Outbox(store, clock, Messages(None), ObjectReader(store, clock)), sender, clock, "other")
    other.poll()
    assert other.wait_until_idle(PATIENCE_SECONDS)
    assert entries(store) == [claimed]
    clock.advance((CLAIM + timedelta(seconds=1)).total_seconds())
    other.poll()
    assert other.wait_until_idle(PATIENCE_SECONDS)
    (sent,) = entries(store)
    assert sent.sent_at is not None
    assert slack.count("#data") == 1


@pytest.mark.rule("25.4")
def test_a_channel_that_hangs_holds_up_no_other_of_its_kind(store: Store, slack: Slack) -> None:
    with Slack() as hanging:
        hanging.hang()

        class Both(ChannelSender):
            """Slack, where one channel's messages get no answer."""

            def __init__(self) -> None:
                settings = NotificationSettings(slack_token=SLACK_TOKEN, slack_api_url=slack.api_url)
                super().__init__(settings)
                self._hanging = ChannelSender(
                    NotificationSettings(slack_token=SLACK_TOKEN, slack_api_url=hanging.api_url)
                )

            def send(self, notification: Notification) -> None:
                if notification.target == to("#hangs"):
                    self._hanging.send(notification)
                else:
                    super().send(notification)

        replica = Replica(store, Both(), "one")
        try:
            targets = [to("#hangs"), *(to(f"#c{number}") for number in range(10))]
            replica.outbox.announce([(change(), targets)])
            wait_until(lambda: len(slack.messages) == 10)
            assert hanging.messages == []
            hanging.release()
            wait_until(lambda: hanging.count("#hangs") == 1)
        finally:
            hanging.release()
            replica.end()


@pytest.mark.rule("25.2")
def test_a_channel_that_was_down_gets_its_message_when_it_is_up_again(
    store: Store, slack: Slack, replicas: list[Replica]
) -> None:
    slack.channels = {"#up"}
    replicas[1].outbox.announce([(change(), [to("#down"), to("#up")])])
    wait_until(lambda: slack.count("#up") == 1 and slack.refused > 0)
    assert slack.count("#down") == 0
    slack.channels = None
    wait_until(lambda: all(entry.sent_at for entry in entries(store)))
    assert (slack.count("#up"), slack.count("#down")) == (1, 1)
