"""``dli notifications test``: one message through each channel now, and what became of it."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from basecamp.datasets.catalog_cache import CatalogCache
from basecamp.notifications.channels.channel import SendFailed, channel_name, channels
from basecamp.notifications.channels.sending import Sender
from basecamp.notifications.configuration import NotificationSettings
from basecamp.notifications.messages import Messages
from basecamp.notifications.notice import Event, Message, Notice
from basecamp.shared.clock import Clock
from dataspec.errors import NotFound, Refused
from dataspec.problems import nearest
from dataspec.spec.model import NamedTarget, NotificationConfig, Target

On = Literal["on_failure", "on_success", "on_source_change"]

TRIAL_SECONDS = 30.0
"""How long all channels together may take."""

_EVENTS: Mapping[On, Event] = {
    "on_failure": "failure",
    "on_success": "success",
    "on_source_change": "source_change",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TriedChannel:
    """What became of one test message."""

    channel: str
    events: list[On] = field(default_factory=list)
    """What the spec uses the channel for; empty for a named target."""
    sent: bool
    error: str | None = None


class Trial:
    """Sends test messages. They go past the outbox: each is sent once, and the answer says how that went."""

    def __init__(
        self,
        specs: CatalogCache,
        sender: Sender,
        settings: NotificationSettings,
        messages: Messages,
        clock: Clock,
    ) -> None:
        self._specs = specs
        self._sender = sender
        self._settings = settings
        self._messages = messages
        self._clock = clock

    def send(self, name: str, on: On | None = None) -> list[TriedChannel]:
        """Send a test message to each channel of a dataset, or to the named target of that name.

        Raises:
            NotFound: When there is neither.
            Refused: When the dataset has no channel, or none for the event.
            StoreUnreachable: When the store does not answer.
        """
        found = self._channels(name, on)
        message = self._messages.of_test(name, _EVENTS[on] if on else None)
        tried = [_Try(self._sender, self._notice(target, message)) for target in found]
        for one in tried:
            one.start()
        ends = time.monotonic() + TRIAL_SECONDS
        for one in tried:
            one.join(max(ends - time.monotonic(), 0))
        return [
            TriedChannel(channel=channel_name(target), events=events, sent=one.error is None, error=one.error)
            for one, (target, events) in zip(tried, found.items(), strict=True)
        ]

    def _channels(self, name: str, on: On | None) -> dict[Target, list[On]]:
        file = self._specs.catalog().get(name)
        if file is None or file.spec is None:
            return self._named_target(name)
        to_tell = file.spec.schedule.notifications if file.spec.schedule else NotificationConfig()
        found: dict[Target, list[On]] = {}
        for event in get_args(On):
            if on in {None, event}:
                for target in channels(getattr(to_tell, event)):
                    found.setdefault(target, []).append(event)
        if not found:
            lacking = f"schedule.notifications.{on}" if on else "schedule.notifications"
            raise Refused(
                f"{name} has no channel to test.", detail=f"Its effective spec, {file.key}, has no {lacking}."
            )
        return found

    def _named_target(self, name: str) -> dict[Target, list[On]]:
        if name in self._settings.targets:
            return {NamedTarget(type="target", name=name): []}
        known = (*self._specs.catalog().effective, *self._settings.targets)
        raise NotFound(
            f"There is no dataset and no target called '{name}'.",
            detail=nearest(name, known) or "List the datasets with: dli workflow list",
        )

    def _notice(self, target: Target, message: Message) -> Notice:
        return Notice(
            id=uuid.uuid4().hex,
            target=target,
            message=message,
            told=(),
            created_at=self._clock.now(),
        )


class _Try(threading.Thread):
    """Sends one message; ``error`` is None once it was taken."""

    def __init__(self, sender: Sender, notice: Notice) -> None:
        super().__init__(name="notification-test", daemon=True)
        self.error: str | None = f"no answer within {TRIAL_SECONDS:.0f} s"
        self._sender = sender
        self._notice = notice

    def run(self) -> None:
        """Send it."""
        try:
            self._sender.send(self._notice)
        except SendFailed as failure:
            self.error = failure.reason
        except Exception as error:  # noqa: BLE001 - its text may hold an address with a secret in it
            self.error = f"sending it failed ({type(error).__name__})"
        else:
            self.error = None
