from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from basecamp.notifications.settings import NotificationSettings
from basecamp.server.wiring import build_services
from receivers import SLACK_TOKEN, Slack
from unit.dli.basecamp import Basecamp, Server
from unit.dli.conftest import Dli
from unit.dli.specs import CLICKS, CLICKS_FILES, spec_of

YAML = spec_of(
    CLICKS,
    more="""\
schedule:
  cron: "0 9 * * *"
  notifications:
    on_failure: [{type: slack, channel: "#data-alerts"}]
    on_source_change: [{type: slack, channel: "#data-alerts"}, {type: target, name: oncall}]
""",
)


@pytest.fixture
def slack() -> Iterator[Slack]:
    with Slack() as slack:
        yield slack


@pytest.fixture
def clicks(basecamp: Basecamp, server: Server, slack: Slack) -> Basecamp:
    """A server with Slack set up, and one dataset."""
    settings = NotificationSettings(slack_token=SLACK_TOKEN, slack_api_url=slack.api_url)
    basecamp.services = build_services(
        basecamp.store, basecamp.airflow, basecamp.clock, notifications=settings
    )
    server.put(basecamp)
    basecamp.put_manual(CLICKS, YAML, CLICKS_FILES)
    return basecamp


@pytest.mark.rule("22.27")
@pytest.mark.usefixtures("clicks")
def test_each_channel_is_shown_with_its_result_and_a_failure_is_the_exit_status(
    dli: Dli, slack: Slack
) -> None:
    result = dli("notifications", "test", CLICKS)
    assert result.status == 1
    assert result.out.splitlines() == [
        "CHANNEL              FOR                            RESULT",
        "slack #data-alerts   on_failure, on_source_change   sent",
        "target oncall        on_source_change               BASECAMP_TARGETS on the server has no 'oncall'",
    ]
    assert slack.count("#data-alerts", f"Test message for {CLICKS}") == 1


@pytest.mark.rule("22.27")
@pytest.mark.usefixtures("clicks")
def test_the_channels_of_one_event_alone_are_tested_where_it_is_named(dli: Dli, slack: Slack) -> None:
    result = dli("notifications", "test", CLICKS, "--event", "on_failure", "--format", "json")
    assert (result.status, json.loads(result.out)) == (
        0,
        {
            "name": CLICKS,
            "channels": [
                {"channel": "slack #data-alerts", "sent": True, "events": ["on_failure"], "error": None}
            ],
        },
    )
    assert len(slack.messages) == 1


@pytest.mark.usefixtures("clicks")
def test_a_name_that_is_neither_a_dataset_nor_a_target_is_not_found(dli: Dli) -> None:
    result = dli("notifications", "test", "nothing")
    assert (result.status, result.err.splitlines()[0]) == (
        3,
        "Error: There is no dataset or target named 'nothing'.",
    )
