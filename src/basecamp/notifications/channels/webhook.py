"""Webhooks: a POST of JSON to a URL that a spec names."""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

import httpcore

from basecamp.notifications.channels.channel import SendFailed
from basecamp.notifications.channels.guarded_network import GuardedNetwork
from basecamp.notifications.configuration import NotificationSettings
from basecamp.notifications.notice import Notice

TIMEOUT_SECONDS = 15.0


def send_to_webhook(
    notice: Notice, url: str, settings: NotificationSettings, *, seconds: float = TIMEOUT_SECONDS
) -> None:
    """Post a message; any answer of 200 to 299 means that it was taken, and redirects are not followed.

    Raises:
        SendFailed: When the other side does not take it, or may not be reached.
    """
    network = GuardedNetwork(settings.webhook_networks, seconds)
    headers: dict[bytes | str, bytes | str] = {
        "Content-Type": "application/json",
        "User-Agent": f"Basecamp/{version('dli')}",
        "Idempotency-Key": notice.id,
        "Host": urlsplit(url).netloc,
        "Connection": "close",
    }
    content = json.dumps(webhook_body(notice), ensure_ascii=False).encode()
    try:
        with (
            httpcore.ConnectionPool(network_backend=network) as pool,
            pool.stream("POST", url, headers=headers, content=content) as answer,
        ):
            _check(answer.status, {name.lower(): value for name, value in answer.headers})
    except httpcore.TimeoutException:
        raise SendFailed(f"no answer within {seconds:g} s") from None
    except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol, ValueError) as error:
        raise SendFailed(f"the connection failed: {error}") from None


def webhook_body(notice: Notice) -> dict[str, Any]:
    """Return what is posted (docs/notifications.md)."""
    message = notice.message
    return {
        "id": notice.id,
        "event": message.event,
        "dataset": message.dataset,
        "title": message.title,
        "text": message.body,
        "links": [{"text": link.text, "url": link.url} for link in message.links],
        "created_at": notice.created_at.isoformat(),
        "data": dict(message.data),
    }


def _check(status: int, headers: dict[bytes, bytes]) -> None:
    if 200 <= status < 300:  # noqa: PLR2004 - HTTP's own bounds
        return
    if 300 <= status < 400:  # noqa: PLR2004
        raise SendFailed(f"the answer was {status}: a redirect, which is not followed; write the final URL")
    wait = headers.get(b"retry-after", b"")
    raise SendFailed(
        f"the answer was {status}",
        retry_after=float(wait) if wait.isdigit() and len(wait) < 8 else None,  # noqa: PLR2004 - more digits are no wait
    )
