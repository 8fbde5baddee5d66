"""The start of adhoc runs, and their preview."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from httpx import Client, Response

from basecamp.airflow.gateway import RunExists
from basecamp.airflow.models import DagRun, RunFilter
from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.airflow.testing.dag_processor import MemoryDags
from basecamp.api.app import create_app
from basecamp.server.wiring import build_services
from basecamp.services import Services
from basecamp.shared.clock import ManualClock
from dataspec.contract import adopts, checks_only, full_refresh_of, request_of, waits
from dataspec.errors import AirflowUnreachable
from dataspec.spec.full_refresh import FullRefresh
from dataspec.store import MemoryStore
from unit.basecamp.conftest import SQL, YAML

Register = Callable[..., Response]
PARAMETERS = {"execution_date": "2024-01-14"}


def run(client: Client, name: str = "sales.daily", key: str | None = None, **body: Any) -> Response:
    headers = {"Idempotency-Key": key} if key else {}
    return client.post(f"/workflows/{name}/runs", json={"parameters": PARAMETERS} | body, headers=headers)


def all_runs(airflow: MemoryAirflow) -> tuple[DagRun, ...]:
    return airflow.list_runs(RunFilter(), limit=100).runs


@pytest.mark.rule("12.1")
def test_a_run_gets_its_id_from_the_dataset_and_the_second(register: Register, client: Client) -> None:
    register()
    answer = run(client)
    assert answer.status_code == 201
    assert answer.json()["run_id"] == "sales.daily_20240115_093045"
    assert answer.json()["status"] == "PENDING"
    assert answer.json()["run_type"] == "adhoc"
    assert answer.json()["source_type"] is None
    assert answer.json()["parameters"] == {"execution_date": "2024-01-14", "limit": 100}
    assert (
        answer.json()["url"]
        == "https://airflow.example.com/dags/sales.daily/runs/sales.daily_20240115_093045"
    )


@pytest.mark.rule("12.2")
def test_airflow_gets_the_parameters_the_caller_and_the_current_time(
    register: Register, client: Client, airflow: MemoryAirflow
) -> None:
    register()
    client.post(
        "/workflows/sales.daily/runs",
        json={"parameters": PARAMETERS},
        headers={"Dli-User": "%EC%98%81%ED%9D%AC"},
    )
    (started,) = all_runs(airflow)
    assert {"execution_date": "2024-01-14", "limit": 100}.items() <= started.conf.items()
    assert started.conf["_dli"]["run_type"] == "adhoc"
    assert started.conf["_dli"]["requested_by"] == "영희"
    assert started.logical_date == datetime(2024, 1, 15, 9, 30, 45, 123456, tzinfo=UTC)


@pytest.mark.rule("27.9")
def test_a_run_knows_the_request_that_started_it(
    register: Register, client: Client, airflow: MemoryAirflow
) -> None:
    register()
    sent = {"X-Request-Id": "abc-123"}
    client.post("/workflows/sales.daily/runs", json={"parameters": PARAMETERS}, headers=sent)
    (started,) = all_runs(airflow)
    assert request_of(started.conf) == "abc-123"


@pytest.mark.rule("31.62")
def test_a_run_waits_for_its_upstream_only_if_the_request_says_so(
    register: Register, client: Client, airflow: MemoryAirflow, clock: ManualClock
) -> None:
    register()
    for more in ({}, {"wait_for_upstream": False}, {"wait_for_upstream": True}):
        answer = client.post("/workflows/sales.daily/runs", json={"parameters": PARAMETERS, **more})
        assert answer.status_code == 201
        clock.advance(1)
    runs = sorted(all_runs(airflow), key=lambda run: run.logical_date or clock.now())
    assert [waits(run.conf, run_type=run.run_type) for run in runs] == [False, False, True]


@pytest.mark.rule("12.3")
def test_runs_of_one_second_get_a_counter(register: Register, client: Client, clock: ManualClock) -> None:
    register()
    ids = [run(client).json()["run_id"] for _ in range(3)]
    clock.advance(0.5)
    ids.append(run(client).json()["run_id"])
    stem = "sales.daily_20240115_093045"
    assert ids == [stem, f"{stem}_2", f"{stem}_3", f"{stem}_4"]


@pytest.mark.rule("3.5")
def test_a_run_asked_for_on_the_minute_leaves_second_00_to_scheduled_runs(
    register: Register, client: Client, clock: ManualClock
) -> None:
    register()
    clock.advance(14.9)
    assert run(client).json()["run_id"] == "sales.daily_20240115_093101"


@pytest.mark.rule("12.1")
@pytest.mark.parametrize(
    ("parameters", "code", "title"),
    [
        ({}, "missing_parameter", "Missing required parameter: execution_date"),
        (
            PARAMETERS | {"limt": 3},
            "unknown_parameter",
            "Unknown parameter 'limt'. Allowed: execution_date, limit",
        ),
        (PARAMETERS | {"limit": "many"}, "invalid_parameter", "Invalid value for parameter 'limit'"),
        ({"execution_date": "2024-02-30"}, "invalid_parameter", "there is no date 2024-02-30"),
    ],
)
def test_wrong_parameters_are_refused_and_nothing_starts(
    register: Register,
    client: Client,
    airflow: MemoryAirflow,
    parameters: Mapping[str, Any],
    code: str,
    title: str,
) -> None:
    register()
    answer = run(client, parameters=parameters)
    assert answer.status_code == 422
    assert answer.json()["code"] == code
    assert title in answer.json()["title"]
    assert not all_runs(airflow)


@pytest.mark.rule("19.9")
def test_the_answer_has_the_command_lines_wording_beside_the_title(
    register: Register, client: Client
) -> None:
    register()
    problem = run(client, parameters=PARAMETERS | {"x": 1}).json()
    assert problem["text"] == (
        "Unknown parameter 'x'.\nAllowed parameters: execution_date (required), limit (optional)"
    )


@pytest.mark.rule("8.4")
def test_text_is_taken_for_any_type_as_a_command_line_gives_it(register: Register, client: Client) -> None:
    register()
    answer = run(client, parameters=PARAMETERS | {"limit": "5"})
    assert answer.json()["parameters"]["limit"] == 5


@pytest.mark.rule("12.21")
def test_a_dry_run_shows_the_sql_and_starts_nothing(
    register: Register, client: Client, airflow: MemoryAirflow
) -> None:
    register()
    answer = run(client, dry_run=True, parameters={"execution_date": "2024-01-14", "limit": 7})
    assert answer.status_code == 200
    assert answer.json()["statements"] == ["SELECT * FROM clicks WHERE day = '2024-01-14' LIMIT 7"]
    assert answer.json()["source_type"] == "manual"
    assert not all_runs(airflow)


def test_a_dry_run_tells_where_a_value_does_not_fit(register: Register, client: Client) -> None:
    register(replace={"type: integer\n    default: 100": "type: string\n    default: '1; DROP TABLE clicks'"})
    answer = run(client, dry_run=True)
    assert answer.status_code == 422
    assert answer.json()["code"] == "invalid_template"
    assert answer.json()["problems"][0]["file"] == "manual/query.sql"


def test_an_unknown_dataset_is_not_found(client: Client) -> None:
    answer = run(client, "nope")
    assert (answer.status_code, answer.json()["code"]) == (404, "dataset_not_found")


@pytest.mark.rule("7.7")
def test_a_paused_dataset_is_refused_with_the_command_that_resumes_it(
    register: Register, client: Client
) -> None:
    register()
    client.post("/workflows/sales.daily/pause")
    answer = run(client)
    assert (answer.status_code, answer.json()["code"]) == (409, "paused")
    assert answer.json()["title"].endswith("dli workflow unpause sales.daily")


@pytest.mark.rule("7.5")
def test_a_schedule_that_is_switched_off_does_not_hinder_a_run(register: Register, client: Client) -> None:
    register(replace={'cron: "0 9 * * *"': 'cron: "0 9 * * *"\n  enabled: false'})
    assert run(client).status_code == 201


@pytest.mark.rule("7.9")
def test_the_effective_spec_is_run_and_an_overridden_one_refused(
    register: Register, client: Client, publish: Callable[..., None]
) -> None:
    register()
    publish(replace={"default: 100": "default: 1"})
    effective = run(client)
    overridden = run(client, source="manual")
    assert effective.json()["parameters"]["limit"] == 1
    assert (overridden.status_code, overridden.json()["code"]) == (409, "overridden")
    assert overridden.json()["title"] == "This dataset is overridden by Code. Use the Code version."
    assert run(client, source="code").status_code == 201


def test_code_is_not_found_where_only_a_manual_spec_is(register: Register, client: Client) -> None:
    register()
    answer = run(client, source="code")
    assert answer.status_code == 404
    assert "found in manual" in answer.json()["detail"]


def test_a_dataset_whose_only_spec_is_broken_says_why(client: Client, publish: Callable[..., None]) -> None:
    publish(replace={"Asia/Seoul": "Asia/Nowhere"})
    answer = run(client)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_spec")
    assert answer.json()["problems"][0]["file"] == "code/sales.daily.yaml"


@pytest.mark.rule("12.1")
def test_a_dataset_that_airflow_has_not_loaded_says_so(
    client: Client, make_yaml: Callable[..., str], airflow: MemoryAirflow
) -> None:
    airflow.on_parse = None
    client.put("/datasets/sales.daily?wait=0", json={"yaml": make_yaml(), "files": {"query.sql": "SELECT 1"}})
    answer = run(client)
    assert (answer.status_code, answer.json()["code"]) == (504, "not_loaded")


@pytest.mark.rule("19.11")
def test_a_request_that_comes_twice_starts_one_run(
    register: Register, client: Client, clock: ManualClock, airflow: MemoryAirflow
) -> None:
    register()
    first = run(client, key="abc")
    clock.advance(5)
    second = run(client, key="abc")
    assert second.status_code == 201
    assert second.json() == first.json()
    assert len(all_runs(airflow)) == 1


@pytest.mark.rule("19.11")
def test_a_repeated_request_finds_its_run_on_another_replica(
    register: Register,
    client: Client,
    client_of: Callable[[Any], Client],
    store: MemoryStore,
    airflow: MemoryAirflow,
    clock: ManualClock,
) -> None:
    register()
    first = run(client, key="abc")
    clock.advance(5)
    other = client_of(create_app(build_services(store, airflow, clock)))
    assert run(other, key="abc").json()["run_id"] == first.json()["run_id"]
    assert len(all_runs(airflow)) == 1


@pytest.mark.rule("19.11")
def test_a_repeated_request_finds_its_run_after_midnight(
    register: Register, client: Client, clock: ManualClock, airflow: MemoryAirflow
) -> None:
    register()
    clock.advance(14 * 3600 + 29 * 60)
    first = run(client, key="abc")
    clock.advance(60)
    assert first.json()["run_id"].startswith("sales.daily_20240115_2359")
    assert run(client, key="abc").json()["run_id"] == first.json()["run_id"]


def test_a_repeated_request_finds_its_run_though_the_dataset_is_paused_meanwhile(
    register: Register, client: Client
) -> None:
    register()
    first = run(client, key="abc")
    client.post("/workflows/sales.daily/pause")
    assert run(client, key="abc").json()["run_id"] == first.json()["run_id"]


@pytest.mark.rule("19.11")
def test_a_key_of_another_request_is_refused(
    register: Register, client: Client, airflow: MemoryAirflow
) -> None:
    register()
    run(client, key="abc")
    answer = run(client, key="abc", parameters={"execution_date": "2024-01-13"})
    assert answer.status_code == 400
    assert answer.json()["title"] == "This Idempotency-Key was used for another request."
    assert len(all_runs(airflow)) == 1


def test_two_keys_in_one_second_start_two_runs(
    register: Register, client: Client, clock: ManualClock
) -> None:
    register()
    first, second = run(client, key="a").json(), run(client, key="b").json()
    clock.advance(2)
    assert second["run_id"] == first["run_id"] + "_2"
    assert run(client, key="b").json()["run_id"] == second["run_id"]


@pytest.mark.rule("19.12")
def test_keys_of_days_that_are_over_are_removed(
    register: Register, client: Client, clock: ManualClock, store: MemoryStore, services: Services
) -> None:
    from basecamp.shared.idempotency import PREFIX

    register()
    run(client, key="abc")
    clock.advance(3 * 24 * 3600)
    run(client, key="def")
    services.housekeeping.clean()
    assert [info.key[: len(PREFIX) + 8] for info in store.list(PREFIX)] == [f"{PREFIX}20240118"]


class SilentAirflow(MemoryAirflow):
    """An Airflow that does what it is told once, and whose answer is lost."""

    silent = True

    def trigger(self, dag_id: str, run_id: str, *, logical_date: datetime, conf: Mapping[str, Any]) -> DagRun:
        started = super().trigger(dag_id, run_id, logical_date=logical_date, conf=conf)
        if self.silent:
            raise AirflowUnreachable("Airflow does not answer.", detail="no answer in time")
        return started


@pytest.fixture
def silent(store: MemoryStore, clock: ManualClock, dags: MemoryDags) -> SilentAirflow:
    airflow = SilentAirflow(now=clock.now)
    processor = MemoryDags(airflow, store, clock.now)
    clock.on_wait.append(processor.refresh)
    return airflow


@pytest.mark.rule("12.3")
def test_a_run_whose_answer_was_lost_is_found(
    silent: SilentAirflow,
    store: MemoryStore,
    clock: ManualClock,
    client_of: Callable[[Any], Client],
    make_yaml: Callable[..., str],
) -> None:
    services: Services = build_services(store, silent, clock)
    client = client_of(create_app(services))
    client.put("/datasets/sales.daily", json={"yaml": make_yaml(), "files": {"query.sql": "SELECT 1"}})
    answer = run(client)
    assert answer.status_code == 201
    assert len(all_runs(silent)) == 1


class LockedAirflow(MemoryAirflow):
    """An Airflow whose database is locked at first."""

    locked_for = 2

    def trigger(self, dag_id: str, run_id: str, *, logical_date: datetime, conf: Mapping[str, Any]) -> DagRun:
        if self.locked_for:
            self.locked_for -= 1
            raise AirflowUnreachable("Airflow answered with an error.", detail="500 database is locked")
        return super().trigger(dag_id, run_id, logical_date=logical_date, conf=conf)


@pytest.mark.parametrize(("locked_for", "status"), [(2, 201), (3, 503)])
def test_a_start_is_tried_again_while_airflows_database_is_locked(
    store: MemoryStore,
    clock: ManualClock,
    client_of: Callable[[Any], Client],
    make_yaml: Callable[..., str],
    locked_for: int,
    status: int,
) -> None:
    airflow = LockedAirflow(now=clock.now)
    airflow.locked_for = locked_for
    clock.on_wait.append(MemoryDags(airflow, store, clock.now).refresh)
    client = client_of(create_app(build_services(store, airflow, clock)))
    client.put("/datasets/sales.daily", json={"yaml": make_yaml(), "files": {"query.sql": "SELECT 1"}})
    answer = run(client)
    assert answer.status_code == status
    assert len(all_runs(airflow)) == (1 if status == 201 else 0)


@pytest.mark.rule("12.3")
def test_a_run_of_another_key_is_never_taken_for_ones_own(
    airflow: MemoryAirflow, register: Register, client: Client
) -> None:
    register()
    taken = datetime(2024, 1, 15, 9, 30, 45, tzinfo=UTC)
    airflow.trigger("sales.daily", "sales.daily_20240115_093045", logical_date=taken, conf={})
    with pytest.raises(RunExists):
        airflow.trigger("sales.daily", "other", logical_date=taken, conf={})
    assert run(client, key="mine").json()["run_id"] == "sales.daily_20240115_093045_2"


@pytest.mark.rule("18.8")
def test_without_airflow_no_run_starts_and_the_error_says_so(
    register: Register, client: Client, airflow: MemoryAirflow
) -> None:
    register()
    airflow.down = "connection refused"
    answer = run(client)
    assert (answer.status_code, answer.json()["code"]) == (503, "airflow_unreachable")
    assert answer.headers["retry-after"] == "5"
    airflow.down = None
    assert not all_runs(airflow)


@pytest.mark.rule("12.22")
def test_a_spec_is_sent_along_with_a_dry_run_alone(client: Client, airflow: MemoryAirflow) -> None:
    spec = {"yaml": YAML.format(name="sales.daily"), "files": {"query.sql": SQL}, "file": "d/x.yaml"}
    body = {"parameters": {"execution_date": "2024-01-14"}, "spec": spec}
    tried = client.post("/workflows/sales.daily/runs", json={**body, "dry_run": True})
    assert (tried.status_code, tried.json()["registered"], tried.json()["reads"]) == (200, False, ["clicks"])
    refused = client.post("/workflows/sales.daily/runs", json=body)
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_usage")
    backfill = client.post(
        "/workflows/sales.daily/backfills",
        json={"start": "2024-01-01", "end": "2024-01-02", "spec": spec},
    )
    assert (backfill.status_code, backfill.json()["code"]) == (400, "invalid_usage")


@pytest.mark.rule("12.22")
def test_a_spec_that_is_sent_along_is_checked_as_for_a_registration(client: Client) -> None:
    spec = {"yaml": YAML.format(name="other"), "files": {"query.sql": SQL}, "file": "d/x.yaml"}
    answer = client.post("/workflows/sales.daily/runs", json={"dry_run": True, "spec": spec})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_spec")
    assert answer.json()["problems"][0]["file"] == "d/x.yaml"


HOURLY = {"0 9 * * *": "0 * * * *"}


@pytest.mark.rule("30.12")
@pytest.mark.rule("30.13")
def test_an_hour_is_run_by_its_name_and_shown_with_what_it_covers(
    register: Register, client: Client, airflow: MemoryAirflow
) -> None:
    register(replace=HOURLY)
    started = run(client, parameters={"execution_date": "2024-01-14T13:00"})
    assert started.status_code == 201
    partition = {
        "name": "2024-01-14T13:00+09:00",
        "start": "2024-01-14T13:00:00+09:00",
        "end": "2024-01-14T14:00:00+09:00",
    }
    assert (started.json()["partition"], started.json()["warnings"]) == (partition, [])
    assert started.json()["parameters"]["execution_date"] == "2024-01-14"
    assert all_runs(airflow)[0].conf["execution_date"] == "2024-01-14T13:00+09:00"
    assert client.get(f"/runs/{started.json()['run_id']}").json()["partition"] == partition
    preview = run(client, parameters={"execution_date": "2024-01-14T13:00"}, dry_run=True)
    assert preview.json()["partition"] == partition


@pytest.mark.rule("30.14")
def test_a_date_off_the_schedule_is_warned_of_by_run_and_preview(register: Register, client: Client) -> None:
    register(replace={"0 9 * * *": "0 9 * * 1"})
    for dry_run in (False, True):
        answer = run(client, parameters={"execution_date": "2024-01-16"}, dry_run=dry_run)
        (warning,) = answer.json()["warnings"]
        assert "starts on 2024-01-16: the run covers that date alone" in warning


@pytest.mark.rule("30.4")
def test_a_time_without_a_partition_is_refused_with_the_nearest_two(
    register: Register, client: Client
) -> None:
    register(replace=HOURLY)
    refused = run(client, parameters={"execution_date": "2024-01-14T13:20"})
    assert refused.status_code == 422
    assert refused.json()["detail"] == "The nearest are 2024-01-14T13:00+09:00 and 2024-01-14T14:00+09:00."


MATERIALIZED = {"query_file: query.sql\n": "query_file: query.sql\nmaterialization: table\n"}


@pytest.mark.rule("12.27")
def test_a_run_takes_a_table_over_or_builds_it_anew_only_if_the_request_says_so(
    register: Register, client: Client, airflow: MemoryAirflow, clock: ManualClock
) -> None:
    register(replace=MATERIALIZED)
    asked: tuple[dict[str, Any], ...] = ({}, {"adopt": True}, {"full_refresh": True})
    for more in asked:
        assert run(client, **more).status_code == 201
        clock.advance(1)
    runs = sorted(all_runs(airflow), key=lambda run: run.logical_date or clock.now())
    assert [adopts(run.conf) for run in runs] == [False, True, False]
    assert [full_refresh_of(run.conf) for run in runs] == [None, None, FullRefresh()]


@pytest.mark.rule("12.27")
@pytest.mark.parametrize(
    ("form", "option", "reason"),
    [
        (None, "adopt", "has no 'materialization', so no run takes over a table."),
        (None, "full_refresh", "has no 'materialization', so its SQL decides what a run replaces."),
        (
            "{type: incremental, strategy: append}",
            "full_refresh",
            "is incremental: a full refresh by one run",
        ),
    ],
)
@pytest.mark.parametrize("dry_run", [False, True])
def test_a_run_without_such_a_table_is_refused(
    register: Register, client: Client, form: str | None, option: str, reason: str, *, dry_run: bool
) -> None:
    register(replace={key: text.replace("table", form) for key, text in MATERIALIZED.items()} if form else {})
    asked: dict[str, Any] = {option: True, "dry_run": dry_run}
    answer = run(client, **asked)
    assert (answer.status_code, reason in answer.json()["title"]) == (400, True)


@pytest.mark.rule("37.20")
def test_a_run_of_the_checks_alone_needs_checks_and_takes_nothing_else(
    register: Register, client: Client, airflow: MemoryAirflow
) -> None:
    register(replace=MATERIALIZED)
    answer = run(client, checks_only=True)
    assert (answer.status_code, "has no checks." in answer.json()["title"]) == (400, True)
    checked = MATERIALIZED["query_file: query.sql\n"] + "checks: [{row_count: {min: 1}}]\n"
    register(replace={"query_file: query.sql\n": checked})
    assert run(client, checks_only=True, full_refresh=True).status_code == 400
    assert run(client, checks_only=True).status_code == 201
    (started,) = all_runs(airflow)
    assert checks_only(started.conf)


@pytest.mark.rule("12.28")
def test_a_preview_has_the_statements_that_stage_check_and_publish(
    register: Register, client: Client
) -> None:
    dialect = {**MATERIALIZED, "schedule:\n": "execution: {dialect: postgres}\nschedule:\n"}
    register(replace=dialect)
    text = "\n".join(run(client, dry_run=True).json()["publishing"])
    assert 'insert into "sales"."__dli_<hash>"\nSELECT * FROM clicks' in text
    assert text.index("__dli_<hash>") < text.index('delete from "sales"."daily"') < text.rindex("commit")
