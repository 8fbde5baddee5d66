"""Replicas, the store and Airflow have clocks that differ: nothing waits, ends or starts by another machine's clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from httpx import Client, Response

from basecamp.airflow.models import RunFilter
from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.airflow.testing.dag_processor import MemoryDags
from basecamp.api.app import create_app
from basecamp.notifications.channels.channel import SendFailed
from basecamp.notifications.delivery import CLAIM, Delivery
from basecamp.notifications.messages import Messages
from basecamp.notifications.notification import Notification, SourceChange
from basecamp.notifications.outbox import Outbox
from basecamp.runs.all_runs import all_runs
from basecamp.server.wiring import build_services
from basecamp.services import Services
from basecamp.shared.clock import ManualClock, earlier_now
from basecamp.shared.lease import Lease
from basecamp.shared.object_reader import ObjectReader
from basecamp.shared.waiting import run_through
from dataspec.models import SourceType
from dataspec.spec.model import SlackTarget
from dataspec.store import MemoryStore

Register = Callable[..., Response]
NOW = datetime(2024, 1, 15, 9, 30, 45, tzinfo=UTC)
SKEWS = [timedelta(minutes=10), timedelta(minutes=-10)]
skewed = pytest.mark.parametrize("skew", SKEWS, ids=["ahead", "behind"])

CHANGE = SourceChange(
    dataset="sales.daily",
    before=SourceType.MANUAL,
    after=SourceType.CODE,
    file="code/sales.daily.yaml",
    previous_file="manual/sales.daily.yaml",
    spec_hash="1",
    at=NOW,
    occurrence="1",
)


class Machine(ManualClock):
    """The clock of one more machine: it differs from that of the store and Airflow, and both go on at once."""

    def __init__(self, clock: ManualClock, skew: timedelta) -> None:
        super().__init__(clock.now() + skew)
        self._clock = clock

    def advance(self, seconds: float) -> None:
        super().advance(seconds)
        self._clock.advance(seconds)


@pytest.mark.rule("6.5")
@skewed
def test_a_lease_ends_when_its_object_has_not_changed_for_its_duration(
    store: MemoryStore, clock: ManualClock, skew: timedelta
) -> None:
    ours = Machine(clock, skew)
    theirs = Lease(store, "backfills/a", "theirs", clock)
    watching = Lease(store, "backfills/a", "ours", ours)
    assert theirs.take(8) == 0
    assert watching.take(8) == 8
    for _ in range(4):  # it is renewed in time
        ours.advance(3)
        assert theirs.take(8) == 0
        assert watching.take(8) == 8
    ours.advance(5)
    assert watching.take(8) == 3
    ours.advance(3)  # its owner has died
    assert watching.take(8) == 0


@pytest.mark.rule("6.5")
@skewed
def test_a_replica_that_sees_a_lease_for_the_first_time_knows_its_age_by_the_stores_clock(
    store: MemoryStore, clock: ManualClock, skew: timedelta
) -> None:
    owners = ManualClock(clock.now() + skew)
    assert Lease(store, "check", "theirs", owners).take(300) == 0
    clock.advance(200)
    assert Lease(store, "check", "ours", ManualClock(NOW - skew)).take(300) == 100
    clock.advance(100)
    assert Lease(store, "check", "ours", ManualClock(NOW - skew)).take(300) == 0


@pytest.mark.rule("6.5")
@skewed
def test_a_clock_that_is_set_meanwhile_ends_no_lease_that_is_watched(
    clock: ManualClock, skew: timedelta
) -> None:
    set_by = timedelta(0)

    class SetClock(Machine):
        def now(self) -> datetime:
            return super().now() + set_by

    store, ours = MemoryStore(now=lambda: clock.now() + set_by), SetClock(clock, timedelta(0))
    theirs = Lease(store, "backfills/a", "theirs", clock)
    watching = Lease(store, "backfills/a", "ours", ours)
    assert theirs.take(8) == 0
    assert watching.take(8) == 8
    set_by = skew
    assert watching.take(8) == 8
    ours.advance(3)
    assert theirs.take(8) == 0  # its object changes, before the store's clock is set once more
    set_by = 2 * skew
    assert watching.take(8) == 8
    ours.advance(8)
    assert watching.take(8) == 0


@pytest.fixture
def replica(
    store: MemoryStore, airflow: MemoryAirflow, dags: MemoryDags, client_of: Callable[[Any], Client]
) -> Callable[[ManualClock], tuple[Services, Client]]:
    """Return a replica with a clock of its own."""

    def make(own: ManualClock) -> tuple[Services, Client]:
        own.on_wait.append(dags.refresh)
        services = build_services(store, airflow, own)
        return services, client_of(create_app(services))

    return make


@pytest.mark.rule("12.2")
@skewed
def test_no_logical_date_lies_in_the_future(
    replica: Callable[[ManualClock], tuple[Services, Client]],
    register: Register,
    airflow: MemoryAirflow,
    clock: ManualClock,
    skew: timedelta,
) -> None:
    register()
    ours = Machine(clock, skew)
    services, client = replica(ours)
    body = {"parameters": {"execution_date": "2024-01-14"}}
    for _ in range(3):  # in one second
        assert client.post("/workflows/sales.daily/runs", json=body).status_code == 201
    dates = {"start": "2024-01-01", "end": "2024-01-01"}
    assert client.post("/workflows/sales.daily/backfills", json=dates).status_code == 201
    ours.advance(1)
    run_through(services.backfill_steps.advance("sales.daily"), ours)
    logical = [run.logical_date for run in all_runs(airflow, RunFilter())]
    assert len(set(logical)) == 4
    assert all(date is not None and date <= min(clock.now(), ours.now()) for date in logical)


@pytest.mark.rule("14.9")
@skewed
def test_a_stopped_backfill_waits_for_a_run_on_its_way_by_no_other_clock(
    replica: Callable[[ManualClock], tuple[Services, Client]],
    register: Register,
    airflow: MemoryAirflow,
    store: MemoryStore,
    clock: ManualClock,
    skew: timedelta,
) -> None:
    register()
    first, client = replica(clock)
    dates = {"start": "2024-01-01", "end": "2024-01-01"}
    started = client.post("/workflows/sales.daily/backfills", json=dates).json()["backfill_id"]
    run_through(first.backfill_steps.advance("sales.daily"), clock)
    airflow.delete_run("sales.daily", f"{started}_20240101")  # as if it were still on its way
    ours = Machine(clock, skew)
    ours.advance(5)
    other, stopping = replica(ours)
    begun = ours.monotonic()
    assert stopping.post(f"/backfills/{started}/stop").json()["status"] == "KILLED"
    assert 39 <= ours.monotonic() - begun <= 45
    assert other.backfill_steps.plans.active("sales.daily") is None


@pytest.mark.rule("25.2")
@skewed
def test_a_claim_and_a_retry_of_another_replica_end_by_no_other_clock(
    store: MemoryStore, clock: ManualClock, skew: timedelta
) -> None:
    sent: list[str] = []
    refused = [True]

    class Channels:
        def send(self, notification: Notification) -> None:
            if refused:
                refused.pop()
                raise SendFailed("no")
            sent.append(notification.title)

    ours = Machine(clock, skew)
    theirs = Outbox(store, clock, Messages(None), ObjectReader(store, clock))
    target = SlackTarget(type="slack", channel="#data")
    theirs.announce([(CHANGE, [target])])
    first = Delivery(theirs, Channels(), clock, "theirs")
    first.poll()
    assert first.wait_until_idle(10)
    second = Delivery(
        Outbox(store, ours, Messages(None), ObjectReader(store, ours)), Channels(), ours, "ours"
    )

    def poll() -> int:
        second.poll()
        assert second.wait_until_idle(10)
        return len(sent)

    ours.advance(4)
    assert poll() == 0  # the first retry comes after 5 seconds
    ours.advance(1)
    assert poll() == 1
    theirs.announce([(replace(CHANGE, occurrence="2"), [target])])
    (entry,) = [found for found in theirs.entries() if found.entry.sent_at is None]
    assert theirs.put(entry.key, entry.etag, entry.entry.claimed("theirs", clock.now() + CLAIM))
    ours.advance(59)
    assert poll() == 1
    ours.advance(1)
    assert poll() == 2


@pytest.mark.rule("18.20")
@pytest.mark.parametrize(("seconds", "side"), [(600, "600 s ahead of"), (-600, "600 s behind"), (4, None)])
def test_a_clock_that_differs_is_a_warning_in_the_log_and_in_readyz_and_no_failure(
    replica: Callable[[ManualClock], tuple[Services, Client]],
    clock: ManualClock,
    caplog: pytest.LogCaptureFixture,
    seconds: int,
    side: str | None,
) -> None:
    services, client = replica(Machine(clock, timedelta(seconds=seconds)))
    services.readiness.look()
    answer = client.get("http://test/readyz")
    said = [f"This machine's clock is {side} {whose}." for whose in ("the store's", "Airflow's")]
    found = answer.json()["checks"].get("clock", "")
    assert answer.status_code == 200
    assert (answer.json()["status"], bool(found)) == (("degraded", True) if side else ("ready", False))
    assert all((told in found) is bool(side) for told in said)
    assert all((told in caplog.text) is bool(side) for told in said)


@pytest.mark.rule("18.20")
def test_a_clock_that_goes_on_to_differ_is_told_once_a_minute(
    replica: Callable[[ManualClock], tuple[Services, Client]],
    clock: ManualClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    ours = Machine(clock, timedelta(minutes=10))
    services, _ = replica(ours)
    told = []
    for _ in range(25):  # in two minutes, as often as the checks look
        services.readiness.look()
        told.append(sum("clock is 600 s ahead of" in line for line in caplog.messages))
        ours.advance(5)
    # The store's and Airflow's, at the first look and after each minute.
    assert told == [2] * 12 + [4] * 12 + [6]
    assert "clock" in services.readiness.check().checks


@pytest.mark.rule("12.2")
@pytest.mark.parametrize(
    ("ahead", "expected"), [(0.7, 0.7), (-600, -600), (1.2, 0)], ids=["by a fraction", "behind", "ahead"]
)
def test_airflows_time_counts_where_ours_is_ahead_of_it_by_more_than_its_precision(
    ahead: float, expected: float
) -> None:
    airflow, ours = MemoryAirflow(now=lambda: NOW), ManualClock(NOW + timedelta(seconds=ahead))
    assert earlier_now(airflow, ours) == NOW + timedelta(seconds=expected)
