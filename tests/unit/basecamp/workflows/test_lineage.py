"""Where the columns of registered datasets come from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from httpx import Client

from basecamp.access.principal import Role
from basecamp.airflow.testing.dag_processor import MemoryDags
from basecamp.api.app import create_app
from basecamp.services import Services
from basecamp.shared.clock import ManualClock
from dataspec.store import MemoryStore
from dataspec.store.base import MISSING
from unit.basecamp.api.sign_in import bearer, person, signing_in
from unit.dataspec.specs import spec_text

Put = Callable[..., None]


@pytest.fixture
def put(store: MemoryStore, dags: MemoryDags, clock: ManualClock) -> Put:
    """Put specs with their SQL into a source; Airflow loads them."""

    def put(source: str, name: str, sql: str, extra: str = "") -> None:
        text = spec_text(name, sql=sql, extra=extra)
        store.put(f"{source}/{name}.yaml", text.encode(), expected=MISSING)
        dags.refresh()
        clock.advance(60)

    return put


def columns(found: dict[str, Any]) -> dict[str, Sequence[str]]:
    return {
        column["name"]: [f"{source['table']}.{source['column']}" for source in column["sources"]]
        for column in found["columns"]
    }


@pytest.mark.rule("32.25")
def test_it_has_the_tables_and_the_columns_of_one_source(client: Client, put: Put) -> None:
    put("code", "s.up", "create table s.up as select a, b from raw.t")
    put("code", "s.down", "create table s.down as select * from s.up")
    put("manual", "s.down", "create table s.down as select a as x from s.up")
    found = client.get("/datasets/s.down/lineage").json()
    assert (found["source_type"], found["reads"], found["writes"]) == ("code", ["s.up"], ["s.down"])
    assert columns(found) == {"a": ["s.up.a"], "b": ["s.up.b"]}
    assert found["unknown"] is None
    manual = client.get("/datasets/s.down/lineage", params={"source": "manual"}).json()
    assert (manual["source_type"], columns(manual)) == ("manual", {"x": ["s.up.a"]})
    missing = client.get("/datasets/s.dow/lineage")
    assert (missing.status_code, missing.json()["code"]) == (404, "dataset_not_found")


@pytest.mark.rule("32.25")
def test_datasets_that_the_caller_may_not_see_tell_no_columns(
    client_of: Callable[[Any], Client], services: Services, put: Put
) -> None:
    put("code", "s.up", "create table s.up as select secret from raw.t", "team: '@fin'\n")
    put("code", "s.down", "create table s.down as select * from s.up", "team: '@ops'\n")
    signed = client_of(create_app(services, credentials=signing_in(person("vera", Role.VIEWER, "@ops"))))
    answer = signed.get("/datasets/s.down/lineage", headers=bearer("vera"))
    assert "secret" not in answer.text
    assert answer.json()["unknown"] == "The columns of s.up are not known."
    assert signed.get("/datasets/s.up/lineage", headers=bearer("vera")).status_code == 404
