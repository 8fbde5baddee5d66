"""How the channels are, in one line for ``/readyz``."""

from __future__ import annotations

from collections.abc import Iterator

from basecamp.datasets.catalog_cache import CatalogCache
from basecamp.notifications.channels.channel import channel_name, channels
from basecamp.notifications.channels.sending import missing_setting
from basecamp.notifications.configuration import NotificationSettings
from basecamp.notifications.delivery import Delivery, FailingChannel
from dataspec.catalog.effective import Catalog
from dataspec.errors import StoreUnreachable
from dataspec.spec.model import Target

MAX_NAMED = 10
"""How many channels the line names; the others are counted."""


class ChannelHealth:
    """Tells which channels don't work: those that fail, and those that the server has no settings for."""

    def __init__(self, delivery: Delivery, specs: CatalogCache, settings: NotificationSettings) -> None:
        self._delivery = delivery
        self._specs = specs
        self._settings = settings
        self._checked: tuple[Catalog, list[str]] | None = None

    def state(self) -> str:
        """Return ``ok``, or each channel that does not work, with since when and why."""
        lines = [_described(failing) for failing in self._delivery.failing()]
        lines += [line for line in self._lacking() if not _is_named(line, lines)]
        if len(lines) > MAX_NAMED:
            lines = [*lines[:MAX_NAMED], f"and {len(lines) - MAX_NAMED} more channels"]
        return "; ".join(lines) or "ok"

    def _lacking(self) -> list[str]:
        try:
            catalog = self._specs.catalog()
        except StoreUnreachable:
            return []  # the store's own check says so
        if self._checked is None or self._checked[0] is not catalog:
            found = dict.fromkeys(self._lacking_in(catalog))
            self._checked = catalog, list(found)
        return self._checked[1]

    def _lacking_in(self, catalog: Catalog) -> Iterator[str]:
        for target in _named_targets(catalog):
            if reason := missing_setting(target, self._settings):
                for channel in channels([target]):
                    yield f"{channel_name(channel)}: {reason}"


def _named_targets(catalog: Catalog) -> Iterator[Target]:
    for file in catalog.effective.values():
        if file.spec and file.spec.schedule:
            to_tell = file.spec.schedule.notifications
            yield from (*to_tell.on_failure, *to_tell.on_success, *to_tell.on_source_change)


def _is_named(line: str, lines: list[str]) -> bool:
    name = line.partition(": ")[0]
    return any(other.startswith((f"{name} ", f"{name}: ")) for other in lines)


def _described(failing: FailingChannel) -> str:
    counts = [
        f"{count} {word}"
        for count, word in ((failing.waiting, "waiting"), (failing.given_up, "given up"))
        if count
    ]
    since = failing.since.isoformat(timespec="seconds")
    return f"{failing.name} fails since {since} ({', '.join(counts)}): {failing.error}"
