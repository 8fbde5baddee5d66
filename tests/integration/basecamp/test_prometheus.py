"""A real Prometheus reads the metrics of a real server, tests the alerts, and answers the dashboard's queries."""

from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.request
from collections.abc import Iterator

import pytest

from memory_server import MemoryServer, memory_server, name_of
from prometheus import FOLDER, Prometheus, program, prometheus

PATIENCE_SECONDS = 180
MAY_BE_EMPTY = {  # without failed datasets, and with an Airflow in memory
    "basecamp_dataset_failed_timestamp_seconds",
    "basecamp_dataset_late_timestamp_seconds",
    "basecamp_airflow_requests",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemoryServer]:
    with memory_server(tmp_path_factory.mktemp("server") / "log", "--datasets", "5") as server:
        yield server


@pytest.fixture(scope="module")
def scraping(server: MemoryServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    target = server.url.removeprefix("http://")
    with prometheus(tmp_path_factory.mktemp("prometheus"), target) as started:
        yield started


def until_found(scraping: Prometheus, expression: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not scraping.query(expression):
        assert time.monotonic() < deadline, f"{expression} selects nothing"
        time.sleep(0.5)


@pytest.mark.rule("42.8")
def test_prometheus_accepts_the_alerts_and_their_unit_tests_pass() -> None:
    for command in (["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]):
        ended = subprocess.run(
            [program("promtool"), *command], cwd=FOLDER, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.rule("42.8")
def test_each_alert_has_a_unit_test_and_a_row_in_the_documentation() -> None:
    alerts = set(re.findall(r"- alert: (\w+)", (FOLDER / "alerts.yml").read_text(encoding="utf-8")))
    tested = set(re.findall(r"alertname: (\w+)", (FOLDER / "alerts_test.yml").read_text(encoding="utf-8")))
    page = (FOLDER.parents[1] / "docs" / "monitoring.md").read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| `([A-Z]\w+)` \|", page, re.MULTILINE))
    assert alerts == tested == rows


@pytest.mark.rule("42.1", "42.8")
def test_a_real_prometheus_answers_every_query_of_the_dashboard(
    server: MemoryServer, scraping: Prometheus
) -> None:
    started = urllib.request.Request(
        f"{server.url}/api/v1/workflows/{name_of(1)}/runs",
        data=b'{"parameters": {"execution_date": "2024-01-01"}}',
        headers={"Content-Type": "application/json"},
        method="POST",
    )
    until_found(scraping, "basecamp_runs_active")
    urllib.request.urlopen(started, timeout=120).close()
    until_found(scraping, 'sum(basecamp_runs_ended_total{result="completed", type="adhoc"}) == 1')
    until_found(scraping, "rate(basecamp_run_duration_seconds_count[5m])")

    dashboard = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    assert len(queries) > 20
    known = scraping.get("metadata")
    for query in queries:
        named = set(re.findall(r"(?:basecamp|process)_\w+", query))
        families = {re.sub(r"_(?:total|bucket|count|sum)$", "", name) for name in named}
        assert all(name in known or f"{name}_total" in known for name in families), query
        assert families & MAY_BE_EMPTY or scraping.query(query), f"{query} selects nothing"


@pytest.mark.rule("42.8")
def test_its_alerts_are_evaluated_without_an_error(scraping: Prometheus) -> None:
    until_found(scraping, "basecamp_datasets")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        rules = [rule for group in scraping.get("rules")["groups"] for rule in group["rules"]]
        if all(rule["health"] == "ok" for rule in rules):
            break
        assert time.monotonic() < deadline, rules
        time.sleep(0.5)
    assert {rule["name"] for rule in rules if rule["state"] != "inactive"} <= {"BasecampNotReady"}


def test_the_panels_of_the_dashboard_fit_beside_each_other() -> None:
    panels = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))["panels"]
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert all(x < 24 for x, _ in cells)
