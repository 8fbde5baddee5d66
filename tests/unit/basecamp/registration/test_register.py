"""Registrations: checked, stored, loaded by Airflow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from httpx import Client, Response

from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.airflow.testing.dag_processor import MemoryDags
from basecamp.shared.clock import ManualClock
from dataspec.store import MemoryStore

SQL = "SELECT 1 AS one"
Register = Callable[..., Response]
MakeYaml = Callable[..., str]


def body(yaml: str, **more: Any) -> dict[str, Any]:
    return {"yaml": yaml, "files": {"query.sql": SQL}} | more


@pytest.mark.rule("5.2", "5.3", "16.1")
def test_a_registered_spec_is_stored_as_it_came_and_loaded(register: Register, store: MemoryStore) -> None:
    answer = register(replace={"owner: ": "owner:   "})
    dataset = answer.json()
    assert answer.status_code == 201
    assert dataset["loaded"] is True
    assert dataset["effective"] is True
    assert dataset["file"] == "manual/sales.daily.yaml"
    stored = store.get("manual/sales.daily.yaml")
    assert stored is not None
    assert stored.body.decode() == dataset["yaml"]
    assert "owner:   engineer@example.com" in dataset["yaml"]


@pytest.mark.rule("10.14")
def test_a_registration_warns_of_rows_that_no_statement_stores(register: Register) -> None:
    (warning,) = register().json()["warnings"]
    assert warning.startswith("The rows of the query are not stored: no statement writes them to a table.")
    assert register(files={"query.sql": "create table a as select 1"}).json()["warnings"] == []


@pytest.mark.rule("31.61")
def test_without_a_triggerer_the_registration_of_a_dataset_that_waits_warns(
    register: Register, airflow: MemoryAirflow
) -> None:
    stored = {"query.sql": "create table a as select 1"}
    register("sales.orders", files=stored)
    waiting = {"owner:": "depends_on: [sales.orders]\nowner:"}
    assert register(replace=waiting, files=stored).json()["warnings"] == []
    airflow.has_triggerer = False
    assert register(replace={**waiting, "0 9": "0 10"}, files=stored).json()["warnings"] == [
        "No triggerer runs in Airflow: a run that waits for other datasets stays PENDING. Start one: airflow triggerer"
    ]
    assert register("sales.other", files=stored).json()["warnings"] == []


def test_registering_again_replaces_and_answers_200(register: Register, client: Client) -> None:
    before = register().json()
    answer = register(replace={"0 9": "0 10"})
    assert answer.status_code == 200
    assert answer.json()["spec_hash"] != before["spec_hash"]
    assert client.get("/workflows/sales.daily").json()["cron"] == "0 10 * * *"


def test_a_change_of_the_sql_alone_is_a_new_version(register: Register, client: Client) -> None:
    before = register().json()
    after = register(files={"query.sql": "SELECT 2 AS two"}).json()
    assert after["etag"] == before["etag"]
    assert after["spec_hash"] != before["spec_hash"]
    assert client.get("/datasets/sales.daily").json()["files"] == {"query.sql": "SELECT 2 AS two"}


@pytest.mark.rule("26.8")
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a..b", "a dot must be between"),
        ("manual__x", "must not begin with 'manual__'"),
        ("sales.daily_20240115_093045", "must not end like a run id"),
        ("sales%20daily", "' ' is not allowed"),
        ("x" * 201, "201 characters"),
    ],
)
def test_a_name_that_breaks_a_rule_is_refused(
    client: Client, make_yaml: MakeYaml, name: str, reason: str
) -> None:
    answer = client.put(f"/datasets/{name}", json=body(make_yaml()))
    assert answer.status_code == 422
    assert answer.json()["code"] == "invalid_name"
    assert reason in answer.json()["title"]


def test_every_problem_of_a_spec_is_reported_with_its_place_and_nothing_is_stored(
    client: Client, make_yaml: MakeYaml, store: MemoryStore
) -> None:
    yaml = make_yaml(replace={"timezone: Asia/Seoul": "timezone: Asia/Seol", "owner:": "onwer:"})
    answer = client.put("/datasets/sales.daily", json=body(yaml, file="datasets/sales.yaml"))
    problems = {(p["line"], p["column"]): p for p in answer.json()["problems"]}
    assert answer.status_code == 422
    assert answer.json()["code"] == "invalid_spec"
    assert problems[3, 1]["hint"] == "Did you mean 'owner'?"
    assert "Did you mean 'Asia/Seoul'?" in answer.json()["detail"]
    assert all(problem["file"] == "datasets/sales.yaml" for problem in problems.values())
    assert not list(store.list("manual/"))


MATERIALIZED = """\
name: a.b
type: Dataset
owner: a@example.com
query_statement: |
  select 1 as n;
  {query}
materialization: {form}
execution: {{connection: lake}}
"""


@pytest.mark.rule("35.33")
@pytest.mark.parametrize(
    ("query", "engine", "place", "told"),
    [
        ("delete from t", "duckdb", (5, 3), "with 'materialization' the query is one SELECT"),
        ("select 2 as n", "duckdb", (5, 3), "with 'materialization' the query is one SELECT"),
        ("-- no more", "mysql", (7, 18), "no materialization on mysql: it is not known"),
    ],
)
def test_a_materialization_that_no_run_could_build_is_refused_at_its_place(
    client: Client,
    airflow: MemoryAirflow,
    store: MemoryStore,
    query: str,
    engine: str,
    place: tuple[int, int],
    told: str,
) -> None:
    airflow.connections = {"lake": engine}
    sent = {"yaml": MATERIALIZED.format(query=query, form="table"), "files": {}, "file": "datasets/a.yaml"}
    answer = client.put("/datasets/a.b", json=sent)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_spec"), answer.text
    (problem,) = answer.json()["problems"]
    assert (problem["file"], problem["line"], problem["column"]) == ("datasets/a.yaml", *place)
    assert problem["message"].startswith(told)
    validated = client.post("/datasets/validate", json=sent).json()
    assert (validated["valid"], validated["problems"]) == (False, [problem])
    assert not list(store.list("manual/"))


@pytest.mark.rule("35.33")
def test_a_materialization_on_an_engine_that_is_not_known_is_registered(client: Client) -> None:
    sent = {"yaml": MATERIALIZED.format(query="-- no more", form="table"), "files": {}}
    assert client.put("/datasets/a.b", json=sent).is_success


@pytest.mark.rule("16.3")
def test_the_name_in_the_yaml_must_be_that_of_the_request(client: Client, make_yaml: MakeYaml) -> None:
    answer = client.put("/datasets/sales.hourly", json=body(make_yaml("sales.daily")))
    assert answer.status_code == 422
    assert answer.json()["problems"][0]["line"] == 1
    assert "'sales.daily', but 'sales.hourly' was to be registered" in answer.json()["detail"]


@pytest.mark.rule("2.21", "16.3")
@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, "the SQL file 'query.sql' does not exist"),
        ({"query.sql": SQL, "other.sql": SQL}, "'other.sql' was sent, but the spec does not use it"),
        ({"query.sql": "SELECT '{{ execution_dat }}'"}, "'execution_dat' is not a parameter"),
        ({"query.sql": "SELECT 1 -- " + "x" * 1024 * 1024}, "KiB"),
    ],
)
def test_wrong_sql_files_are_refused(
    client: Client, make_yaml: MakeYaml, store: MemoryStore, files: dict[str, str], reason: str
) -> None:
    answer = client.put("/datasets/sales.daily", json={"yaml": make_yaml(), "files": files})
    assert answer.status_code == 422
    assert reason in answer.json()["detail"]
    assert not list(store.list("manual/"))


def test_an_alias_bomb_is_refused(client: Client) -> None:
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n"
        for old, new in zip("abcdefgh", "bcdefghi", strict=True)
    )
    answer = client.put("/datasets/sales.daily", json=body(bomb))
    assert answer.status_code == 422
    assert answer.json()["code"] == "invalid_spec"


@pytest.mark.rule("16.4")
def test_a_spec_under_a_name_of_code_needs_consent(
    client: Client, make_yaml: MakeYaml, publish: Callable[..., None], store: MemoryStore
) -> None:
    publish()
    answer = client.put("/datasets/sales.daily", json=body(make_yaml()))
    assert answer.status_code == 409
    assert answer.json()["code"] == "exists_in_code"
    assert answer.json()["title"] == "This dataset already exists in Code path."
    assert not list(store.list("manual/"))


@pytest.mark.rule("16.4")
def test_with_accept_override_the_manual_spec_is_kept_but_inactive(
    register: Register, publish: Callable[..., None]
) -> None:
    publish()
    dataset = register(accept_override=True).json()
    assert (dataset["effective"], dataset["loaded"]) == (False, False)
    assert dataset["warnings"][0] == "This dataset exists in Code: the Manual file is kept but inactive."


@pytest.mark.rule("16.4")
def test_a_broken_spec_in_code_keeps_its_name(
    client: Client, make_yaml: MakeYaml, publish: Callable[..., None]
) -> None:
    publish(replace={"timezone: Asia/Seoul": "timezone: Nowhere"})
    answer = client.put("/datasets/sales.daily", json=body(make_yaml()))
    assert answer.json()["code"] == "exists_in_code"


@pytest.mark.rule("5.10")
def test_the_second_of_two_registrations_of_one_version_is_a_conflict(
    register: Register, client: Client, make_yaml: MakeYaml
) -> None:
    seen = client.get("/datasets/sales.daily")
    assert seen.status_code == 404
    etag = register().headers["etag"]
    mine = client.put(
        "/datasets/sales.daily", json=body(make_yaml(replace={"0 9": "0 8"})), headers={"If-Match": etag}
    )
    theirs = client.put(
        "/datasets/sales.daily", json=body(make_yaml(replace={"0 9": "0 7"})), headers={"If-Match": etag}
    )
    assert (mine.status_code, theirs.status_code) == (200, 412)
    assert theirs.json()["code"] == "conflict"
    assert client.get("/workflows/sales.daily").json()["cron"] == "0 8 * * *"


@pytest.mark.rule("19.13")
def test_create_only_is_refused_where_there_is_a_spec(
    register: Register, client: Client, make_yaml: MakeYaml
) -> None:
    headers = {"If-None-Match": "*"}
    assert client.put("/datasets/sales.daily", json=body(make_yaml()), headers=headers).status_code == 201
    assert client.put("/datasets/sales.daily", json=body(make_yaml()), headers=headers).status_code == 412


@pytest.mark.rule("19.13")
def test_a_change_of_nothing_is_refused_where_something_was_expected(
    client: Client, make_yaml: MakeYaml
) -> None:
    for etag in ("*", '"abc"'):
        answer = client.put("/datasets/sales.daily", json=body(make_yaml()), headers={"If-Match": etag})
        assert answer.status_code == 412


@pytest.mark.rule("16.2")
def test_without_a_wait_a_spec_is_stored_and_not_loaded_yet(
    client: Client, make_yaml: MakeYaml, airflow: MemoryAirflow
) -> None:
    airflow.on_parse = None
    answer = client.put("/datasets/sales.daily?wait=0", json=body(make_yaml()))
    assert answer.status_code == 201
    assert answer.json()["loaded"] is False
    assert client.get("/workflows/sales.daily").json()["note"] == "Airflow has not loaded it yet."


@pytest.mark.rule("16.2")
def test_the_error_of_a_spec_that_airflow_did_not_load_in_time_says_that_it_is_stored(
    client: Client, make_yaml: MakeYaml, clock: ManualClock, store: MemoryStore, airflow: MemoryAirflow
) -> None:
    clock.on_wait.clear()
    airflow.on_parse = None
    answer = client.put("/datasets/sales.daily?wait=7", json=body(make_yaml()))
    assert answer.status_code == 504
    assert answer.json()["code"] == "not_loaded"
    assert "has not loaded it within 7 s" in answer.json()["title"]
    assert "stored as manual/sales.daily.yaml" in answer.json()["detail"]
    assert store.get("manual/sales.daily.yaml") is not None


@pytest.mark.rule("16.2")
def test_an_import_error_of_the_dataset_is_shown(
    client: Client, make_yaml: MakeYaml, clock: ManualClock, airflow: MemoryAirflow
) -> None:
    def fail() -> None:
        trace = "Traceback …\nImportError: The DAG of manual/sales.daily.yaml can't be built.\nValueError: too deep"
        airflow.break_import("problem_1.py", trace)

    clock.on_wait[:] = [fail]
    airflow.on_parse = None
    answer = client.put("/datasets/sales.daily", json=body(make_yaml()))
    assert answer.status_code == 504
    assert answer.json()["title"] == "Airflow could not load this dataset."
    assert "ValueError: too deep" in answer.json()["detail"]


@pytest.mark.rule("16.2")
def test_import_errors_from_before_and_of_others_are_passed_over(
    register: Register, clock: ManualClock, airflow: MemoryAirflow, dags: MemoryDags
) -> None:
    airflow.break_import("old.py", "manual/sales.daily.yaml can't be used")
    clock.advance(1)
    airflow.break_import("other.py", "manual/other.yaml can't be used")
    waited = 0

    def load_late() -> None:
        nonlocal waited
        waited += 1
        if waited > 10:
            dags.refresh()

    clock.on_wait[:] = [load_late]
    airflow.on_parse = None
    assert register().json()["loaded"] is True


@pytest.mark.rule("16.9")
def test_a_spec_is_stored_while_airflow_is_down(
    client: Client, make_yaml: MakeYaml, airflow: MemoryAirflow, store: MemoryStore
) -> None:
    airflow.down = "connection refused"
    answer = client.put("/datasets/sales.daily", json=body(make_yaml()))
    assert answer.status_code == 504
    assert "connection refused" in answer.json()["detail"]
    assert store.get("manual/sales.daily.yaml") is not None


@pytest.mark.rule("19.4")
def test_validate_tells_problems_and_stores_nothing(
    client: Client, make_yaml: MakeYaml, store: MemoryStore
) -> None:
    good = client.post("/datasets/validate", json=body(make_yaml()))
    bad = client.post(
        "/datasets/validate", json=body(make_yaml(replace={"0 9 * * *": "61 9 * * *"}), file="x.yaml")
    )
    assert good.json() == {"valid": True, "name": "sales.daily", "problems": []}
    assert bad.status_code == 200
    assert bad.json()["valid"] is False
    assert bad.json()["problems"][0]["file"] == "x.yaml"
    assert not list(store.list(""))


@pytest.mark.rule("19.4")
def test_registered_specs_are_listed_in_pages(register: Register, client: Client) -> None:
    names = ["a.one", "b.two", "c.three"]
    for name in names:
        register(name)
    found: list[str] = []
    cursor = None
    while True:
        page = client.get("/datasets", params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        found += [item["name"] for item in page["items"]]
        assert all(item["loaded"] for item in page["items"])
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert found == names


@pytest.mark.rule("1.2")
def test_each_source_can_be_shown(register: Register, client: Client, publish: Callable[..., None]) -> None:
    register()
    publish()
    effective = client.get("/datasets/sales.daily").json()
    manual = client.get("/datasets/sales.daily", params={"source": "manual"}).json()
    assert (effective["source_type"], effective["effective"], effective["loaded"]) == ("code", True, True)
    assert (manual["source_type"], manual["effective"], manual["loaded"]) == ("manual", False, False)


@pytest.mark.rule("20.14")
def test_an_unknown_dataset_is_answered_with_the_nearest(register: Register, client: Client) -> None:
    register("sales.daily")
    answer = client.get("/datasets/sales.dayly")
    assert answer.status_code == 404
    assert answer.json()["title"] == "Dataset not found. Register first: dli dataset register"
    assert "Did you mean 'sales.daily'?" in answer.json()["detail"]
