"""With sign-in, each request is from a known caller, or is refused before anything is done."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from httpx import Client, Response

from basecamp.access.credentials import Credentials
from basecamp.access.principal import Principal, Role
from basecamp.api.app import create_app
from basecamp.api.checked_route import CheckedRoute
from basecamp.services import Services
from basecamp.shared.clock import ManualClock
from basecamp.web.routes import router
from dataspec.errors import StoreUnreachable
from unit.basecamp.api.sign_in import KnownTokens, bearer, person, signing_in

Register = Callable[..., Response]

PEOPLE = (
    person("vera", Role.VIEWER),
    person("olga", Role.OPERATOR),
    person("adam", Role.ADMIN),
    person("otto", Role.OPERATOR, "@ops"),
    person("nina"),
)
SAME_ID = {"X-Request-Id": "same"}


@pytest.fixture
def signed(client_of: Callable[[Any], Client], services: Services, register: Register) -> Client:
    """A client of a server with sign-in and the dataset sales.daily."""
    register()
    return client_of(create_app(services, credentials=signing_in(*PEOPLE), pages=router))


@pytest.mark.rule("26.20")
def test_a_request_without_credentials_is_refused_with_the_next_step(signed: Client) -> None:
    answer = signed.get("/workflows")
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "dli login" in answer.json()["detail"]


@pytest.mark.rule("26.20")
@pytest.mark.parametrize(
    "sent", ["Bearer dli_nobody", "Bearer x.y.z", "Bearer", "Basic dli_adam", "dli_adam"]
)
def test_a_token_that_is_not_valid_is_refused_and_not_repeated(signed: Client, sent: str) -> None:
    answer = signed.get("/workflows", headers={"Authorization": sent})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert sent.rsplit(maxsplit=1)[-1] not in answer.text.replace("Bearer TOKEN", "")


@pytest.mark.rule("26.20")
def test_two_headers_with_tokens_are_refused(signed: Client) -> None:
    both = [("Authorization", "Bearer dli_adam"), ("Authorization", "Bearer dli_vera")]
    assert signed.get("/workflows", headers=both).status_code == 401


@pytest.mark.rule("26.20")
def test_while_the_store_is_silent_an_unknown_token_gets_503(
    client_of: Callable[[Any], Client], services: Services
) -> None:
    tokens = KnownTokens(
        {"adam": PEOPLE[2]}, slow=frozenset({"other"}), outage=StoreUnreachable("The store does not answer.")
    )
    client = client_of(create_app(services, credentials=Credentials([tokens])))
    assert client.get("/workflows", headers=bearer("other")).status_code == 503
    assert client.get("/workflows", headers=bearer("adam")).status_code == 200


@pytest.mark.rule("26.20")
def test_a_role_that_is_too_low_is_refused_by_name(signed: Client) -> None:
    answer = signed.post("/workflows/sales.daily/pause", headers=bearer("vera"))
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert answer.json()["title"] == "This needs the role operator for the datasets of @data-engineering."
    assert answer.json()["detail"] == (
        "You are vera: viewer for all datasets. An admin of this server can give you the role."
    )


@pytest.mark.rule("26.20")
def test_a_caller_without_a_role_may_not_even_read(signed: Client) -> None:
    for path in ("/workflows", "/workflows/sales.daily", "/runs/none"):
        assert signed.get(path, headers=bearer("nina")).status_code == 403


@pytest.mark.rule("26.22")
def test_a_dataset_of_another_team_is_as_if_it_did_not_exist(signed: Client) -> None:
    for path in ("/workflows/{}", "/datasets/{}", "/datasets/{}/versions"):
        unseen, missing = (
            signed.get(path.format(name), headers=bearer("otto") | SAME_ID)
            for name in ("sales.daily", "sales.dailx")
        )
        assert (unseen.status_code, missing.status_code) == (404, 404)
        assert unseen.text.replace("sales.daily", "sales.dailx") == missing.text
        assert unseen.headers.keys() == missing.headers.keys()


@pytest.mark.rule("26.22")
def test_changing_a_dataset_of_another_team_does_not_tell_whether_it_exists(signed: Client) -> None:
    unseen, missing = (
        signed.post(f"/workflows/{name}/pause", headers=bearer("otto") | SAME_ID)
        for name in ("sales.daily", "sales.dailx")
    )
    assert (unseen.status_code, missing.status_code) == (403, 403)
    assert unseen.json()["title"] == "'sales.daily' is not a dataset of your teams @ops."
    assert unseen.text.replace("sales.daily", "sales.dailx") == missing.text


@pytest.mark.rule("26.21")
def test_dli_user_is_ignored_and_the_log_names_the_caller(
    signed: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "basecamp.requests"):
        signed.get("/workflows", headers=bearer("olga") | {"Dli-User": "adam"})
        signed.get("/workflows", headers={"Dli-User": "adam"})
    lines = [record.getMessage() for record in caplog.records if record.name == "basecamp.requests"]
    assert [line.split()[-1] for line in lines] == ["olga", "anonymous"]


@pytest.mark.rule("26.20")
def test_what_is_public_needs_no_sign_in_and_names_nothing(signed: Client) -> None:
    for path in ("/healthz", "/openapi.json", "/docs", "/schemas/dataset.json"):
        assert signed.get(f"http://test{path}").status_code == 200
    for path in ("/api/v1/none", "/none", "/static/x/none"):
        assert signed.get(f"http://test{path}").status_code == 404
    assert signed.request("PUT", "/workflows").status_code == 405
    assert signed.options("/workflows").status_code == 204
    assert signed.head("/workflows").status_code == 401


@pytest.mark.rule("26.20")
def test_readiness_shows_the_state_of_dependencies_to_those_who_see_all_datasets(signed: Client) -> None:
    for headers in ({}, bearer("nobody"), bearer("otto")):
        shown = signed.get("http://test/readyz", headers=headers).json()
        assert (shown["checks"], shown["age_seconds"]) == ({}, {})
        assert shown["status"]
    assert signed.get("http://test/readyz", headers=bearer("vera")).json()["checks"]


@pytest.mark.rule("26.20")
def test_the_metrics_need_a_role_for_all_datasets(signed: Client) -> None:
    assert signed.get("http://test/metrics").status_code == 401
    assert signed.get("http://test/metrics", headers=bearer("otto")).status_code == 403
    assert signed.get("http://test/metrics", headers=bearer("vera")).status_code == 200


@pytest.mark.rule("26.20")
def test_a_route_without_a_row_in_the_table_is_not_served(services: Services) -> None:
    pages = APIRouter(route_class=CheckedRoute)
    pages.add_api_route("/secret", lambda: "", methods=["GET"])
    with pytest.raises(LookupError, match="has no row for GET /secret"):
        create_app(services, pages=pages)
    assert isinstance(create_app(services), FastAPI)


@pytest.mark.rule("26.23")
def test_whoami_shows_a_caller_their_roles(signed: Client, client: Client) -> None:
    assert signed.get("/whoami").status_code == 401
    assert signed.get("/whoami", headers=bearer("otto")).json() == {
        "name": "otto",
        "method": "token",
        "grants": [{"role": "operator", "teams": ["@ops"]}],
        "expires_at": None,
    }
    assert signed.get("/whoami", headers=bearer("nina")).json()["grants"] == []
    open_server = client.get("/whoami", headers={"Dli-User": "kim"}).json()
    assert open_server == {
        "name": "kim",
        "method": "open",
        "grants": [{"role": "admin", "teams": None}],
        "expires_at": None,
    }


@pytest.mark.rule("26.77")
def test_refused_requests_are_in_the_audit_log(
    signed: Client, services: Services, clock: ManualClock
) -> None:
    """An entry for each refused request of a known caller, up to ten; one a minute for unknown callers."""
    for _ in range(12):
        clock.advance(1)
        signed.post("/workflows/sales.daily/pause", headers=bearer("vera"))
    for _ in range(3):
        signed.get("/workflows", headers={"Authorization": "Bearer dli_s3cret"})
    signed.get("/workflows")
    clock.advance(1)
    services.refused_requests.turn()
    services.refused_requests.turn()
    answer = signed.get("/audit", headers=bearer("adam"))
    counted, *others = answer.json()["items"]
    refused = [entry for entry in others if entry["action"] == "pause"]
    assert (counted["name"], counted["count"], counted["status"]) == ("unknown callers", 6, 401)
    assert "The token is not valid (3)" in counted["title"]
    assert "s3cret" not in answer.text
    assert {(entry["name"], entry["code"]) for entry in refused} == {("vera", "forbidden")}
    assert len(refused) == 10
    assert {signed.get("/audit", headers=bearer(name)).status_code for name in ("vera", "olga")} == {403}


@pytest.mark.rule("26.21")
def test_a_token_that_is_being_looked_up_holds_up_no_other_request(
    client_of: Callable[[Any], Client], services: Services
) -> None:
    asked, answered = threading.Event(), threading.Event()

    class Slow(KnownTokens):
        def verify(self, secret: str) -> Principal:
            asked.set()
            assert answered.wait(60)
            return super().verify(secret)

    tokens = Slow({one.name: one for one in PEOPLE}, slow=frozenset({"olga"}))
    client = client_of(create_app(services, credentials=Credentials([tokens])))
    with ThreadPoolExecutor(1) as other:
        slow = other.submit(client.get, "/whoami", headers=bearer("olga"))
        assert asked.wait(60)
        try:
            assert client.get("/whoami", headers=bearer("vera")).json()["name"] == "vera"
        finally:
            answered.set()
        assert slow.result(60).json()["name"] == "olga"
