from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from dataspec.store.call_budget import CallBudget, CallBudgetExceeded, seconds_left, waited_for


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def answered() -> Future[str]:
    answer: Future[str] = Future()
    answer.set_result("answer")
    return answer


def test_an_answer_that_does_not_come_ends_the_wait() -> None:
    with pytest.raises(CallBudgetExceeded):
        CallBudget(0.01).wait(Future())


def test_an_answer_that_comes_while_one_waits_is_returned() -> None:
    with ThreadPoolExecutor(1) as readers:
        asked = threading.Event()
        answer = readers.submit(asked.wait)
        asked.set()
        assert CallBudget(60).wait(answer)


@pytest.mark.rule("5.14")
def test_each_answer_earns_time_and_none_is_earned_by_waiting() -> None:
    clock = Clock()
    budget = CallBudget(10, per_answer=100, now=clock)
    for _ in range(5):
        budget.wait(answered())
    clock.seconds = 400
    late: Future[str] = Future()
    threading.Timer(0.01, late.set_result, ["answer"]).start()
    assert budget.wait(late) == "answer"
    clock.seconds = 10 + 6 * 100
    with pytest.raises(CallBudgetExceeded):
        budget.wait(Future())


def test_an_answer_that_is_there_is_taken_however_late_it_is() -> None:
    clock = Clock()
    budget = CallBudget(10, now=clock)
    clock.seconds = 100
    assert budget.wait(answered()) == "answer"


def test_a_timeout_that_is_the_answer_itself_is_raised_as_it_is() -> None:
    answer: Future[None] = Future()
    answer.set_exception(TimeoutError("the request's own"))
    with pytest.raises(TimeoutError, match="own"):
        CallBudget(10).wait(answer)


def test_a_call_knows_for_how_long_its_caller_waits() -> None:
    assert seconds_left(5) == 5
    clock = Clock()
    with waited_for(CallBudget(60, now=clock)):
        assert seconds_left(5) == 5
        clock.seconds = 57
        assert seconds_left(5) == 3
        clock.seconds = 61
        assert seconds_left(5) == 0
    assert seconds_left(5) == 5
