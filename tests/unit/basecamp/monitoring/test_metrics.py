"""``/metrics`` shows datasets, runs and this replica, and waits for nothing."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

import pytest
from httpx import Client, Response
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
from prometheus_client.parser import text_string_to_metric_families as parse_text

from basecamp.airflow.models import RunFilter, RunPage
from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.api.app import create_app
from basecamp.monitoring import dataset_metrics
from basecamp.monitoring.metrics import Metrics
from basecamp.server.wiring import build_services
from basecamp.services import Services
from basecamp.shared.clock import ManualClock
from dataspec.models import CheckResult
from dataspec.store import MemoryStore

PATIENCE_SECONDS = 120
PAGE = Path(__file__).parents[4] / "docs" / "monitoring.md"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"

Register = Callable[..., Response]
Start = Callable[..., str]
Execute = Callable[..., None]
Samples = Mapping[tuple[str, ...], float]


class HangingAirflow(MemoryAirflow):
    """An Airflow whose lists of runs are answered when the test allows it."""

    answers: threading.Event

    def list_runs(self, wanted: RunFilter, *, limit: int, cursor: str | None = None) -> RunPage:
        assert self.answers.wait(PATIENCE_SECONDS)
        return super().list_runs(wanted, limit=limit, cursor=cursor)


@pytest.fixture
def airflow(clock: ManualClock) -> Iterator[HangingAirflow]:
    airflow = HangingAirflow(now=clock.now)
    airflow.answers = threading.Event()
    airflow.answers.set()
    yield airflow
    airflow.answers.set()


class Scraped:
    """A server as Prometheus sees it."""

    def __init__(self, client: Client, clock: ManualClock) -> None:
        self._client = client
        self._clock = clock

    def get(self, accept: str = OPENMETRICS) -> Response:
        answer = self._client.get("http://test/metrics", headers={"Accept": accept})
        assert answer.status_code == 200, answer.text
        return answer

    def samples(self) -> Mapping[str, Samples]:
        """Return the values by the name of the sample and the values of its labels, in the labels' order."""
        found: dict[str, dict[tuple[str, ...], float]] = {}
        for family in parse(self.get().text):  # type: ignore[no-untyped-call]
            for sample in family.samples:
                labels = tuple(value for _, value in sorted(sample.labels.items()))
                found.setdefault(sample.name, {})[labels] = sample.value
        return found

    def until(self, is_there: Callable[[Mapping[str, Samples]], Any]) -> Mapping[str, Samples]:
        """Scrape until the looks in the background have found it."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not is_there(samples := self.samples()):
            assert time.monotonic() < deadline, samples
            self._clock.advance(6)
            time.sleep(0.005)
        return samples


@pytest.fixture
def scraped(client_of: Callable[[Any], Client], services: Services, clock: ManualClock) -> Scraped:
    return Scraped(client_of(create_app(services)), clock)


def is_seen(samples: Mapping[str, Samples]) -> bool:
    return {"basecamp_datasets", "basecamp_runs_active"} <= samples.keys()


@pytest.mark.rule("42.1")
def test_it_is_openmetrics_for_those_who_accept_it_and_prometheus_text_for_all_others(
    scraped: Scraped,
) -> None:
    prometheus = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
    new, old = scraped.get(prometheus), scraped.get("*/*")
    assert new.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert new.text.endswith("# EOF\n")
    assert old.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert {family.name for family in parse_text(old.text)} >= {"basecamp_build_info", "process_open_fds"}
    for odd in ("application/openmetrics-text;version=x;escaping=y", "text/plain;version=9;escaping=?", ""):
        assert "# HELP" in scraped.get(odd).text


@pytest.mark.rule("42.2")
def test_what_was_never_seen_is_absent_and_appears_without_a_scrape_waiting_for_it(
    scraped: Scraped, airflow: HangingAirflow, register: Register
) -> None:
    register()
    airflow.answers.clear()
    for _ in range(3):
        before = scraped.samples()
        assert "basecamp_build_info" in before
        assert not {"basecamp_datasets", "basecamp_runs_active", "basecamp_runs_ended_total"} & before.keys()
        assert "basecamp_backfills_active" not in before
    airflow.answers.set()
    after = scraped.until(is_seen)
    assert after["basecamp_datasets"]["none", "manual", "active"] == 1
    assert after["basecamp_runs_ended_total"]["completed", "adhoc"] == 0


@pytest.mark.rule("42.2")
def test_while_airflow_is_away_the_last_state_stays_and_its_age_grows(
    scraped: Scraped, airflow: HangingAirflow, register: Register, clock: ManualClock
) -> None:
    register()
    scraped.until(is_seen)
    airflow.down = "refused"
    clock.advance(600)
    later = scraped.samples()
    clock.advance(60)
    later = scraped.until(lambda samples: samples["basecamp_runs_seen_age_seconds"][()] > 600)
    assert later["basecamp_datasets"]["none", "manual", "active"] == 1
    assert later["basecamp_datasets_seen_age_seconds"][()] > 600


@pytest.mark.rule("42.3")
def test_failed_datasets_are_counted_and_the_last_of_them_are_named(
    scraped: Scraped,
    register: Register,
    start: Start,
    execute: Execute,
    airflow: HangingAirflow,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dataset_metrics, "MAX_NAMED", 2)
    names = [f"sales.day_{number}" for number in range(4)]
    failed_at = {}
    for name in names:
        register(name)
        run_id = start(name)
        execute(run_id, name=name)
        airflow.set_run_state(name, run_id, "success" if name == names[3] else "failed", note="")
        failed_at[name] = clock.now().timestamp()
    start(names[2])  # is active; the last result stays
    seen = scraped.until(
        lambda found: found.get("basecamp_datasets", {}).get(("failed", "manual", "active")) == 3
    )
    assert seen["basecamp_datasets"]["completed", "manual", "active"] == 1
    assert seen["basecamp_dataset_failed_timestamp_seconds"] == {
        (name,): pytest.approx(failed_at[name]) for name in names[1:3]
    }
    assert seen["basecamp_datasets_failed_unnamed"] == {(): 1}


@pytest.mark.rule("42.3")
def test_late_datasets_are_named_with_the_time_since_when_they_are_late(
    scraped: Scraped, register: Register, clock: ManualClock
) -> None:
    register(replace={"schedule:": 'deadline: {by: "10:00"}\nschedule:'})
    clock.advance(36 * 3600)
    seen = scraped.until(lambda found: "basecamp_dataset_late_timestamp_seconds" in found)
    late_since = datetime(2024, 1, 16, 10, tzinfo=ZoneInfo("Asia/Seoul"))
    assert seen["basecamp_dataset_late_timestamp_seconds"] == {("sales.daily",): late_since.timestamp()}
    assert seen["basecamp_datasets_late_unnamed"] == {(): 0}


@pytest.mark.rule("42.4")
def test_runs_are_counted_once_for_each_end_with_their_durations_and_checks(
    scraped: Scraped,
    register: Register,
    start: Start,
    execute: Execute,
    airflow: HangingAirflow,
    clock: ManualClock,
) -> None:
    register(replace={"schedule:": "checks: [{not_null: [day]}]\nschedule:"})
    execute(start(), "success")
    clock.advance(1)
    scraped.until(is_seen)  # what ended before this look is not counted
    first, second, active = start(), start(limit=7), start(limit=8)
    ends: list[tuple[str, Literal["success", "failed"], int]] = [
        (first, "success", 30),
        (second, "failed", 4000),
    ]
    for run_id, state, took in ends:
        execute(run_id)
        clock.advance(took)
        results = [
            CheckResult(
                name="a", severity="error", status="failed" if state == "failed" else "passed", rows=1
            ),
            CheckResult(name="b", severity="warn", status="warned", rows=2),
        ]
        airflow.note_checks("sales.daily", run_id, results)
        airflow.note_rows("sales.daily", run_id, 500)
        airflow.set_run_state("sales.daily", run_id, state, note="")
    seen = scraped.until(lambda found: found["basecamp_run_checks_total"]["warned", "warn"] == 2)
    for _ in range(3):
        clock.advance(20)
        seen = scraped.until(lambda found: found["basecamp_runs_seen_age_seconds"][()] < 10)
    ended = seen["basecamp_runs_ended_total"]
    assert {labels: count for labels, count in ended.items() if count} == {
        ("completed", "adhoc"): 1,
        ("failed", "adhoc"): 1,
    }
    assert seen["basecamp_run_duration_seconds_sum"]["failed", "adhoc"] == pytest.approx(4000, abs=2)
    assert {labels: count for labels, count in seen["basecamp_run_checks_total"].items() if count} == {
        ("passed", "error"): 1,
        ("failed", "error"): 1,
        ("warned", "warn"): 2,
    }
    assert seen["basecamp_run_rows_total"] == {("adhoc",): 500, ("scheduled",): 0, ("backfill",): 0}
    assert seen["basecamp_runs_active"]["queued", "adhoc"] == 1
    assert active


@pytest.mark.rule("42.5")
def test_each_replica_tells_the_same_of_what_they_share(
    client_of: Callable[[Any], Client],
    store: MemoryStore,
    airflow: HangingAirflow,
    clock: ManualClock,
    register: Register,
    start: Start,
    execute: Execute,
) -> None:
    register()
    replicas = [
        Scraped(client_of(create_app(build_services(store, airflow, clock))), clock) for _ in range(2)
    ]
    for replica in replicas:
        replica.until(is_seen)
    for _ in range(3):
        execute(start(), "success")

    def is_told(found: Mapping[str, Samples]) -> bool:
        ended, datasets = found["basecamp_runs_ended_total"], found["basecamp_datasets"]
        return ended["completed", "adhoc"] == 3 and datasets["completed", "manual", "active"] == 1

    shared = [replica.until(is_told) for replica in replicas]
    for name in ("basecamp_datasets", "basecamp_runs_active", "basecamp_runs_ended_total"):
        assert shared[0][name] == shared[1][name]


@pytest.mark.rule("42.6")
def test_it_shows_how_busy_the_replica_is(scraped: Scraped, services: Services) -> None:
    services.readiness.look()
    seen = scraped.samples()
    assert seen["basecamp_threads_limit"].keys() == {("read",), ("change",), ("step",)}
    assert seen["basecamp_threads_busy"]["change",] == 0
    assert seen["basecamp_dependency_healthy"] == {("store",): 1, ("airflow",): 1}
    assert seen["basecamp_ready"] == {(): 1}


@pytest.mark.rule("42.6")
def test_it_shows_what_the_background_loops_have_found(scraped: Scraped, services: Services) -> None:
    assert not {"basecamp_store_check_age_seconds", "basecamp_outbox_messages"} & scraped.samples().keys()
    services.check.check()
    services.delivery.poll()
    services.reconciler.look()
    seen = scraped.samples()
    assert seen["basecamp_store_check_age_seconds"] == {(): 0}
    assert seen["basecamp_outbox_messages"] == {("pending",): 0, ("failing",): 0, ("given_up",): 0}
    assert seen["basecamp_backfills_active"] == {(): 0}


@pytest.mark.rule("42.7")
def test_the_documentation_has_a_row_for_each_metric_with_its_type_and_labels(
    client_of: Callable[[Any], Client],
    services: Services,
    clock: ManualClock,
    register: Register,
    start: Start,
    airflow: HangingAirflow,
) -> None:
    metrics = Metrics()
    metrics.watch_connections(lambda: 1, 10)
    metrics.airflow_request("GET", "200", 0.1)
    scraped = Scraped(client_of(create_app(services, metrics=metrics)), clock)
    services.readiness.look()
    services.check.check()
    services.delivery.poll()
    services.reconciler.look()
    register(replace={"schedule:": 'deadline: {by: "10:00"}\nschedule:'})
    airflow.set_run_state("sales.daily", start(), "failed", note="")
    clock.advance(36 * 3600)
    named = {f"basecamp_dataset_{state}_timestamp_seconds" for state in ("failed", "late")}
    scraped.until(lambda found: is_seen(found) and named <= found.keys())
    shown = {
        family.name: (family.type, sorted({label for one in family.samples for label in one.labels} - {"le"}))
        for family in parse(scraped.get().text)  # type: ignore[no-untyped-call]
        if family.name.startswith("basecamp_")
    }
    row = re.compile(r"^\| `(basecamp_\w+)` \| (\w+) \|([^|]*)\| (?:all|replica) \|", re.MULTILINE)
    written = {
        name: (kind, sorted(re.findall(r"`(\w+)`", labels)))
        for name, kind, labels in row.findall(PAGE.read_text(encoding="utf-8"))
    }
    assert written == shown
