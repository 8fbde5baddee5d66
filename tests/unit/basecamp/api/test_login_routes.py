"""The routes of a login and of signing out: what a stranger gets, and what is kept of it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from httpx import Client

from basecamp.access.audit.reader import AuditFilter
from basecamp.access.logins import MAX_PER_ADDRESS
from basecamp.access.principal import Grant, Principal, Role
from basecamp.access.tokens import digest_of, key_of
from basecamp.api.app import create_app
from basecamp.server.sign_in import credentials_of
from basecamp.services import Services
from basecamp.shared.public_address import PublicAddress
from dataspec.store import MemoryStore

ADA = Principal("ada", (Grant(Role.OPERATOR, frozenset({"@data"})),), "session", "issuer ada")


@pytest.fixture
def signed(client_of: Callable[[Any], Client], services: Services) -> Client:
    return client_of(create_app(services, credentials=credentials_of(["tokens"], services)))


def begun(client: Client) -> dict[str, Any]:
    answer = client.post("/logins", json={"machine": "lap\ntop\u202e"})
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    login: dict[str, Any] = answer.json()
    return login


def fetched(client: Client, login: dict[str, Any]) -> dict[str, Any]:
    answer = client.post("/logins/token", json={"device_code": login["device_code"]})
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    result: dict[str, Any] = answer.json()
    return result


@pytest.mark.rule("26.60")
def test_an_approved_login_gives_a_token_once_that_acts_as_the_person(
    signed: Client, services: Services
) -> None:
    login = begun(signed)
    assert fetched(signed, login)["status"] == "pending"
    pending = services.logins.find(login["user_code"], ADA)
    assert pending is not None
    assert pending.machine == "laptop"
    services.logins.approve(login["user_code"], ADA)
    result = fetched(signed, login)
    assert (result["status"], result["name"]) == ("approved", "ada")
    assert fetched(signed, login) == {"status": "expired", "token": None, "name": None, "expires_at": None}
    caller = signed.get("/whoami", headers={"Authorization": f"Bearer {result['token']}"}).json()
    assert (caller["name"], caller["expires_at"]) == ("ada", result["expires_at"])
    assert caller["grants"] == [{"role": "operator", "teams": ["@data"]}]


@pytest.mark.rule("26.60")
def test_the_page_of_a_login_is_below_the_public_address(
    client_of: Callable[[Any], Client], services: Services
) -> None:
    public = PublicAddress.parse("https://data.example.com/basecamp")
    client = client_of(create_app(services, credentials=credentials_of(["tokens"], services), public=public))
    login = begun(client)
    assert login["verification_uri"] == "https://data.example.com/basecamp/device"
    assert login["verification_uri_complete"] == f"{login['verification_uri']}?code={login['user_code']}"


@pytest.mark.rule("26.62")
def test_a_server_without_sign_in_begins_no_login(client: Client) -> None:
    answer = client.post("/logins", json={"machine": "laptop"})
    assert (answer.status_code, answer.json()["code"]) == (409, "no_sign_in")


@pytest.mark.rule("26.61")
def test_a_stranger_who_begins_too_many_logins_is_told_to_wait(signed: Client) -> None:
    answers = [signed.post("/logins", json={"machine": "laptop"}) for _ in range(MAX_PER_ADDRESS + 1)]
    assert [one.status_code for one in answers] == [200] * MAX_PER_ADDRESS + [429]
    assert answers[-1].json()["code"] == "too_many_requests"
    assert "retry-after" in answers[-1].headers


@pytest.mark.parametrize(
    "body", [{}, {"machine": ""}, {"machine": "x" * 201}, {"machine": 1}, {"machine": "a", "name": "b"}]
)
def test_a_malformed_login_is_refused(signed: Client, body: dict[str, Any]) -> None:
    assert signed.post("/logins", json=body).status_code == 400
    assert signed.post("/logins/token", json=body).status_code == 400


@pytest.mark.rule("26.62")
def test_a_logout_removes_the_token_that_it_is_sent_with(
    signed: Client, services: Services, store: MemoryStore
) -> None:
    mine, other = services.tokens.mint_login(ADA, "laptop"), services.tokens.mint_login(ADA, "desktop")
    answer = signed.post("/logout", headers={"Authorization": f"Bearer {mine.text}"})
    assert (answer.status_code, answer.json()) == (200, {"revoked": True})
    assert store.get(key_of(digest_of(mine.text))) is None
    assert store.get(key_of(digest_of(other.text))) is not None
    assert signed.post("/logout").status_code == 401


@pytest.mark.rule("26.60", "26.67")
def test_the_audit_log_names_the_person_and_no_log_or_object_has_a_secret(
    signed: Client, services: Services, store: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    login = begun(signed)
    services.logins.approve(login["user_code"], ADA)
    token = fetched(signed, login)["token"]
    entry = next(iter(services.audit_reader.page(AuditFilter(), limit=10).items))
    assert (entry.name, entry.action, entry.subject) == ("ada", "create token", "a login on laptop")
    written = [stored.body.decode() for info in store.list("") if (stored := store.get(info.key)) is not None]
    for secret in (token, login["device_code"].partition(".")[2]):
        assert secret not in "\n".join([*written, caplog.text])
