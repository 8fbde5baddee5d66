from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import anyio
import pytest
from httpx import Client, Response

from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.api.app import create_app
from basecamp.outages.request_budget import call_within_budget, request_budget
from basecamp.services import Services
from basecamp.shared.clock import ManualClock, SystemClock
from basecamp.shared.waiting import STEP_THREADS, WRITE_THREADS, RequestWork, Steps
from basecamp.web.routes import router
from dataspec.store.call_budget import seconds_left

BUDGET_SECONDS = 60.0


class FastClock(SystemClock):
    """A clock that a test sets ahead."""

    ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


@pytest.mark.rule("18.16")
def test_the_time_in_a_queue_for_a_thread_does_not_use_up_a_requests_budget() -> None:
    clock, free, left = FastClock(), threading.Event(), list[float]()
    work = RequestWork(clock)

    async def change_in_two_calls() -> None:
        with request_budget(BUDGET_SECONDS):
            await work.write(call_within_budget, partial(time.sleep, 0))  # the budget begins
            async with anyio.create_task_group() as others:
                for _ in range(WRITE_THREADS):
                    others.start_soon(work.write, free.wait)
                await anyio.wait_all_tasks_blocked()
                others.start_soon(work.write, call_within_budget, lambda: left.append(seconds_left(math.inf)))
                await anyio.wait_all_tasks_blocked()
                clock.ahead = 10 * BUDGET_SECONDS
                free.set()

    anyio.run(change_in_two_calls)
    assert left[0] > BUDGET_SECONDS


@pytest.mark.rule("18.24")
def test_requests_that_wait_take_few_threads_for_their_steps_and_none_of_other_requests() -> None:
    work, free = RequestWork(SystemClock()), threading.Event()
    began, went_on = [], []

    def steps() -> Steps[None]:
        began.append(1)
        yield 0.0
        went_on.append(1)
        free.wait()

    async def many() -> None:
        async with anyio.create_task_group() as waiting:
            for _ in range(2 * WRITE_THREADS):
                waiting.start_soon(work.finish, steps())
            try:
                with anyio.fail_after(300):
                    while len(began) < 2 * WRITE_THREADS or len(went_on) < STEP_THREADS:  # noqa: ASYNC110 - threads set it
                        await anyio.sleep(0.01)
                    await work.write(time.sleep, 0.1)
                assert len(went_on) == STEP_THREADS
            finally:
                free.set()

    anyio.run(many)


class TaskClock(ManualClock):
    """A clock on which tasks may wait, and threads may not."""

    waits = 0

    def wait(self, seconds: float) -> None:
        raise AssertionError(f"a thread waits for {seconds} s")

    async def sleep(self, seconds: float) -> None:
        self.waits += 1
        super().wait(seconds)


@pytest.fixture
def clock() -> TaskClock:
    return TaskClock(datetime(2024, 1, 15, 9, 30, 45, tzinfo=UTC))


DATASET = "/datasets/sales.daily"
FORM = {"headers": {"Origin": "http://test"}, "data": {"reason": "wrong day"}}
WAITING: dict[str, Callable[..., Response]] = {
    "register": lambda client, yaml, **_: client.put(
        DATASET, json={"yaml": yaml, "files": {"query.sql": "SELECT 1"}}
    ),
    "update": lambda client, **_: client.patch(DATASET, json={"cron": "0 8 * * *"}),
    "unregister": lambda client, **_: client.delete(DATASET, params={"stop": "true"}),
    "stop a run": lambda client, run, **_: client.post(f"/runs/{run}/stop"),
    "stop a run on the page": lambda client, run, **_: client.post(f"http://test/runs/{run}/stop", **FORM),
    "stop a backfill": lambda client, backfill, **_: client.post(f"/backfills/{backfill}/stop"),
    "stop a backfill on the page": lambda client, backfill, **_: client.post(
        f"http://test/backfills/{backfill}/stop", **FORM
    ),
}


@pytest.mark.rule("18.24")
@pytest.mark.parametrize("change", WAITING)
def test_a_request_that_waits_for_airflow_holds_no_thread(
    change: str,
    client: Client,
    client_of: Callable[[Any], Client],
    services: Services,
    register: Callable[..., Response],
    start: Callable[..., str],
    make_yaml: Callable[..., str],
    airflow: MemoryAirflow,
    clock: TaskClock,
) -> None:
    register()
    dates = {"start": "2024-01-01", "end": "2024-01-01"}
    backfill = client.post("/workflows/sales.daily/backfills", json=dates).json()["backfill_id"]
    list(services.backfill_steps.advance("sales.daily"))
    airflow.delete_run("sales.daily", f"{backfill}_20240101")  # as if it were still on its way
    run = start()
    airflow.on_parse = None  # it loads what changes while the request waits
    before = clock.waits
    client = client_of(create_app(services, pages=router))
    answer = WAITING[change](client, yaml=make_yaml(), run=run, backfill=backfill)
    assert answer.status_code in {200, 303}, answer.text
    assert clock.waits > before
