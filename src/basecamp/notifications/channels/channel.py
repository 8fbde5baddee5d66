"""Channels: where one message goes. A target of a spec may stand for several."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from dataspec.spec.model import EmailTarget, NamedTarget, SlackTarget, Target


class SendFailed(Exception):
    """A channel did not take a message; the reason is fit to be shown.

    Attributes:
        reason: What happened, and what to do where that is known.
        retry_after: How many seconds the channel asks to wait.
    """

    def __init__(self, reason: str, *, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after


def channels(targets: Iterable[Target]) -> list[Target]:
    """Return each channel once; every address of an e-mail target is one.

    One address that is refused must not make another one get its message again.
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
    """Return what a channel is called in health, logs and answers; of a URL no more than its host."""
    if isinstance(target, SlackTarget):
        return f"slack {target.channel}"
    if isinstance(target, EmailTarget):
        return f"email {target.to if isinstance(target.to, str) else ', '.join(target.to)}"
    if isinstance(target, NamedTarget):
        return f"target {target.name}"
    return f"webhook {urlsplit(target.url).netloc.rpartition('@')[2]}"
