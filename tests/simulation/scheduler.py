"""Cooperative threads on a virtual clock: the order in which they run follows from a seed alone.

Each thread is a greenlet. It runs until it parks: for a time, or until another one wakes it. While one runs no other
does, so a failure can be repeated by its seed.
"""

from __future__ import annotations

import contextvars
import heapq
import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import Any, Self, TypeVar

import greenlet

T = TypeVar("T")

TICK = 0.0005
"""The shortest pause, in seconds: time goes on in a loop that need not wait."""


class Died(BaseException):
    """Raised in every thread of a process that was killed."""


class Process:
    """Threads that die together."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.dead = False
        self.threads: list[Thread] = []


class Thread:
    """One cooperative thread. Its ticket tells a wake-up that is still wanted from an old one."""

    def __init__(self, process: Process, run: Callable[[], None], hub: greenlet.greenlet) -> None:
        self.process = process
        self.ticket = 0
        self.greenlet = greenlet.greenlet(run, parent=hub)
        self.greenlet.gr_context = contextvars.copy_context()


class Scheduler:
    """Runs the threads, in the order of virtual time.

    Attributes:
        now: Virtual seconds since the start.
        steps: How often a thread was continued.
        crashed: Called with an exception that ended a thread.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.steps = 0
        self.crashed: Callable[[BaseException], None] = _raise
        self.current: Thread | None = None
        self._hub = greenlet.getcurrent()
        self._due: list[tuple[float, int, int, Thread]] = []
        self._numbers = itertools.count()

    def spawn(self, work: Callable[[], Any], process: Process | None = None, *, after: float = 0.0) -> Thread:
        """Begin a thread, in a process or in that of the current thread."""
        owner = process or self._current().process
        thread = Thread(owner, lambda: self._work(work), self._hub)
        owner.threads = [other for other in owner.threads if not other.greenlet.dead] + [thread]
        self._push(thread, after)
        return thread

    def _work(self, work: Callable[[], Any]) -> None:
        try:
            if not self._current().process.dead:
                work()
        except Died:
            return
        except Exception as error:  # noqa: BLE001 - the simulation reports every one
            self.crashed(error)

    def park(self, seconds: float | None = None) -> None:
        """Let others run, for a time or until a wake-up.

        Raises:
            Died: When the process was killed meanwhile.
        """
        thread = self._current()
        if thread.process.dead:
            raise Died
        if seconds is not None:
            self._push(thread, max(seconds, TICK))
        self._hub.switch()
        if thread.process.dead:
            raise Died

    def wake(self, thread: Thread) -> None:
        """Continue a parked thread."""
        self._push(thread, 0.0)

    def kill(self, process: Process) -> None:
        """End all threads of a process where they are parked."""
        process.dead = True
        for thread in process.threads:
            self._push(thread, 0.0)

    def run(self, *, until: float, steps: float = float("inf")) -> None:
        """Run until a virtual time, or until that many steps were made in all."""
        while self._due and self.steps < steps:
            at, _, ticket, thread = self._due[0]
            if at > until:
                break
            heapq.heappop(self._due)
            if ticket != thread.ticket or thread.greenlet.dead:
                continue
            self.now = max(self.now, at)
            self.steps += 1
            thread.ticket += 1
            self.current = thread
            thread.greenlet.switch()
            self.current = None
        if self.steps < steps:
            self.now = max(self.now, until)

    def _push(self, thread: Thread, seconds: float) -> None:
        heapq.heappush(self._due, (self.now + seconds, next(self._numbers), thread.ticket, thread))

    def _current(self) -> Thread:
        if self.current is None:
            raise RuntimeError("only a thread of the simulation can do this")
        return self.current


def _raise(error: BaseException) -> None:
    raise error


class Threading:
    """Takes the place of the module ``threading`` in the code that is simulated."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def Thread(self, *, target: Callable[..., Any], args: Iterable[Any] = (), **_: Any) -> _Starter:  # noqa: N802
        return _Starter(self._scheduler, lambda: target(*args))

    def Lock(self) -> ParkingLock:  # noqa: N802
        return ParkingLock(self._scheduler)

    def RLock(self) -> ParkingLock:  # noqa: N802
        return ParkingLock(self._scheduler)

    def BoundedSemaphore(self, _count: int) -> ParkingLock:  # noqa: N802
        return ParkingLock(self._scheduler)

    def Condition(self) -> ParkingLock:  # noqa: N802
        return ParkingLock(self._scheduler)

    def Event(self) -> Event:  # noqa: N802
        return Event(self._scheduler)


class Time:
    """Takes the place of the module ``time`` there."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.sleep = scheduler.park
        self.monotonic = lambda: scheduler.now


class _Starter:
    def __init__(self, scheduler: Scheduler, work: Callable[[], Any]) -> None:
        self.start = lambda: scheduler.spawn(work)


class ParkingLock:
    """A lock that parks its waiters; its holder may take it again."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._holder: Thread | None = None
        self._times = 0
        self._waiting: list[Thread] = []

    def acquire(self, *, timeout: float | None = None) -> bool:
        """Take the lock; return False if another thread has it for that time."""
        current = self._scheduler.current
        assert current is not None
        end = None if timeout is None else self._scheduler.now + timeout
        while self._holder not in {None, current}:
            left = None if end is None else end - self._scheduler.now
            if left is not None and left <= 0:
                return False
            self._waiting.append(current)
            self._scheduler.park(left)
            if current in self._waiting:
                self._waiting.remove(current)
        self._holder = current
        self._times += 1
        return True

    def release(self) -> None:
        """Give the lock back."""
        self._times -= 1
        if self._times:
            return
        self._holder = None
        for thread in self._waiting:
            self._scheduler.wake(thread)
        self._waiting.clear()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    def notify_all(self) -> None:
        """Do nothing: no simulated code waits for a condition."""


class Event:
    """An event that parks its waiters."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._set = False
        self._waiting: list[Thread] = []

    def set(self) -> None:
        self._set = True
        for thread in self._waiting:
            self._scheduler.wake(thread)
        self._waiting.clear()

    def clear(self) -> None:
        self._set = False

    def is_set(self) -> bool:
        return self._set

    def wait(self, seconds: float | None = None) -> bool:
        if not self._set:
            assert self._scheduler.current is not None
            self._waiting.append(self._scheduler.current)
            self._scheduler.park(seconds)
        return self._set


class SimulatedFuture(Future[T]):
    """A future whose result parks the thread that waits for it."""

    def __init__(self, scheduler: Scheduler) -> None:
        super().__init__()
        self._scheduler = scheduler

    def result(self, timeout: float | None = None) -> T:
        end = None if timeout is None else self._scheduler.now + timeout
        waiting = self._scheduler.current
        if not self.done() and waiting is not None:
            self.add_done_callback(lambda _: self._scheduler.wake(waiting))
        while not self.done():
            left = None if end is None else end - self._scheduler.now
            if left is not None and left <= 0:
                raise TimeoutError
            self._scheduler.park(left)
        return super().result(0)


class Executor:
    """A pool of threads without a bound."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def submit(self, work: Callable[..., T], *args: Any) -> SimulatedFuture[T]:
        future: SimulatedFuture[T] = SimulatedFuture(self._scheduler)

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(work(*args))
            except Exception as error:  # noqa: BLE001 - it belongs to the waiter
                future.set_exception(error)

        self._scheduler.spawn(run)
        return future

    def map(self, work: Callable[..., T], *lists: Iterable[Any]) -> Iterator[T]:
        futures = [self.submit(work, *values) for values in zip(*lists, strict=True)]
        return (future.result() for future in futures)

    def shutdown(self, **_: Any) -> None:
        """Do nothing: the threads end with their work."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing, as :meth:`shutdown`."""
