"""The periodic look at the store (spec 6.1): which source each dataset has, when nobody asks."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from dataspec.errors import StoreUnreachable, Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from basecamp.services.clock import Clock
    from basecamp.services.specs import Specs
    from dataspec.workflows import SourceType

log = logging.getLogger(__name__)


class SourceChecks:
    """Keeps the catalog warm, and logs when the source of a dataset changes.

    What is effective never waits for it: every answer is made from the store as it is.
    """

    def __init__(self, specs: Specs, clock: Clock, *, interval_seconds: float) -> None:
        self._specs = specs
        self._clock = clock
        self._interval = interval_seconds
        self._sources: Mapping[str, SourceType] | None = None

    def run(self) -> None:
        """Check again and again, until the server is to end."""
        while True:
            self.check()
            try:
                self._clock.wait(self._interval)
            except Unavailable:
                return

    def check(self) -> list[str]:
        """Look at the store now; return, and log, a line for each dataset whose source has changed."""
        try:
            catalog = self._specs.catalog(fresh=True)
        except StoreUnreachable as error:
            log.warning("The store could not be checked: %s %s", error.title, error.detail)
            return []
        before, self._sources = self._sources, {name: file.source for name, file in catalog.effective.items()}
        changes = [] if before is None else _changes(before, self._sources)
        for line in changes:
            log.info("%s", line)
        return changes


def _changes(before: Mapping[str, SourceType], after: Mapping[str, SourceType]) -> list[str]:
    return [
        f"{name}: {before.get(name, 'none')} -> {after.get(name, 'none')}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]
