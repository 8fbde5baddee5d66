"""State of the channels, in one line for ``/readyz``."""

from __future__ import annotations

from collections.abc import Iterator

from basecamp.datasets.catalog_cache import CatalogCache
from basecamp.notifications.channels.sending import unconfigured
from basecamp.notifications.delivery import Delivery, FailingChannel
from basecamp.notifications.settings import NotificationSettings
from dataspec.catalog.effective import Catalog
from dataspec.spec.model import Target

MAX_NAMED = 10
"""Maximum number of channels that the line names; it counts the rest."""


class ChannelHealth:
    """Reports the channels that don't work: failing ones, and ones without server settings."""

    def __init__(self, delivery: Delivery, specs: CatalogCache, settings: NotificationSettings) -> None:
        self._delivery = delivery
        self._specs = specs
        self._settings = settings
        self._checked: tuple[Catalog, list[str]] | None = None

    def state(self) -> str:
        """Return ``ok``, or each channel that does not work with the time and the reason."""
        lines = [_described(failing) for failing in self._delivery.failing()]
        lines += [line for line in self._unconfigured() if not _is_named(line, lines)]
        if len(lines) > MAX_NAMED:
            lines = [*lines[:MAX_NAMED], f"and {len(lines) - MAX_NAMED} more channels"]
        return "; ".join(lines) or "ok"

    def _unconfigured(self) -> list[str]:
        catalog = self._specs.last_known
        if catalog is None:
            return []  # the store's own check reports it
        if self._checked is None or self._checked[0] is not catalog:
            targets = (*_named_targets(catalog), *self._settings.alerts)
            self._checked = catalog, unconfigured(targets, self._settings)
        return self._checked[1]


def _named_targets(catalog: Catalog) -> Iterator[Target]:
    for file in catalog.effective.values():
        if file.spec:
            yield from file.spec.notifications.targets


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
    return f"{failing.name} has failed since {since} ({', '.join(counts)}): {failing.error}"
