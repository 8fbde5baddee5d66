"""The rows of workflows, and pauses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from httpx import Client, Response

from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.airflow.testing.dag_processor import MemoryDags
from basecamp.shared.clock import ManualClock
from dataspec.store import MemoryStore
from dataspec.store.base import MISSING

Register = Callable[..., Response]
Publish = Callable[..., None]


def rows(client: Client, **query: Any) -> list[dict[str, Any]]:
    answer = client.get("/workflows", params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


def row(client: Client, name: str = "sales.daily", **query: Any) -> dict[str, Any]:
    answer = client.get(f"/workflows/{name}", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


WHO_AND_WHEN = (
    *("paused_by", "paused_at", "pause_reason", "resumed_by", "resumed_at"),
    *("registered_by", "registered_at", "updated_by", "updated_at"),
)


@pytest.mark.rule("7.1")
def test_a_row_shows_the_spec_and_airflows_state(register: Register, client: Client) -> None:
    registered = register(replace={"owner:": "description: Clicks by day\ntags: [core]\nowner:"}).json()
    assert row(client) == {
        "dataset_name": "sales.daily",
        "source_type": "manual",
        "status": "active",
        "cron": "0 9 * * *",
        "timezone": "Asia/Seoul",
        "follows_upstream": False,
        "next_run": "2024-01-16T09:00:00+09:00",
        "overridden_by": None,
        "enabled": True,
        "paused": False,
        **dict.fromkeys(WHO_AND_WHEN),
        "registered_by": "anonymous",
        "registered_at": "2024-01-15T09:30:45.123456Z",
        "owner": "engineer@example.com",
        "team": "@data-engineering",
        "description": "Clicks by day",
        "tags": ["core"],
        "spec_hash": registered["spec_hash"],
        "file": "manual/sales.daily.yaml",
        "error": None,
        "taken_over_by": None,
        "note": None,
        "running_run_id": None,
        "running_since": None,
        "last_run": None,
        "waiting_run_id": None,
        "waiting_since": None,
        "waiting_for": [],
        "last_result": None,
        "late": None,
    }


@pytest.mark.rule("7.8")
def test_without_a_schedule_there_is_no_cron_and_no_next_run(register: Register, client: Client) -> None:
    register(replace={'schedule:\n  cron: "0 9 * * *"\n  timezone: Asia/Seoul\n': ""})
    assert [row(client)[key] for key in ("status", "cron", "timezone", "next_run")] == [
        "active",
        None,
        None,
        None,
    ]


@pytest.mark.rule("7.5")
def test_a_schedule_that_is_switched_off_counts_as_paused(register: Register, client: Client) -> None:
    register(replace={"schedule:": "schedule:\n  enabled: false"})
    found = row(client)
    assert (found["status"], found["paused"], found["enabled"]) == ("paused", False, False)
    assert found["next_run"] is None
    assert found["note"] == "Schedule off: the spec has 'enabled: false'. Runs by hand and backfills work."
    client.post("/workflows/sales.daily/pause")
    assert row(client)["note"] == (
        "Schedule off: the spec has 'enabled: false'. It is paused as well: no run starts."
    )


@pytest.mark.rule("7.5")
def test_a_schedule_that_is_switched_off_before_airflow_has_loaded_it_says_both(
    register: Register, client: Client, airflow: MemoryAirflow, clock: ManualClock
) -> None:
    register(replace={"schedule:": "schedule:\n  enabled: false"})
    airflow.unload("sales.daily")
    clock.advance(60)
    assert row(client)["note"].startswith("Airflow has not loaded it yet. Schedule off: ")


@pytest.mark.rule("1.2", "7.1")
def test_code_wins_and_the_manual_row_shows_that_it_is_overridden(
    register: Register, publish: Publish, client: Client
) -> None:
    register(replace={"0 9": "0 8"})
    publish()
    code, manual = rows(client)
    assert (code["source_type"], code["status"], code["overridden_by"]) == ("code", "active", None)
    assert (manual["source_type"], manual["status"], manual["overridden_by"]) == (
        "manual",
        "overridden",
        "code",
    )
    assert manual["next_run"] is None
    assert row(client)["source_type"] == "code"
    assert row(client, source="manual")["status"] == "overridden"


@pytest.mark.rule("4.1")
def test_the_manual_spec_is_effective_again_when_code_goes(
    register: Register,
    publish: Publish,
    client: Client,
    store: MemoryStore,
    dags: MemoryDags,
    clock: ManualClock,
) -> None:
    register()
    publish()
    stored = store.get("code/sales.daily.yaml")
    assert stored is not None
    store.delete("code/sales.daily.yaml", expected=stored.etag)
    dags.refresh()
    clock.advance(3)
    assert [(found["source_type"], found["status"]) for found in rows(client)] == [("manual", "active")]


@pytest.mark.rule("7.2")
def test_a_pause_survives_the_change_of_the_source(
    register: Register, publish: Publish, client: Client
) -> None:
    register()
    client.post("/workflows/sales.daily/pause")
    publish()
    assert (row(client)["source_type"], row(client)["status"]) == ("code", "paused")


@pytest.mark.rule("4.4", "7.1")
def test_a_broken_file_gets_a_row_and_the_last_good_version_keeps_its_own(
    publish: Publish, client: Client
) -> None:
    publish()
    good = row(client)
    publish(replace={"Asia/Seoul": "Asia/Seol"})
    running, invalid = rows(client)
    assert (running["status"], running["spec_hash"]) == ("active", good["spec_hash"])
    assert (invalid["dataset_name"], invalid["status"], invalid["file"]) == (
        "sales.daily",
        "invalid",
        "code/sales.daily.yaml",
    )
    assert "code/sales.daily.yaml:14:13" in invalid["error"]


def test_a_file_whose_name_cannot_be_read_is_listed_by_its_key(
    store: MemoryStore, client: Client, dags: MemoryDags
) -> None:
    store.put("code/broken.yaml", b"type: Dataset\nname: [", expected="*missing*")
    (found,) = rows(client)
    assert (found["dataset_name"], found["status"]) == ("code/broken.yaml", "invalid")


@pytest.mark.rule("19.1")
def test_rows_are_filtered_by_source_name_and_state(
    register: Register, publish: Publish, client: Client
) -> None:
    register("a.manual")
    register("b.adhoc", replace={'schedule:\n  cron: "0 9 * * *"\n  timezone: Asia/Seoul\n': ""})
    register("c.paused")
    client.post("/workflows/c.paused/pause")
    publish("d.code")

    def names(**query: Any) -> list[str]:
        return [found["dataset_name"] for found in rows(client, **query)]

    assert names(source="code") == ["d.code"]
    assert names(source="manual") == ["a.manual", "b.adhoc", "c.paused"]
    assert names(source="all") == ["a.manual", "b.adhoc", "c.paused", "d.code"]
    assert names(enabled_only=True) == ["a.manual", "d.code"]
    assert names(dataset="b.adhoc") == ["b.adhoc"]
    assert names(dataset="*.[a-z]*") == []
    assert names(dataset="*d*") == ["b.adhoc", "c.paused", "d.code"]


def test_running_ones_show_their_run_and_since_when(
    register: Register,
    start: Callable[..., str],
    execute: Callable[..., None],
    client: Client,
    airflow: MemoryAirflow,
) -> None:
    register("sales.daily")
    register("sales.hourly")
    waiting, executing = start("sales.hourly"), start("sales.daily")
    execute(executing)
    assert [(found["running_run_id"], found["running_since"]) for found in rows(client, running=True)] == [
        (executing, "2024-01-15T09:30:47.123456Z")
    ]
    airflow.end("sales.daily", executing, "success")
    assert rows(client, running=True) == []
    assert waiting


@pytest.mark.rule("19.8", "22.6")
def test_rows_come_in_pages(register: Register, publish: Publish, client: Client) -> None:
    for name in ("a", "b", "c"):
        register(name)
    publish("b")
    found, cursor = [], None
    while True:
        query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = client.get("/workflows", params=query).json()
        found += [(item["dataset_name"], item["source_type"]) for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert found == [("a", "manual"), ("b", "code"), ("c", "manual"), ("b", "manual")]


@pytest.mark.rule("18.6")
def test_a_pause_made_on_airflows_page_shows_soon(
    register: Register, client: Client, airflow: MemoryAirflow, clock: ManualClock
) -> None:
    register()
    assert row(client)["paused"] is False
    airflow.set_paused("sales.daily", paused=True)
    clock.advance(31)
    assert row(client)["status"] == "paused"


def test_a_dataset_whose_file_does_not_import_has_a_note(
    register: Register, client: Client, airflow: MemoryAirflow, clock: ManualClock
) -> None:
    register()
    assert row(client)["note"] is None
    airflow.load("sales.daily", tags=["source:manual"], has_import_errors=True)
    clock.advance(31)
    assert row(client)["note"].startswith("Airflow reports an import error for it")


@pytest.mark.rule("7.3")
def test_pausing_and_resuming(register: Register, client: Client, airflow: MemoryAirflow) -> None:
    register()
    paused = client.post("/workflows/sales.daily/pause").json()
    again = client.post("/workflows/sales.daily/pause", json={})
    assert (paused["status"], paused["paused"], paused["next_run"]) == ("paused", True, None)
    assert (again.status_code, again.json()["note"]) == (200, "It was paused already.")
    resumed = client.post("/workflows/sales.daily/unpause").json()
    assert (resumed["status"], resumed["next_run"]) == ("active", "2024-01-16T09:00:00+09:00")
    details = airflow.get_dag("sales.daily")
    assert details is not None
    assert details.dag.is_paused is False


@pytest.mark.rule("7.4")
def test_resuming_an_active_dataset_is_refused(register: Register, client: Client) -> None:
    register()
    answer = client.post("/workflows/sales.daily/unpause")
    assert (answer.status_code, answer.json()["code"]) == (409, "not_paused")


def test_a_resume_that_comes_twice_succeeds_twice(register: Register, client: Client) -> None:
    register()
    client.post("/workflows/sales.daily/pause")
    headers = {"Idempotency-Key": "abc"}
    first = client.post("/workflows/sales.daily/unpause", headers=headers)
    second = client.post("/workflows/sales.daily/unpause", headers=headers)
    assert (first.status_code, second.status_code) == (200, 200)


@pytest.mark.rule("7.6")
def test_resuming_where_the_spec_has_the_schedule_off_says_how_to_turn_it_on(
    register: Register, client: Client
) -> None:
    register(replace={"schedule:": "schedule:\n  enabled: false"})
    client.post("/workflows/sales.daily/pause")
    cleared = client.post("/workflows/sales.daily/unpause").json()
    refused = client.post("/workflows/sales.daily/unpause").json()
    assert (cleared["paused"], cleared["status"]) == (False, "paused")
    assert "set 'schedule.enabled: true' in the YAML (manual/sales.daily.yaml)" in cleared["note"]
    assert refused["code"] == "not_paused"
    assert "schedule.enabled: true" in refused["detail"]


@pytest.mark.rule("7.9")
@pytest.mark.parametrize("verb", ["pause", "unpause"])
def test_the_overridden_spec_is_neither_paused_nor_resumed(
    register: Register, publish: Publish, client: Client, verb: str
) -> None:
    register()
    publish()
    client.post("/workflows/sales.daily/pause")
    answer = client.post(f"/workflows/sales.daily/{verb}", json={"source": "manual"})
    assert (answer.status_code, answer.json()["code"]) == (409, "overridden")


@pytest.mark.rule("19.11")
@pytest.mark.parametrize("verb", ["pause", "unpause"])
def test_a_key_of_one_source_is_not_that_of_another(register: Register, client: Client, verb: str) -> None:
    register()
    client.post("/workflows/sales.daily/pause")
    first, other = (
        client.post(
            f"/workflows/sales.daily/{verb}", json={"source": source}, headers={"Idempotency-Key": "once"}
        )
        for source in ("manual", "code")
    )
    assert first.status_code == 200, first.text
    assert "Idempotency-Key" in other.json()["title"], other.text


@pytest.mark.parametrize("verb", ["pause", "unpause"])
def test_an_unknown_dataset_is_neither_paused_nor_resumed(client: Client, verb: str) -> None:
    assert client.post(f"/workflows/nope/{verb}").json()["code"] == "dataset_not_found"


@pytest.mark.rule("7.8")
def test_next_run_is_that_of_the_spec_while_airflow_still_has_the_schedule_before(
    register: Register,
    client: Client,
    store: MemoryStore,
    clock: ManualClock,
    make_yaml: Callable[..., str],
) -> None:
    register()
    clock.advance(60)
    store.put("code/query.sql", b"select '{{ execution_date }}'", expected=MISSING)
    later = make_yaml(replace={'"0 9 * * *"': '"0 21 * * *"'})
    store.put("code/sales.daily.yaml", later.encode(), expected=MISSING)
    found = {each["source_type"]: each["next_run"] for each in rows(client)}
    assert found == {"code": "2024-01-15T21:00:00+09:00", "manual": None}


@pytest.mark.rule("7.8")
def test_a_next_run_that_the_spec_gives_moves_on_with_the_time_alone(
    register: Register,
    client: Client,
    store: MemoryStore,
    clock: ManualClock,
    make_yaml: Callable[..., str],
) -> None:
    """Rows of unchanged datasets are kept, but not one that was computed from the time."""
    register()
    store.put("code/query.sql", b"select '{{ execution_date }}'", expected=MISSING)
    later = make_yaml(replace={'"0 9 * * *"': '"0 21 * * *"'})
    store.put("code/sales.daily.yaml", later.encode(), expected=MISSING)
    clock.advance(60)
    assert rows(client, source="code")[0]["next_run"] == "2024-01-15T21:00:00+09:00"
    clock.advance(13 * 3600)
    assert rows(client, source="code")[0]["next_run"] == "2024-01-16T21:00:00+09:00"


@pytest.mark.rule("26.87")
@pytest.mark.parametrize("text", ["query_file: query.sql", "query_statement: select 1"])
def test_a_row_says_who_registered_and_changed_the_spec(
    client: Client, register: Register, clock: ManualClock, text: str
) -> None:
    """With SQL in files or in the YAML; the names end with the registration."""
    files = {"query.sql": "select 1"} if "query_file" in text else {}
    client.headers["Dli-User"] = "ada"
    register(replace={"query_file: query.sql": text}, files=files)
    found = row(client)
    assert (found["registered_by"], found["updated_by"]) == ("ada", None)
    assert found["registered_at"].startswith("2024-01-15T09:3")
    clock.advance(2 * 3600)
    client.headers["Dli-User"] = "eve"
    client.patch("/datasets/sales.daily", json={"cron": "0 7 * * *"})
    found = row(client)
    assert (found["registered_by"], found["updated_by"]) == ("ada", "eve")
    assert found["updated_at"].startswith("2024-01-15T11:3")
    clock.advance(2 * 3600)
    register(replace={"query_file: query.sql": text}, files=files)
    assert (row(client)["registered_by"], row(client)["updated_by"]) == ("ada", "eve")
    client.delete("/datasets/sales.daily")
    client.headers["Dli-User"] = "kim"
    clock.advance(60)
    register(replace={"query_file: query.sql": text}, files=files)
    assert (row(client)["registered_by"], row(client)["updated_by"]) == ("kim", None)


@pytest.mark.rule("31.37", "31.38")
def test_a_dataset_that_follows_shows_the_clock_and_next_run_of_its_upstream(
    register: Register, publish: Publish, client: Client
) -> None:
    register()
    clocked = 'schedule:\n  cron: "0 9 * * *"\n  timezone: Asia/Seoul\n'
    for name, upstream in (("down", "sales.daily"), ("lost", "gone")):
        publish(name, replace={clocked: f'depends_on: [{upstream}]\nschedule: {{cron: "@upstream"}}\n'})
    found = row(client, "down")
    assert (found["cron"], found["timezone"], found["follows_upstream"]) == ("0 9 * * *", "Asia/Seoul", True)
    assert found["next_run"] == "2024-01-16T09:00:00+09:00"
    lost = row(client, "lost")
    assert (lost["cron"], lost["timezone"], lost["next_run"], lost["status"]) == (
        "@upstream",
        None,
        None,
        "active",
    )
    assert lost["note"] == "No scheduled run is due: its upstream dataset 'gone' is not registered."
