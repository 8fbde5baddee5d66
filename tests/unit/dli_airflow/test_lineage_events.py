"""The events of a run for an OpenLineage backend, as a receiver gets them."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import attr
import pytest
from openlineage.client import facet_v2

from dataspec.contract import values_of_run
from dataspec.models import CheckResult
from dli_airflow import lineage_events
from dli_airflow.lineage_events import RunEvents, namespace_of
from receivers import Answer, Asked, Server
from unit.dli_airflow.catalogs import datasets

SPEC = """\
description: Clicks of a day.
materialization: {type: table}
parameters:
  - {name: execution_date, type: date}
schedule: {cron: 0 9 * * *, timezone: Asia/Seoul}
schema:
  - {name: day, type: date}
  - {name: clicks, type: bigint, description: How many.}
"""
QUERY = "select day, count(id) as clicks from web.raw where day = '{{ execution_date }}' group by day"
NAMES = {
    "nominalTime": facet_v2.nominal_time_run.NominalTimeRunFacet,
    "tags": facet_v2.tags_run.TagsRunFacet,  # the client's own, with its version
    "errorMessage": facet_v2.error_message_run.ErrorMessageRunFacet,
    "jobType": facet_v2.job_type_job.JobTypeJobFacet,
    "ownership": facet_v2.ownership_job.OwnershipJobFacet,
    "documentation": facet_v2.documentation_job.DocumentationJobFacet,
    "schema": facet_v2.schema_dataset.SchemaDatasetFacet,
    "columnLineage": facet_v2.column_lineage_dataset.ColumnLineageDatasetFacet,
    "dataQualityAssertions": facet_v2.data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet,
}
"""The facets by their keys, and the classes that OpenLineage generates from their published schemas."""


class Backend(Server):
    """Keeps the events that it is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[dict[str, Any]] = []
        self.status = 201

    def answer(self, asked: Asked) -> Answer:
        assert asked.path == "/api/v1/lineage"
        self.events.append(json.loads(asked.body))
        return Answer(self.status)


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    with Backend() as backend:
        monkeypatch.setenv("OPENLINEAGE_URL", backend.url)
        yield backend


def events() -> RunEvents:
    [dataset] = datasets("web.clicks", query=QUERY, more=SPEC)
    values = values_of_run(
        dataset.spec, {"execution_date": "2024-01-15"}, run_type="manual", interval=(None, None)
    )
    return RunEvents(
        dataset=dataset,
        values=values,
        run_id="web.clicks_1",
        try_number=1,
        namespace="postgres://db:5432",
        dialect="postgres",
        log=logging.getLogger("run"),
    )


def facets_of(event: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for holder in (event["run"], event["job"], *event["inputs"], *event["outputs"]):
        for kind in ("facets", "inputFacets", "outputFacets"):
            yield from (holder.get(kind) or {}).items()


def check(event: dict[str, Any]) -> None:
    """Check an event against what the published schema asks for."""
    assert event["eventType"] in {"START", "COMPLETE", "FAIL"}
    assert UUID(event["run"]["runId"])
    assert event["eventTime"].endswith("+00:00")
    assert urlsplit(event["producer"]).scheme == "urn"
    for one in (event["job"], *event["inputs"], *event["outputs"]):
        assert one["namespace"]
        assert one["name"]
    for name, facet in facets_of(event):
        assert urlsplit(facet["_schemaURL"]).hostname == "openlineage.io"
        assert facet["_producer"]
        known = {field.name for field in attr.fields(NAMES[name]) if not field.name.startswith("_")}
        assert {key for key in facet if not key.startswith("_")} <= known


@pytest.mark.rule("42.11")
def test_a_run_tells_its_job_its_tables_its_columns_and_its_nominal_time(backend: Backend) -> None:
    with events().sent() as sent:
        sent.checks = [
            CheckResult(name="not_null day", severity="error", status="passed", rows=0),
            CheckResult(name="few", severity="warn", status="warned", rows=3, message="3 rows"),
        ]
    start, end = backend.events
    for event in backend.events:
        check(event)
    assert (start["eventType"], end["eventType"]) == ("START", "COMPLETE")
    assert start["run"]["runId"] == end["run"]["runId"]
    assert (end["job"]["namespace"], end["job"]["name"]) == ("dli", "web.clicks")
    nominal = end["run"]["facets"]["nominalTime"]
    assert nominal["nominalStartTime"] == "2024-01-15T00:00:00+00:00"
    [read], [built] = end["inputs"], end["outputs"]
    assert (read["namespace"], read["name"]) == ("postgres://db:5432", "web.raw")
    assert built["name"] == "web.clicks"
    fields = [(one["name"], one.get("type")) for one in built["facets"]["schema"]["fields"]]
    assert fields == [("day", "date"), ("clicks", "bigint")]
    sources = built["facets"]["columnLineage"]["fields"]["clicks"]["inputFields"]
    assert [(one["name"], one["field"]) for one in sources] == [("web.raw", "id")]
    told = [
        (one["assertion"], one["success"], one["severity"])
        for one in built["facets"]["dataQualityAssertions"]["assertions"]
    ]
    assert told == [("not_null day", True, "error"), ("few", False, "warn")]


@pytest.mark.rule("42.11")
def test_a_failed_run_tells_its_error_and_fails_by_it_alone(backend: Backend) -> None:
    with pytest.raises(ValueError, match="no such table"), events().sent():
        raise ValueError("no such table")
    check(backend.events[1])
    assert backend.events[1]["eventType"] == "FAIL"
    assert backend.events[1]["run"]["facets"]["errorMessage"]["message"] == "no such table"


@pytest.mark.rule("42.12")
@pytest.mark.parametrize("trouble", ["refuses", "away", "hangs", "no client", "nonsense"])
def test_no_trouble_with_a_backend_fails_a_run(
    backend: Backend, trouble: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lineage_events, "PATIENCE_SECONDS", 1)
    if trouble == "refuses":
        backend.status = 400
    elif trouble == "away":
        monkeypatch.setenv("OPENLINEAGE_URL", "http://127.0.0.1:1")
    elif trouble == "hangs":
        backend.hang()
    elif trouble == "no client":
        monkeypatch.setitem(sys.modules, "openlineage.client", None)
    else:
        monkeypatch.setenv("OPENLINEAGE_URL", "nonsense")
    with events().sent():
        ran = True
    assert ran
    assert any(record.name == "run" for record in caplog.records)


@pytest.mark.rule("42.12")
@pytest.mark.parametrize("off", ["OPENLINEAGE_DISABLED", ""])
def test_without_the_setting_nothing_is_sent(
    backend: Backend, off: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if off:
        monkeypatch.setenv(off, "true")
    else:
        monkeypatch.delenv("OPENLINEAGE_URL")
    with events().sent():
        pass
    assert backend.events == []


class Connection:
    conn_type, host, port, password = "postgres", "db.example.com", 5432, "s3cret"

    def get_connection(self) -> Connection:
        return self


def test_the_namespace_of_tables_is_the_engine_and_its_address() -> None:
    assert namespace_of(Connection()) == "postgres://db.example.com:5432"
