"""Sends a notification through the kind of channel that it is addressed to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from basecamp.notifications.channels.apprise_channels import send_email, send_to_url
from basecamp.notifications.channels.channel import SendFailed, channel_name, channels
from basecamp.notifications.channels.slack import send_to_slack
from basecamp.notifications.channels.webhook import send_to_webhook
from basecamp.notifications.notification import Notification
from basecamp.notifications.settings import (
    EMAIL_FROM,
    SLACK_TOKEN,
    SLACK_WEBHOOK_URL,
    SMTP_URL,
    TARGETS,
    NotificationSettings,
)
from dataspec.problems import nearest
from dataspec.spec.model import EmailTarget, NamedTarget, SlackTarget, Target


class Sender(Protocol):
    """Sends notifications."""

    def send(self, notification: Notification) -> None:
        """Send a notification once.

        Raises:
            SendFailed: When the channel does not accept it.
        """
        ...


class ChannelSender:
    """Sends through Slack, mail servers, webhooks and Apprise. Thread-safe."""

    def __init__(self, settings: NotificationSettings) -> None:
        self._settings = settings

    def send(self, notification: Notification) -> None:
        """Send a notification once; redact secrets in the reason of a failure."""
        if missing := missing_setting(notification.target, self._settings):
            raise SendFailed(missing)
        try:
            self._send(notification)
        except SendFailed as failure:
            reason = self._settings.redacted(failure.reason)
            raise SendFailed(reason, retry_after=failure.retry_after) from None

    def _send(self, notification: Notification) -> None:
        target, settings = notification.target, self._settings
        if isinstance(target, SlackTarget):
            send_to_slack(notification, target.channel, settings)
        elif isinstance(target, EmailTarget):
            send_email(notification, str(target.to), settings)
        elif isinstance(target, NamedTarget):
            send_to_url(notification, settings.targets[target.name])
        else:
            send_to_webhook(notification, target, settings.webhook_networks)


def missing_setting(target: Target, settings: NotificationSettings) -> str | None:
    """Return which server setting a channel lacks, and the variable to set; None if it lacks none."""
    if isinstance(target, SlackTarget) and not (settings.slack_token or settings.slack_webhook_url):
        return f"Slack is not configured: set {SLACK_TOKEN} or {SLACK_WEBHOOK_URL} on the server"
    if isinstance(target, EmailTarget):
        required = ((SMTP_URL, settings.smtp), (EMAIL_FROM, settings.email_from))
        missing = [name for name, value in required if not value]
        return f"E-mail is not configured: set {' and '.join(missing)} on the server" if missing else None
    if isinstance(target, NamedTarget) and target.name not in settings.targets:
        hint = nearest(target.name, settings.targets)
        return f"{TARGETS} on the server has no '{target.name}'" + (f". {hint}" if hint else "")
    return None


def unconfigured(targets: Iterable[Target], settings: NotificationSettings) -> list[str]:
    """Return a line for each channel for which the server's settings lack something, with what to set."""
    found = ((target, missing_setting(target, settings)) for target in targets)
    return list(
        dict.fromkeys(
            f"{channel_name(channel)}: {reason}"
            for target, reason in found
            if reason
            for channel in channels([target])
        )
    )
