"""Test messages, and what `/readyz` says of channels."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import Client

from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.airflow.testing.dag_processor import MemoryDags
from basecamp.notifications.settings import NotificationSettings
from basecamp.server.wiring import build_services
from basecamp.services import Services
from basecamp.shared.clock import ManualClock
from dataspec.store import MemoryStore
from receivers import SLACK_TOKEN, Slack

TOLD = """  timezone: Asia/Seoul
  notifications:
    on_failure: [{type: slack, channel: "#failures"}, {type: email, to: kim@example.com}]
    on_source_change: [{type: slack, channel: "#failures"}]
"""
NO_MAIL = "E-mail is not configured: set BASECAMP_SMTP_URL and BASECAMP_EMAIL_FROM on the server"
WITH_CHANNELS = {"  timezone: Asia/Seoul\n": TOLD}


@pytest.fixture
def slack() -> Iterator[Slack]:
    with Slack() as slack:
        yield slack


@pytest.fixture
def settings(slack: Slack) -> NotificationSettings:
    return NotificationSettings(slack_token=SLACK_TOKEN, slack_api_url=slack.api_url)


@pytest.fixture
def services(
    store: MemoryStore,
    airflow: MemoryAirflow,
    clock: ManualClock,
    dags: MemoryDags,
    settings: NotificationSettings,
) -> Services:
    return build_services(store, airflow, clock, notifications=settings)


@pytest.fixture
def client(app: FastAPI, services: Services, client_of: Callable[[Any], Client]) -> Client:
    app.state.services = services
    return client_of(app)


def checked(client: Client, services: Services) -> tuple[str, str]:
    services.readiness.look()
    answer = client.get("http://test/readyz").json()
    return answer["status"], answer["checks"]["notifications"]


@pytest.mark.rule("22.27")
def test_a_test_message_goes_to_each_channel_and_says_which_took_it(
    client: Client, register: Callable[..., Any], slack: Slack
) -> None:
    register(replace=WITH_CHANNELS)
    answer = client.post("/notifications/test", json={"name": "sales.daily"})
    assert (answer.status_code, answer.json()) == (
        200,
        {
            "name": "sales.daily",
            "channels": [
                {
                    "channel": "slack #failures",
                    "events": ["on_failure", "on_source_change"],
                    "sent": True,
                    "error": None,
                },
                {
                    "channel": "email kim@example.com",
                    "events": ["on_failure"],
                    "sent": False,
                    "error": NO_MAIL,
                },
            ],
        },
    )
    assert slack.count("#failures", "Test message for sales.daily") == 1


def test_only_the_channels_of_one_event_are_tested(
    client: Client, register: Callable[..., Any], slack: Slack
) -> None:
    register(replace=WITH_CHANNELS)
    body = {"name": "sales.daily", "event": "on_source_change"}
    answer = client.post("/notifications/test", json=body).json()
    assert [channel["channel"] for channel in answer["channels"]] == ["slack #failures"]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"name": "sales.dayly"}, 404, "Did you mean 'sales.daily'?"),
        ({"name": "sales.daily", "event": "on_success"}, 409, "has no notifications.on_success"),
        (
            {"name": "sales.daily", "event": "on_fire"},
            400,
            "'on_recovered', 'on_backfill_end' or 'on_source_change'",
        ),
        ({"name": ""}, 400, "name"),
    ],
)
def test_what_can_t_be_tested_is_told_with_the_reason(
    client: Client, register: Callable[..., Any], body: dict[str, str], status: int, words: str
) -> None:
    register(replace=WITH_CHANNELS)
    answer = client.post("/notifications/test", json=body)
    assert answer.status_code == status
    assert words in answer.text


def test_a_dataset_without_channels_has_none_to_test(client: Client, register: Callable[..., Any]) -> None:
    register()
    answer = client.post("/notifications/test", json={"name": "sales.daily"})
    assert (answer.status_code, answer.json()["title"]) == (409, "sales.daily has no channel to test.")


@pytest.mark.rule("25.10")
def test_what_the_server_lacks_for_a_channel_shows_before_it_is_needed(
    client: Client, services: Services, register: Callable[..., Any]
) -> None:
    register()
    assert checked(client, services) == ("ready", "ok")
    register(replace=WITH_CHANNELS)
    assert checked(client, services) == (
        "degraded",
        f"email kim@example.com: {NO_MAIL}",
    )
    assert client.get("http://test/readyz").status_code == 200


@pytest.mark.rule("25.10")
def test_a_channel_that_fails_is_named_with_since_when_and_why_and_no_secret(
    client: Client,
    services: Services,
    register: Callable[..., Any],
    publish: Callable[..., None],
    clock: ManualClock,
    slack: Slack,
) -> None:
    only_slack = TOLD.replace(", {type: email, to: kim@example.com}", "")
    register(replace={"  timezone: Asia/Seoul\n": only_slack})
    slack.channels = set()
    delivery = services.delivery
    publish()
    client.post("/sync")
    since = clock.now()
    for _ in range(2):
        delivery.poll()
        assert delivery.wait_until_idle(10)
    status, said = checked(client, services)
    assert status == "degraded"
    assert said == (
        f"slack #failures has failed since {since.isoformat(timespec='seconds')} (1 waiting): Slack rejected the message: "
        "channel_not_found (there is no such channel, or it is private and the bot is not in it)"
    )
    slack.channels = None
    clock.advance(5)
    for _ in range(2):
        delivery.poll()
        assert delivery.wait_until_idle(10)
    assert checked(client, services) == ("ready", "ok")
    assert slack.count("#failures", "sales.daily: manual → code") == 1


def test_a_wrong_token_is_told_without_showing_it(
    client: Client,
    app: FastAPI,
    store: MemoryStore,
    airflow: MemoryAirflow,
    clock: ManualClock,
    settings: NotificationSettings,
    register: Callable[..., Any],
) -> None:
    wrong = dataclasses.replace(settings, slack_token="xoxb-wr0ng-s3cr3t")
    register(replace=WITH_CHANNELS)
    app.state.services = build_services(store, airflow, clock, notifications=wrong)
    answer = client.post("/notifications/test", json={"name": "sales.daily"})
    assert answer.json()["channels"][0]["error"] == (
        "Slack rejected the message: invalid_auth (check BASECAMP_SLACK_TOKEN)"
    )
    assert "s3cr3t" not in answer.text
