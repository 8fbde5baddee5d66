"""Who may write which spec: every team that a write affects counts."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from httpx import Client, Response

from basecamp.access.principal import Grant, Principal, Role
from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.airflow.testing.dag_processor import MemoryDags
from basecamp.api.app import create_app
from basecamp.notifications.settings import NotificationSettings
from basecamp.server.wiring import build_services
from basecamp.shared.clock import ManualClock
from contested_store import ContestedStore
from dataspec.catalog.spec_storage import Release, write_release
from dataspec.store import MemoryStore
from unit.basecamp.api.sign_in import bearer, person, signing_in

NAME = "sales.daily"
KEY = f"manual/{NAME}.yaml"
DATA, OPS = "@data-engineering", "@ops"
OF_OPS = {DATA: OPS}
TEAMLESS = {'team: "@data-engineering"\n': ""}
FILES = {"query.sql": "SELECT '{{ execution_date }}' AS day, {{ limit }} AS n"}
PEOPLE = (
    person("dana", Role.EDITOR, DATA),
    person("otto", Role.EDITOR, OPS),
    person("both", Role.EDITOR, DATA, OPS),
    Principal(
        "half", (Grant(Role.EDITOR, frozenset({OPS})), Grant(Role.VIEWER, frozenset({DATA}))), "token", "half"
    ),
    person("olga", Role.OPERATOR, OPS),
    person("adam", Role.EDITOR),
)

MakeYaml = Callable[..., str]
Register = Callable[..., Response]
Publish = Callable[..., None]
Put = Callable[..., Response]


@pytest.fixture
def signed(client_of: Callable[[Any], Client], services: Any) -> Client:
    """A client of a server with sign-in."""
    return client_of(create_app(services, credentials=signing_in(*PEOPLE)))


@pytest.fixture
def put(signed: Client, make_yaml: MakeYaml) -> Put:
    """Register a spec as a caller."""

    def put(caller: str, replace: dict[str, str] | None = None, name: str = NAME, **more: Any) -> Response:
        body = {"yaml": make_yaml(name, replace), "files": FILES} | more
        return signed.put(f"/datasets/{name}", json=body, headers=bearer(caller))

    return put


def assert_refused(answer: Response, *told: str) -> None:
    """Check that a request was refused, and that the answer shows nothing of a stored spec."""
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (403, "forbidden"), answer.text
    for text in told:
        assert text in f"{problem['title']} {problem['detail']}"
    assert "etag" not in answer.headers
    assert "0 9 * * *" not in answer.text


def content(store: MemoryStore, key: str = KEY) -> bytes | None:
    stored = store.get(key)
    return stored.body if stored else None


@pytest.mark.rule("26.84")
def test_a_new_dataset_needs_an_editor_of_the_team_in_its_spec(put: Put, store: MemoryStore) -> None:
    assert_refused(put("otto"), "the role editor for the datasets of @data-engineering", DATA)
    assert_refused(put("olga", OF_OPS), "the role editor")
    assert content(store) is None
    assert put("otto", OF_OPS).status_code == 201


@pytest.mark.rule("26.84")
def test_a_spec_without_a_team_needs_an_editor_of_all_datasets(put: Put, store: MemoryStore) -> None:
    refused = put("both", TEAMLESS)
    assert_refused(refused, "A spec without a team needs the role editor for all datasets.", "Set 'team'")
    assert content(store) is None
    assert put("adam", TEAMLESS).status_code == 201
    assert_refused(put("both"), "'sales.daily' is not a dataset of your teams")


@pytest.mark.rule("26.84")
def test_a_change_of_the_team_needs_an_editor_of_both_teams(
    put: Put, store: MemoryStore, register: Register
) -> None:
    register()
    before = content(store)
    assert_refused(put("otto", OF_OPS), "'sales.daily' is not a dataset of your teams @ops")
    assert_refused(put("half", OF_OPS), "the role editor for the datasets of @data-engineering", DATA)
    assert_refused(put("dana", OF_OPS), "the role editor for the datasets of @ops")
    assert content(store) == before
    assert put("both", OF_OPS).status_code == 200


@pytest.mark.rule("26.84")
def test_conditions_and_consent_tell_a_caller_without_the_rights_nothing(
    put: Put, register: Register, publish: Publish, signed: Client, make_yaml: MakeYaml
) -> None:
    register()
    publish("code.daily")
    body = {"yaml": make_yaml(replace=OF_OPS), "files": FILES}
    for name in (NAME, "code.daily"):
        body["yaml"] = make_yaml(name, OF_OPS)
        for headers in ({"If-None-Match": "*"}, {"If-Match": '"other"'}, {}):
            assert_refused(
                signed.put(f"/datasets/{name}", json=body, headers=bearer("otto") | headers),
                f"'{name}' is not a dataset of your teams @ops",
            )


@pytest.mark.rule("26.84")
def test_a_name_that_code_has_needs_an_editor_of_codes_team_as_well(
    put: Put, store: MemoryStore, publish: Publish
) -> None:
    publish()
    assert_refused(put("otto", OF_OPS, accept_override=True), "not a dataset of your teams")
    assert_refused(put("half", OF_OPS, accept_override=True), DATA)
    assert content(store) is None
    assert put("both", OF_OPS, accept_override=True).status_code == 201


@pytest.mark.rule("26.84")
def test_a_kept_manual_spec_needs_an_editor_of_its_team_and_of_codes(
    put: Put, store: MemoryStore, publish: Publish, signed: Client
) -> None:
    publish()
    put("both", OF_OPS, accept_override=True)
    before = content(store)
    change = {"cron": "0 7 * * *", "source": "manual"}
    for caller, told in (("dana", OPS), ("half", DATA)):
        headers = bearer(caller)
        assert_refused(signed.patch(f"/datasets/{NAME}", json=change, headers=headers), told)
        assert_refused(signed.delete(f"/datasets/{NAME}?source=manual", headers=headers), told)
        assert_refused(put(caller, accept_override=True), told)
    assert content(store) == before
    assert signed.patch(f"/datasets/{NAME}", json=change, headers=bearer("both")).is_success
    assert signed.delete(f"/datasets/{NAME}?source=manual", headers=bearer("both")).is_success


@pytest.mark.rule("26.84")
def test_update_and_unregister_need_an_editor_of_the_specs_team(
    register: Register, store: MemoryStore, signed: Client
) -> None:
    register()
    before = content(store)
    for caller, told in (("otto", "not a dataset of your teams"), ("half", DATA)):
        headers = bearer(caller)
        assert_refused(signed.patch(f"/datasets/{NAME}", json={"cron": "0 7 * * *"}, headers=headers), told)
        assert_refused(signed.delete(f"/datasets/{NAME}", headers=headers), told)
    assert content(store) == before
    assert signed.patch(f"/datasets/{NAME}", json={"cron": "0 7 * * *"}, headers=bearer("dana")).is_success
    assert signed.delete(f"/datasets/{NAME}", headers=bearer("dana")).is_success


@pytest.mark.rule("26.84")
def test_a_broken_spec_has_the_team_of_its_last_good_version(
    put: Put, register: Register, store: MemoryStore, signed: Client
) -> None:
    register()
    stored = store.get(KEY)
    assert stored is not None
    broken = stored.body.replace(b"cron:", b"corn:").replace(b"@data-engineering", b"@ops")
    store.put(KEY, broken, expected=stored.etag)
    assert_refused(put("otto", OF_OPS), "not a dataset of your teams")
    assert_refused(signed.delete(f"/datasets/{NAME}", headers=bearer("otto")))
    assert content(store) == broken
    assert put("dana").status_code == 200


@pytest.mark.rule("26.84")
def test_a_spec_that_never_was_valid_needs_an_editor_of_all_datasets(put: Put, store: MemoryStore) -> None:
    write_release(store, KEY, Release(f"name: {NAME}\ntype: Dataset\nteam: '@ops'\n".encode(), {}))
    assert_refused(put("otto", OF_OPS))
    assert put("adam", OF_OPS).status_code == 200


@pytest.mark.rule("26.84")
def test_the_file_of_another_dataset_is_not_written_over(
    put: Put, store: MemoryStore, make_yaml: MakeYaml
) -> None:
    """A file that somebody put into manual/ may hold another name than its key says."""
    other = make_yaml("finance.daily").replace("query_file: query.sql", "query_statement: select 1")
    write_release(store, KEY, Release(other.encode(), {}))
    assert_refused(put("otto", OF_OPS))
    assert content(store) == other.encode()


@pytest.mark.rule("26.84")
def test_the_name_of_a_removed_dataset_needs_an_editor_of_its_last_team(
    put: Put, register: Register, signed: Client, clock: ManualClock
) -> None:
    register()
    assert signed.delete(f"/datasets/{NAME}", headers=bearer("dana")).is_success
    for _check in range(2):
        assert_refused(put("otto", OF_OPS), "not a dataset of your teams")
        clock.advance(100)
        signed.post("/sync", headers=bearer("adam"))
    assert put("both", OF_OPS).status_code == 201


@pytest.mark.rule("26.84")
def test_a_new_name_with_runs_of_an_unknown_team_needs_an_editor_of_all_datasets(
    put: Put, airflow: MemoryAirflow
) -> None:
    """Such as the name of a dataset that was removed before teams were kept."""
    airflow.load(NAME, tags=["source:manual"])
    airflow.unload(NAME)
    assert_refused(put("otto", OF_OPS), "not a dataset of your teams")
    airflow.down = "off"
    assert put("otto", OF_OPS, name="new.daily").status_code == 503
    airflow.down = None
    assert put("otto", OF_OPS, name="new.daily").status_code == 201


@pytest.mark.rule("26.85")
@pytest.mark.parametrize("change", ["register", "update", "unregister"])
def test_no_change_of_the_team_slips_in_between_the_check_and_the_write(
    client_of: Callable[[Any], Client],
    airflow: MemoryAirflow,
    clock: ManualClock,
    make_yaml: MakeYaml,
    change: str,
) -> None:
    """At each call of the store, another editor gives the dataset to another team."""
    outcomes = set()
    for moment in range(14):
        store = ContestedStore()
        MemoryDags(airflow, store, clock.now).refresh()
        services = build_services(store, airflow, clock)
        client = client_of(create_app(services, credentials=signing_in(*PEOPLE)))
        own = Release(
            make_yaml(replace=OF_OPS | {"query_file: query.sql": "query_statement: select 1"}).encode(), {}
        )
        theirs = Release(own.yaml.replace(b"@ops", b"@data-engineering"), {})
        write_release(store, KEY, own)
        took: list[bool] = []

        def take(store: ContestedStore = store, theirs: Release = theirs, took: list[bool] = took) -> None:
            write_release(store, KEY, theirs)
            took.append(True)

        store.contest(moment, take)
        headers, path = bearer("otto"), f"/datasets/{NAME}"
        if change == "register":
            answer = client.put(
                f"{path}?wait=0", json={"yaml": own.yaml.decode().replace("0 9", "0 7")}, headers=headers
            )
        elif change == "update":
            answer = client.patch(f"{path}?wait=0", json={"cron": "0 7 * * *"}, headers=headers)
        else:
            answer = client.delete(path, headers=headers)
        outcomes.add(answer.json().get("code", "done") if answer.content else "done")
        assert content(store) == theirs.yaml or not took
    assert outcomes == {"forbidden", "conflict", "done"}


@pytest.mark.rule("26.84")
def test_a_dry_run_of_a_spec_from_the_request_needs_an_operator_of_its_team(
    signed: Client, register: Register, make_yaml: MakeYaml
) -> None:
    register()

    def answers(caller: str, name: str, yaml: str) -> list[Response]:
        asked: dict[str, Any] = {"spec": {"yaml": yaml, "files": FILES}, "dry_run": True}
        dates, given = {"start": "2024-01-01", "end": "2024-01-02"}, {"execution_date": "2024-01-01"}
        return [
            signed.post(f"/workflows/{name}/backfills", json=asked | dates, headers=bearer(caller)),
            signed.post(
                f"/workflows/{name}/runs", json=asked | {"parameters": given}, headers=bearer(caller)
            ),
        ]

    for refused in answers("olga", "new.daily", make_yaml("new.daily")):
        assert_refused(refused, "the role operator for the datasets of @data-engineering")
    for refused in answers("olga", NAME, make_yaml(replace=OF_OPS)):
        assert_refused(refused, "'sales.daily' is not a dataset of your teams @ops")
    for done in answers("olga", "new.daily", make_yaml("new.daily", OF_OPS)):
        assert done.status_code == 200, done.text


@pytest.mark.rule("26.84")
def test_a_test_message_needs_an_operator_of_the_dataset_and_of_all_datasets_for_a_target(
    register: Register, store: MemoryStore, airflow: MemoryAirflow, clock: ManualClock, client_of: Any
) -> None:
    register()
    register("ops.daily", OF_OPS)
    targets = {"pager": "json://127.0.0.1:9"}
    settings = NotificationSettings.from_environment({"BASECAMP_TARGETS": json.dumps(targets)})
    services = build_services(store, airflow, clock, notifications=settings)
    signed = client_of(create_app(services, credentials=signing_in(*PEOPLE)))

    def test(caller: str, name: str) -> Response:
        answer: Response = signed.post("/notifications/test", json={"name": name}, headers=bearer(caller))
        return answer

    for name in (NAME, "pager", "nothing.daily"):
        assert_refused(test("olga", name), f"'{name}' is not a dataset of your teams @ops")
    assert test("olga", "ops.daily").json()["title"] == "ops.daily has no channel to test."
    assert [tried["sent"] for tried in test("adam", "pager").json()["channels"]] == [False]


def test_unregister_leaves_a_broken_file_of_code_alone(client: Client, store: MemoryStore) -> None:
    write_release(store, "code/x.yaml", Release(f"name: {NAME}\ntype: Dataset\n".encode(), {}))
    assert client.delete(f"/datasets/{NAME}?source=manual").status_code == 404
    assert content(store, "code/x.yaml") is not None
