"""Run worlds one after the other: ``make simulate STEPS=100000 SEED=1``.

Prints a line for each world, and the line that repeats the first one in which a promise was broken.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
import uuid
from collections import Counter
from random import Random

from basecamp.workflows.rows import WorkflowFilter
from dataspec.models import WorkflowInfo
from simulation.clients import Clients
from simulation.faults import Faults
from simulation.model import Model
from simulation.world import REPLICAS, World

WORLD_STEPS = 10_000
CLIENTS = 8
SETTLING_SECONDS = 1_800.0
"""How long a world may take after its last fault until all is done, in virtual seconds."""


class Failures(logging.Handler):
    """Takes what the product logs as an error: a mistake in it."""

    def __init__(self, world: World) -> None:
        super().__init__(logging.ERROR)
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self._world.fault(f"the log says: {record.getMessage()} {error!r}")


def simulate(seed: int, steps: int, *, sabotage: str | None = None) -> tuple[World, Counter[str]]:
    """Run one world for a number of steps, let it settle, and check it."""
    world = World(seed, sabotage=sabotage)
    numbers = Random(seed)
    uuid.uuid4 = lambda: uuid.UUID(int=numbers.getrandbits(128))
    failures = Failures(world)
    logging.getLogger().addHandler(failures)
    try:
        return world, _simulated(world, steps)
    finally:
        world.end()
        logging.getLogger().removeHandler(failures)


def _simulated(world: World, steps: int) -> Counter[str]:
    clients = Clients(world)
    for _ in range(CLIENTS):
        world.scheduler.spawn(clients.work, world.elsewhere)
    world.scheduler.spawn(lambda: _trouble(world, clients), world.elsewhere)
    world.scheduler.run(until=float("inf"), steps=steps)
    clients.ending = True
    world.calm()
    _settle(world)
    seen: list[list[WorkflowInfo]] = [[] for _ in range(REPLICAS)]
    for number, replica in enumerate(world.replicas):
        world.scheduler.spawn(
            lambda number=number, replica=replica: seen[number].extend(  # type: ignore[misc]
                replica.services.workflows.page(WorkflowFilter(), limit=1000).items
            ),
            replica.process,
        )
    world.scheduler.run(until=world.scheduler.now + 60)
    model = Model(world, clients.requests, seen)
    model.check()
    return model.checked


def _trouble(world: World, clients: Clients) -> None:
    """Kill replicas, cut and mend networks, and set clocks wrong, until the end."""
    random = world.random
    while not clients.ending:
        world.scheduler.park(random.expovariate(1 / 4))
        if clients.ending:
            return
        number = random.randrange(REPLICAS)
        replica = world.replicas[number]
        network = random.choice([replica.to_store, replica.to_airflow])
        trouble = random.choice(
            ["kill", "cut", "mend", "mend", "mend", "faults", "faults", "clock", "channel"]
        )
        if trouble == "kill":
            world.kill(number)
        elif trouble in {"cut", "mend"}:
            network.cut = trouble == "cut"
        elif trouble == "faults":
            network.faults = Faults.of(random.choice([0.0, 0.02, 0.1, 0.3]))
        elif trouble == "clock":
            replica.clock.set_wrong(random.choice([0.0, 2.0, -30.0, 600.0]))
        else:
            world.inbox.refuses = random.choice([0.0, 0.5, 1.0])


def _settle(world: World) -> None:
    """Run until no backfill is active, no run waits, and every notification is delivered."""
    end = world.scheduler.now + SETTLING_SECONDS
    while world.scheduler.now < end:
        world.unpause()
        world.scheduler.run(until=world.scheduler.now + 60)
        if world.is_settled():
            world.scheduler.run(until=world.scheduler.now + 60)
            return


def main() -> int:
    """Run the command; return its exit status."""
    options = argparse.ArgumentParser(prog="simulation", description=__doc__)
    options.add_argument("--steps", type=int, default=100_000, help="steps in all")
    options.add_argument("--seed", type=int, default=1, help="the seed of the first world")
    options.add_argument(
        "--sabotage", choices=["unconditional-writes"], help="break the store, to see it found out"
    )
    given = options.parse_args()
    if os.environ.get("PYTHONHASHSEED") != "0":  # the order of sets belongs to the seed
        os.execve(
            sys.executable,
            [sys.executable, "-m", "simulation", *sys.argv[1:]],
            {**os.environ, "PYTHONHASHSEED": "0"},
        )
    logging.basicConfig(level=logging.CRITICAL)
    return _worlds(given.seed, given.steps, given.sabotage)


def _worlds(seed: int, steps: int, sabotage: str | None) -> int:
    left, kills, checked, faults = steps, 0, Counter[str](), Counter[str]()
    worlds, began = 0, time.monotonic()
    while left > 0:
        length = min(left, WORLD_STEPS)
        world, counted = simulate(seed + worlds, length, sabotage=sabotage)
        checked += counted
        faults += world.faults
        kills += world.kills
        left -= world.scheduler.steps
        if world.problems:
            print(f"World {seed + worlds} broke {len(world.problems)} promises:")
            print("\n".join(f"  {problem}" for problem in world.problems[:20]))
            print(f"To repeat it: make simulate STEPS={length} SEED={seed + worlds}")
            return 1
        worlds += 1
    took = time.monotonic() - began
    print(
        f"{worlds} worlds, {steps - left} steps in {took:.0f} s: {kills} replicas killed; lost 0, doubled 0"
    )
    print(f"failures: {_listed(faults)}")
    print(f"checked: {_listed(checked)}")
    return 0


def _listed(counted: Counter[str]) -> str:
    return ", ".join(f"{number} {name}" for name, number in sorted(counted.items()))


if __name__ == "__main__":
    sys.exit(main())
