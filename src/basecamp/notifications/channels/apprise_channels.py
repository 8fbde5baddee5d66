"""E-mail and named targets, by Apprise.

Apprise says only whether a message was taken; why not stands in its log, so that is
listened to while it sends, in the thread that sends, and shown nowhere else.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import apprise
from apprise.conversion import convert_between

from basecamp.notifications.channels.channel import SendFailed
from basecamp.notifications.configuration import NotificationSettings
from basecamp.notifications.notice import Notice

TIMEOUT_SECONDS = 15

_LOGGER = logging.getLogger("apprise")
_SAYS_WHY = "Socket Exception: "
"""What Apprise puts before the text of an exception."""


def is_apprise_url(url: str) -> bool:
    """Say whether Apprise can send to a URL."""
    with _heard():
        return apprise.Apprise.instantiate(url, suppress_exceptions=True) is not None


def send_email(notice: Notice, address: str, settings: NotificationSettings) -> None:
    """Send a message to one address.

    Raises:
        SendFailed: When the mail server does not take it.
    """
    smtp = settings.smtp
    if smtp is None or settings.email_from is None:  # a channel without its settings is never asked
        raise SendFailed("e-mail is not set up")
    described: dict[str, object] = {
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
        "headers": {"X-Notice-Id": notice.id},
    }
    _send(described, notice, settings)


def send_to_url(notice: Notice, url: str, settings: NotificationSettings) -> None:
    """Send a message to an Apprise URL.

    Raises:
        SendFailed: When the service does not take it.
    """
    _send(url, notice, settings)


def _send(channel: str | dict[str, object], notice: Notice, settings: NotificationSettings) -> None:
    asset = apprise.AppriseAsset(
        app_id="Basecamp", app_desc="Basecamp", async_mode=False, secure_logging=True, storage_mode="memory"
    )
    with _heard() as heard:
        service = apprise.Apprise.instantiate(channel, asset=asset, suppress_exceptions=True)
        if service is None:
            raise SendFailed(settings.redacted(_reason(heard)))
        service.socket_connect_timeout = service.socket_read_timeout = TIMEOUT_SECONDS
        text = apprise.NotifyFormat.TEXT
        plain = notice.message.body or notice.message.title
        body = convert_between(text, service.resolve_format(text), plain)  # type: ignore[no-untyped-call]
        # The service is asked itself: Apprise's own way goes through threads that all services share.
        sent = service.notify(
            title=notice.message.title,
            body=body,
            body_format=text,
            notify_type=apprise.NotifyType.FAILURE
            if notice.message.event == "failure"
            else apprise.NotifyType.INFO,
        )
    if not sent:
        raise SendFailed(settings.redacted(_reason(heard)))


def _reason(heard: list[str]) -> str:
    """Return what a person can use of what Apprise has logged: its words, and the exception behind them."""
    causes = [line.removeprefix(_SAYS_WHY) for line in heard if line.startswith(_SAYS_WHY)]
    words = [line for line in heard if not line.startswith(_SAYS_WHY)]
    parts = dict.fromkeys(part.strip(" .") for part in (*words[-1:], *causes[-1:]))
    return " ".join(": ".join(parts).split()) or "the service did not take the message"


class _Ear(logging.Filter):
    """Keeps what the threads that listen log: warnings, and why; and lets nothing through to any log.

    What Apprise logs may hold the whole of an address.
    """

    def __init__(self) -> None:
        super().__init__()
        self.heard = threading.local()

    def filter(self, record: logging.LogRecord) -> bool:
        lines: list[str] | None = getattr(self.heard, "lines", None)
        line = record.getMessage()
        if lines is not None and (record.levelno >= logging.WARNING or line.startswith(_SAYS_WHY)):
            lines.append(line)
        return False


_EAR = _Ear()
_LOGGER.addFilter(_EAR)
_LOGGER.setLevel(logging.DEBUG)


@contextmanager
def _heard() -> Iterator[list[str]]:
    lines: list[str] = []
    _EAR.heard.lines = lines
    try:
        yield lines
    finally:
        _EAR.heard.lines = None
