"""Rolling a manual spec back to an earlier version, over the API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from httpx import Client

from basecamp.services import Services
from basecamp.shared.clock import ManualClock
from dataspec.catalog.ledger import version_key
from dataspec.store import MemoryStore

NAME = "sales.daily"
MANUAL = f"manual/{NAME}.yaml"

Register = Callable[..., Any]


@pytest.fixture
def versions(register: Register, clock: ManualClock) -> tuple[str, str]:
    """Two registered versions; the hashes of the first and the second."""
    first = register().json()["spec_hash"]
    clock.advance(60)
    second = register(replace={"0 9": "0 6"}, files={"query.sql": "SELECT 2"}).json()["spec_hash"]
    clock.advance(60)
    return first, second


def roll_back(client: Client, version: str, *, headers: dict[str, str] | None = None, **more: Any) -> Any:
    return client.post(f"/datasets/{NAME}/rollback", json={"version": version} | more, headers=headers or {})


def now_registered(client: Client) -> str:
    spec_hash: str = client.get(f"/datasets/{NAME}?source=manual").json()["spec_hash"]
    return spec_hash


@pytest.mark.rule("33.13", "33.14")
def test_earlier_version_is_registered_again_as_it_was(
    client: Client, versions: tuple[str, str], store: MemoryStore
) -> None:
    first, _ = versions
    answer = roll_back(client, first[:10])
    assert (answer.status_code, answer.json()["spec_hash"]) == (200, first)
    assert (answer.json()["loaded"], answer.json()["effective"]) == (True, True)
    assert answer.headers["ETag"].strip('"') == answer.json()["etag"]
    item = client.get(f"/datasets/{NAME}/versions").json()["items"][0]
    assert (item["spec_hash"], item["action"], item["registered"]) == (first, "rollback", True)


@pytest.mark.rule("33.14")
def test_rollback_is_conditional_as_a_registration_is(client: Client, versions: tuple[str, str]) -> None:
    first, second = versions
    for headers in ({"If-Match": '"another"'}, {"If-None-Match": "*"}):
        refused = roll_back(client, first, headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (412, "conflict")
    assert now_registered(client) == second
    etag = client.get(f"/datasets/{NAME}").headers["ETag"]
    assert roll_back(client, first, headers={"If-Match": etag}).status_code == 200


@pytest.mark.rule("33.14")
def test_repeated_request_rolls_back_once(
    client: Client, versions: tuple[str, str], register: Register
) -> None:
    first, second = versions
    once = {"Idempotency-Key": "once"}
    assert roll_back(client, first, headers=once).json()["spec_hash"] == first
    register(replace={"0 9": "0 6"}, files={"query.sql": "SELECT 2"})
    repeated = roll_back(client, first, headers=once)
    assert now_registered(client) == second
    assert repeated.status_code in {200, 409}


@pytest.mark.rule("33.15")
def test_dataset_of_code_is_refused_with_the_way_through_git(
    client: Client, publish: Callable[..., None]
) -> None:
    publish()
    version = client.get(f"/datasets/{NAME}").json()["spec_hash"]
    refused = roll_back(client, version)
    assert (refused.status_code, refused.json()["code"]) == (409, "managed_by_code")
    assert "git revert" in refused.json()["detail"]


@pytest.mark.rule("33.15")
def test_manual_file_of_a_dataset_in_code_needs_consent(
    client: Client, versions: tuple[str, str], publish: Callable[..., None]
) -> None:
    publish(replace={"0 9": "0 3"})
    first, _ = versions
    assert roll_back(client, first).json()["code"] == "exists_in_code"
    done = roll_back(client, first, accept_override=True).json()
    assert (done["spec_hash"], done["effective"]) == (first, False)
    assert now_registered(client) == first


@pytest.mark.rule("33.13")
def test_version_of_another_dataset_and_lost_content_are_not_found(
    client: Client, versions: tuple[str, str], register: Register, store: MemoryStore
) -> None:
    first, second = versions
    other = register("pay.roll").json()["spec_hash"]
    assert roll_back(client, other).json()["code"] == "version_not_found"
    stored = store.get(version_key(first))
    assert stored is not None
    store.delete(stored.key, expected=stored.etag)
    assert roll_back(client, first).json()["code"] == "version_not_found"
    assert now_registered(client) == second


@pytest.mark.rule("33.13")
def test_rollback_is_audited_with_its_reason(
    client: Client, versions: tuple[str, str], services: Services
) -> None:
    first, second = versions
    roll_back(client, first, reason="wrong numbers", headers={"Dli-User": "bob"})
    entry = client.get("/audit").json()["items"][0]
    assert (entry["action"], entry["name"], entry["reason"]) == ("rollback", "bob", "wrong numbers")
    assert (entry["spec_hash_before"], entry["spec_hash_after"]) == (second, first)
