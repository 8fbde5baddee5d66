from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest

from dataspec.errors import InternalError
from dataspec.models import RunStatus, SourceType, WorkflowInfo, WorkflowRun, WorkflowStatus
from dli.client.protocol import decode, encode

RUN = WorkflowRun(
    run_id="a_20240115_093045",
    dataset_name="a",
    source_type=SourceType.CODE,
    status=RunStatus.RUNNING,
    run_type="adhoc",
    parameters={"list": [1, "둘"]},
    started_at=datetime(2024, 1, 15, 18, 30, 45, tzinfo=timezone(timedelta(hours=9))),
)


@pytest.mark.rule("19.7")
def test_what_is_encoded_is_decoded_to_the_same() -> None:
    assert decode(WorkflowRun, json.loads(json.dumps(RUN, default=encode))) == RUN


def test_times_and_names_of_states_become_what_they_mean() -> None:
    row = decode(
        WorkflowInfo,
        {
            "dataset_name": "a",
            "source_type": "manual",
            "status": "overridden",
            "overridden_by": "code",
            "next_run": "2024-01-16T00:00:00Z",
            "file": "manual/a.yaml",
        },
    )
    assert row.status is WorkflowStatus.OVERRIDDEN
    assert row.overridden_by is SourceType.CODE
    assert row.next_run == datetime(2024, 1, 16, tzinfo=UTC)


def test_a_field_that_a_newer_server_adds_is_passed_over() -> None:
    data = json.loads(json.dumps(RUN, default=encode)) | {"mood": "good"}
    assert decode(WorkflowRun, data) == RUN


@pytest.mark.parametrize(
    "change",
    [
        {"status": "SLEEPING"},
        {"started_at": "soon"},
        {"started_at": "2024-01-15T09:30:45"},
        {"started_at": 7},
    ],
)
def test_an_answer_that_can_not_be_read_says_that_the_versions_may_not_fit(change: dict[str, object]) -> None:
    with pytest.raises(InternalError, match="its version may not fit"):
        decode(WorkflowRun, json.loads(json.dumps(RUN, default=encode)) | change)


@pytest.mark.parametrize("data", [{}, [], None, "x"])
def test_an_answer_of_another_shape_is_refused(data: object) -> None:
    with pytest.raises(InternalError):
        decode(WorkflowRun, data)
