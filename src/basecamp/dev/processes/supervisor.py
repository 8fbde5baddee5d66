"""Starts programs, supervises them, and stops them; shows the progress on stderr."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Self, TextIO

import click

from basecamp.dev.processes.components import Component
from basecamp.dev.processes.guard import GRACE_SECONDS, Guard
from basecamp.dev.processes.interrupts import Interrupts
from basecamp.dev.processes.ports import listener_on
from basecamp.dev.processes.process import Process, Program
from dataspec.errors import Unavailable

START_SECONDS = 900.0
"""Time limit until components are healthy; Airflow's take a minute on a slow machine, and ten on one that is busy."""

RESTARTS = 5
"""Maximum number of restarts of components within :data:`RESTARTS_SECONDS`."""
RESTARTS_SECONDS = 120.0

_LOG_LINES = 15
_POLL_SECONDS = 0.25


class Supervisor:
    """Runs programs in stages.

    Leaving the context stops all stages, the last one first; a signal meanwhile kills the rest at once.
    """

    def __init__(
        self, guard: Guard, interrupts: Interrupts, progress: Progress, *, grace: float = GRACE_SECONDS
    ) -> None:
        self._guard = guard
        self._interrupts = interrupts
        self._progress = progress
        self._grace = grace
        self._stages: list[list[Process]] = []
        self._components: dict[str, Component] = {}
        self._restarts: list[float] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._take_down()

    def run(self, program: Program, doing: str) -> None:
        """Run a program until it exits.

        Raises:
            Unavailable: When it fails; includes the last lines of its log.
            Interrupted: After a signal.
        """
        since = time.monotonic()
        (process,) = self._start([program])
        while not process.gone():
            self._progress.waiting(doing, since)
            self._interrupts.sleep(_POLL_SECONDS)
        if process.exit_status:
            raise _failed(process)
        self._stages.pop()

    def start(self, *components: Component) -> None:
        """Start a stage: components in parallel, until all are healthy.

        Raises:
            Unavailable: When a component exits, or is not healthy in time.
            Interrupted: After a signal.
        """
        since = time.monotonic()
        self._components |= {component.program.name: component for component in components}
        self._await(self._start(component.program for component in components), since)

    def _await(self, waiting: list[Process], since: float) -> None:
        while waiting:
            self._progress.waiting(f"starting {', '.join(process.name for process in waiting)}", since)
            self._interrupts.sleep(_POLL_SECONDS)
            self._check(waiting, since)
            for process in [
                process for process in waiting if _is_up(process, self._components[process.name])
            ]:
                waiting.remove(process)
                self._progress.done(f"{process.name} is running", since)

    def watch(self) -> None:
        """Wait until a component exits; restart it if it is stateless.

        Raises:
            Unavailable: When a component exits that can't be restarted.
            Interrupted: After a signal.
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
        return self._components[process.name].stateless and len(self._restarts) < RESTARTS

    def _restart(self, process: Process) -> None:
        since = time.monotonic()
        self._restarts.append(since)
        self._progress.say(f"  {process.name} {process.end}: restarting it")
        while not process.gone():  # its descendants may still use its port
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
        for program in programs:  # keep those before a program that can't be started
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


def _is_up(process: Process, component: Component) -> bool:
    """Say whether a component is healthy, and whether the response comes from it.

    Between the choice of a port and its use another program may take the port, even another
    `basecamp dev`, whose components answer as healthy.
    """
    if not component.healthy():
        return False
    listener = listener_on(component.port) if component.port else None
    if listener and not process.owns(listener.pid):
        raise Unavailable(
            f"{listener} took port {component.port} before {process.name}.",
            detail="Start again; --port 0 and --airflow-port 0 pick free ports.",
        )
    return True


def _failed(process: Process) -> Unavailable:
    return Unavailable(f"{process.name} {process.end}.", detail=_end_of_log(process))


def _late(process: Process) -> Unavailable:
    title = f"{process.name} is not healthy after {START_SECONDS:.0f} s."
    return Unavailable(title, detail=_end_of_log(process))


def _end_of_log(process: Process) -> str:
    return "\n".join((f"The end of {process.program.log}:", *process.last_lines(_LOG_LINES)))


_ERASE_LINE = "\r\x1b[2K"


class Progress:
    """Prints finished steps with their durations; on a terminal also the current step."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live = stream.isatty()

    def say(self, text: str) -> None:
        """Print a line."""
        self._clear()
        click.echo(text, file=self._stream)

    def done(self, what: str, since: float) -> None:
        """Print a finished step; ``since`` is the monotonic time of its start."""
        self.say(f"  {what:<36} {time.monotonic() - since:6.1f} s")

    def waiting(self, what: str, since: float) -> None:
        """Show the current step, in a line that the next one replaces."""
        if self._live:
            text = f"  {what} … {time.monotonic() - since:.0f} s"
            click.echo(f"{_ERASE_LINE}{text}", file=self._stream, nl=False)

    def _clear(self) -> None:
        if self._live:
            click.echo(_ERASE_LINE, file=self._stream, nl=False)
