"""Sending a message through whichever kind of channel it goes to."""

from __future__ import annotations

from typing import Protocol

from basecamp.notifications.channels.channel import SendFailed
from basecamp.notifications.configuration import (
    EMAIL_FROM,
    SLACK_TOKEN,
    SLACK_WEBHOOK_URL,
    SMTP_URL,
    TARGETS,
    NotificationSettings,
)
from basecamp.notifications.notice import Notice
from dataspec.problems import nearest
from dataspec.spec.model import EmailTarget, NamedTarget, SlackTarget, Target


class Sender(Protocol):
    """Takes a notice to its channel."""

    def send(self, notice: Notice) -> None:
        """Send a notice once.

        Raises:
            SendFailed: When the channel does not take it.
        """
        ...


class ChannelSender:
    """Sends through Slack, mail servers, webhooks and Apprise. Safe to share between threads."""

    def __init__(self, settings: NotificationSettings) -> None:
        self._settings = settings

    def send(self, notice: Notice) -> None:
        """Send a notice once; what a kind of channel needs is loaded when it is first used."""
        target, settings = notice.target, self._settings
        if missing := missing_setting(target, settings):
            raise SendFailed(missing)
        if isinstance(target, SlackTarget):
            from basecamp.notifications.channels.slack import send_to_slack

            send_to_slack(notice, target.channel, settings)
        elif isinstance(target, EmailTarget):
            from basecamp.notifications.channels.apprise_channels import send_email

            send_email(notice, str(target.to), settings)
        elif isinstance(target, NamedTarget):
            from basecamp.notifications.channels.apprise_channels import send_to_url

            send_to_url(notice, settings.targets[target.name], settings)
        else:
            from basecamp.notifications.channels.webhook import send_to_webhook

            send_to_webhook(notice, target.url, settings)


def missing_setting(target: Target, settings: NotificationSettings) -> str | None:
    """Return what the server lacks for a channel, and which variable to set; None if nothing."""
    if isinstance(target, SlackTarget) and not (settings.slack_token or settings.slack_webhook_url):
        return f"Slack is not set up: set {SLACK_TOKEN} or {SLACK_WEBHOOK_URL} on the server"
    if isinstance(target, EmailTarget):
        lacking = [
            name
            for name, value in ((SMTP_URL, settings.smtp), (EMAIL_FROM, settings.email_from))
            if not value
        ]
        return f"E-mail is not set up: set {' and '.join(lacking)} on the server" if lacking else None
    if isinstance(target, NamedTarget) and target.name not in settings.targets:
        hint = nearest(target.name, settings.targets)
        return f"{TARGETS} on the server has no '{target.name}'" + (f". {hint}" if hint else "")
    return None
