"""The keys ``deadline``, ``notifications`` and ``retry``: where they stand, and what is wrong with one, at its place."""

from __future__ import annotations

from datetime import time

import pytest

from dataspec.errors import InvalidSpec
from dataspec.schedule.deadlines import TimeLimit
from dataspec.spec.model import DatasetSpec, NotificationConfig, SlackTarget
from dataspec.spec.parse import parse_spec

HEAD = "name: shop.orders\ntype: Dataset\nowner: e@example.com\nquery_statement: select 1 as id\n"
SCHEDULE = 'schedule:\n  cron: "0 7 * * *"\n'
TARGETS = 'on_late: [{type: slack, channel: "#late"}]'


def parsed(more: str) -> DatasetSpec:
    return parse_spec((HEAD + more).encode(), file="a.yaml")


def problems(more: str) -> list[str]:
    with pytest.raises(InvalidSpec) as error:
        parsed(more)
    return [str(problem) for problem in error.value.problems]


@pytest.mark.rule("38.1")
def test_deadline_is_a_local_time_seconds_and_a_duration() -> None:
    deadline = parsed(
        f'{SCHEDULE}deadline: {{by: "10:00", within_seconds: 600, max_duration_seconds: 60}}'
    ).deadline
    assert deadline is not None
    assert (deadline.limit, deadline.max_duration_seconds) == (TimeLimit(time(10), 600), 60)
    slow = parsed("deadline: {max_duration_seconds: 60}").deadline
    assert slow is not None
    assert slow.limit is None


@pytest.mark.rule("38.1")
@pytest.mark.parametrize(
    ("more", "found"),
    [
        (
            f"{SCHEDULE}deadline: {{}}",
            "a.yaml:7:11: 'deadline': give at least one of 'by', 'within_seconds' and 'max_duration_seconds'.",
        ),
        (
            f'{SCHEDULE}deadline: {{by: "25:00"}}',
            "a.yaml:7:16: 'deadline.by': '25:00' is not a time of day; write hours and minutes, such as \"10:00\".",
        ),
        (
            f"{SCHEDULE}deadline: {{within_seconds: 0}}",
            "a.yaml:7:28: 'deadline.within_seconds': input should be greater than or equal to 1, got 0.",
        ),
        (
            'deadline: {by: "10:00", max_duration_seconds: 5}',
            "a.yaml:5:12: 'by' counts from the time at which a scheduled run is due; this spec has no schedule.",
        ),
    ],
)
def test_deadline_that_means_nothing_is_refused_at_its_place(more: str, found: str) -> None:
    assert problems(more)[0].startswith(found)


@pytest.mark.rule("38.1")
def test_time_without_quotes_is_read_as_it_is_written() -> None:
    deadline = parsed(f"{SCHEDULE}deadline: {{by: 10:00}}").deadline
    assert deadline is not None
    assert deadline.by == "10:00"


@pytest.mark.rule("38.6")
@pytest.mark.parametrize(
    "more",
    [
        f"notifications: {{{TARGETS}}}\nretry: {{max_attempts: 3}}\n{{schedule}}",
        f"{SCHEDULE}  notifications: {{{TARGETS}}}\n  retry: {{max_attempts: 3}}\n",
    ],
)
def test_targets_and_retries_stand_at_the_top_level_or_under_the_schedule(more: str) -> None:
    for schedule in ("", SCHEDULE):
        spec = parsed(more.replace("{schedule}", schedule))
        assert spec.retry.max_attempts == 3
        assert spec.notifications.on_late == [SlackTarget(type="slack", channel="#late")]
    assert parsed(SCHEDULE).notifications == NotificationConfig()


@pytest.mark.rule("38.6")
@pytest.mark.parametrize("key", ["retry", "notifications"])
def test_a_key_in_both_places_is_refused(key: str) -> None:
    (problem,) = problems(f"{key}: {{}}\n{SCHEDULE}  {key}: {{}}\n")
    assert problem.startswith(f"a.yaml:8:3: '{key}' is at the top level as well; give it once.")
