"""One trace from the command to the query, over a real server and a real Airflow."""

from __future__ import annotations

from pathlib import Path

import pytest

from lines_here import on_airflow_3
from otlp import OtlpReceiver, Seen
from stacks import Dev, Stack, copy_of_flights


@pytest.mark.rule("42.9")
@on_airflow_3
def test_one_trace_goes_from_the_command_to_the_query(
    airflow_env: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = copy_of_flights(tmp_path)
    with OtlpReceiver() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
        with Dev(tmp_path / "home", airflow_env, project) as dev:
            stack = Stack(home=dev.home, project=project, **dev.ready())
            name = stack.register("select 1 as one")
            started = stack.program("workflow", "run", name, "--wait")
            assert started.returncode == 0, started.stdout + started.stderr

        def of(span: Seen, parent: Seen) -> bool:
            return span.trace == parent.trace and span.parent == parent.number

        attempt = receiver.until(lambda span: span.name == f"run {name}")
        command = receiver.until(lambda span: span.trace == attempt.trace and span.service == "dli")
        request = receiver.until(lambda span: of(span, command) and span.name.startswith("POST "))
        query = receiver.until(lambda span: of(span, attempt) and span.name == "query")
        trigger = receiver.until(lambda span: of(span, request) and span.name == "POST Airflow")
    assert command.name == "dli workflow run"
    assert (request.service, attempt.service) == ("basecamp", "dli-airflow")
    assert attempt.parent == request.number
    assert attempt.attributes["dli.try_number"] == 1
    assert query.attributes["dli.statement.kind"] == "query"
    assert trigger.attributes["http.response.status_code"] == 200
