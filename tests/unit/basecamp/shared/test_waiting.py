from __future__ import annotations

import threading
import time
from functools import partial

import anyio
import pytest

from basecamp.outages.request_budget import call_within_budget, request_budget
from basecamp.shared.clock import SystemClock
from basecamp.shared.waiting import WRITE_THREADS, RequestWork

BUDGET_SECONDS = 0.5


@pytest.mark.rule("18.16")
def test_the_time_in_a_queue_for_a_thread_does_not_use_up_a_requests_budget() -> None:
    work, free = RequestWork(SystemClock()), threading.Event()

    async def change_in_two_calls() -> None:
        with request_budget(BUDGET_SECONDS):
            await work.write(call_within_budget, partial(time.sleep, 0))  # the budget begins
            async with anyio.create_task_group() as others:
                for _ in range(WRITE_THREADS):
                    others.start_soon(work.write, free.wait)
                await anyio.wait_all_tasks_blocked()
                others.start_soon(work.write, call_within_budget, partial(time.sleep, 0.01))
                await anyio.sleep(1.2 * BUDGET_SECONDS)
                free.set()

    anyio.run(change_in_two_calls)
