"""``dli notifications test``: sends one message through each channel, and reports the results."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, get_args

from basecamp.access.principal import Principal, Role
from basecamp.access.refusals import not_of_your_teams
from basecamp.datasets.catalog_cache import CatalogCache
from basecamp.datasets.dataset_teams import EVERY_DATASET, PermittedDatasets
from basecamp.notifications.channels.channel import SendFailed, channel_name, channels
from basecamp.notifications.channels.sending import Sender
from basecamp.notifications.messages import Messages
from basecamp.notifications.notification import Event, Message, Notification
from basecamp.notifications.settings import NotificationSettings
from basecamp.shared.clock import Clock
from basecamp.shared.idempotency import KeyedRequest, Reservations
from basecamp.shared.request_facts import note_facts
from dataspec.errors import NotFound, Refused
from dataspec.problems import nearest
from dataspec.spec.model import NamedTarget, Target

SpecEvent = Literal[
    "on_failure", "on_success", "on_late", "on_recovered", "on_backfill_end", "on_source_change"
]

TEST_SECONDS = 30.0
"""Time limit for all channels together."""

_EVENTS: Mapping[SpecEvent, Event] = {
    "on_failure": "failure",
    "on_success": "success",
    "on_late": "late",
    "on_recovered": "recovered",
    "on_backfill_end": "backfill_end",
    "on_source_change": "source_change",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TriedChannel:
    """The result of one test message."""

    channel: str
    events: list[SpecEvent] = field(default_factory=list)
    """The events that the spec uses the channel for; empty for a named target."""
    sent: bool
    error: str | None = None


class ChannelTester:
    """Sends test messages, each once and without the outbox, and returns the results."""

    def __init__(
        self,
        specs: CatalogCache,
        sender: Sender,
        settings: NotificationSettings,
        messages: Messages,
        clock: Clock,
        *,
        reservations: Reservations,
    ) -> None:
        self._specs = specs
        self._sender = sender
        self._settings = settings
        self._messages = messages
        self._reservations = reservations
        self._clock = clock

    def send(
        self,
        name: str,
        on: SpecEvent | None = None,
        *,
        caller: Principal,
        permitted: PermittedDatasets = EVERY_DATASET,
        idempotency_key: str | None = None,
    ) -> list[TriedChannel]:
        """Send a test message to each channel of a dataset, or to a named target.

        A second call with the idempotency key sends nothing, and returns the first one's results.

        Args:
            name: The dataset or the target.
            on: The event whose channels of a dataset to test; all if not given.
            caller: Who requested it.
            permitted: The datasets for which the caller is an operator; targets need all.
            idempotency_key: The request's key.

        Raises:
            Forbidden: When the dataset is not permitted.
            NotFound: When there is no dataset and no target of that name.
            Refused: When the dataset has no channel for the event, or none at all.
            StoreUnreachable: When the store does not answer.
        """
        if name not in permitted:
            raise not_of_your_teams(caller, Role.OPERATOR, "dataset", name)
        values = ["test channels", name, on]
        send = partial(self._send, name, on, permitted)
        return self._reservations.once(idempotency_key, values, list[TriedChannel], send)

    def _send(
        self, name: str, on: SpecEvent | None, permitted: PermittedDatasets, keyed: KeyedRequest
    ) -> list[TriedChannel]:
        note_facts(subject=name)
        found = self._channels(name, on, permitted)
        keyed.reserve({})
        message = self._messages.of_test(name, _EVENTS[on] if on else None)
        sends = [_TestSend(self._sender, self._notification(target, message)) for target in found]
        for send in sends:
            send.start()
        deadline = time.monotonic() + TEST_SECONDS
        for send in sends:
            send.join(max(deadline - time.monotonic(), 0))
        return [
            TriedChannel(
                channel=channel_name(target), events=events, sent=send.error is None, error=send.error
            )
            for send, (target, events) in zip(sends, found.items(), strict=True)
        ]

    def _channels(
        self, name: str, on: SpecEvent | None, permitted: PermittedDatasets
    ) -> dict[Target, list[SpecEvent]]:
        file = self._specs.catalog().get(name)
        if file is None or file.spec is None:
            return self._named_target(name, permitted)
        configured = file.spec.notifications
        found: dict[Target, list[SpecEvent]] = {}
        for event in get_args(SpecEvent):
            if on in {None, event}:
                for target in channels(getattr(configured, event)):
                    found.setdefault(target, []).append(event)
        if not found:
            missing = f"notifications.{on}" if on else "notifications"
            raise Refused(
                f"{name} has no channel to test.", detail=f"Its effective spec, {file.key}, has no {missing}."
            )
        return found

    def _named_target(self, name: str, permitted: PermittedDatasets) -> dict[Target, list[SpecEvent]]:
        targets = self._settings.targets if permitted.are_all else {}
        if name in targets:
            return {NamedTarget(type="target", name=name): []}
        known = (*permitted.among(self._specs.catalog().effective), *targets)
        raise NotFound(
            f"There is no dataset or target named '{name}'.",
            detail=nearest(name, known) or "List the datasets with: dli workflow list",
        )

    def _notification(self, target: Target, message: Message) -> Notification:
        return Notification.of(message, target, identifier=uuid.uuid4().hex, created_at=self._clock.now())


class _TestSend(threading.Thread):
    """Sends one message; ``error`` is None once the channel has accepted it."""

    def __init__(self, sender: Sender, notification: Notification) -> None:
        super().__init__(name="notification-test", daemon=True)
        self.error: str | None = f"no answer within {TEST_SECONDS:.0f} s"
        self._sender = sender
        self._notification = notification

    def run(self) -> None:
        """Send it."""
        try:
            self._sender.send(self._notification)
        except SendFailed as failure:
            self.error = failure.reason
        except Exception as error:  # noqa: BLE001 - its text may contain an address with a secret
            self.error = f"sending failed ({type(error).__name__})"
        else:
            self.error = None
