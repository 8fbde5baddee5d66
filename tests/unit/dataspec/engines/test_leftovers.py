"""Leftovers of engines that can't run here, by their SQL and API; ``tests/integration/engines`` has the others."""

from __future__ import annotations

import logging
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from dataspec.engines.leftovers import AttemptMark, Leftovers

MARK = AttemptMark("store", "shop.sales", "run-1")
log = logging.getLogger(__name__)


class Cursor:
    """Returns the rows that are set for the beginning of a statement."""

    def __init__(self, rows: dict[str, list[tuple[Any, ...]]]) -> None:
        self.executed: list[str] = []
        self._rows = rows

    def execute(self, sql: str) -> None:
        self.executed.append(" ".join(sql.split()))

    def fetchall(self) -> list[tuple[Any, ...]]:
        return next((rows for start, rows in self._rows.items() if self.executed[-1].startswith(start)), [])


@pytest.mark.rule("12.26")
def test_snowflake_cancels_the_queries_with_the_tag_and_keeps_the_connections_own_tag() -> None:
    cursor = Cursor({"SELECT query_id": [("01b7-1",)], "SHOW PARAMETERS": [("QUERY_TAG", "team's")]})
    Leftovers(SimpleNamespace(conn_type="snowflake"), MARK, log).end(None, cursor, threading.Event())
    assert f"query_tag LIKE '%dli:{MARK.digest}%'" in cursor.executed[0]
    assert cursor.executed[1:] == [
        "SELECT SYSTEM$CANCEL_QUERY('01b7-1')",
        "SHOW PARAMETERS LIKE 'QUERY_TAG' IN SESSION",
        f"ALTER SESSION SET QUERY_TAG = 'team''s dli:{MARK.digest}'",
    ]


@pytest.mark.rule("12.26")
def test_bigquery_cancels_the_jobs_with_the_label_and_keeps_other_labels() -> None:
    cancelled: list[str] = []
    jobs = [
        SimpleNamespace(job_id=name, labels=labels, cancel=lambda name=name: cancelled.append(name))
        for name, labels in (
            ("a", {"dli_dataset": MARK.digest}),
            ("b", {"dli_dataset": "other"}),
            ("c", None),
        )
    ]
    client = SimpleNamespace(list_jobs=lambda state_filter: jobs)
    hook = SimpleNamespace(
        conn_type="gcpbigquery",
        project_id="p",
        location=None,
        labels={"team": "x"},
        get_client=lambda **_: client,
    )
    Leftovers(hook, MARK, log).end(None, None, threading.Event())
    assert cancelled == ["a"]
    assert hook.labels == {"team": "x", "dli_dataset": MARK.digest}


def test_a_server_without_the_functions_gets_a_warning_and_the_run_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    hook = SimpleNamespace(conn_type="snowflake")
    Leftovers(hook, MARK, log).end(None, None, threading.Event())
    assert "It is not known whether an earlier attempt still runs" in caplog.text


def test_other_engines_are_asked_nothing() -> None:
    cursor = Cursor({})
    Leftovers(SimpleNamespace(conn_type="trino"), MARK, log).end(None, cursor, threading.Event())
    assert cursor.executed == []
