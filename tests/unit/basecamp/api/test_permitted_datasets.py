"""A caller who is limited to teams reads and hears of their datasets alone, in every list, page and error."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from httpx import Client, Response

from basecamp.access.principal import Grant, Principal, Role
from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.api.app import create_app
from basecamp.services import Services
from basecamp.shared.clock import ManualClock
from basecamp.web.routes import router
from dataspec.store import MemoryStore
from dataspec.store.base import MISSING
from unit.basecamp.api.sign_in import bearer, person, signing_in

OWN = ("ops.alpha", "ops.beta", "ops.gamma")
OTHERS = ("fin.alpha", "fin.beta", "lone.alpha")
TEAM = 'team: "@data-engineering"\n'

PEOPLE = (
    person("vera", Role.VIEWER, "@ops"),
    person("otto", Role.OPERATOR, "@ops"),
    person("adam", Role.ADMIN),
    Principal("mixed", (Grant(Role.VIEWER), Grant(Role.OPERATOR, frozenset({"@ops"}))), "token"),
)


@pytest.fixture
def signed(
    client_of: Callable[[Any], Client],
    services: Services,
    register: Callable[..., Response],
    start: Callable[..., str],
    execute: Callable[..., None],
    client: Client,
) -> Client:
    """A server with datasets of two teams and one without a team, each with two runs and a backfill."""
    for name in (*OTHERS, *OWN):
        team = {"ops": 'team: "@ops"\n', "fin": 'team: "@finance"\n'}.get(name.split(".")[0], "")
        register(name, {TEAM: team})
    for name in (*OWN, *OTHERS, *OWN, *OTHERS):
        execute(start(name), "failed", name)
    for name in (*OWN, *OTHERS):
        body = {"start": "2024-01-01", "end": "2024-01-02"}
        assert client.post(f"/workflows/{name}/backfills", json=body).status_code == 201
    return client_of(create_app(services, credentials=signing_in(*PEOPLE), pages=router))


def pages_of(client: Client, path: str, caller: str, **query: Any) -> list[list[dict[str, Any]]]:
    """Return the pages of a list."""
    pages, cursor = [], None
    while True:
        sent = query | ({"cursor": cursor} if cursor else {})
        answer = client.get(path, params=sent, headers=bearer(caller))
        assert answer.status_code == 200, answer.text
        pages.append(answer.json()["items"])
        cursor = answer.json()["next_cursor"]
        if cursor is None:
            return pages


def named(text: str) -> set[str]:
    """Return the other teams' datasets that a text names."""
    return {name for name in OTHERS if name in text}


@pytest.mark.rule("26.25")
@pytest.mark.parametrize(
    ("path", "key", "each"),
    [
        ("/workflows", "dataset_name", 1),
        ("/datasets", "name", 1),
        ("/runs", "dataset_name", 2),
        ("/backfills", "dataset_name", 1),
    ],
)
@pytest.mark.parametrize("limit", [1, 2, 5])
def test_a_list_has_the_datasets_of_the_callers_teams_page_by_page(
    signed: Client, path: str, key: str, each: int, limit: int
) -> None:
    more = {"run_type": "adhoc"} if path == "/runs" else {}
    pages = pages_of(signed, path, "vera", limit=limit, **more)
    found = [item[key] for page in pages for item in page]
    assert sorted(found) == sorted(OWN * each)
    assert all(len(page) == limit for page in pages[:-1])
    everything = [item[key] for page in pages_of(signed, path, "adam", limit=limit, **more) for item in page]
    assert sorted(everything) == sorted((*OWN, *OTHERS) * each)


@pytest.mark.rule("26.25")
@pytest.mark.parametrize("path", ["/workflows", "/runs", "/backfills"])
def test_a_list_of_another_teams_dataset_is_that_of_a_dataset_that_does_not_exist(
    signed: Client, path: str
) -> None:
    unseen, missing = (
        signed.get(path, params={"dataset": name}, headers=bearer("vera"))
        for name in ("fin.alpha", "nif.alpha")  # both as near to a name that the caller sees
    )
    assert unseen.status_code == missing.status_code
    renamed = json.loads(unseen.text.replace("fin.alpha", "nif.alpha"))
    assert renamed | {"request_id": ""} == missing.json() | {"request_id": ""}
    assert named(missing.text) == set()


@pytest.mark.rule("26.25")
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/workflows/fin.alph", None),
        ("GET", "/datasets/fin.alph", None),
        ("GET", "/datasets/fin.alph/versions", None),
        ("GET", "/runs?dataset=fin.alph", None),
        ("POST", "/workflows/fin.alph/runs", {"parameters": {"execution_date": "2024-01-15"}}),
        ("POST", "/notifications/test", {"name": "fin.alph"}),
    ],
)
def test_no_suggestion_names_another_teams_dataset(signed: Client, method: str, path: str, body: Any) -> None:
    answer = signed.request(method, path, json=body, headers=bearer("otto"))
    assert answer.status_code in {403, 404}
    assert named(answer.text) == set()
    assert "fin.alpha" in signed.request(method, path, json=body, headers=bearer("adam")).text


@pytest.mark.rule("26.25")
def test_a_suggestion_names_the_nearest_dataset_that_the_caller_sees(signed: Client) -> None:
    for path in ("/workflows/ops.alph", "/runs?dataset=ops.alph"):
        assert "Did you mean 'ops.alpha'?" in signed.get(path, headers=bearer("vera")).json()["detail"]


@pytest.mark.rule("26.25")
def test_the_report_of_a_check_is_about_the_callers_datasets(
    signed: Client, store: MemoryStore, make_yaml: Callable[..., str]
) -> None:
    for name, team in (("ops.new", 'team: "@ops"\n'), ("fin.new", 'team: "@finance"\n')):
        text = make_yaml(name, {TEAM: team, "query_file: query.sql": "query_statement: SELECT 1 AS x"})
        store.put(f"code/{name}.yaml", text.encode(), expected=MISSING)
    store.put("code/fin.broken.yaml", b"name: fin.broken\ntype: nonsense\n", expected=MISSING)
    report = signed.post("/sync", headers=bearer("otto")).json()
    assert [change["dataset_name"] for change in report["changes"]] == ["ops.new"]
    assert (report["invalid"], report["checked"]) == ([], 4)
    assert signed.post("/sync", headers=bearer("vera")).status_code == 403


@pytest.mark.rule("26.22")
def test_an_id_that_runs_of_several_teams_have_is_that_of_the_callers(
    signed: Client, airflow: MemoryAirflow, clock: ManualClock
) -> None:
    for name in ("ops.alpha", "fin.alpha"):
        airflow.trigger(name, "manual__1", logical_date=clock.now(), conf={})
    found = signed.get("/runs/manual__1", headers=bearer("vera"))
    assert (found.status_code, found.json()["dataset_name"]) == (200, "ops.alpha")
    assert signed.get("/runs/manual__1/logs", headers=bearer("vera")).status_code == 200
    assert signed.get("/runs/manual__1", headers=bearer("adam")).status_code == 400
    other = {"dataset": "fin.alpha"}
    assert signed.get("/runs/manual__1", params=other, headers=bearer("vera")).status_code == 404
    stopped = signed.post("/runs/manual__1/stop", params=other, headers=bearer("otto"))
    assert stopped.json()["title"] == "'manual__1' is not a run of your teams @ops."


@pytest.mark.rule("26.22")
def test_while_airflow_is_silent_the_last_known_run_of_an_own_dataset_is_shown(
    signed: Client, airflow: MemoryAirflow
) -> None:
    run_id = signed.get("/runs", headers=bearer("vera")).json()["items"][0]["run_id"]
    assert signed.get(f"/runs/{run_id}", headers=bearer("vera")).status_code == 200
    airflow.down = "maintenance"
    assert signed.get(f"/runs/{run_id}", headers=bearer("vera")).status_code == 200
    assert signed.get("/runs/fin.alpha_20240115_093048", headers=bearer("vera")).status_code == 503


@pytest.mark.rule("26.22")
def test_a_role_for_one_team_adds_to_a_role_for_all(signed: Client) -> None:
    assert signed.get("/workflows/fin.alpha", headers=bearer("mixed")).status_code == 200
    assert signed.post("/workflows/ops.alpha/pause", headers=bearer("mixed")).status_code == 200
    refused = signed.post("/workflows/fin.alpha/pause", headers=bearer("mixed")).json()
    assert refused["title"] == "This needs the role operator for the datasets of @finance."
    lone = signed.post("/workflows/lone.alpha/pause", headers=bearer("mixed")).json()
    assert lone["title"] == "This needs the role operator for all datasets."
    assert signed.post("/workflows/none/pause", headers=bearer("mixed")).status_code == 404


@pytest.mark.rule("26.25")
@pytest.mark.parametrize("path", ["/", "/runs", "/workflows/ops.alpha", "/runs?run_type=adhoc"])
def test_a_page_names_no_dataset_of_another_team(signed: Client, path: str) -> None:
    shown = signed.get(f"http://test{path}", headers=bearer("vera") | {"Accept": "text/html"})
    assert shown.status_code == 200
    assert "ops.<wbr>alpha" in shown.text or "ops.alpha" in shown.text
    assert named(shown.text.replace("<wbr>", "")) == set()


@pytest.mark.rule("26.25")
def test_an_earlier_answer_has_no_runs_of_a_dataset_that_has_changed_its_team(
    signed: Client,
    airflow: MemoryAirflow,
    clock: ManualClock,
    store: MemoryStore,
    make_yaml: Callable[..., str],
) -> None:
    assert "ops.alpha" in signed.get("/runs", headers=bearer("vera")).text
    moved = {TEAM: 'team: "@finance"\n', "query_file: query.sql": "query_statement: SELECT 1 AS x"}
    store.put("code/ops.alpha.yaml", make_yaml("ops.alpha", moved).encode(), expected=MISSING)
    clock.advance(60)
    signed.get("/workflows", headers=bearer("adam"))
    airflow.down = "maintenance"
    shown = signed.get("/runs", headers=bearer("vera"))
    assert "ops.beta" in shown.text
    assert "ops.alpha" not in shown.text
