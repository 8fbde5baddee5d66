"""E-mail and named targets, sent by Apprise."""

from __future__ import annotations

import apprise
from apprise.conversion import convert_between

from basecamp.notifications.channels.apprise_log import captured_log, failure_reason
from basecamp.notifications.channels.channel import SendFailed
from basecamp.notifications.notification import Notification
from basecamp.notifications.settings import NotificationSettings

TIMEOUT_SECONDS = 15


def send_email(notification: Notification, address: str, settings: NotificationSettings) -> None:
    """Send a message to one address.

    Raises:
        SendFailed: When the mail server does not accept it.
    """
    smtp = settings.smtp
    if smtp is None or settings.email_from is None:  # ChannelSender checks it before
        raise SendFailed("e-mail is not configured")
    config: dict[str, object] = {
        "schema": "mailto" if smtp.mode == "insecure" else "mailtos",
        "host": smtp.host,
        "smtp_host": smtp.host,
        "port": smtp.port,
        "secure_mode": smtp.mode,
        "user": smtp.user,
        "password": smtp.password,
        "from_addr": settings.email_from,
        "targets": [address],
        "format": "text",
        "headers": {"X-Notice-Id": notification.id},
    }
    send_to_url(notification, config)


def send_to_url(notification: Notification, url: str | dict[str, object]) -> None:
    """Send a message to an Apprise URL, given as text or as its parts.

    Raises:
        SendFailed: When the service does not accept it.
    """
    asset = apprise.AppriseAsset(
        app_id="Basecamp", app_desc="Basecamp", async_mode=False, secure_logging=True, storage_mode="memory"
    )
    with captured_log() as lines:
        service = apprise.Apprise.instantiate(url, asset=asset, suppress_exceptions=True)
        if service is None:
            raise SendFailed(failure_reason(lines))
        service.socket_connect_timeout = service.socket_read_timeout = TIMEOUT_SECONDS
        text = apprise.NotifyFormat.TEXT
        plain = notification.body or notification.title
        body = convert_between(text, service.resolve_format(text), plain)  # type: ignore[no-untyped-call]
        is_failure = notification.event == "failure"
        # Not Apprise.notify(): it sends in threads that all services share.
        sent = service.notify(
            title=notification.title,
            body=body,
            body_format=text,
            notify_type=apprise.NotifyType.FAILURE if is_failure else apprise.NotifyType.INFO,
        )
    if not sent:
        raise SendFailed(failure_reason(lines))
