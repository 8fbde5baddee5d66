"""What happens to the replicas meanwhile: faults and deaths by a seed, or one version taking the place of another."""

from __future__ import annotations

import heapq
import itertools
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from random import Random

from chaos.faults import WEATHERS, Network
from chaos.replicas import Replica, Version
from chaos.world import World

TICK_SECONDS = 0.5
SAMPLE_SECONDS = 15.0
EVENTS = {"weather": 8, "kill": 2, "freeze": 2, "kill worker": 2}
"""What happens, and how often."""
PAUSE_SECONDS = 4.0
"""The mean pause between two events."""
REFUSED_SHARE = 0.3
"""The share of notifications that the receiver refuses."""


class Director:
    """Makes the trouble of a run.

    Attributes:
        counted: What happened, by kind.
        ended: The replicas that ended by themselves while they served.
    """

    def __init__(self, world: World, networks: Sequence[Network], seed: int) -> None:
        self.counted: Counter[str] = Counter()
        self.ended: list[str] = []
        self._world = world
        self._networks = networks
        self._random = Random(f"{seed} director")
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def trouble(self, seconds: float) -> None:
        """Break and mend things for some time, then mend everything.

        The first replica is frozen and cut off, but never killed: its memory and files show what grows.
        """
        receiver = self._world.receiver
        receiver.refuses = REFUSED_SHARE
        ends = time.monotonic() + seconds
        self._after(0, self._next)
        self._after(0, self._sample)
        while time.monotonic() < ends:
            self._act()
            time.sleep(TICK_SECONDS)
        receiver.refuses = 0.0
        self._mend()

    def _after(self, seconds: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._due, (time.monotonic() + seconds, next(self._numbers), act))

    def _act(self) -> None:
        while self._due and self._due[0][0] <= time.monotonic():
            heapq.heappop(self._due)[2]()
        for replica in self._world.replicas:
            if replica.wanted and not replica.is_running:
                self._start_again(replica)

    def _start_again(self, replica: Replica) -> None:
        """Start a replica that has ended by itself, as it does at its start where the store does not answer."""
        *_, (_, lines) = replica.logged()
        if any("Basecamp listens on" in line for line in lines):
            self.ended.append(f"replica {replica.number}: {lines[-1]}")
        self.counted["replica did not start, since the store did not answer"] += 1
        replica.start()

    def _sample(self) -> None:
        for replica in self._world.replicas:
            replica.sample()
        self._after(SAMPLE_SECONDS, self._sample)

    def _next(self) -> None:
        self._after(self._random.expovariate(1 / PAUSE_SECONDS), self._next)
        match self._random.choices(list(EVENTS), weights=list(EVENTS.values()))[0]:
            case "weather":
                self._change(self._random.choice(self._networks))
            case "kill":
                self._kill(self._random.choice(self._world.replicas[1:]))
            case "freeze":
                self._freeze(self._random.choice(self._world.replicas))
            case _:
                self._kill_worker()

    def _change(self, way: Network) -> None:
        weather = self._random.choices(list(WEATHERS), weights=list(WEATHERS.values()))[0]
        self.counted[f"network {weather}"] += 1
        way.change(weather)

    def _kill(self, replica: Replica) -> None:
        pause = self._random.uniform(0, 10)
        if replica.listens:
            self.counted["replica killed"] += 1
            replica.kill()
            self._after(pause, replica.start)

    def _freeze(self, replica: Replica) -> None:
        pause = self._random.uniform(5, 40)
        if replica.listens and not replica.frozen:
            self.counted["replica frozen"] += 1
            replica.freeze()
            self._after(pause, replica.thaw)

    def _kill_worker(self) -> None:
        workers = self._world.workers()
        if workers:
            with suppress(ProcessLookupError):
                os.kill(self._random.choice(workers), signal.SIGKILL)
                self.counted["worker killed"] += 1

    def _mend(self) -> None:
        """End all faults; every replica runs."""
        self._due.clear()
        for way in self._networks:
            way.change("calm")
        for replica in self._world.replicas:
            if replica.is_running:
                replica.thaw()
            else:
                replica.start()
        for replica in self._world.replicas:
            replica.await_ready()

    def roll(self, to: Version, seconds: float) -> None:
        """Replace the replicas by another version, one after the other, within some time."""
        for replica in self._world.replicas:
            self.rest(seconds / len(self._world.replicas))
            self.counted[f"replica replaced by the {to.name} version"] += 1
            replica.replace(to)
            replica.await_ready()

    def rest(self, seconds: float) -> None:
        """Let the clients work for some time."""
        time.sleep(seconds)
