"""Delivery: claims, back-off, and one channel's trouble that is no other's."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from basecamp.notifications.channels.channel import SendFailed, channel_name
from basecamp.notifications.delivery import CLAIM, Delivery
from basecamp.notifications.messages import Messages
from basecamp.notifications.notification import Notification, SourceChange
from basecamp.notifications.outbox import PREFIX, Outbox, OutboxEntry
from basecamp.shared.clock import ManualClock
from basecamp.shared.object_reader import ObjectReader
from dataspec.errors import StoreUnreachable
from dataspec.store import MemoryStore
from dataspec.store.base import MISSING, ObjectInfo
from unit.basecamp.notifications.conftest import Channels, slack

Change = Callable[..., SourceChange]
Poll = Callable[[], float]


def only_entry(store: MemoryStore) -> tuple[str, str, OutboxEntry]:
    (info,) = store.list(PREFIX)
    stored = store.get(info.key)
    assert stored is not None
    entry = OutboxEntry.read(stored)
    assert entry is not None
    return info.key, info.etag, entry


def only(store: MemoryStore, channel: str) -> OutboxEntry:
    stored = store.get_many(info.key for info in store.list(PREFIX)).values()
    entries = [entry for found in stored if (entry := OutboxEntry.read(found))]
    (entry,) = (entry for entry in entries if entry.notification.target == slack(channel))
    return entry


@pytest.mark.rule("25.3")
def test_a_channel_that_fails_is_tried_again_later_each_time(
    outbox: Outbox, change: Change, channels: Channels, poll: Poll, clock: ManualClock, store: MemoryStore
) -> None:
    channels.failing["slack #data"] = SendFailed("no")
    outbox.announce([(change(), [slack()])])
    waits = []
    for _ in range(10):
        poll()
        waits.append((only_entry(store)[2].due_at - clock.now()).total_seconds())
        clock.advance(waits[-1] - 1)
        tries = len(channels.tried)
        poll()
        assert len(channels.tried) == tries
        clock.advance(1)
    assert waits == [5, 10, 20, 40, 80, 160, 320, 640, 900, 900]


@pytest.mark.rule("25.3")
def test_a_channel_says_itself_when_to_come_again(
    outbox: Outbox, change: Change, channels: Channels, poll: Poll, clock: ManualClock
) -> None:
    channels.failing["slack #data"] = SendFailed("busy", retry_after=120)
    outbox.announce([(change(), [slack()])])
    poll()
    outbox.announce([(change("sales.other"), [slack()])])
    channels.failing.clear()
    clock.advance(119)
    poll()
    assert channels.sent == []
    clock.advance(1)
    poll()
    assert len(channels.sent) == 2


@pytest.mark.rule("25.3")
def test_a_message_is_given_up_after_a_day_and_not_before(
    outbox: Outbox, change: Change, channels: Channels, clock: ManualClock
) -> None:
    delivery = Delivery(outbox, channels, clock, "one")
    channels.failing["slack #data"] = SendFailed("channel_not_found")
    outbox.announce([(change(), [slack()])])
    for _ in range(24 * 4 - 1):
        delivery.poll()
        assert delivery.wait_until_idle(120)
        clock.advance(900)
    delivery.poll()
    assert delivery.wait_until_idle(120)
    delivery.poll()
    assert [(failing.waiting, failing.given_up) for failing in delivery.failing()] == [(1, 0)]
    clock.advance(900)
    delivery.poll()
    assert delivery.wait_until_idle(120)
    tries = len(channels.tried)
    clock.advance(900)
    delivery.poll()
    assert delivery.wait_until_idle(120)
    assert len(channels.tried) == tries
    (failing,) = delivery.failing()
    assert (failing.name, failing.waiting, failing.given_up) == ("slack #data", 0, 1)


@pytest.mark.rule("25.4")
def test_a_failing_channel_holds_up_no_other(
    outbox: Outbox, change: Change, channels: Channels, poll: Poll, clock: ManualClock
) -> None:
    channels.failing["slack #down"] = SendFailed("no")
    outbox.announce([(change(), [slack("#down"), slack("#up")])])
    poll()
    assert channels.sent == [("slack #up", "sales.daily: manual → code")]
    channels.failing.clear()
    clock.advance(5)
    poll()
    assert channels.sent[1:] == [("slack #down", "sales.daily: manual → code")]


def test_a_channel_that_is_down_is_not_tried_with_every_message_that_waits(
    outbox: Outbox, change: Change, channels: Channels, poll: Poll, clock: ManualClock
) -> None:
    channels.failing["slack #data"] = SendFailed("no")
    for number in range(50):
        outbox.announce([(change(occurrence=f"once-{number}"), [slack()])])
    poll()
    assert len(channels.tried) == 2
    poll()
    assert len(channels.tried) == 2
    channels.failing.clear()
    clock.advance(5)
    poll()
    assert len(channels.sent) == 50


def test_a_message_that_alone_is_refused_holds_up_none_behind_it(
    outbox: Outbox, change: Change, clock: ManualClock
) -> None:
    class Picky(Channels):
        def send(self, notification: Notification) -> None:
            if "poison" in notification.title:
                raise SendFailed("invalid_blocks")
            super().send(notification)

    channels = Picky()
    delivery = Delivery(outbox, channels, clock, "one")
    outbox.announce([(change("a.poison"), [slack()])])
    clock.advance(1)
    for number in range(3):
        outbox.announce([(change("sales.daily", occurrence=f"once-{number}x"), [slack()])])
    delivery.poll()
    assert delivery.wait_until_idle(120)
    assert len(channels.sent) == 3


def test_a_claim_of_a_replica_that_died_ends_and_the_message_comes(
    outbox: Outbox, change: Change, channels: Channels, poll: Poll, clock: ManualClock, store: MemoryStore
) -> None:
    outbox.announce([(change(), [slack()])])
    key, etag, entry = only_entry(store)
    assert outbox.put(key, etag, entry.claimed("dead", clock.now() + CLAIM))
    clock.advance(CLAIM.total_seconds() - 1)
    poll()
    assert channels.sent == []
    clock.advance(1)
    poll()
    assert len(channels.sent) == 1


@pytest.mark.rule("25.2")
def test_of_two_replicas_that_want_a_notice_one_sends_it(
    outbox: Outbox, change: Change, channels: Channels, clock: ManualClock, store: MemoryStore
) -> None:
    outbox.announce([(change(), [slack(f"#c{number}") for number in range(20)])])
    replicas = [
        Delivery(
            Outbox(store, clock, Messages(None), ObjectReader(store, clock)),
            channels,
            clock,
            f"replica-{number}",
        )
        for number in range(3)
    ]
    together = threading.Barrier(3)

    def take_part(replica: Delivery) -> None:
        together.wait()
        replica.poll()

    threads = [threading.Thread(target=take_part, args=(replica,)) for replica in replicas]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(replica.wait_until_idle(120) for replica in replicas)
    assert sorted(name for name, _ in channels.sent) == sorted(f"slack #c{number}" for number in range(20))


@pytest.mark.rule("25.4")
def test_a_hanging_channel_is_left_to_itself_and_counts_as_failing(
    outbox: Outbox, change: Change, clock: ManualClock, store: MemoryStore
) -> None:
    released, hanging, taken = threading.Event(), threading.Event(), threading.Event()

    class Hanging(Channels):
        def send(self, notification: Notification) -> None:
            if channel_name(notification.target) == "slack #hangs":
                hanging.set()
                released.wait()
                taken.set()
            super().send(notification)

    channels = Hanging()
    delivery = Delivery(outbox, channels, clock, "one")
    outbox.announce([(change(), [slack("#hangs")])])
    delivery.poll()
    assert hanging.wait(120)
    outbox.announce([(change(), [slack("#up")])])
    delivery.poll()
    clock.advance(41)
    delivery.poll()
    assert delivery.wait_until_idle(120)
    delivery.poll()
    assert channels.sent == [("slack #up", "sales.daily: manual → code")]
    assert [(failing.name, failing.error) for failing in delivery.failing()] == [
        ("slack #hangs", "no answer within 40 s")
    ]
    released.set()
    assert taken.wait(120)
    deadline = time.monotonic() + 120
    while only(store, "#hangs").sent_at is None:  # it took the message in the end
        assert time.monotonic() < deadline
        delivery.poll()
        assert delivery.wait_until_idle(120)
    clock.advance(900)
    delivery.poll()
    assert delivery.wait_until_idle(120)
    assert len(channels.sent) == 2
    assert delivery.failing() == ()


def test_what_was_sent_and_could_not_be_marked_is_not_sent_again_by_the_replica(
    change: Change, channels: Channels, clock: ManualClock
) -> None:
    class Failing(MemoryStore):
        def put(self, key: str, body: bytes, *, expected: str) -> str:
            if b'"sent_at": "' in body and self.down:
                raise StoreUnreachable("The store does not answer.")
            return super().put(key, body, expected=expected)

        down = True

    store = Failing(now=clock.now)
    outbox = Outbox(store, clock, Messages(None), ObjectReader(store, clock))
    delivery = Delivery(outbox, channels, clock, "one")
    outbox.announce([(change(), [slack()])])
    delivery.poll()
    assert delivery.wait_until_idle(120)
    clock.advance(CLAIM.total_seconds() + 1)
    store.down = False
    delivery.poll()
    assert delivery.wait_until_idle(120)
    assert len(channels.sent) == 1
    assert only_entry(store)[2].sent_at is not None


def test_an_error_that_nobody_expected_shows_its_kind_alone(
    outbox: Outbox, change: Change, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Channels):
        def send(self, notification: Notification) -> None:
            raise RuntimeError("https://user:secret@hooks.example.com")

    delivery = Delivery(outbox, Broken(), clock, "one")
    outbox.announce([(change(), [slack()])])
    delivery.poll()
    assert delivery.wait_until_idle(120)
    delivery.poll()
    assert delivery.failing()[0].error == "sending failed (RuntimeError)"
    assert "secret" not in caplog.text


def test_a_failed_message_is_due_before_the_next_regular_look(
    outbox: Outbox, change: Change, channels: Channels, poll: Poll
) -> None:
    channels.failing["slack #data"] = SendFailed("no")
    outbox.announce([(change(), [slack()])])
    poll()
    assert poll() == pytest.approx(5)


def test_a_replica_that_ends_begins_nothing_new(
    outbox: Outbox, change: Change, channels: Channels, clock: ManualClock
) -> None:
    delivery = Delivery(outbox, channels, clock, "one")
    outbox.announce([(change(), [slack()])])
    delivery.end(1)
    delivery.poll()
    assert delivery.wait_until_idle(120)
    assert channels.tried == []


def test_a_notice_of_an_unknown_form_is_passed_over(
    outbox: Outbox, change: Change, channels: Channels, poll: Poll, store: MemoryStore
) -> None:
    store.put(f"{PREFIX}other.json", b'{"format": 99}', expected="*missing*")
    store.put(f"{PREFIX}broken.json", b"\xff{", expected="*missing*")
    outbox.announce([(change(), [slack()])])
    poll()
    assert len(channels.sent) == 1


def test_a_store_that_does_not_answer_stops_no_later_look(change: Change, clock: ManualClock) -> None:
    class Down(MemoryStore):
        down = False

        def list(self, prefix: str) -> Iterator[ObjectInfo]:
            if self.down:
                raise StoreUnreachable("The store does not answer.")
            return super().list(prefix)

    store, channels = Down(now=clock.now), Channels()
    outbox = Outbox(store, clock, Messages(None), ObjectReader(store, clock))
    outbox.announce([(change(), [slack()])])
    delivery = Delivery(outbox, channels, clock, "one")
    store.down = True
    delivery.poll()
    store.down = False
    clock.advance(timedelta(seconds=10).total_seconds())
    delivery.poll()
    assert delivery.wait_until_idle(120)
    assert len(channels.sent) == 1


@pytest.mark.rule("5.21")
def test_a_notice_of_a_newer_format_is_left_to_newer_replicas_and_holds_no_other_up(
    outbox: Outbox, change: Change, channels: Channels, poll: Poll, store: MemoryStore
) -> None:
    store.put(f"{PREFIX}0.json", b'{"format": 99}', expected=MISSING)
    outbox.announce([(change(), [slack()])])
    poll()
    assert len(channels.tried) == 1
    stored = store.get(f"{PREFIX}0.json")
    assert stored is not None
    assert stored.body == b'{"format": 99}'
