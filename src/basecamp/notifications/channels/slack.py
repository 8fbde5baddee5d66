"""Slack, by its own client: a bot token, or an incoming webhook."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from slack_sdk.errors import SlackApiError
from slack_sdk.web import WebClient
from slack_sdk.webhook import WebhookClient

from basecamp.notifications.channels.channel import SendFailed
from basecamp.notifications.notification import Message, Notification
from basecamp.notifications.settings import SLACK_TOKEN, SLACK_WEBHOOK_URL, NotificationSettings

TIMEOUT_SECONDS = 10
MAX_TEXT = 3500
"""Slack splits a longer message."""

_OK = 200
_TOO_MANY = 429
_SERVER_ERROR = 500

_HINTS = {
    "channel_not_found": "there is no such channel, or it is private and the bot is not in it",
    "not_in_channel": "invite the bot to the channel: /invite @the-bot",
    "is_archived": "the channel is archived",
    "invalid_auth": f"check {SLACK_TOKEN}",
    "not_authed": f"check {SLACK_TOKEN}",
    "account_inactive": f"check {SLACK_TOKEN}",
    "token_revoked": f"check {SLACK_TOKEN}",
    "token_expired": f"check {SLACK_TOKEN}",
    "missing_scope": "give the bot the scope chat:write",
    "no_service": f"check {SLACK_WEBHOOK_URL}",
    "invalid_token": f"check {SLACK_WEBHOOK_URL}",
}


def send_to_slack(notification: Notification, channel: str, settings: NotificationSettings) -> None:
    """Send a message to a channel; an incoming webhook ignores the name and uses its own channel.

    Raises:
        SendFailed: When Slack does not accept it.
    """
    try:
        if settings.slack_token:
            _post(notification, channel, settings)
        else:
            _call_webhook(notification, settings)
    except OSError as error:
        reason = getattr(error, "reason", None) or error
        raise SendFailed(f"Slack does not answer: {reason}") from None


def _post(notification: Notification, channel: str, settings: NotificationSettings) -> None:
    client = WebClient(
        settings.slack_token,
        base_url=settings.slack_api_url,
        timeout=TIMEOUT_SECONDS,
        logger=_silent(),
        retry_handlers=[],
    )
    try:
        client.chat_postMessage(
            channel=channel, text=slack_text(notification), unfurl_links=False, unfurl_media=False
        )
    except SlackApiError as error:
        answer = error.response
        code = str(answer.get("error") or f"status {answer.status_code}")
        raise _failed(code, answer.headers, answer.status_code) from None


def _call_webhook(notification: Notification, settings: NotificationSettings) -> None:
    client = WebhookClient(
        settings.slack_webhook_url or "", timeout=TIMEOUT_SECONDS, logger=_silent(), retry_handlers=[]
    )
    answer = client.send(text=slack_text(notification))
    if answer.status_code != _OK:
        code = answer.body.strip()[:100] or f"status {answer.status_code}"
        raise _failed(code, answer.headers, answer.status_code)


def _failed(code: str, headers: Mapping[str, str], status: int) -> SendFailed:
    if status == _TOO_MANY:
        wait = next((value for name, value in headers.items() if name.lower() == "retry-after"), "")
        seconds = float(wait) if wait.isdigit() else None
        return SendFailed("Slack limits the rate of messages", retry_after=seconds)
    if status >= _SERVER_ERROR:
        return SendFailed(f"Slack answers with status {status}")
    hint = f" ({_HINTS[code]})" if code in _HINTS else ""
    return SendFailed(f"Slack rejected the message: {code}{hint}")


def slack_text(message: Message) -> str:
    """Return a message in Slack's markup."""
    links = [f"<{_address(link.url)}|{_escaped(link.text)}>" for link in message.links]
    lines = [f"*{_escaped(message.title)}*", *map(_escaped, message.lines)]
    text = "\n".join(lines)
    if len(text) > MAX_TEXT:
        text = text[:MAX_TEXT].rsplit("&", 1)[0] + "…"
    return "\n".join([text, *([" · ".join(links)] if links else [])])


def _escaped(text: str) -> str:
    # Otherwise a parameter's value could mention a whole channel: <!channel>.
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _address(url: str) -> str:
    return _escaped(url).replace("|", "%7C")


def _silent() -> logging.Logger:
    """Return a logger without output: the client logs the address, which contains a webhook's secret."""
    logger = logging.Logger("slack", level=logging.CRITICAL + 1)  # noqa: LOG001 - outside the logger tree, so that no configuration enables it
    logger.addHandler(logging.NullHandler())
    return logger
