"""A replica that delivers from a store in a folder until it is killed: for tests."""

from __future__ import annotations

import sys

from basecamp.notifications.channels.sending import ChannelSender
from basecamp.notifications.delivery import Delivery
from basecamp.notifications.messages import Messages
from basecamp.notifications.outbox import Outbox
from basecamp.notifications.settings import NotificationSettings
from basecamp.shared.clock import SystemClock
from basecamp.shared.object_reader import ObjectReader
from dataspec.store import open_store


def main() -> None:
    folder, api_url, token = sys.argv[1:]
    settings = NotificationSettings(slack_token=token, slack_api_url=api_url)
    clock = SystemClock()
    outbox = Outbox(open_store(folder), clock, Messages(None), ObjectReader(open_store(folder), clock))
    Delivery(outbox, ChannelSender(settings), clock, "killed").loop.run()


if __name__ == "__main__":
    main()
