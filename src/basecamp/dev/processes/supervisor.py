"""Starts programs, watches them, and takes all of them down again."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Self

from basecamp.dev.processes.guard import GRACE_SECONDS, Guard
from basecamp.dev.processes.interrupts import Interrupts
from basecamp.dev.processes.parts import Part
from basecamp.dev.processes.ports import holder_of
from basecamp.dev.processes.process import Process, Program
from basecamp.dev.progress import Progress
from dataspec.errors import Unavailable

START_SECONDS = 300.0
"""How long parts may take to become healthy; Airflow's take a minute on a slow machine."""

RESTARTS = 5
"""How often a part is started again within :data:`RESTARTS_SECONDS`; one that ends more often is broken."""
RESTARTS_SECONDS = 120.0

_LOG_LINES = 15
_POLL_SECONDS = 0.25


class Supervisor:
    """Keeps what was started, stage by stage.

    Leaving it takes everything down, the last stage first; a signal that comes meanwhile
    kills at once what is left.
    """

    def __init__(
        self, guard: Guard, interrupts: Interrupts, progress: Progress, *, grace: float = GRACE_SECONDS
    ) -> None:
        self._guard = guard
        self._interrupts = interrupts
        self._progress = progress
        self._grace = grace
        self._stages: list[list[Process]] = []
        self._parts: dict[str, Part] = {}
        self._restarts: list[float] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._take_down()

    def run(self, program: Program, doing: str) -> None:
        """Run a program to its end.

        Raises:
            Unavailable: When it fails; shows the last lines of its log.
            Interrupted: When somebody asked to end.
        """
        since = time.monotonic()
        (process,) = self._start([program])
        while not process.gone():
            self._progress.waiting(doing, since)
            self._interrupts.sleep(_POLL_SECONDS)
        if process.exit_status:
            raise _failed(process)
        self._stages.pop()

    def start(self, *parts: Part) -> None:
        """Start a stage: parts side by side, until all of them are healthy.

        Raises:
            Unavailable: When a part ends, or is not healthy in time.
            Interrupted: When somebody asked to end.
        """
        since = time.monotonic()
        self._parts |= {part.program.name: part for part in parts}
        self._await(self._start(part.program for part in parts), since)

    def _await(self, waiting: list[Process], since: float) -> None:
        while waiting:
            self._progress.waiting(f"starting {', '.join(process.name for process in waiting)}", since)
            self._interrupts.sleep(_POLL_SECONDS)
            self._check(waiting, since)
            for process in [process for process in waiting if _is_up(process, self._parts[process.name])]:
                waiting.remove(process)
                self._progress.done(f"{process.name} is up", since)

    def watch(self) -> None:
        """Wait until a part ends, which none should; one that keeps nothing is started again.

        Raises:
            Unavailable: Naming the part that ended for good.
            Interrupted: When somebody asked to end.
        """
        while True:
            for process in self._ended():
                if not self._may_restart(process):
                    raise _failed(process)
                self._restart(process)
            self._interrupts.sleep(_POLL_SECONDS)

    def _may_restart(self, process: Process) -> bool:
        now = time.monotonic()
        self._restarts = [at for at in self._restarts if now - at < RESTARTS_SECONDS]
        return self._parts[process.name].stateless and len(self._restarts) < RESTARTS

    def _restart(self, process: Process) -> None:
        since = time.monotonic()
        self._restarts.append(since)
        self._progress.say(f"  {process.name} {process.end}: it is started again")
        while not process.gone():  # what it had started may hold its port
            process.kill()
            self._interrupts.sleep(_POLL_SECONDS)
        stage = next(stage for stage in self._stages if process in stage)
        anew = Process(process.program, self._guard)
        stage[stage.index(process)] = anew
        self._await([anew], since)

    def _start(self, programs: Iterable[Program]) -> list[Process]:
        self._interrupts.check()
        stage: list[Process] = []
        self._stages.append(stage)
        for program in programs:  # one that can't be started must not lose those before it
            stage.append(Process(program, self._guard))  # noqa: PERF401
        return list(stage)

    def _check(self, waiting: list[Process], since: float) -> None:
        self._check_alive()
        if time.monotonic() - since > START_SECONDS:
            raise _late(waiting[0])

    def _check_alive(self) -> None:
        for process in self._ended():
            raise _failed(process)

    def _ended(self) -> list[Process]:
        return [process for stage in self._stages for process in stage if process.exit_status is not None]

    def _take_down(self) -> None:
        hurry = self._interrupts.count + 1
        for stage in reversed(self._stages):
            self._end(stage, hurry)

    def _end(self, stage: list[Process], hurry: int) -> None:
        for process in stage:
            process.terminate()
        since, left = time.monotonic(), stage
        while left := [process for process in left if not process.gone()]:
            self._progress.waiting(f"stopping {', '.join(process.name for process in left)}", since)
            if time.monotonic() - since > self._grace or self._interrupts.count >= hurry:
                for process in left:
                    process.kill()
            self._interrupts.pause(0.1)


def _is_up(process: Process, part: Part) -> bool:
    """Say whether a part is healthy, and it is the part that says so.

    Between the choice of a port and its use another program may take it, even another
    `basecamp dev`, whose answers are those of a healthy part.
    """
    if not part.healthy():
        return False
    holder = holder_of(part.port) if part.port else None
    if holder and not process.owns(holder.pid):
        raise Unavailable(
            f"{holder} took port {part.port} before {process.name} could.",
            detail="Start again; with --port 0 and --airflow-port 0 free ports are taken.",
        )
    return True


def _failed(process: Process) -> Unavailable:
    return Unavailable(f"{process.name} {process.end}.", detail=_end_of_log(process))


def _late(process: Process) -> Unavailable:
    title = f"{process.name} is not healthy after {START_SECONDS:.0f} s."
    return Unavailable(title, detail=_end_of_log(process))


def _end_of_log(process: Process) -> str:
    return "\n".join((f"The end of {process.program.log}:", *process.last_lines(_LOG_LINES)))
