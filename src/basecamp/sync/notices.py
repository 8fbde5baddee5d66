"""Put notices of switches of source into the outbox (specification 6.7)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from basecamp.notifications.notification import SourceChange
from basecamp.notifications.outbox import Outbox
from basecamp.shared.clock import Clock
from basecamp.shared.waiting import Steps
from basecamp.sync.diff import SourceSwitch
from dataspec.catalog.effective import Catalog, SpecFile
from dataspec.catalog.publication import Publication, known_publication
from dataspec.catalog.version_archive import KeptVersions
from dataspec.schedule.cron import next_tick
from dataspec.spec.model import DatasetSpec, Target
from dataspec.store import Store

PATIENCE_SECONDS = 5.0
"""How long a notice waits for the publisher to record its commit."""
POLL_SECONDS = 0.2


class SourceChangeNotices:
    """Puts a notice for each channel of both specs, the old and the new one, into the outbox."""

    def __init__(self, store: Store, versions: KeptVersions, outbox: Outbox, clock: Clock) -> None:
        self._store = store
        self._versions = versions
        self._outbox = outbox
        self._clock = clock

    def announce(self, switches: Sequence[SourceSwitch], catalog: Catalog) -> Steps[None]:
        """Announce each switch once to each channel, also when called again for it.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        going = self._versions.files([switch.going for switch in switches])
        told = []
        publication = (yield from self._publication(catalog.ledger.moved_at)) if switches else None
        for switch in switches:
            coming, gone = catalog.effective[switch.name], going.get(switch.going)
            targets = [*_targets(gone), *_targets(coming)]
            if targets:
                told.append((self._change(switch, coming, publication), targets))
        if told:
            self._outbox.announce(told)

    def _publication(self, moved_at: datetime | None) -> Steps[Publication | None]:
        """Return the last publication, if it was made since the ledger was written.

        A publisher writes the specs before the publication, so a check between its writes waits for the
        publication. Without any publication in the store, there is no wait.
        """
        deadline = self._clock.monotonic() + PATIENCE_SECONDS
        while (found := known_publication(self._store)) is not None and moved_at is not None:
            if found.published_at >= moved_at:
                return found
            if self._clock.monotonic() >= deadline:
                return None
            yield POLL_SECONDS
        return None

    def _change(
        self, switch: SourceSwitch, coming: SpecFile, publication: Publication | None
    ) -> SourceChange:
        return SourceChange(
            dataset=switch.name,
            before=switch.before.source,
            after=switch.after.source,
            file=switch.coming.key,
            previous_file=switch.going.key,
            spec_hash=switch.coming.spec_hash,
            commit=publication.commit if publication else None,
            repository=publication.repository if publication else None,
            next_run=_next_run(coming.spec, self._clock.now()),
            at=self._clock.now(),
            occurrence=switch.occurrence,
        )


def _targets(file: SpecFile | None) -> list[Target]:
    return file.spec.notifications.on_source_change if file and file.spec else []


def _next_run(spec: DatasetSpec | None, now: datetime) -> datetime | None:
    schedule = spec.schedule if spec else None
    if schedule is None or schedule.clock is None or not schedule.enabled:
        return None
    return next_tick(*schedule.clock, now).astimezone(ZoneInfo(schedule.clock.zone))
