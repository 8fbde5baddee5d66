"""Puts the parts of notifications together around a store and an Airflow."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from basecamp.airflow.gateway import AirflowGateway
from basecamp.datasets.catalog_cache import CatalogCache
from basecamp.notifications.channel_test import Trial
from basecamp.notifications.channels.sending import ChannelSender
from basecamp.notifications.configuration import NotificationSettings
from basecamp.notifications.delivery import Delivery
from basecamp.notifications.health import ChannelHealth
from basecamp.notifications.messages import Messages
from basecamp.notifications.outbox import Outbox
from basecamp.notifications.run_watch import RunWatch
from basecamp.runs.logs import RunLogs
from basecamp.runs.records import RunRecords
from basecamp.shared.clock import Clock
from dataspec.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Notifications:
    """All that tells people of something."""

    outbox: Outbox
    delivery: Delivery
    run_watch: RunWatch
    trial: Trial
    health: ChannelHealth

    def start(self) -> None:
        """Deliver, and watch for runs that end, each in a thread of its own until the server ends."""
        for name, run in (("delivery", self.delivery.run), ("run-watch", self.run_watch.run)):
            threading.Thread(target=run, name=name, daemon=True).start()


def assemble_notifications(
    *,
    store: Store,
    gateway: AirflowGateway,
    specs: CatalogCache,
    records: RunRecords,
    logs: RunLogs,
    clock: Clock,
    settings: NotificationSettings,
    owner: str,
) -> Notifications:
    """Return the parts, none of which runs yet.

    Args:
        store: Where the outbox is.
        gateway: The Airflow that runs the datasets.
        specs: Who is to be told.
        records: Tells what belongs to a run.
        logs: Tells why one failed.
        clock: The time.
        settings: What the channels need.
        owner: Names this replica among all.
    """
    messages = Messages(settings.public_url)
    outbox = Outbox(store, clock, messages)
    sender = ChannelSender(settings)
    delivery = Delivery(outbox, sender, clock, owner)
    return Notifications(
        outbox=outbox,
        delivery=delivery,
        run_watch=RunWatch(
            store=store,
            gateway=gateway,
            specs=specs,
            records=records,
            logs=logs,
            outbox=outbox,
            clock=clock,
        ),
        trial=Trial(specs, sender, settings, messages, clock),
        health=ChannelHealth(delivery, specs, settings),
    )
