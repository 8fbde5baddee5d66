"""Parse SQL in child processes, so that a crash of the parser does not end the command (specification 10.12)."""

from __future__ import annotations

from collections import deque
from functools import partial
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from dataspec.errors import InvalidTemplate
from dataspec.isolation import LIMITS, LimitExceeded, Limits, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


def isolated(file: str, function: Callable[P, R], /, *args: P.args, **named: P.kwargs) -> R:
    """Call a function in a child process; raises what it raises.

    Args:
        file: The file of the SQL, for messages.
        function: A function at the top of a module.
        args: Its arguments.
        named: Its named arguments.

    Raises:
        InvalidTemplate: When the SQL exceeds the limits.
    """
    try:
        return in_child(partial(function, *args, **named))
    except LimitExceeded as exceeded:
        raise InvalidTemplate(exceeded.problem(file), "The SQL can't be checked.") from None


def in_child(function: Callable[[], R], limits: Limits | None = None) -> R:
    """Call a function in a child process; raises what it raises.

    Raises:
        LimitExceeded: When the call exceeds the limits, by default those for the SQL of one spec.
    """
    worker = Worker(limits or LIMITS)
    try:
        return worker.call(function)
    finally:
        worker.end()


def isolated_batches(
    function: Callable[[Sequence[T]], list[R]],
    batches: Sequence[Sequence[T]],
    *,
    workers: int,
    failed: Callable[[T, LimitExceeded], R],
    limits: Limits = LIMITS,
) -> list[R]:
    """Call a function for batches of items in parallel child processes.

    A batch that ends its process is repeated item by item; only the failing item is lost.

    Args:
        function: Returns a result for each item of a batch; it calls
            :func:`dataspec.isolation.restart_clock` before each.
        batches: The items.
        workers: The number of processes.
        failed: Returns the result of an item that exceeded the limits.
        limits: The limits for each item.

    Returns:
        The results, in the order of the items.
    """
    results: dict[tuple[int, int], list[R]] = {}
    waiting = deque(((number, 0), batch) for number, batch in enumerate(batches))
    busy: dict[Any, tuple[Worker, tuple[int, int], Sequence[T]]] = {}
    idle = [Worker(limits) for _ in range(min(workers, len(batches)))]
    try:
        while waiting or busy:
            while waiting and idle:
                worker, (place, batch) = idle.pop(), waiting.popleft()
                worker.send(partial(function, batch))
                busy[worker.connection] = worker, place, batch
            for connection in wait(busy, limits.wall_seconds) or list(busy):
                worker, place, batch = busy.pop(connection)
                try:
                    results[place] = worker.receive()
                except LimitExceeded as exceeded:
                    if len(batch) == 1:
                        results[place] = [failed(batch[0], exceeded)]
                    else:
                        waiting.extend(((place[0], at), [item]) for at, item in enumerate(batch))
                idle.append(worker if worker.alive else Worker(limits))
    finally:
        for worker in (*idle, *(worker for worker, *_ in busy.values())):
            worker.end()
    return list(_in_order(results))


def _in_order(results: dict[tuple[int, int], list[R]]) -> Iterator[R]:
    for _, found in sorted(results.items()):
        yield from found
