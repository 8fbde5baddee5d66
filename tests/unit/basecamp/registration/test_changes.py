"""Updates and removals of manual specs, and the versions side by side."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from httpx import Client, Response

from basecamp.access.principal import open_principal
from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.airflow.testing.dag_processor import MemoryDags
from basecamp.server.wiring import build_services
from basecamp.shared.clock import ManualClock
from basecamp.shared.waiting import run_through
from contested_store import ContestedStore
from dataspec.catalog.cache import MemorySpecCache
from dataspec.catalog.ledger import LEDGER_KEY
from dataspec.catalog.reader import CatalogReader
from dataspec.catalog.spec_storage import Release, read_release, write_release
from dataspec.errors import Conflict
from dataspec.spec.yaml_editor import ScheduleChanges
from dataspec.store import MemoryStore

NAME = "sales.daily"
MANUAL = f"manual/{NAME}.yaml"
Register = Callable[..., Response]
Publish = Callable[..., None]


def text_of(store: MemoryStore) -> str | None:
    stored = store.get(MANUAL)
    return stored.body.decode() if stored else None


def update(client: Client, headers: dict[str, str] | None = None, **body: Any) -> Response:
    answer: Response = client.patch(f"/datasets/{NAME}", json=body, headers=headers or {})
    return answer


# Update


@pytest.mark.rule("16.5")
def test_an_update_changes_the_yaml_in_place_and_waits_until_airflow_has_it(
    register: Register, client: Client, store: MemoryStore
) -> None:
    before = register(replace={"owner: ": "# ours\nowner:   "}).json()
    answer = update(client, cron="0 7 * * *", retry_max_attempts=3)
    changed = before["yaml"].replace(
        'cron: "0 9 * * *"\n  timezone: Asia/Seoul\n',
        'cron: "0 7 * * *"\n  timezone: Asia/Seoul\n  retry:\n    max_attempts: 3\n',
    )
    assert (answer.status_code, answer.json()["yaml"], text_of(store)) == (200, changed, changed)
    assert (answer.json()["loaded"], answer.json()["files"]) == (True, before["files"])
    assert answer.headers["etag"] == f'"{answer.json()["etag"]}"'
    assert client.get(f"/workflows/{NAME}").json()["cron"] == "0 7 * * *"
    assert client.get(f"/datasets/{NAME}").json()["spec_hash"] == answer.json()["spec_hash"]


@pytest.mark.rule("16.5")
def test_an_update_to_equal_values_writes_nothing(
    register: Register, client: Client, store: MemoryStore
) -> None:
    etag = register().json()["etag"]
    answer = update(client, timezone="Asia/Seoul")
    assert (answer.status_code, answer.json()["etag"]) == (200, etag)


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ({}, 400, "Nothing to change was given."),
        ({"cron": "0 25 * * *"}, 422, "schedule.cron"),
        ({"timezone": "Asia/Seol"}, 422, "Did you mean 'Asia/Seoul'?"),
        ({"retry_max_attempts": -1}, 422, "schedule.retry.max_attempts"),
        ({"retry_max_attempts": True}, 400, "retry_max_attempts"),
        ({"enabled": "yes"}, 400, "enabled"),
        ({"crn": "0 9 * * *"}, 400, "unknown key"),
    ],
)
def test_a_wrong_update_is_refused_and_changes_nothing(
    register: Register, client: Client, store: MemoryStore, body: dict[str, Any], status: int, reason: str
) -> None:
    register()
    before = text_of(store)
    answer = update(client, **body)
    assert (answer.status_code, reason in answer.text, text_of(store)) == (status, True, before)


def test_an_unregistered_dataset_can_not_be_updated(client: Client, publish: Publish) -> None:
    assert update(client, cron="0 7 * * *").json()["code"] == "dataset_not_found"
    assert client.delete(f"/datasets/{NAME}").status_code == 404
    assert client.delete("/datasets/a..b").status_code == 422
    publish()
    for answer in (
        update(client, cron="0 7 * * *", source="manual"),
        client.delete(f"/datasets/{NAME}?source=manual"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "dataset_not_found")
        assert "Not registered in manual; found in code." in answer.json()["detail"]


@pytest.mark.rule("16.6")
@pytest.mark.parametrize("source", [None, "code", "all"])
@pytest.mark.parametrize("replace", [{}, {"timezone: Asia/Seoul": "timezone: Nowhere"}])
def test_a_spec_in_code_can_not_be_updated(
    register: Register, client: Client, publish: Publish, source: str | None, replace: dict[str, str]
) -> None:
    register()
    publish(replace=replace)
    query: dict[str, Any] = {"source": source} if source else {}
    for answer in (
        update(client, cron="0 7 * * *", **query),
        client.delete(f"/datasets/{NAME}", params=query),
    ):
        assert answer.status_code == 409
        assert answer.json() == {
            "type": "about:blank",
            "title": "This dataset is managed by Code. Modify via Git.",
            "status": 409,
            "code": "managed_by_code",
            "text": "This dataset is managed by Code (GitOps).\nModify the YAML in Git and deploy via CI/CD.\n"
            "Only pause/unpause operations are allowed via CLI.",
        }


@pytest.mark.rule("16.7")
def test_the_kept_manual_file_is_changed_and_stays_overridden(
    register: Register, client: Client, publish: Publish, store: MemoryStore
) -> None:
    register()
    publish(replace={"0 9": "0 5"})
    answer = update(client, cron="0 7 * * *", source="manual").json()
    assert (answer["effective"], answer["loaded"]) == (False, False)
    assert answer["warnings"] == ["The Manual file was changed; it stays overridden by Code."]
    assert 'cron: "0 7 * * *"' in (text_of(store) or "")
    assert client.get(f"/workflows/{NAME}").json()["cron"] == "0 5 * * *"


@pytest.mark.rule("5.10")
def test_the_second_of_two_updates_of_one_version_is_a_conflict(register: Register, client: Client) -> None:
    seen = {"If-Match": register().headers["etag"]}
    assert update(client, seen, cron="0 7 * * *").status_code == 200
    for answer in (update(client, seen, cron="0 6 * * *"), client.delete(f"/datasets/{NAME}", headers=seen)):
        assert (answer.status_code, answer.json()["code"]) == (412, "conflict")
    assert client.get(f"/workflows/{NAME}").json()["cron"] == "0 7 * * *"
    assert update(client, {"If-Match": "*"}, cron="0 6 * * *").status_code == 200


FILE = {"query.sql": "SELECT 'mine'"}
WITHIN = {"query_file: query.sql": "query_statement: SELECT 1"}


@pytest.mark.rule("5.10")
@pytest.mark.parametrize(
    ("spec", "files", "theirs", "sql"),
    [
        (WITHIN, {}, "Etc/UTC", {}),
        ({}, FILE, "Etc/UTC", FILE),
        ({}, FILE, "Asia/Seoul", {"query.sql": "SELECT 'theirs'"}),
    ],
    ids=["no SQL file", "their zone", "their SQL"],
)
def test_a_concurrent_change_at_any_call_is_never_lost_in_silence(
    airflow: MemoryAirflow,
    clock: ManualClock,
    make_yaml: Callable[..., str],
    spec: dict[str, str],
    files: dict[str, str],
    theirs: str,
    sql: dict[str, str],
) -> None:
    outcomes = set()
    for moment in range(12):
        store = ContestedStore()
        services = build_services(store, airflow, clock)
        yaml = make_yaml(NAME, spec)
        write_release(store, MANUAL, Release(yaml.encode(), files))
        before = read_release(store, MANUAL)
        assert before is not None
        rival = partial(
            write_release,
            store,
            MANUAL,
            Release(yaml.replace("Asia/Seoul", theirs).encode(), sql),
            if_match=before.etag,
            files_if_match=before.files_etag,
        )
        they: list[bool] = []
        store.contest(moment, lambda they=they, rival=rival: they.append(is_told(rival)))  # type: ignore[misc]
        mine = services.changes.update(
            NAME, ScheduleChanges(cron="0 7 * * *"), caller=open_principal("ann"), wait_seconds=0
        )
        told = is_told(partial(run_through, mine, clock))
        found = read_release(store, MANUAL)
        assert found is not None
        assert told or b"0 7 * * *" in found.release.yaml
        if they == [False]:
            assert theirs in found.release.yaml.decode()
            assert found.release.files == sql
        outcomes.add((told, *they))
    assert outcomes >= {(True, False), (False, True)}


def is_told(change: Callable[[], object]) -> bool:
    try:
        change()
    except Conflict:
        return True
    return False


def test_a_broken_manual_file_is_shown_and_can_only_be_removed_or_replaced(
    register: Register, client: Client, store: MemoryStore, dags: MemoryDags, clock: ManualClock
) -> None:
    etag = register().json()["etag"]
    store.put(MANUAL, b"type: Dataset\nname: [", expected=etag)
    clock.advance(5)
    answer = update(client, cron="0 7 * * *")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_spec")
    assert client.delete(f"/datasets/{NAME}").status_code == 200
    assert text_of(store) is None


def test_while_airflow_does_not_load_it_the_update_is_stored_and_the_error_says_so(
    register: Register, client: Client, airflow: MemoryAirflow, clock: ManualClock, store: MemoryStore
) -> None:
    register()
    clock.on_wait.clear()
    airflow.on_parse = None
    answer = client.patch(f"/datasets/{NAME}?wait=3", json={"cron": "0 7 * * *"})
    assert (answer.status_code, answer.json()["code"]) == (504, "not_loaded")
    assert "0 7 * * *" in (text_of(store) or "")
    again = client.patch(f"/datasets/{NAME}?wait=0", json={"cron": "0 6 * * *"})
    assert (again.status_code, again.json()["loaded"]) == (200, False)


# Unregister


@pytest.mark.rule("16.8")
def test_an_unregistered_dataset_is_gone_with_its_sql_and_its_history_stays(
    register: Register, client: Client, store: MemoryStore, start: Callable[..., str], execute: Any
) -> None:
    register()
    run = start()
    execute(run, "success")
    answer = client.delete(f"/datasets/{NAME}")
    assert (answer.status_code, answer.json()) == (
        200,
        {
            "name": NAME,
            "file": MANUAL,
            "effective_source": None,
            "stopped_runs": [],
            "active_runs": [],
            "warnings": [],
        },
    )
    assert list(store.list("manual/")) == []
    assert client.get(f"/workflows/{NAME}").status_code == 404
    assert client.get(f"/runs/{run}").json()["status"] == "COMPLETED"


@pytest.mark.rule("16.8")
def test_active_runs_are_listed_and_must_be_accepted(
    register: Register, client: Client, store: MemoryStore, start: Callable[..., str]
) -> None:
    register()
    runs = [start(), start()]
    refused = client.delete(f"/datasets/{NAME}")
    assert (refused.status_code, refused.json()["code"]) == (409, "runs_active")
    assert sorted(refused.json()["runs"]) == sorted(runs)
    assert all(run in refused.json()["detail"] for run in runs)
    assert text_of(store) is not None
    accepted = client.delete(f"/datasets/{NAME}", params={"accept_active": True})
    assert sorted(accepted.json()["active_runs"]) == sorted(runs)
    assert client.get(f"/runs/{runs[0]}").json()["status"] == "PENDING"


@pytest.mark.rule("16.8")
def test_stop_ends_the_active_runs(
    register: Register, client: Client, start: Callable[..., str], execute: Any
) -> None:
    register()
    runs = [start(), start()]
    execute(runs[0])
    answer = client.delete(f"/datasets/{NAME}", params={"stop": True}, headers={"Dli-User": "kim"}).json()
    assert (answer["stopped_runs"], answer["active_runs"]) == ([runs[1], runs[0]], [])
    for run in runs:
        found = client.get(f"/runs/{run}").json()
        assert found["status"] == "KILLED"
        assert found["note"].startswith("Stopped by kim at ")
        assert found["note"].endswith(": the dataset was unregistered")


@pytest.mark.rule("16.7")
def test_removing_the_overridden_manual_file_leaves_runs_of_code_alone(
    register: Register, client: Client, publish: Publish, start: Callable[..., str], store: MemoryStore
) -> None:
    register()
    publish()
    start()
    answer = client.delete(f"/datasets/{NAME}", params={"source": "manual"})
    assert (answer.status_code, answer.json()["effective_source"]) == (200, "code")
    assert answer.json()["warnings"] == ["The manual file was removed; the dataset keeps running from code."]
    assert text_of(store) is None
    assert client.get(f"/workflows/{NAME}").json()["source_type"] == "code"


def test_a_removal_that_is_sent_again_succeeds_and_a_later_one_finds_nothing(
    register: Register, client: Client
) -> None:
    register()
    key = {"Idempotency-Key": "k1"}
    answers = [client.delete(f"/datasets/{NAME}", headers=key) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()
    assert client.delete(f"/datasets/{NAME}", headers={"Idempotency-Key": "k2"}).status_code == 404


@pytest.mark.rule("16.9")
def test_while_airflow_is_down_nothing_is_removed(
    register: Register, client: Client, airflow: MemoryAirflow, store: MemoryStore
) -> None:
    register()
    airflow.down = "Connection refused"
    answer = client.delete(f"/datasets/{NAME}", params={"accept_active": True})
    assert (answer.status_code, answer.json()["code"]) == (503, "airflow_unreachable")
    assert text_of(store) is not None


@pytest.mark.rule("6.1", "6.4")
def test_the_ledger_follows_each_change(register: Register, client: Client) -> None:
    register()
    update(client, cron="0 7 * * *")
    assert client.post("/sync").json()["changes"] == []
    client.delete(f"/datasets/{NAME}")
    assert client.post("/sync").json()["changes"] == []


@pytest.mark.rule("16.8")
def test_a_spec_that_the_ledger_did_not_know_yet_is_remembered_when_it_is_removed(
    register: Register, client: Client, store: MemoryStore, start: Callable[..., str]
) -> None:
    register()
    start()
    known = store.get(LEDGER_KEY)
    assert known is not None
    store.delete(LEDGER_KEY, expected=known.etag)  # as if its write after the registration had failed
    client.delete(f"/datasets/{NAME}", params={"accept_active": True})
    assert NAME in CatalogReader(store, MemorySpecCache()).read().retired


# Versions


@pytest.mark.rule("16.10")
def test_the_versions_stand_side_by_side(
    register: Register, client: Client, publish: Publish, dags: MemoryDags
) -> None:
    register(files={"query.sql": "SELECT 'mine'"})
    publish(replace={"0 9": "0 5"})
    found = client.get(f"/datasets/{NAME}/versions").json()
    assert found["manual"]["files"] == {"query.sql": "SELECT 'mine'"}
    assert found["code"]["file"] == f"code/{NAME}.yaml"
    assert found["airflow"] == found["code"]
    assert (found["name"], found["warnings"]) == (NAME, [])


@pytest.mark.rule("16.10")
def test_the_version_that_airflow_still_runs_is_shown_from_the_archive(
    register: Register, client: Client, airflow: MemoryAirflow, clock: ManualClock
) -> None:
    old = register().json()
    clock.on_wait.clear()
    airflow.on_parse = None
    client.patch(f"/datasets/{NAME}?wait=0", json={"cron": "0 7 * * *"})
    found = client.get(f"/datasets/{NAME}/versions").json()
    assert (found["airflow"]["spec_hash"], found["airflow"]["yaml"]) == (old["spec_hash"], old["yaml"])
    assert found["airflow"]["files"] == old["files"]
    assert found["manual"]["spec_hash"] != old["spec_hash"]
    assert found["code"] is None


@pytest.mark.rule("16.10")
def test_a_broken_file_is_among_the_versions_with_its_reason(
    register: Register, client: Client, publish: Publish
) -> None:
    publish()
    publish(replace={"timezone: Asia/Seoul": "timezone: Nowhere"})
    found = client.get(f"/datasets/{NAME}/versions").json()
    assert found["code"]["spec_hash"] is None
    assert "Nowhere" in found["code"]["error"]
    assert found["airflow"]["spec_hash"] is not None


def test_versions_without_airflow_say_so_and_of_nothing_are_not_found(
    register: Register, client: Client, airflow: MemoryAirflow, store: MemoryStore
) -> None:
    assert client.get("/datasets/none.such/versions").status_code == 404
    register()
    airflow.down = "Connection refused"
    found = client.get(f"/datasets/{NAME}/versions").json()
    assert (found["airflow"], found["manual"]["file"]) == (None, MANUAL)
    assert found["warnings"] == ["Airflow does not answer. The version that Airflow runs is unknown."]
