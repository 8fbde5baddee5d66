"""Run several datasets of a project on this machine, in order of dependency, side by side where the engine allows."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Literal

from dataspec.engines.session import SessionCancelled
from dataspec.errors import DliError, InvalidUsage, NotFound
from dli.local.run import RunPlan

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from dataspec.engines.session import SqlSession
    from dataspec.project.graph import DatasetGraph
    from dli.config.settings import Settings
    from dli.local.engines.driver import DriverEngine
    from dli.local.run import LocalRun, Runner
    from dli.project.project import LocalDataset

Outcome = Literal["COMPLETED", "FAILED", "KILLED", "SKIPPED"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The outcome of one dataset."""

    name: str
    outcome: Outcome
    run: LocalRun | None = None
    """None for a dataset that did not start."""
    error: DliError | None = None
    """The reason of a failure, or of a skipped dataset."""


def plan_runs(
    datasets: Sequence[LocalDataset],
    given: Mapping[str, Any],
    settings: Settings,
    tell: Callable[[str], None],
) -> list[RunPlan]:
    """Return the plan of each dataset, all before the first one runs.

    Args:
        datasets: Valid datasets, with their clocks.
        given: The parameters; each is passed to the datasets that declare it.
        settings: They define the connections.
        tell: Called with messages, as by :meth:`RunPlan.of`.

    Raises:
        InvalidParameters: When the parameters are invalid.
        InvalidSettings: When a connection is not defined.
    """
    engines: dict[str, DriverEngine] = {}
    plans = []
    for dataset in datasets:
        connection = dataset.checked().execution.connection
        plan = _plan(dataset, given, settings, tell, engines.get(connection))
        engines[connection] = plan.engine
        plans.append(plan)
    return plans


class ProjectRun:
    """A run of several datasets.

    After a failure, the datasets that depend on the failed one are skipped; the others run.

    Args:
        plans: The plans, upstream ones first.
        graph: The graph of the whole project.
        start: Creates the runner of a plan.
        ended: Called with the outcome of each dataset.
    """

    def __init__(
        self,
        plans: Sequence[RunPlan],
        graph: DatasetGraph,
        *,
        start: Callable[[RunPlan], Runner],
        ended: Callable[[Step], None],
    ) -> None:
        self._waiting = {plan.spec.name: plan for plan in plans}
        self._upstream = {
            name: graph.reached([name], upstream=True) & self._waiting.keys() - {name}
            for name in self._waiting
        }
        self._total = len(plans)
        self._start = start
        self._tell_ended = ended
        self._running: dict[str, tuple[Runner, threading.Thread]] = {}
        self._open: dict[str, DriverEngine] = {}
        """The engines that are kept open, by what only one run at a time can use."""
        self._results: SimpleQueue[tuple[str, Step | BaseException]] = SimpleQueue()
        self._built: set[str] = set()
        self._broken: set[str] = set()

    @property
    def count(self) -> str:
        """How many datasets have ended."""
        return f"{self._total - len(self._waiting) - len(self._running)} of {self._total}"

    @property
    def sessions(self) -> list[tuple[str, SqlSession]]:
        """The name and the session of each dataset that runs."""
        return [(name, runner.session) for name, (runner, _) in list(self._running.items())]

    def run(self, jobs: int) -> None:
        """Run the datasets; Ctrl-C cancels all that run on their engines, and a second one does not wait for them.

        Args:
            jobs: The maximum number of datasets that run at a time.
        """
        try:
            while self._waiting or self._running:
                self._skip()
                while len(self._running) < jobs and (plan := self._next()) is not None:
                    self._begin(plan)
                if self._running:
                    self._take()
        except BaseException:
            self._cancel()
            raise
        finally:
            for engine in self._open.values():
                engine.close()

    def _skip(self) -> None:
        """Leave out what depends on a dataset that was not built."""
        for name in list(self._waiting):
            if missing := sorted(self._upstream[name] & self._broken):
                del self._waiting[name]
                self._tell_ended(
                    Step(name=name, outcome="SKIPPED", error=NotFound(f"{missing[0]} was not built."))
                )

    def _next(self) -> RunPlan | None:
        """Return the first plan that can start now."""
        taken = {runner.result.plan.engine.exclusive for runner, _ in self._running.values()} - {None}
        return next(
            (
                plan
                for name, plan in self._waiting.items()
                if self._upstream[name] <= self._built and plan.engine.exclusive not in taken
            ),
            None,
        )

    def _begin(self, plan: RunPlan) -> None:
        name = plan.spec.name
        self._share(plan)
        runner = self._start(plan)
        thread = threading.Thread(target=self._work, args=(name, runner), name=f"dli-{name}", daemon=True)
        self._running[name] = runner, thread
        del self._waiting[name]
        thread.start()

    def _share(self, plan: RunPlan) -> None:
        """Keep a file open for the runs that leave nothing in its session; let any other run open it for itself."""
        engine = plan.engine
        if (exclusive := engine.exclusive) is None:
            return
        if (kept := self._open.get(exclusive)) and not (kept is engine and plan.leaves_nothing):
            self._open.pop(exclusive).close()
        if plan.leaves_nothing:
            self._open[exclusive] = engine
            engine.keep_open()

    def _work(self, name: str, runner: Runner) -> None:
        result: Step | BaseException
        try:
            result = Step(name=name, outcome="COMPLETED", run=runner.run())
        except SessionCancelled:
            result = Step(name=name, outcome="KILLED", run=runner.result)
        except DliError as error:
            result = Step(name=name, outcome="FAILED", run=runner.result, error=error)
        except BaseException as error:  # noqa: BLE001 - raised in the main thread
            result = error
        self._results.put((name, result))

    def _take(self) -> None:
        """Wait until a dataset has ended, and tell its outcome."""
        name, result = self._results.get()
        runner, thread = self._running.pop(name)
        thread.join()
        if isinstance(result, BaseException):
            raise result
        (self._built if result.outcome == "COMPLETED" else self._broken).add(name)
        self._tell_ended(result)
        if result.outcome != "COMPLETED" and (exclusive := runner.result.plan.engine.exclusive) in self._open:
            self._open.pop(exclusive).close()  # an error may have made the session useless

    def _cancel(self) -> None:
        """Cancel what runs and wait for its end; tell the outcome of everything that is left."""
        for _, session in self.sessions:
            session.cancel()
        for _, thread in list(self._running.values()):
            if thread.is_alive():
                thread.join()
        while not self._results.empty():
            self._take()
        for name in self._waiting:
            error = InvalidUsage("The command ended first.")
            self._tell_ended(Step(name=name, outcome="SKIPPED", error=error))


def _plan(
    dataset: LocalDataset,
    given: Mapping[str, Any],
    settings: Settings,
    tell: Callable[[str], None],
    engine: DriverEngine | None,
) -> RunPlan:
    spec = dataset.checked()
    own = {p.name: given[p.name] for p in spec.parameters if p.name in given}
    try:
        return RunPlan.of(dataset, own, settings, tell, engine)
    except InvalidUsage as error:
        error.detail = "\n".join(filter(None, (error.detail, f"In: {spec.name} ({dataset.file})")))
        raise
