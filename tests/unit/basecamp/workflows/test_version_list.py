"""The list of a dataset's versions, one version, and the history from which both are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from httpx import Client

from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.server.wiring import build_services
from basecamp.services import Services
from basecamp.shared.clock import ManualClock
from dataspec.catalog.ledger import LEDGER_KEY, VERSIONS_PREFIX, Ledger, version_key
from dataspec.catalog.publication import PUBLICATION_KEY, Publication
from dataspec.catalog.version_history import HISTORY_PREFIX, VersionHistory
from dataspec.store import MemoryStore, StoredObject
from dataspec.store.base import MISSING, ObjectInfo

NAME = "sales.daily"

Register = Callable[..., Any]
Publish = Callable[..., None]


def as_user(name: str) -> dict[str, str]:
    return {"Dli-User": name}


@pytest.fixture
def write(client: Client, make_yaml: Callable[..., str], clock: ManualClock) -> Callable[..., str]:
    """Register a version as a user, a minute after whatever was before; return its hash."""

    def write(cron: str = "0 9", user: str = "dana", name: str = NAME) -> str:
        clock.advance(60)
        body = {"yaml": make_yaml(name, {"0 9": cron}), "files": {"query.sql": "SELECT 1"}}
        answer = client.put(f"/datasets/{name}", json=body, headers=as_user(user))
        assert answer.is_success, answer.text
        spec_hash: str = answer.json()["spec_hash"]
        return spec_hash

    return write


def listed(client: Client, name: str = NAME, **query: Any) -> dict[str, Any]:
    answer = client.get(f"/datasets/{name}/versions", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def hashes(client: Client, **query: Any) -> list[str]:
    return [item["spec_hash"] for item in listed(client, **query)["items"]]


def keys(store: MemoryStore, prefix: str) -> list[str]:
    return [info.key for info in store.list(prefix)]


def empty(store: MemoryStore, prefix: str) -> None:
    for info in list(store.list(prefix)):
        store.delete(info.key, expected=info.etag)


@pytest.mark.rule("33.1", "33.2")
def test_versions_are_listed_with_who_wrote_them_and_what_is_registered(
    client: Client, write: Callable[..., str], clock: ManualClock
) -> None:
    first = write(user="dana")
    first_at = clock.now()
    clock.advance(60)
    changed = client.patch(f"/datasets/{NAME}", json={"cron": "0 7 * * *"}, headers=as_user("bob")).json()
    last = write(cron="0 6", user="ann")
    found = listed(client)
    assert found["next_cursor"] is None
    assert [
        (item["spec_hash"], item["written_by"], item["action"], item["registered"], item["effective"])
        for item in found["items"]
    ] == [
        (last, "ann", "register", True, True),
        (changed["spec_hash"], "bob", "update", False, False),
        (first, "dana", "register", False, False),
    ]
    assert {item["loaded"] for item in found["items"][1:]} == {False}
    assert found["items"][0]["loaded"]
    oldest = found["items"][2]
    assert (oldest["written_at"], oldest["file"]) == (
        first_at.isoformat().replace("+00:00", "Z"),
        f"manual/{NAME}.yaml",
    )


@pytest.mark.rule("33.1", "33.2")
def test_version_that_is_written_again_is_one_row_with_its_last_writer(
    client: Client, write: Callable[..., str]
) -> None:
    first, second = write(), write(cron="0 6")
    assert write(user="ann") == first
    rows = listed(client)["items"]
    assert [(row["spec_hash"], row["written_by"], row["registered"]) for row in rows] == [
        (first, "ann", True),
        (second, "dana", False),
    ]


@pytest.mark.rule("33.1")
def test_repeated_check_records_nothing_again(
    client: Client, write: Callable[..., str], services: Services, store: MemoryStore
) -> None:
    write()
    before = keys(store, HISTORY_PREFIX)
    assert len(before) == 1
    store.delete(LEDGER_KEY, expected=next(info.etag for info in store.list(LEDGER_KEY)))
    client.post("/sync")
    assert keys(store, HISTORY_PREFIX) == before


@pytest.mark.rule("33.1")
def test_version_that_was_published_has_its_commit_and_author(
    client: Client, write: Callable[..., str], publish: Publish, store: MemoryStore, clock: ManualClock
) -> None:
    write(cron="0 5")
    clock.advance(60)
    publication = Publication(commit="c0ffee", published_at=clock.now(), by="ci")
    store.put(PUBLICATION_KEY, publication.body(), expected=MISSING)
    publish()
    client.post("/sync")
    code, manual = listed(client)["items"]
    assert (code["source_type"], code["commit"], code["written_by"], code["action"]) == (
        "code",
        "c0ffee",
        "ci",
        "publish",
    )
    assert (manual["source_type"], manual["registered"], manual["effective"]) == ("manual", True, False)


@pytest.mark.rule("33.1")
def test_copy_into_code_after_the_last_publication_has_no_author(
    client: Client, write: Callable[..., str], publish: Publish, store: MemoryStore, clock: ManualClock
) -> None:
    publication = Publication(commit="c0ffee", published_at=clock.now(), by="ci")
    store.put(PUBLICATION_KEY, publication.body(), expected=MISSING)
    write(cron="0 5")
    publish()
    client.post("/sync")
    code = listed(client)["items"][0]
    assert (code["source_type"], code["commit"], code["written_by"], code["action"]) == (
        "code",
        None,
        None,
        None,
    )


@pytest.mark.rule("33.3")
def test_each_version_has_its_last_run(
    client: Client, write: Callable[..., str], start: Callable[..., str], execute: Callable[..., None]
) -> None:
    write()
    for state in ("success", "failed"):
        run_id = start()
        execute(run_id, state)
    write(cron="0 6")
    new, old = listed(client)["items"]
    assert (new["last_run_id"], new["last_run_status"], new["last_run_at"]) == (None, None, None)
    assert (old["last_run_id"], old["last_run_status"]) == (run_id, "RUNNING")  # it is to be retried


@pytest.mark.rule("33.3")
def test_without_airflow_the_versions_are_listed_without_their_runs(
    client: Client, write: Callable[..., str], airflow: MemoryAirflow
) -> None:
    first = write()
    airflow.down = "Connection refused"
    found = listed(client)
    assert [item["spec_hash"] for item in found["items"]] == [first]
    assert found["warnings"] == ["Airflow does not answer. The version that Airflow runs is unknown."]


@pytest.mark.rule("33.2")
def test_pages_follow_each_other_and_a_foreign_cursor_is_refused(
    client: Client, write: Callable[..., str]
) -> None:
    written = [write(cron=f"{minute} 9") for minute in range(5)]
    found, cursor = [], None
    while True:
        page = listed(client, limit=2, **({"cursor": cursor} if cursor else {}))
        found += [item["spec_hash"] for item in page["items"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert found == written[::-1]
    assert client.get(f"/datasets/{NAME}/versions?cursor=WyJhIiwiYiJd").json()["code"] == "invalid_usage"


@pytest.mark.rule("33.2")
def test_without_items_the_history_is_not_read(client: Client, write: Callable[..., str]) -> None:
    write()
    found = listed(client, limit=0)
    assert (found["items"], found["next_cursor"]) == ([], None)
    manual = found["manual"]
    assert (manual["written_by"], manual["action"]) == ("dana", "register")
    assert manual["etag"] == client.get(f"/datasets/{NAME}").json()["etag"]


@pytest.mark.rule("33.4")
def test_version_is_found_by_its_first_digits(client: Client, write: Callable[..., str]) -> None:
    old, new = write(), write(cron="0 6")
    for spec_hash in (old, new):
        digits = next(
            spec_hash[:length]
            for length in range(1, 17)
            if not (new if spec_hash == old else old).startswith(spec_hash[:length])
        )
        found = client.get(f"/datasets/{NAME}/versions/{digits.upper()}").json()
        assert (found["name"], found["spec_hash"]) == (NAME, spec_hash)
        assert found["files"] == {"query.sql": "SELECT 1"}
        assert ("0 6" in found["yaml"]) == (spec_hash == new)


@pytest.mark.rule("33.4")
def test_unknown_and_ambiguous_digits_are_refused_with_what_there_is(
    client: Client, write: Callable[..., str]
) -> None:
    written = {write(cron=f"{minute} 9") for minute in range(20)}
    unknown = client.get(f"/datasets/{NAME}/versions/xyz")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "version_not_found")
    assert unknown.json()["title"] == f"'{NAME}' has no version 'xyz'."
    assert sum(spec_hash in unknown.json()["detail"] for spec_hash in written) == 10
    assert f"dli dataset versions {NAME}" in unknown.json()["detail"]
    digit = next(digit for digit in "0123456789abcdef" if sum(one.startswith(digit) for one in written) > 1)
    several = client.get(f"/datasets/{NAME}/versions/{digit}")
    assert (several.status_code, several.json()["code"]) == (400, "ambiguous_version")
    matching = {one for one in written if one.startswith(digit)}
    assert {one for one in written if one in several.json()["detail"]} == matching
    missing = client.get("/datasets/none.such/versions/abc")
    assert (missing.status_code, missing.json()["code"]) == (404, "dataset_not_found")


@pytest.mark.rule("33.5")
def test_version_of_another_dataset_is_not_shown(client: Client, write: Callable[..., str]) -> None:
    write()
    other = write(name="pay.roll")
    assert client.get(f"/datasets/pay.roll/versions/{other}").status_code == 200
    assert client.get(f"/datasets/{NAME}/versions/{other}").status_code == 404


@pytest.mark.rule("33.9")
def test_versions_of_a_removed_dataset_stay(
    client: Client, write: Callable[..., str], clock: ManualClock, services: Services
) -> None:
    written = write()
    clock.advance(60)
    assert client.delete(f"/datasets/{NAME}").status_code == 200
    clock.advance(3600)
    client.post("/sync")
    [row] = listed(client)["items"]
    assert (row["spec_hash"], row["registered"]) == (written, False)
    assert client.get(f"/datasets/{NAME}/versions/{written}").json()["yaml"].startswith(f"name: {NAME}")
    assert client.get("/datasets/none.such/versions").status_code == 404


class CountingStore(MemoryStore):
    """Counts the objects that are read under ``basecamp/``, and the listings."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(now=store.now)
        for info in store.list(""):
            stored = store.get(info.key)
            assert stored is not None
            super().put(info.key, stored.body, expected=MISSING)
        self.read: list[str] = []
        self.listings: list[str] = []

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        self.listings.append(prefix)
        return super().list(prefix)

    def get(self, key: str, *, known: StoredObject | None = None) -> StoredObject | None:
        self.read.append(key)
        return super().get(key, known=known)


@pytest.mark.rule("33.6")
def test_list_costs_one_listing_and_the_records_of_its_page(
    client: Client,
    write: Callable[..., str],
    store: MemoryStore,
    airflow: MemoryAirflow,
    clock: ManualClock,
) -> None:
    for minute in range(5):
        write(cron=f"{minute} 9")
    for number in range(50):
        write(name=f"other.set_{number}")
    counting = CountingStore(store)
    services = build_services(counting, airflow, clock)
    services.versions.of(NAME, limit=3)
    counting.read.clear()
    counting.listings.clear()
    assert len(services.versions.of(NAME, limit=3).items) == 3
    read = [key for key in counting.read if key.startswith("basecamp/")]
    assert counting.listings == [f"{HISTORY_PREFIX}{NAME}/"]
    assert len(read) == 3
    assert {key.rpartition("/")[0] for key in read} == {f"{HISTORY_PREFIX}{NAME}"}


@pytest.mark.rule("33.7")
def test_store_of_an_earlier_release_gets_its_history_at_the_first_check(
    client: Client,
    write: Callable[..., str],
    store: MemoryStore,
    services: Services,
    airflow: MemoryAirflow,
    clock: ManualClock,
) -> None:
    old, new = write(), write(cron="0 6", user="ann")
    empty(store, HISTORY_PREFIX)
    stored = store.get(LEDGER_KEY)
    assert stored is not None
    earlier = Ledger.read(stored).changed(has_history=False)
    store.put(LEDGER_KEY, earlier.body(), expected=stored.etag)
    upgraded = build_services(store, airflow, clock)
    before = upgraded.versions.of(NAME, limit=10)
    assert [item.spec_hash for item in before.items] == [new]
    assert "still being listed" in before.warnings[-1]
    upgraded.check.check()
    clock.advance(60)
    found = upgraded.versions.of(NAME, limit=10)
    assert [(item.spec_hash, item.written_by, item.written_at is None) for item in found.items] == [
        (new, "ann", False),
        (old, None, True),
    ]
    assert found.items[1].written_before is not None
    assert found.warnings == []
    moved = store.get(LEDGER_KEY)
    assert moved is not None
    assert Ledger.read(moved).has_history


@pytest.mark.rule("33.7")
def test_daily_housekeeping_fills_gaps_and_reads_only_what_is_missing(
    client: Client, write: Callable[..., str], store: MemoryStore, airflow: MemoryAirflow, clock: ManualClock
) -> None:
    lost, kept = write(), write(cron="0 6")
    [gap] = [key for key in keys(store, HISTORY_PREFIX) if lost in key]
    store.delete(gap, expected=next(info.etag for info in store.list(gap)))
    counting = CountingStore(store)
    services = build_services(counting, airflow, clock)
    services.housekeeping.clean()
    assert [item.spec_hash for item in services.versions.of(NAME, limit=9).items] == [kept, lost]
    assert [key for key in counting.read if key.startswith(VERSIONS_PREFIX)] == [version_key(lost)]


@pytest.mark.rule("33.7")
def test_unreadable_record_hides_its_writer_alone(
    client: Client, write: Callable[..., str], store: MemoryStore
) -> None:
    first, second = write(), write(cron="0 6")
    for body, info in zip((b"{", b'{"format": 99}'), list(store.list(HISTORY_PREFIX)), strict=True):
        store.put(info.key, body, expected=info.etag)
    store.put(f"{HISTORY_PREFIX}{NAME}/notes.txt", b"", expected=MISSING)
    rows = listed(client)["items"]
    assert [(row["spec_hash"], row["written_by"]) for row in rows] == [(second, "dana"), (first, None)]


@pytest.mark.rule("33.8")
def test_records_go_with_their_version_and_when_it_was_written_again(
    services: Services, store: MemoryStore, clock: ManualClock, write: Callable[..., str]
) -> None:
    gone = write()
    kept = [write(cron=f"{minute} 8") for minute in range(20)]
    again = write(cron="0 8")
    assert again == kept[0]
    clock.advance(401 * 86400)
    services.housekeeping.clean()
    left = VersionHistory(store).of(NAME)
    assert sorted(entry.spec_hash for entry in left) == sorted(kept)
    assert gone not in {entry.spec_hash for entry in left}
