"""The JSON bodies of webhooks: Basecamp's own, and those that the incoming webhooks of messengers expect."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from basecamp.notifications.channels.slack import slack_text
from basecamp.notifications.notification import Notification
from dataspec.spec.model import WebhookFormat

MAX_TEXT = 3500
"""Messengers shorten or refuse longer texts."""
BAD, GOOD = "#D7263D", "#2E8B57"
"""The colours of messages about trouble, and of others."""
TROUBLE = frozenset({"failure", "late", "slow", "alert"})
"""The events that need somebody's eyes."""


class WebhookContent(NamedTuple):
    """What is sent to a webhook."""

    body: Mapping[str, Any]
    accept: str = "application/json"
    """The media type that the receiver wants to be asked for."""


def webhook_content(notification: Notification, form: WebhookFormat | None) -> WebhookContent:
    """Return the body of a message in the form that its receiver expects."""
    return _FORMS[form](notification) if form else WebhookContent(webhook_body(notification))


def webhook_body(notification: Notification) -> dict[str, Any]:
    """Return Basecamp's own body (docs/notifications.md)."""
    return {
        "id": notification.id,
        "event": notification.event,
        "dataset": notification.dataset,
        "title": notification.title,
        "text": notification.body,
        "links": [{"text": link.text, "url": link.url} for link in notification.links],
        "created_at": notification.created_at.isoformat(),
        "data": dict(notification.data),
    }


def _slack(notification: Notification) -> WebhookContent:
    return WebhookContent({"text": slack_text(notification)})


def _jandi(notification: Notification) -> WebhookContent:
    links = [f"[{link.text}]({link.url})" for link in notification.links]
    body = {
        "body": _short(notification.title),
        "connectColor": BAD if notification.event in TROUBLE else GOOD,
        "connectInfo": [{"title": "", "description": _short("\n".join([*notification.lines, *links]))}],
    }
    return WebhookContent(body, accept="application/vnd.tosslab.jandi-v2+json")


def _dooray(notification: Notification) -> WebhookContent:
    color = "red" if notification.event in TROUBLE else "green"
    attachment = {"text": _short(notification.body), "color": color}
    return WebhookContent(
        {"botName": "Basecamp", "text": _short(notification.title), "attachments": [attachment]}
    )


def _naver_works(notification: Notification) -> WebhookContent:
    body: dict[str, Any] = {
        "title": _short(notification.title),
        "body": {"text": _short("\n".join(notification.lines) or notification.title)},
    }
    if notification.links:
        link = notification.links[0]
        body["button"] = {"label": link.text, "url": link.url}
    return WebhookContent(body)


def _short(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"


_FORMS: Mapping[WebhookFormat, Callable[[Notification], WebhookContent]] = {
    "slack": _slack,
    "jandi": _jandi,
    "dooray": _dooray,
    "naver_works": _naver_works,
}
