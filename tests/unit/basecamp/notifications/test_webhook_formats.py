"""The bodies that the incoming webhooks of messengers expect."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from basecamp.notifications.channels.webhook_formats import BAD, MAX_TEXT, webhook_body, webhook_content
from basecamp.notifications.notification import Event, Link, Message, Notification, notification_id
from dataspec.spec.model import WebhookFormat, WebhookTarget

TARGET = WebhookTarget(type="webhook", url="https://hooks.example.com/x")


def notification(event: Event = "failure", **more: Any) -> Notification:
    lines = ("Error: no such table <clicks>",)
    message = Message(event=event, dataset="매출.daily", title="매출.daily failed", lines=lines, **more)
    return Notification.of(
        message, TARGET, identifier="one", created_at=datetime(2024, 1, 15, 9, tzinfo=UTC), subjects=("x",)
    )


LINK = (Link("Run", "https://basecamp.example.com/runs/1"),)


@pytest.mark.rule("38.5")
@pytest.mark.parametrize(
    ("form", "accept", "body"),
    [
        (
            "slack",
            "application/json",
            {
                "text": "*매출.daily failed*\nError: no such table &lt;clicks&gt;\n"
                "<https://basecamp.example.com/runs/1|Run>"
            },
        ),
        (
            "jandi",
            "application/vnd.tosslab.jandi-v2+json",
            {
                "body": "매출.daily failed",
                "connectColor": BAD,
                "connectInfo": [
                    {
                        "title": "",
                        "description": "Error: no such table <clicks>\n[Run](https://basecamp.example.com/runs/1)",
                    }
                ],
            },
        ),
        (
            "dooray",
            "application/json",
            {
                "botName": "Basecamp",
                "text": "매출.daily failed",
                "attachments": [
                    {
                        "text": "Error: no such table <clicks>\nRun: https://basecamp.example.com/runs/1",
                        "color": "red",
                    }
                ],
            },
        ),
        (
            "naver_works",
            "application/json",
            {
                "title": "매출.daily failed",
                "body": {"text": "Error: no such table <clicks>"},
                "button": {"label": "Run", "url": "https://basecamp.example.com/runs/1"},
            },
        ),
    ],
)
def test_messenger_gets_the_body_that_it_expects(
    form: WebhookFormat, accept: str, body: dict[str, Any]
) -> None:
    content = webhook_content(notification(links=LINK), form)
    assert (content.accept, json.loads(json.dumps(content.body))) == (accept, body)


@pytest.mark.rule("38.5")
def test_long_texts_are_shortened_and_a_webhook_without_a_format_gets_basecamps_body() -> None:
    long = notification(links=LINK).changed(lines=("x" * 5000,))
    assert len(str(webhook_content(long, "naver_works").body["body"]["text"])) == MAX_TEXT + 1
    assert webhook_content(long, None).body == webhook_body(long)


def test_format_does_not_change_the_ids_of_messages_to_other_targets() -> None:
    """A message that an earlier version has put into the outbox is not sent again."""
    assert notification_id(TARGET, "failure", "a") == "556ca062179edb6fa18fcf11c94e3f2d"
