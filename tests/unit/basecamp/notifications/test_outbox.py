"""The outbox: one message for each channel and check, and none twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

import pytest

from basecamp.notifications.messages import Messages
from basecamp.notifications.notification import RunEnd, SourceChange
from basecamp.notifications.outbox import Outbox, OutboxEntry
from basecamp.shared.clock import ManualClock
from basecamp.shared.object_reader import ObjectReader
from dataspec.models import RunStatus, SourceType, WorkflowRun
from dataspec.spec.model import EmailTarget, NamedTarget, Target, WebhookTarget
from dataspec.store import Found, MemoryStore, StoredObject
from unit.basecamp.notifications.conftest import Channels, slack

Change = Callable[..., SourceChange]
Poll = Callable[[], float]


@pytest.mark.rule("25.1")
def test_a_channel_of_both_specs_is_told_once(
    outbox: Outbox, change: Change, channels: Channels, poll: Poll
) -> None:
    outbox.announce([(change(), [slack(), slack(), slack("#other")])])
    poll()
    assert sorted(channels.sent) == [
        ("slack #data", "sales.daily: manual → code"),
        ("slack #other", "sales.daily: manual → code"),
    ]


@pytest.mark.rule("25.1")
def test_several_changes_of_one_check_are_one_message_for_a_channel(
    outbox: Outbox, change: Change, channels: Channels, poll: Poll
) -> None:
    outbox.announce([(change(f"sales.t{number}"), [slack()]) for number in range(25)])
    poll()
    assert channels.sent == [("slack #data", "25 datasets changed their source")]


def test_a_message_about_many_datasets_lists_some_and_counts_the_rest(change: Change) -> None:
    message = Messages(None).of_changes([change(f"sales.t{number}") for number in range(25)])
    assert message.lines[0] == "sales.t0: manual → code (next run: 2024-01-16 09:00 Asia/Seoul)"
    assert (len(message.lines), message.lines[-1]) == (21, "… and 5 more")
    assert len(message.data["changes"]) == 25


@pytest.mark.rule("25.1")
def test_a_repeated_check_adds_no_notice(
    outbox: Outbox, change: Change, clock: ManualClock, store: MemoryStore, notices: Callable[[], int]
) -> None:
    outbox.announce([(change(), [slack()])])
    clock.advance(30)
    another_replica = Outbox(store, clock, Messages(None), ObjectReader(store, clock))
    another_replica.announce([(change(), [slack()])])
    assert notices() == 1


@pytest.mark.rule("25.1")
def test_a_check_that_is_repeated_with_more_changes_tells_only_those(
    outbox: Outbox, change: Change, channels: Channels, poll: Poll
) -> None:
    outbox.announce([(change("b.first"), [slack()])])
    outbox.announce([(change(name), [slack()]) for name in ("a.second", "b.first", "c.third")])
    outbox.announce([(change(name), [slack()]) for name in ("a.second", "b.first", "c.third", "d.fourth")])
    poll()
    assert sorted(title for _, title in channels.sent) == [
        "2 datasets changed their source",
        "b.first: manual → code",
        "d.fourth: manual → code",
    ]


def test_what_was_sent_is_not_told_again_while_it_is_remembered(
    outbox: Outbox, change: Change, channels: Channels, poll: Poll, clock: ManualClock
) -> None:
    outbox.announce([(change(), [slack()])])
    poll()
    clock.advance(timedelta(days=1).total_seconds())
    outbox.announce([(change(), [slack()])])
    poll()
    assert len(channels.sent) == 1


def test_the_same_change_on_another_day_is_told(
    outbox: Outbox, change: Change, channels: Channels, poll: Poll
) -> None:
    back = {"before": SourceType.CODE, "after": SourceType.MANUAL}
    outbox.announce([(change(), [slack()])])
    outbox.announce([(change(**back, occurrence="once-2"), [slack()])])
    outbox.announce([(change(occurrence="once-3"), [slack()])])
    poll()
    assert [title for _, title in channels.sent].count("sales.daily: manual → code") == 2


@pytest.mark.rule("25.5")
def test_sent_notices_are_removed_after_two_days(
    outbox: Outbox, change: Change, poll: Poll, clock: ManualClock, notices: Callable[[], int]
) -> None:
    outbox.announce([(change(), [slack()])])
    poll()
    clock.advance(timedelta(days=1, hours=23).total_seconds())
    poll()
    assert notices() == 1
    clock.advance(timedelta(hours=1).total_seconds())
    poll()
    assert notices() == 0


def test_each_address_of_an_e_mail_target_is_a_channel(
    outbox: Outbox, change: Change, channels: Channels, poll: Poll
) -> None:
    addresses = ["kim@example.com", "lee@example.com", "kim@example.com"]
    outbox.announce([(change(), [EmailTarget(type="email", to=addresses)])])
    poll()
    assert sorted(name for name, _ in channels.sent) == ["email kim@example.com", "email lee@example.com"]


@pytest.mark.rule("2.14")
def test_every_kind_of_target_survives_the_store(
    outbox: Outbox, change: Change, channels: Channels, poll: Poll
) -> None:
    targets: list[Target] = [
        slack(),
        EmailTarget(type="email", to="kim@example.com"),
        WebhookTarget(type="webhook", url="https://hooks.example.com/a/secret"),
        NamedTarget(type="target", name="oncall"),
    ]
    outbox.announce([(change(), targets)])
    poll()
    assert sorted(name for name, _ in channels.sent) == [
        "email kim@example.com",
        "slack #data",
        "target oncall",
        "webhook hooks.example.com",
    ]


def test_a_run_that_ends_again_after_a_retry_is_told_again(
    outbox: Outbox, clock: ManualClock, channels: Channels, poll: Poll
) -> None:
    def end() -> RunEnd:
        run = WorkflowRun(
            run_id="sales.daily_20240115_090000",
            dataset_name="sales.daily",
            status=RunStatus.FAILED,
            run_type="scheduled",
            finished_at=clock.now(),
        )
        return RunEnd(run=run)

    first = end()
    outbox.announce_run(first, [slack()])
    outbox.announce_run(first, [slack()])
    clock.advance(600)
    outbox.announce_run(end(), [slack()])
    poll()
    assert channels.sent == [("slack #data", "sales.daily failed")] * 2


def test_a_look_at_an_outbox_that_did_not_change_reads_no_notice(clock: ManualClock, change: Change) -> None:
    read: list[str] = []

    class Counting(MemoryStore):
        def get_many(self, keys: Iterable[str]) -> Found:
            wanted = list(keys)
            read.extend(wanted)
            return super().get_many(wanted)

    outbox = Outbox(
        Counting(now=clock.now), clock, Messages(None), ObjectReader(Counting(now=clock.now), clock)
    )
    outbox.announce([(change(), [slack(), slack("#other")])])
    assert len(list(outbox.entries())) == 2
    assert len(read) == 2
    assert len(list(outbox.entries())) == 2
    assert len(read) == 2


def test_an_entry_that_version_0_1_stored_is_read_and_written_in_the_same_form() -> None:
    at = "2024-01-15T09:31:00+00:00"
    notice: dict[str, object] = {
        "id": "0123456789abcdef",
        "target": {"type": "slack", "channel": "#data"},
        "told": ["sales.daily/manual/code/once-1"],
        "created_at": at,
        "event": "source_change",
        "dataset": "sales.daily",
        "title": "sales.daily: manual → code",
        "lines": ["Next run: -"],
        "links": [["Dataset", "https://basecamp.example.com/workflows/sales.daily"]],
        "data": {"changes": [{"commit": None}]},
    }
    stored: dict[str, object] = {"format": 1, "notice": notice, "attempts": 1, "due_at": at}
    stored |= {"claimed_by": None, "claimed_until": None, "failing_since": at, "asked_to_wait": False}
    stored |= {"error": "no answer", "sent_at": None, "given_up_at": None}
    entry = OutboxEntry.read(StoredObject("entry", "", json.dumps(stored).encode()))
    assert entry.notification.links[0].url == "https://basecamp.example.com/workflows/sales.daily"
    assert entry.due_at == datetime(2024, 1, 15, 9, 31, tzinfo=UTC)
    assert json.loads(entry.body().decode().replace("Z", "+00:00")) == stored
