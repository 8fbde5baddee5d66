"""Poll what was built, once for all triggers of a triggerer process.

A look reads the beacon alone. Only when that has changed are the Variables of upstreams read: those that it names, or
all that are waited for where it does not tell. Two runs that end together may overwrite each other's entry in the
beacon, so after any change all are read as well, some at each look, with a pause before the next time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from contextvars import Context
from itertools import islice

from dataspec.contract import BUILT_BEACON, built_variable
from dataspec.schedule.beacon import built_since
from dataspec.schedule.built import Built

log = logging.getLogger(__name__)

LOOK_SECONDS = 3.0
"""The pause between two looks; a read of a Variable takes a triggerer of Airflow 3 tens of milliseconds of CPU."""
BUSY_LOOK_SECONDS = 1.0
"""The pause while something was built a moment ago: what follows it is often built next."""
BUSY_SECONDS = 30.0
"""How long after a change that is."""
READS = 50
"""Maximum number of upstreams that a look reads beside those that the beacon names."""
PAUSE_SECONDS = 30.0
"""Minimum pause between two reads of all upstreams, for every :data:`READS` of them."""


class Watch:
    """What one trigger waits for.

    Args:
        datasets: The upstreams.
        turn: Watches are woken in this order.
        built: What was built, by dataset; the poller fills it.
    """

    def __init__(self, datasets: Collection[str], turn: str, built: dict[str, Built]) -> None:
        self.datasets = frozenset(datasets)
        self.turn = turn
        self._built = built
        self._changed = asyncio.Event()

    @property
    def is_read(self) -> bool:
        """Whether all upstreams were read."""
        return self.datasets <= self._built.keys()

    def built(self, dataset: str) -> Built:
        """Return what an upstream has built."""
        return self._built.get(dataset, Built())

    def wake(self) -> None:
        """Tell the trigger of a change."""
        self._changed.set()

    async def change(self, seconds: float | None = None) -> None:
        """Wait for a change, at most ``seconds``; the first change is that all upstreams were read."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()
                self._changed.clear()


class Poller:
    """Serves all watches of one event loop, and looks only while there are any.

    Args:
        read: Returns the text of a Variable; None if there is none.
        look_seconds: The pause between two looks.
        busy_look_seconds: The pause for a while after a change.
        monotonic: Returns the time in seconds.
    """

    def __init__(
        self,
        read: Callable[[str], Awaitable[str | None]],
        *,
        look_seconds: float = LOOK_SECONDS,
        busy_look_seconds: float = BUSY_LOOK_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._look_seconds = look_seconds
        self._busy_look_seconds = busy_look_seconds
        self._monotonic = monotonic
        self._watches: list[Watch] = []
        self._built: dict[str, Built] = {}
        self._texts: dict[str, str | None] = {}
        self._beacon: str | None = None
        self._stale: dict[str, None] = {}
        """Upstreams to read again, in order."""
        self._has_changed = False
        """Whether the beacon has changed since all upstreams were made stale."""
        self._pause_ends = 0.0
        self._busy_until = 0.0
        self._task: asyncio.Task[None] | None = None

    @contextmanager
    def watching(self, datasets: Collection[str], turn: str) -> Iterator[Watch]:
        """Watch upstreams; the watch of the lowest turn is told first of a change."""
        watch = Watch(datasets, turn, self._built)
        self._watches.append(watch)
        if watch.is_read:
            watch.wake()
        if self._task is None or self._task.done():
            # In a context of its own: its log lines are not those of the trigger that came first.
            self._task = asyncio.get_running_loop().create_task(self._poll(), context=Context())
        try:
            yield watch
        finally:
            self._watches.remove(watch)

    async def _poll(self) -> None:
        while self._watches:
            try:
                await self._look()
            except Exception as error:  # noqa: BLE001 - Airflow may be restarting: the next look tries again
                log.warning("What was built can't be read, the next attempt follows: %s", error)
            is_busy = self._monotonic() < self._busy_until
            await asyncio.sleep(self._busy_look_seconds if is_busy else self._look_seconds)
        self._forget(set())
        self._beacon = None

    async def _look(self) -> None:
        """Read what may have changed, and wake the watches that it concerns."""
        beacon = await self._read(BUILT_BEACON)
        wanted = {dataset for watch in self._watches for dataset in watch.datasets}
        self._forget(wanted)
        named = self._named(beacon, wanted)
        unread = [dataset for dataset in sorted(wanted) if dataset not in self._built]
        more = islice(dict.fromkeys([*unread, *self._stale]), READS)
        changed = [dataset for dataset in dict.fromkeys([*named, *more]) if await self._has_new(dataset)]
        self._beacon = beacon  # only now: a look that failed is repeated
        for watch in sorted(self._watches, key=lambda watch: watch.turn):
            if watch.is_read and not watch.datasets.isdisjoint(changed):
                watch.wake()

    def _forget(self, wanted: Collection[str]) -> None:
        """Forget what nobody waits for: it is not polled, so it grows old."""
        for dataset in self._built.keys() - wanted:
            del self._built[dataset], self._texts[dataset]
        self._stale = {dataset: None for dataset in self._stale if dataset in wanted}

    def _named(self, beacon: str | None, wanted: set[str]) -> Collection[str]:
        """Return the wanted upstreams that the beacon names as built since the last look; note which may be stale.

        All may be where the text does not tell. Otherwise all are read after a change as well, unless that was done
        a moment ago.
        """
        named = built_since(self._beacon, beacon)
        now = self._monotonic()
        if beacon != self._beacon:
            self._has_changed = True
            self._busy_until = now + BUSY_SECONDS
        if named is None or (self._has_changed and not self._stale and now >= self._pause_ends):
            self._stale |= dict.fromkeys(sorted(wanted))
            self._has_changed = False
            self._pause_ends = now + PAUSE_SECONDS * (1 + len(wanted) // READS)
        return (named or frozenset()) & wanted

    async def _has_new(self, dataset: str) -> bool:
        """Read what a dataset has built; return whether that is new."""
        text = await self._read(built_variable(dataset))
        self._stale.pop(dataset, None)
        if dataset in self._built and text == self._texts[dataset]:
            return False
        read = Built.parse(text)
        if read.problem:
            log.warning("What %s has built can't be read: %s", dataset, read.problem)
        self._built[dataset], self._texts[dataset] = read.built, text
        return True
