"""The periodic check, the check on demand, and the ledger that both keep (docs/sources.md)."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from httpx import Client

from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.notifications.outbox import OutboxEntry
from basecamp.server.wiring import build_services
from basecamp.services import Services
from basecamp.shared.clock import ManualClock
from basecamp.shared.lease import Lease
from basecamp.shared.waiting import run_through
from dataspec.catalog.cache import MemorySpecCache
from dataspec.catalog.ledger import LEDGER_KEY, NO_LEDGER, Ledger, LedgerEntry
from dataspec.catalog.reader import CatalogReader
from dataspec.models import SourceType
from dataspec.store import MemoryStore
from dataspec.store.base import MISSING, PreconditionFailed

Register = Callable[..., Any]
Publish = Callable[..., None]


def ledger(store: MemoryStore) -> Ledger:
    stored = store.get(LEDGER_KEY)
    return Ledger.read(stored) if stored else NO_LEDGER


def remove(store: MemoryStore, key: str) -> None:
    stored = store.get(key)
    assert stored is not None
    store.delete(key, expected=stored.etag)


def write(store: MemoryStore, key: str, body: bytes) -> None:
    stored = store.get(key)
    store.put(key, body, expected=stored.etag if stored else MISSING)


def changes(client: Client) -> list[tuple[str, str, str]]:
    answer = client.post("/sync")
    assert answer.status_code == 200, answer.text
    return [
        (event["change"], event["dataset_name"], event["source_type"]) for event in answer.json()["changes"]
    ]


@pytest.mark.rule("6.4", "6.6", "19.5", "22.13")
def test_a_sync_says_what_changed_since_the_last_check(
    client: Client, store: MemoryStore, register: Register, publish: Publish
) -> None:
    register()
    assert changes(client) == []
    publish()
    assert changes(client) == [("overridden", "sales.daily", "code")]
    assert changes(client) == []
    publish("sales.hourly")
    assert changes(client) == [("added", "sales.hourly", "code")]
    remove(store, "code/sales.daily.yaml")
    remove(store, "code/sales.hourly.yaml")
    assert changes(client) == [("released", "sales.daily", "manual"), ("removed", "sales.hourly", "code")]


@pytest.mark.rule("19.5")
def test_a_sync_names_the_specs_that_cannot_be_used(
    client: Client, store: MemoryStore, publish: Publish
) -> None:
    publish()
    write(store, "code/other.yaml", b"type: Dataset\nname: other.set\nowner: a@b.c\n")
    report = client.post("/sync").json()
    assert report["checked"] == 2
    assert [row["file"] for row in report["invalid"]] == ["code/other.yaml"]
    assert "query_file" in report["invalid"][0]["error"]


@pytest.mark.rule("6.1")
def test_a_dataset_keeps_the_time_it_came_through_every_switch_and_gets_another_after_an_absence(
    client: Client, store: MemoryStore, clock: ManualClock, register: Register, publish: Publish
) -> None:
    register()
    came = ledger(store).entries["sales.daily"].since
    clock.advance(3600)
    publish()
    changes(client)
    clock.advance(3600)
    remove(store, "code/sales.daily.yaml")
    changes(client)
    assert ledger(store).entries["sales.daily"].since == came
    remove(store, "manual/sales.daily.yaml")
    changes(client)
    clock.advance(3600)
    register()
    assert ledger(store).entries["sales.daily"].since == clock.now()


@pytest.mark.rule("4.8", "6.4")
def test_a_removed_dataset_stays_listed_until_no_run_of_it_is_active(
    client: Client,
    services: Services,
    store: MemoryStore,
    airflow: MemoryAirflow,
    clock: ManualClock,
    register: Register,
) -> None:
    register()
    run_id = client.post(
        "/workflows/sales.daily/runs", json={"parameters": {"execution_date": "2024-01-14"}}
    ).json()["run_id"]
    remove(store, "manual/sales.daily.yaml")
    assert changes(client) == [("removed", "sales.daily", "manual")]
    clock.advance(600)
    assert changes(client) == []
    catalog = CatalogReader(store, MemorySpecCache()).read()
    assert "sales.daily" not in catalog.effective
    assert catalog.retired["sales.daily"].spec is not None
    airflow.end("sales.daily", run_id, "success")
    assert services.check.check() == 300
    assert ledger(store).entries == {}
    assert CatalogReader(store, MemorySpecCache()).read().retired == {}


@pytest.mark.rule("4.8")
def test_a_removed_dataset_stays_for_a_minute_at_least(
    client: Client, store: MemoryStore, clock: ManualClock, register: Register
) -> None:
    register()
    remove(store, "manual/sales.daily.yaml")
    changes(client)
    clock.advance(59)
    changes(client)
    assert "sales.daily" in ledger(store).entries
    clock.advance(1)
    changes(client)
    assert ledger(store).entries == {}


@pytest.mark.rule("4.8")
def test_a_removed_dataset_stays_while_airflow_does_not_answer(
    client: Client, store: MemoryStore, airflow: MemoryAirflow, clock: ManualClock, register: Register
) -> None:
    register()
    remove(store, "manual/sales.daily.yaml")
    changes(client)
    clock.advance(3600)
    airflow.down = "connection refused"
    changes(client)
    assert "sales.daily" in ledger(store).entries


@pytest.mark.rule("6.1")
def test_modification_times_seen_by_other_replicas_do_not_change_the_ledger(
    client: Client, store: MemoryStore, clock: ManualClock, airflow: MemoryAirflow, register: Register
) -> None:
    register()
    before = store.get(LEDGER_KEY)
    body = store.get("manual/sales.daily.yaml")
    assert body is not None
    clock.advance(60)
    write(store, "manual/sales.daily.yaml", body.body)
    other = build_services(store, airflow, clock)
    assert run_through(other.check.sync(), clock).changes == []
    assert client.post("/sync").json()["changes"] == []
    assert store.get(LEDGER_KEY) == before


@pytest.mark.rule("6.2")
def test_a_ledger_that_was_lost_is_made_anew(client: Client, store: MemoryStore, register: Register) -> None:
    register()
    before = ledger(store).entries
    remove(store, LEDGER_KEY)
    assert changes(client) == [("added", "sales.daily", "manual")]
    assert ledger(store).entries == before


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b'{"format": 1}', b"\xff", b"[" * 100_000])
def test_a_ledger_that_cannot_be_read_is_made_anew(
    client: Client, store: MemoryStore, register: Register, body: bytes
) -> None:
    register()
    before = ledger(store).entries
    write(store, LEDGER_KEY, body)
    changes(client)
    assert ledger(store).entries == before


@pytest.mark.rule("6.5")
def test_one_replica_at_a_time_checks_and_another_takes_over_when_it_is_gone(
    store: MemoryStore, airflow: MemoryAirflow, clock: ManualClock, publish: Publish
) -> None:
    first, second = build_services(store, airflow, clock), build_services(store, airflow, clock)
    assert first.check.check() == 300
    clock.advance(100)
    publish()
    assert second.check.check() == pytest.approx(140)
    assert ledger(store).entries == {}
    clock.advance(140)
    assert second.check.check() == 300
    assert "sales.daily" in ledger(store).entries


@pytest.mark.rule("6.5")
def test_of_two_that_want_a_lease_at_once_one_gets_it(store: MemoryStore, clock: ManualClock) -> None:
    class Late(MemoryStore):
        """A store in which another one is first, just before a write."""

        def put(self, key: str, body: bytes, *, expected: str) -> str:
            Lease(rival, "check", "other", clock).take(60)
            return store.put(key, body, expected=expected)

        def get(self, key: str, **options: Any) -> Any:
            return store.get(key, **options)

    rival = store
    assert Lease(Late(), "check", "one", clock).take(60) == 60
    assert Lease(store, "check", "other", clock).take(60) == 0
    clock.advance(timedelta(seconds=61).total_seconds())
    assert Lease(store, "check", "one", clock).take(60) == 0


@pytest.mark.rule("6.5")
@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"owner": "other", "until": 1}'])
def test_a_damaged_lease_is_free(store: MemoryStore, clock: ManualClock, body: bytes) -> None:
    store.put("basecamp/leases/check.json", body, expected=MISSING)
    Lease(store, "check", "one", clock).release()
    assert Lease(store, "check", "one", clock).take(60) == 0
    assert Lease(store, "check", "other", clock).take(60) == 60


def told(store: MemoryStore) -> list[tuple[str, tuple[str, ...]]]:
    """Return what is in the outbox: the channel, and the datasets that it tells of."""
    entries = [
        OutboxEntry.read(body)
        for body in store.get_many([i.key for i in store.list("basecamp/outbox/")]).values()
    ]
    notices = [entry.notification for entry in entries if entry]
    return sorted(
        (str(getattr(n.target, "channel", "")), tuple(key.split("/")[0] for key in n.subjects))
        for n in notices
    )


def notify(channel: str) -> dict[str, str]:
    target = f'{{type: slack, channel: "{channel}"}}'
    zone = "  timezone: Asia/Seoul\n"
    return {zone: f"{zone}  notifications:\n    on_source_change: [{target}]\n"}


@pytest.mark.rule("6.7")
def test_a_switch_is_announced_once_to_each_channel_of_both_specs(
    client: Client, store: MemoryStore, register: Register, publish: Publish
) -> None:
    register(replace=notify("#analysts"))
    publish(replace=notify("#platform"))
    changes(client)
    assert told(store) == [("#analysts", ("sales.daily",)), ("#platform", ("sales.daily",))]
    changes(client)
    assert len(told(store)) == 2


@pytest.mark.rule("6.7")
def test_each_switch_back_and_forth_is_announced(
    client: Client, store: MemoryStore, register: Register, publish: Publish
) -> None:
    register(replace=notify("#analysts"))
    for number in range(1, 3):
        publish()
        changes(client)
        assert len(told(store)) == 2 * number - 1
        remove(store, "code/sales.daily.yaml")
        changes(client)
        assert len(told(store)) == 2 * number


@pytest.mark.rule("6.7")
def test_a_dataset_that_came_or_went_or_only_changed_is_no_switch(
    client: Client, store: MemoryStore, register: Register, publish: Publish
) -> None:
    publish(replace=notify("#platform"))
    publish(replace=notify("#platform") | {'"0 9 * * *"': '"0 8 * * *"'})
    changes(client)
    remove(store, "code/sales.daily.yaml")
    changes(client)
    register(replace=notify("#platform"))
    assert told(store) == []


@pytest.mark.rule("6.3")
def test_a_switch_is_announced_once_though_the_server_dies_before_it_writes_the_ledger(
    store: MemoryStore,
    airflow: MemoryAirflow,
    clock: ManualClock,
    register: Register,
    publish: Publish,
) -> None:
    class Dying(MemoryStore):
        """The same store, for a server that dies when it moves the ledger on."""

        def __getattribute__(self, name: str) -> Any:
            return object.__getattribute__(self, name) if name == "put" else getattr(store, name)

        def put(self, key: str, body: bytes, *, expected: str) -> str:
            if key == LEDGER_KEY:
                raise KeyboardInterrupt
            return store.put(key, body, expected=expected)

    register(replace=notify("#analysts"))
    publish()
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run_through(build_services(Dying(), airflow, clock).check.sync(), clock)
    assert len(told(store)) == 1
    assert [
        event.change
        for event in run_through(build_services(store, airflow, clock).check.sync(), clock).changes
    ] == ["overridden"]
    assert len(told(store)) == 1


@pytest.mark.rule("6.3")
def test_a_switch_is_announced_once_though_other_replicas_write_the_ledger_meanwhile(
    client: Client,
    store: MemoryStore,
    airflow: MemoryAirflow,
    clock: ManualClock,
    register: Register,
    publish: Publish,
) -> None:
    class Contended(MemoryStore):
        """The same store; another server registers something just before the ledger is written."""

        others = 3

        def __getattribute__(self, name: str) -> Any:
            return object.__getattribute__(self, name) if name in {"put", "others"} else getattr(store, name)

        def put(self, key: str, body: bytes, *, expected: str) -> str:
            if key == LEDGER_KEY and self.others:
                self.others -= 1
                entries = dict(ledger(store).entries)
                since = entries["sales.daily"].since
                entries[f"other.{self.others}"] = LedgerEntry(
                    since=since, source=SourceType.CODE, versions={}, removed_at=clock.now()
                )
                write(store, LEDGER_KEY, Ledger(moved_at=clock.now(), entries=entries).body())
            return store.put(key, body, expected=expected)

    register(replace=notify("#analysts"))
    publish()
    assert [
        event.change
        for event in run_through(build_services(Contended(), airflow, clock).check.sync(), clock).changes
    ] == ["overridden"]
    assert len(told(store)) == 1


@pytest.mark.rule("6.3")
def test_a_thousand_removed_files_are_announced_in_one_message_and_no_version_is_lost(
    client: Client, store: MemoryStore, clock: ManualClock, make_yaml: Callable[..., str]
) -> None:
    names = [f"sales.number_{number:04}" for number in range(1000)]
    for prefix in ("manual", "code"):
        write(store, f"{prefix}/query.sql", b"select '{{ execution_date }}'")
        for name in names:
            write(store, f"{prefix}/{name}.yaml", make_yaml(name, notify("#analysts")).encode())
    assert len(changes(client)) == 2000
    clock.advance(60)
    for name in names:
        remove(store, f"code/{name}.yaml")
    assert changes(client) == [("released", name, "manual") for name in names]
    assert [(channel, len(datasets)) for channel, datasets in told(store)] == [("#analysts", 1000)]
    assert {entry.source for entry in ledger(store).entries.values()} == {SourceType.MANUAL}


@pytest.mark.rule("6.4")
def test_of_many_changes_at_once_none_writes_a_ledger_that_another_has_replaced(
    airflow: MemoryAirflow, clock: ManualClock, make_yaml: Callable[..., str]
) -> None:
    class Slow(MemoryStore):
        """Counts the writes of the ledger, each of which takes a moment."""

        written = refused = 0

        def put(self, key: str, body: bytes, *, expected: str) -> str:
            if key != LEDGER_KEY:
                return super().put(key, body, expected=expected)
            time.sleep(0.02)
            try:
                etag = super().put(key, body, expected=expected)
            except PreconditionFailed:
                self.refused += 1
                raise
            self.written += 1
            return etag

    store = Slow(now=clock.now)
    services = build_services(store, airflow, clock)

    def publish(number: int) -> None:
        name = f"sales.number_{number}"
        store.put(f"code/{name}.yaml", make_yaml(name).encode(), expected=MISSING)
        run_through(services.check.sync(), clock)

    store.put("code/query.sql", b"SELECT 1", expected=MISSING)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(publish, range(16)))
    assert len(ledger(store).entries) == 16
    assert store.refused == 0
    assert store.written <= 16
