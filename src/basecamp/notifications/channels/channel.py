"""Channels: the destinations of messages. A target in a spec may have several channels."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from dataspec.spec.model import EmailTarget, NamedTarget, SlackTarget, Target


class SendFailed(Exception):
    """A channel did not accept a message.

    Attributes:
        reason: The reason, with the remedy where it is known; safe to show once secrets are redacted.
        retry_after: Seconds until the next attempt that the channel asks for.
    """

    def __init__(self, reason: str, *, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after


def channels(targets: Iterable[Target]) -> list[Target]:
    """Return the channels of targets without duplicates; each address of an e-mail target is a channel.

    Otherwise a retry for one rejected address would send the message to the others again.
    """
    found: list[Target] = []
    for target in targets:
        if isinstance(target, EmailTarget):
            addresses = [target.to] if isinstance(target.to, str) else target.to
            found += [EmailTarget(type="email", to=address) for address in addresses]
        else:
            found.append(target)
    return [target for number, target in enumerate(found) if target not in found[:number]]


def channel_name(target: Target) -> str:
    """Return a channel's name in logs and responses; only the host of a URL."""
    if isinstance(target, SlackTarget):
        return f"slack {target.channel}"
    if isinstance(target, EmailTarget):
        return f"email {target.to if isinstance(target.to, str) else ', '.join(target.to)}"
    if isinstance(target, NamedTarget):
        return f"target {target.name}"
    return f"webhook {urlsplit(target.url).netloc.rpartition('@')[2]}"
