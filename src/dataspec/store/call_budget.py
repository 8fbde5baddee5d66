"""How long a call may wait: a store that answers earns time, one that stands still does not."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

T = TypeVar("T")


class OutOfPatience(Exception):
    """The store took longer than a call may."""


class Patience:
    """What is left of a call's time.

    Args:
        seconds: How long the call may take.
        per_answer: Seconds more for each answer that came, so that many answers in one call are
            no reason to give up, and few slow ones are.
        now: The clock, in seconds.
    """

    def __init__(
        self, seconds: float, *, per_answer: float = 0, now: Callable[[], float] = monotonic
    ) -> None:
        self._per_answer = per_answer
        self._now = now
        self._end = now() + seconds

    def wait(self, answer: Future[T]) -> T:
        """Return an answer once it is there.

        Raises:
            OutOfPatience: When it did not come in time.
        """
        if not answer.done() and self._now() >= self._end:
            raise OutOfPatience
        try:
            result = answer.result(max(0.0, self._end - self._now()))
        except TimeoutError:
            if answer.done():
                raise  # it is the answer itself
            raise OutOfPatience from None
        self._end += self._per_answer
        return result
