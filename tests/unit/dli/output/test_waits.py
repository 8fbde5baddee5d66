"""The text of what a run waits for."""

from __future__ import annotations

import pytest

from dataspec.models import WaitingFor
from dli.output.waits import waits

HOURS = [WaitingFor(dataset="web.clicks", partition=f"hour {hour}", state="not_due") for hour in range(24)]
FAILED = WaitingFor(dataset="web.orders", partition="2024-01-14", state="failed", run_id="web.orders_1")


@pytest.mark.rule("31.8")
def test_what_does_not_come_by_itself_comes_first_and_the_rest_is_counted() -> None:
    assert waits([*HOURS, FAILED], limit=3) == [
        "web.orders 2024-01-14: its run web.orders_1 failed (dli workflow retry web.orders_1)",
        "web.clicks hour 0: its run is not due yet",
        "web.clicks hour 1: its run is not due yet",
        "and 22 more",
    ]


def test_few_are_all_there_by_their_names_if_so_asked() -> None:
    assert waits([HOURS[0], FAILED], limit=2, names=True) == ["web.orders 2024-01-14", "web.clicks hour 0"]
    assert waits([], limit=2) == []
