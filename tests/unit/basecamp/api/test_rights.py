"""Every role against every route of the API and of the page: what the table of rights says is what happens."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import Client, Response

import rights_page
from basecamp.access.principal import Grant, Principal, Role
from basecamp.access.rights import RIGHTS, Right, Scope
from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.api.app import create_app
from basecamp.services import Services
from basecamp.web.routes import router
from dataspec.store import MemoryStore
from unit.basecamp.api.sign_in import bearer, person, signing_in

TEAM = 'team: "@data-engineering"\n'
TEAMS = {"ops.sales": "@ops", "fin.books": "@finance", "lone.facts": None}
"""The datasets, and their teams."""


def mixed(name: str, *grants: Grant) -> Principal:
    """Return a caller with several roles."""
    return Principal(name, grants, "token", identity=name)


CALLERS: tuple[Principal | None, ...] = (
    None,
    person("nobody"),
    *(person(f"{role.label}-all", role) for role in Role),
    *(person(f"{role.label}-ops", role, "@ops") for role in Role),
    person("operator-both", Role.OPERATOR, "@ops", "@finance"),
    *(person(f"{role.label}-else", role, "@elsewhere") for role in Role),
    mixed("viewer-all-operator-ops", Grant(Role.VIEWER), Grant(Role.OPERATOR, frozenset({"@ops"}))),
    mixed(
        "viewer-finance-editor-ops",
        Grant(Role.VIEWER, frozenset({"@finance"})),
        Grant(Role.EDITOR, frozenset({"@ops"})),
    ),
)

ABOUT_ONE = {Scope.DATASET, Scope.SPEC, Scope.BODY, Scope.RUN, Scope.BACKFILL}
SPEC = {"yaml": "name: x", "files": {}}
BODIES: Mapping[str, Any] = {
    "POST /api/v1/workflows/{name}/runs": {"parameters": {"execution_date": "2024-01-20"}},
    "POST /api/v1/workflows/{name}/backfills": {"start": "2024-01-01", "end": "2024-01-02"},
    "PUT /api/v1/datasets/{name}": SPEC,
    "PATCH /api/v1/datasets/{name}": {"cron": "0 5 * * *"},
    "POST /api/v1/datasets/validate": SPEC,
}


@dataclass(frozen=True)
class World:
    """A server with datasets of two teams and one without, each with a run and a backfill."""

    client: Client
    store: MemoryStore
    airflow: MemoryAirflow
    runs: Mapping[str, str]
    backfills: Mapping[str, str]

    def state(self) -> Any:
        """Return everything that a request could have changed; the audit log has the refusals as well."""
        listed = (info for info in self.store.list("") if not info.key.startswith("basecamp/audit/"))
        objects = {info.key: info.etag for info in listed}
        return objects, {name: self.airflow.get_dag(name) for name in TEAMS}, self._runs()

    def _runs(self) -> list[Any]:
        found = ((name, run_id) for name, run_id in self.runs.items())
        return [self.airflow.get_run(name, run_id) for name, run_id in found]


@pytest.fixture
def world(
    client_of: Callable[[Any], Client],
    services: Services,
    store: MemoryStore,
    airflow: MemoryAirflow,
    register: Callable[..., Response],
    start: Callable[..., str],
    client: Client,
) -> World:
    runs, backfills = {}, {}
    for name, team in TEAMS.items():
        register(name, {TEAM: f'team: "{team}"\n' if team else ""})
        runs[name] = start(name)
        body = {"start": "2024-01-01", "end": "2024-01-02"}
        backfills[name] = client.post(f"/workflows/{name}/backfills", json=body).json()["backfill_id"]
    people = [one for one in CALLERS if one is not None]
    app = create_app(services, credentials=signing_in(*people), pages=router)
    return World(client_of(app), store, airflow, runs, backfills)


def routes_of(app: FastAPI) -> set[str]:
    """Return the routes in the OpenAPI document, and those of the page."""
    api = {
        f"{method.upper()} {path}" for path, methods in app.openapi()["paths"].items() for method in methods
    }
    return api | {f"{method} {route.path}" for route in router.routes for method in route.methods}  # type: ignore[attr-defined]


def requests_for(row: str, right: Right) -> Iterator[tuple[str, str | None]]:
    """Yield the dataset that a request to a route is about, and its team."""
    if right.scope in ABOUT_ONE:
        yield from TEAMS.items()
    else:
        yield "ops.sales", "@ops"


def expected(caller: Principal | None, right: Right, team: str | None) -> set[int]:
    """Return the statuses of a refusal by the table alone; none if the request is allowed."""
    if right.scope is Scope.PUBLIC:
        return set()
    if caller is None:
        return {401}
    role = right.role
    if role is None:
        return set()
    if right.scope is Scope.SERVER:
        return set() if caller.may_everywhere(role) else {403}
    if right.scope not in ABOUT_ONE:
        return set() if caller.may_anywhere(role) else {403}
    if caller.may(role, team):
        return set()
    is_unseen = caller.may_anywhere(Role.VIEWER) and not caller.may(Role.VIEWER, team)
    return {404} if is_unseen and not right.changes else {403}


def send(world: World, caller: Principal | None, row: str, name: str, *, carried_out: bool) -> Response:
    """Send a request; one that must not be carried out has a parameter that no route takes."""
    method, path = row.split()
    ids = {"name": name, "run_id": world.runs[name], "backfill_id": world.backfills[name], "digest": "x"}
    path = re.sub(r"\{(\w+)(:path)?\}", lambda found: ids.get(found[1], "none"), path)
    headers = {"Sec-Fetch-Site": "same-origin", "Accept": "*/*"} | (bearer(caller.name) if caller else {})
    body = {"name": name} if path.endswith("/notifications/test") else BODIES.get(row)
    form = {} if path.startswith("/api/") or method == "GET" else {"data": {"key": "k"}}
    sent: dict[str, Any] = {"json": body} if body else form
    query = {} if carried_out else {"no-such-parameter": "1"}
    return world.client.request(method, f"http://test{path}", params=query, headers=headers, **sent)


def test_the_table_has_each_route_and_no_other(services: Services) -> None:
    app = create_app(services, pages=router)
    not_in_document = {"GET /openapi.json", "GET /docs", "GET /static-offline-docs/{name}"}
    assert routes_of(app) | not_in_document == set(RIGHTS)


def test_the_page_shows_the_table() -> None:
    assert rights_page.PAGE.read_text() == rights_page.page(), "run: python tests/rights_page.py"


@pytest.mark.rule("26.20", "26.22")
@pytest.mark.parametrize("caller", CALLERS, ids=lambda one: one.name if one else "unknown")
def test_a_caller_may_do_what_the_table_says_and_a_refused_request_does_nothing(
    world: World, caller: Principal | None
) -> None:
    wrong = []
    for row, right in RIGHTS.items():
        for name, team in requests_for(row, right):
            refusals = expected(caller, right, team)
            before = world.state() if refusals else None
            answer = send(world, caller, row, name, carried_out=bool(refusals))
            is_right = answer.status_code in (refusals or {200, 303, 304, 400, 404})
            if not refusals and right.scope in ABOUT_ONE:
                is_right = answer.status_code == 400
            if not is_right or (refusals and world.state() != before):
                wrong.append((row, name, answer.status_code, sorted(refusals)))
    assert wrong == []
