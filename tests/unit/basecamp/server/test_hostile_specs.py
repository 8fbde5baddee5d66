"""Whatever one spec, map or key in the store is, the server goes on for all the others (specification 4.6)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fastapi import FastAPI
from httpx import Client, Response

from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.airflow.testing.dag_processor import MemoryDags
from basecamp.api.app import create_app
from basecamp.server.wiring import build_services
from basecamp.services import Services
from basecamp.shared.clock import ManualClock, SystemClock
from basecamp.web.routes import router
from dataspec.catalog.ledger import LEDGER_KEY
from dataspec.spec.model import DatasetSpec
from dataspec.spec.yaml_reader import Document
from dataspec.sql.validation import check_document
from dataspec.store import MemoryStore, Store, open_store
from dataspec.store.base import MISSING

HEAD = "name: bad\ntype: Dataset\nowner: a@example.com\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(folder: Path) -> Store:
    """A folder: a real store, in which others put what they like."""
    return open_store(str(folder))


@pytest.fixture
def dags(airflow: MemoryAirflow, store: Store, clock: ManualClock) -> MemoryDags:
    dags = MemoryDags(airflow, store, clock.now)
    airflow.load("earlier.dataset", tags=["source:manual"])
    airflow.on_parse = lambda _dag: dags.refresh()
    clock.on_wait.append(dags.refresh)
    return dags


@pytest.fixture
def services(store: Store, airflow: MemoryAirflow, clock: ManualClock, dags: MemoryDags) -> Services:
    return build_services(store, airflow, clock)


@pytest.fixture(scope="session")
def pages() -> FastAPI:
    """The application with the pages for people."""
    return create_app(build_services(MemoryStore(), MemoryAirflow(), SystemClock()), pages=router)


@pytest.fixture
def page(
    pages: FastAPI, services: Services, client_of: Callable[[FastAPI], Client]
) -> Callable[[str], Response]:
    """Ask for a page for people."""
    pages.state.services = services
    return lambda path: client_of(pages).get(f"http://test{path}")


def with_file(path: str) -> Callable[[Path], None]:
    def put(code: Path) -> None:
        (code / "bad.yaml").write_text(f'{HEAD}query_file: "{path}"\n')

    return put


def with_map(body: bytes) -> Callable[[Path], None]:
    def put(code: Path) -> None:
        with_file("q.sql")(code)
        (code / "q.sql").write_text("select 1")
        (code / "bad.files.json").write_bytes(body)

    return put


def put_pipe(code: Path) -> None:
    os.mkfifo(code / "bad.yaml")


def put_pipe_for_a_map(code: Path) -> None:
    with_file("q.sql")(code)
    os.mkfifo(code / "bad.files.json")


def put_foreign_name(code: Path) -> None:
    Path(os.fsdecode(os.fsencode(code) + b"/bad\xff.yaml")).write_text(HEAD)


BAD: dict[str, Callable[[Path], None]] = {
    "step": with_file("./q.sql"),
    "empty part": with_file("a//b.sql"),
    "hidden": with_file(".hidden.sql"),
    "folder": with_file("sql/"),
    "nul": with_file("q\\0.sql"),
    "long": with_file("l" * 400),
    "digest": with_map(b'{"versions": {"x": {"files": {"q.sql": "../x"}}}}'),
    "no json": with_map(b"[" * 100_000),
    "pipe": put_pipe,
    "foreign name": put_foreign_name,
    "pipe for a map": put_pipe_for_a_map,
}


@pytest.fixture(params=list(BAD.values()), ids=list(BAD))
def bad(request: pytest.FixtureRequest, folder: Path) -> None:
    (folder / "code").mkdir(parents=True)
    request.param(folder / "code")


def check_that_all_goes_on(
    client: Client, register: Callable[..., Response], start: Callable[..., str]
) -> str:
    """Register, list, run and look at another dataset; return why the bad one can't be used."""
    register("sales.daily")
    rows = client.get("/workflows").json()["items"]
    (invalid,) = (row for row in rows if row["status"] == "invalid")
    assert [row["dataset_name"] for row in rows if row["status"] != "invalid"] == ["sales.daily"]
    assert invalid["file"].startswith("code/bad")
    assert start("sales.daily")
    assert client.get("/datasets/sales.daily").is_success
    assert [row["name"] for row in client.get("/datasets").json()["items"]] == ["sales.daily"]
    synced = client.post("/sync").json()
    assert [row["file"] for row in synced["invalid"]] == [invalid["file"]]
    return str(invalid["error"])


@pytest.mark.rule("4.6")
@pytest.mark.usefixtures("bad")
def test_a_bad_thing_in_the_store_is_a_row_and_all_else_goes_on(
    client: Client,
    register: Callable[..., Response],
    start: Callable[..., str],
    page: Callable[[str], Response],
) -> None:
    assert check_that_all_goes_on(client, register, start)
    for path in ("/", "/workflows/sales.daily"):
        assert page(path).is_success


@pytest.mark.rule("4.6")
@pytest.mark.parametrize(
    "error", [RuntimeError("no one knew"), RecursionError(), MemoryError(), KeyError("x")]
)
def test_an_error_that_nobody_foresaw_is_a_row_too(
    error: Exception,
    folder: Path,
    client: Client,
    register: Callable[..., Response],
    start: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (folder / "code").mkdir(parents=True)
    (folder / "code/bad.yaml").write_text(f"{HEAD}query_statement: select 1\n")
    fail_for_bad(error, monkeypatch)
    told = check_that_all_goes_on(client, register, start)
    assert f"an unexpected error while reading it: {type(error).__name__}" in told
    assert "This is a bug in dli; please report it." in told


def fail_for_bad(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let one check fail for the spec `bad`."""

    def failing(document: Document, files: Mapping[str, str]) -> DatasetSpec:
        if document.file.endswith("bad.yaml"):
            raise error
        return check_document(document, files)

    monkeypatch.setattr("dataspec.catalog.reader.check_document", failing)


@pytest.mark.rule("4.6")
def test_a_row_that_cannot_be_made_keeps_no_other_from_being_listed(
    client: Client, register: Callable[..., Response], monkeypatch: pytest.MonkeyPatch
) -> None:
    register("sales.daily")
    register("sales.hourly", {'"0 9 * * *"': '"0 * * * *"'})

    def failing(cron: str, *rest: object) -> datetime | None:
        if cron == "0 * * * *":
            raise OverflowError("no one knew")
        return datetime(2024, 1, 16, tzinfo=UTC)

    monkeypatch.setattr("basecamp.workflows.rows._next_run", lambda _, schedule, __: failing(schedule.cron))
    rows = {row["dataset_name"]: row for row in client.get("/workflows").json()["items"]}
    assert rows["sales.daily"]["status"] == "active"
    assert "OverflowError: no one knew" in rows["sales.hourly"]["error"]


@pytest.mark.rule("4.6")
def test_one_broken_entry_of_the_ledger_costs_no_other(
    client: Client, register: Callable[..., Response], store: Store
) -> None:
    register("sales.daily")
    register("sales.weekly")
    before = store.get(LEDGER_KEY)
    assert before is not None
    store.put(
        LEDGER_KEY,
        before.body.replace(b'"switches": 0', b'"switches": 0, "since": 7', 1),
        expected=before.etag,
    )
    assert client.post("/sync").is_success
    rows = client.get("/workflows").json()["items"]
    assert [row["dataset_name"] for row in rows] == ["sales.daily", "sales.weekly"]


@pytest.mark.rule("4.6")
def test_other_objects_among_plans_notices_and_keys_break_no_list(
    client: Client, register: Callable[..., Response], folder: Path
) -> None:
    register("sales.daily")
    for place in ("backfills/active", "backfills/ended", "outbox", "idempotency", "leases"):
        below = folder / "basecamp" / place
        below.mkdir(parents=True, exist_ok=True)
        os.mkfifo(below / "pipe.json")
        (below / "a\\b\n.json").write_text("{")
        Path(os.fsdecode(os.fsencode(below) + b"/\xff.json")).write_text("{")
    for path in ("/workflows", "/backfills", "/runs"):
        answer = client.get(path)
        assert answer.is_success, answer.text
    assert client.post("/sync").is_success


def test_a_dataset_that_can_be_sent_with_a_bad_path_is_refused_with_its_place(client: Client) -> None:
    body = {"yaml": f"{HEAD}query_file: ./q.sql\n", "files": {"./q.sql": "select 1"}}
    answer = client.put("/datasets/bad", json=body)
    assert answer.status_code == 422
    (problem,) = answer.json()["problems"]
    assert (problem["line"], problem["column"]) == (4, 13)
    assert "Write 'q.sql'." in problem["message"]
    assert client.get("/workflows").json()["items"] == []


@pytest.mark.usefixtures("bad")
def test_a_bad_manual_spec_can_be_unregistered(client: Client, store: Store) -> None:
    store.put("manual/m.yaml", HEAD.replace("bad", "m").encode() + b"query_file: ./q.sql\n", expected=MISSING)
    assert client.request("DELETE", "/datasets/m").is_success
    assert store.get("manual/m.yaml") is None
