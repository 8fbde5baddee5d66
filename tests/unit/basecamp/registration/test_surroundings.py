"""Registering, changing and removing look at the datasets around: what depends on what."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from httpx import Client, Response

from basecamp.access.principal import Role
from basecamp.airflow.testing.dag_processor import MemoryDags
from basecamp.api.app import create_app
from basecamp.services import Services
from basecamp.shared.clock import ManualClock
from dataspec.project.dependents import broken_dependents, cycle_through, no_clock, unknown_upstream
from dataspec.spec.parse import parse_spec
from dataspec.store import MemoryStore
from dataspec.store.base import MISSING
from unit.basecamp.api.sign_in import bearer, person, signing_in
from unit.dataspec.specs import spec_text

Send = Callable[..., Response]
DAILY = "schedule: {cron: 0 7 * * *}\n"
FOLLOWS = 'schedule: {cron: "@upstream"}\n'


@pytest.fixture
def send(client: Client) -> Send:
    """Register a spec over the API, whatever the answer."""

    def send(name: str, more: str = "", **body: Any) -> Response:
        return client.put(f"/datasets/{name}", json={"yaml": spec_text(name, extra=more), "files": {}} | body)

    return send


@pytest.fixture
def publish_all(store: MemoryStore, dags: MemoryDags, clock: ManualClock) -> Callable[..., None]:
    """Put specs into ``code/``."""

    def publish_all(**specs: str) -> None:
        for name, more in specs.items():
            store.put(f"code/{name}.yaml", spec_text(name, extra=more).encode(), expected=MISSING)
        dags.refresh()
        clock.advance(60)

    return publish_all


def refused(answer: Response, code: str, *told: str) -> None:
    assert (answer.status_code, answer.json()["code"]) == (409, code), answer.text
    text = f"{answer.json()['title']}\n{answer.json()['detail']}"
    assert all(part in text for part in told), text


@pytest.mark.rule("32.10")
def test_a_spec_that_depends_on_an_unknown_dataset_is_refused_with_the_nearest_name(send: Send) -> None:
    assert send("sales.daily").is_success
    refused(
        send("down", "depends_on: [sales.dialy]\n"),
        "unknown_upstream",
        "'down' depends on 'sales.dialy', which is not registered.",
        "Did you mean 'sales.daily'?",
    )
    assert send("down", "depends_on: [sales.daily]\n").is_success


@pytest.mark.rule("32.11")
def test_a_cycle_is_refused_whole_and_nothing_is_stored(send: Send, client: Client) -> None:
    assert send("a").is_success
    assert send("b", "depends_on: [a]\n").is_success
    assert send("c", "depends_on: [b]\n").is_success
    refused(send("a", "depends_on: [c]\n"), "dependency_cycle", "a → c → b → a")
    assert "depends_on" not in client.get("/datasets/a").json()["yaml"]


@pytest.mark.rule("32.12")
def test_a_schedule_that_follows_datasets_without_one_is_refused(send: Send) -> None:
    assert send("a").is_success
    refused(
        send("b", f"depends_on: [a]\n{FOLLOWS}"), "no_upstream_clock", "none of its upstream datasets has a"
    )
    assert send("a", DAILY).is_success
    assert send("b", f"depends_on: [a]\n{FOLLOWS}").is_success


@pytest.mark.rule("32.13")
def test_removing_what_others_need_names_them_and_needs_consent(send: Send, client: Client) -> None:
    assert send("a").is_success
    assert send("b", "depends_on: [a]\n").is_success
    answer = client.delete("/datasets/a")
    refused(
        answer, "breaks_dependents", "Without 'a', other datasets would wait in vain.", "b: depends on 'a'"
    )
    assert answer.json()["datasets"] == ["b"]
    assert client.delete("/datasets/a", params={"accept_dependents": True}).is_success
    found = client.get("/workflows/b").json()
    assert found["note"].startswith("'depends_on' names a, which the server does not have.")


@pytest.mark.rule("32.13")
@pytest.mark.parametrize(
    ("schedule", "told"),
    [
        ("", "which no schedule would build"),
        ("schedule: {cron: 0 7 * * *, enabled: false}\n", "which no schedule would build"),
        ("schedule: {cron: 0 7 * * 1}\n", "would wait longer than 'timeout_seconds'"),
    ],
)
def test_a_schedule_that_leaves_others_without_a_partition_needs_consent(
    send: Send, schedule: str, told: str
) -> None:
    assert send("a", DAILY).is_success
    assert send("b", f"depends_on: [a]\n{DAILY}").is_success
    assert send("any", f"depends_on: [{{dataset: a, partition: latest}}]\n{DAILY}").is_success
    answer = send("a", schedule)
    refused(answer, "breaks_dependents", told)
    assert answer.json()["datasets"] == ["b"]
    assert send("a", schedule, accept_dependents=True).is_success


@pytest.mark.rule("32.13")
def test_an_update_and_a_followed_clock_are_checked_as_well(send: Send, client: Client) -> None:
    assert send("a", DAILY).is_success
    assert send("other", "schedule: {cron: 5 * * * *}\n").is_success
    assert send("b", f"depends_on: [a, other]\n{FOLLOWS}").is_success
    body = {"cron": "35 * * * *"}
    refused(
        client.patch("/datasets/a", json=body),
        "breaks_dependents",
        "b: follows its upstream datasets and loses",
    )
    assert client.patch("/datasets/a", json=body | {"accept_dependents": True}).is_success


@pytest.mark.rule("32.13")
@pytest.mark.parametrize("schedule", ["schedule: {cron: 30 7 * * *}\n", "schedule: {cron: 0 * * * *}\n"])
def test_a_schedule_that_leaves_a_partition_in_time_is_accepted(send: Send, schedule: str) -> None:
    assert send("a", DAILY).is_success
    assert send("b", f"depends_on: [a]\n{DAILY}").is_success
    assert send("a", schedule).is_success


@pytest.mark.rule("32.13")
def test_a_spec_that_code_overrides_changes_nothing_for_others(
    send: Send, client: Client, publish_all: Callable[..., None]
) -> None:
    publish_all(a=DAILY, b=f"depends_on: [a]\n{DAILY}")
    assert send("a", "depends_on: [gone]\n", accept_override=True).is_success
    assert client.delete("/datasets/a", params={"source": "manual"}).is_success


@pytest.mark.rule("32.14")
def test_code_brings_an_unknown_upstream_and_a_cycle_and_each_row_says_so(
    client: Client, publish_all: Callable[..., None], store: MemoryStore, clock: ManualClock
) -> None:
    publish_all(a="depends_on: [b]\n", b="depends_on: [a]\n", lost="depends_on: [late]\n", fine="")
    rows = {row["dataset_name"]: row for row in client.get("/workflows").json()["items"]}
    assert {row["status"] for row in rows.values()} == {"active"}
    assert (
        rows["a"]["note"]
        == rows["b"]["note"]
        == ("These datasets depend on each other: a → b → a. No scheduled run of them can start.")
    )
    assert rows["lost"]["note"] == "'depends_on' names late, which the server does not have."
    assert rows["fine"]["note"] is None
    publish_all(late="")
    assert {row["note"] for row in client.get("/workflows", params={"dataset": "lost"}).json()["items"]} == {
        None
    }


@pytest.mark.rule("32.13", "26.22")
def test_other_teams_datasets_are_counted_and_not_named(
    client_of: Callable[[Any], Client], services: Services, send: Send
) -> None:
    assert send("a", "team: '@ops'\n").is_success
    assert send("secret", "team: '@fin'\ndepends_on: [a]\n").is_success
    signed = client_of(create_app(services, credentials=signing_in(person("ed", Role.EDITOR, "@ops"))))
    answer = signed.delete("/datasets/a", headers=bearer("ed"))
    refused(answer, "breaks_dependents", "1 of other teams")
    assert "secret" not in answer.text


@pytest.mark.rule("32.14")
def test_the_checks_of_one_registration_over_a_thousand_datasets_take_less_than_a_second() -> None:
    text = {
        f"l{layer}.d{number}": f"depends_on: [l{layer - 1}.d{number}]\n{FOLLOWS}" if layer else DAILY
        for layer in range(10)
        for number in range(100)
    }
    specs = {name: parse_spec(spec_text(name, extra=more).encode(), file="") for name, more in text.items()}
    changed = parse_spec(spec_text("l0.d0", extra="schedule: {cron: 0 7 * * 1}\n").encode(), file="")
    began = time.process_time()
    after = {**specs, "l0.d0": changed}
    assert unknown_upstream(changed, after) == cycle_through("l0.d0", after) == ()
    assert no_clock("l0.d0", after) is None
    assert broken_dependents("l0.d0", specs, after) == []
    assert time.process_time() - began < 1


def validated(client: Client, name: str, more: str = "", **headers: str) -> dict[str, Any]:
    body = {"yaml": spec_text(name, extra=more), "files": {}, "file": "x.yaml"}
    answer = client.post("/datasets/validate", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.rule("32.26")
def test_a_validation_refuses_what_a_registration_refuses_and_names_the_place(
    send: Send, client: Client
) -> None:
    assert send("up", DAILY).is_success
    assert send("down", "depends_on: [up]\n").is_success
    for more, message in (
        ("depends_on: [op]\n", "'new' depends on 'op', which is not registered."),
        (FOLLOWS + "depends_on: [down]\n", "The schedule '@upstream' of 'new' gives no clock"),
    ):
        found = validated(client, "new", more)
        assert found["valid"] is False
        [problem] = found["problems"]
        assert message in problem["message"]
        assert (problem["file"], problem["severity"]) == ("x.yaml", "error")
        assert problem["line"] > 1
    cycle = validated(client, "up", "depends_on: [down]\n" + DAILY)
    assert "would depend on each other" in cycle["problems"][0]["message"]
    assert validated(client, "new", "depends_on: [up]\n") == {"valid": True, "name": "new", "problems": []}


@pytest.mark.rule("32.26")
def test_what_a_registration_asks_consent_for_is_a_warning_of_a_validation(
    send: Send, client: Client
) -> None:
    assert send("up", DAILY).is_success
    assert send("down", "depends_on: [up]\n" + DAILY).is_success
    found = validated(client, "up")
    assert (found["valid"], [one["severity"] for one in found["problems"]]) == (True, ["warning"])
    assert "down" in str(found["problems"][0])


@pytest.mark.rule("32.26")
def test_a_validation_tells_nothing_of_other_datasets_to_who_may_not_register_it(
    client_of: Callable[[Any], Client], services: Services
) -> None:
    vera = person("vera", Role.VIEWER, "@data-engineering")
    signed = client_of(create_app(services, credentials=signing_in(vera)))
    assert validated(signed, "new", "depends_on: [secret.dataset]\n", **bearer("vera"))["valid"] is True


@pytest.mark.rule("35.22")
def test_a_spec_whose_table_is_another_datasets_is_refused(send: Send) -> None:
    assert send("sales.daily", "materialization: table\n").is_success
    assert send("sales.daily", "materialization: table\n").is_success
    taken = "materialization: {type: table, table: Sales.Daily}\n"
    refused(send("b", taken), "table_taken", "'b' would build Sales.Daily, and so does 'sales.daily'.")
    assert send("b", f"{taken}execution: {{connection: other}}\n").is_success
    assert send("plain").is_success
    refused(send("c", "materialization: {type: view, table: plain}\n"), "table_taken", "'plain'")
