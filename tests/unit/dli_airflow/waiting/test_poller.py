"""One poller serves all runs that wait in a triggerer: it reads the beacon, and upstreams only when that changed."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dataspec.contract import BUILT_BEACON, built_variable
from dataspec.schedule.beacon import KEPT, built_since, with_entry
from dataspec.schedule.built import Built
from dataspec.schedule.partitions import Grid
from dli_airflow.waiting.poller import BUSY_SECONDS, PAUSE_SECONDS, Poller, Watch

PATIENCE_SECONDS = 120


class Variables:
    """Airflow's Variables, which counts what is read."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.reads: list[str] = []
        self.down = False
        self.now = 0.0
        self._at = datetime(2024, 1, 1, tzinfo=UTC)

    async def read(self, key: str) -> str | None:
        await asyncio.sleep(0)
        self.reads.append(key)
        if self.down:
            raise ConnectionError("Airflow is restarting")
        return self.texts.get(key)

    def build(self, dataset: str, *, beacon: bool = True) -> None:
        """Note a success as a run does."""
        self._at += timedelta(minutes=1)
        built = Built().with_partition(None, at=self._at, grid=Grid(None))
        self.texts[built_variable(dataset)] = built.text()
        if beacon:
            mark = self._at.isoformat()
            self.texts[BUILT_BEACON] = with_entry(self.texts.get(BUILT_BEACON), dataset, mark)

    def read_of(self, *datasets: str) -> int:
        """Return how often the Variables of datasets were read."""
        return sum(self.reads.count(built_variable(dataset)) for dataset in datasets)


@pytest.fixture
def variables() -> Variables:
    return Variables()


@pytest.fixture
def poller(variables: Variables) -> Poller:
    return Poller(variables.read, look_seconds=0.01, busy_look_seconds=0.01, monotonic=lambda: variables.now)


def play(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(story, PATIENCE_SECONDS))


async def looks(variables: Variables, number: int) -> None:
    """Wait until the beacon was read so many times more."""
    wanted = variables.reads.count(BUILT_BEACON) + number
    while variables.reads.count(BUILT_BEACON) < wanted:  # noqa: ASYNC110 - the poller tells nobody
        await asyncio.sleep(0.005)


@pytest.mark.rule("31.53")
def test_a_run_learns_what_is_built_and_then_each_change(variables: Variables, poller: Poller) -> None:
    variables.build("orders")

    async def story() -> None:
        with poller.watching(["orders", "rates"], "1") as watch:
            await watch.change()
            assert [watch.built(name).last is not None for name in ("orders", "rates")] == [True, False]
            variables.build("rates")
            await watch.change()
            assert watch.built("rates").last is not None

    play(story())


@pytest.mark.rule("31.53")
def test_without_a_change_a_look_reads_the_beacon_alone_however_many_wait(
    variables: Variables, poller: Poller
) -> None:
    names = [f"up.{number}" for number in range(200)]
    variables.build("up.0")

    async def story() -> None:
        watches = [poller.watching([name], "1") for name in names]
        for watch in watches:
            await watch.__enter__().change()
        before = len(variables.reads)
        await looks(variables, 5)
        assert set(variables.reads[before:]) == {BUILT_BEACON}
        variables.build("up.7")
        await looks(variables, 2)
        assert variables.read_of(*names) - len(names) == 1
        for watch in watches:
            watch.__exit__(None, None, None)

    play(story())


@pytest.mark.rule("31.53")
def test_what_the_beacon_lost_is_found_after_the_pause(variables: Variables, poller: Poller) -> None:
    """Two runs that end together may overwrite each other's entry."""
    variables.build("rates")

    async def story() -> None:
        with poller.watching(["orders"], "1") as watch, poller.watching(["rates"], "1") as other:
            await watch.change()
            await other.change()
            variables.build("orders", beacon=False)
            variables.build("rates")
            await other.change()
            assert watch.built("orders").last is None
            variables.now += PAUSE_SECONDS + 1
            await watch.change()
            assert watch.built("orders").last is not None

    play(story())


@pytest.mark.rule("31.53")
def test_a_beacon_that_does_not_tell_lets_all_be_read_at_once(variables: Variables, poller: Poller) -> None:
    variables.build("rates")

    async def story() -> None:
        with poller.watching(["orders"], "1") as watch:
            await watch.change()
            variables.build("orders", beacon=False)
            variables.texts[BUILT_BEACON] = "another program's"
            await watch.change()
            assert watch.built("orders").last is not None

    play(story())


@pytest.mark.rule("31.53")
def test_what_nobody_waited_for_is_read_anew(variables: Variables, poller: Poller) -> None:
    """It may have been built between the look of a run's task and the watch of its trigger."""

    async def story() -> None:
        with poller.watching(["rates"], "1") as other:
            await other.change()
            with poller.watching(["orders"], "1") as watch:
                await watch.change()
            variables.build("orders")
            variables.build("rates")
            await other.change()
            with poller.watching(["orders"], "1") as watch:
                await watch.change()
                assert watch.built("orders").last is not None

    play(story())


@pytest.mark.rule("31.53")
def test_looks_follow_quickly_for_a_while_after_a_change(variables: Variables) -> None:
    variables.build("orders")
    poller = Poller(
        variables.read,
        look_seconds=10 * PATIENCE_SECONDS,
        busy_look_seconds=0.01,
        monotonic=lambda: variables.now,
    )

    async def story() -> None:
        with poller.watching(["orders"], "1"):
            await looks(variables, 5)
            variables.now += BUSY_SECONDS + 1
            before = len(variables.reads)
            await asyncio.sleep(0.1)
            assert len(variables.reads) - before <= 1
        assert poller._task is not None
        poller._task.cancel()

    play(story())


@pytest.mark.rule("31.57")
def test_the_oldest_run_is_told_first(variables: Variables, poller: Poller) -> None:
    order: list[str] = []

    async def wait(turn: str) -> None:
        with poller.watching(["orders"], turn) as watch:
            while watch.built("orders").last is None:
                await watch.change()
            order.append(turn)

    async def story() -> None:
        runs = [asyncio.create_task(wait(turn)) for turn in ("2024-01-03", "2024-01-01", "2024-01-02")]
        await looks(variables, 3)
        variables.build("orders")
        await asyncio.gather(*runs)

    play(story())
    assert order == ["2024-01-01", "2024-01-02", "2024-01-03"]


@pytest.mark.rule("31.53")
def test_an_airflow_that_does_not_answer_is_asked_again(variables: Variables, poller: Poller) -> None:
    async def story() -> None:
        with poller.watching(["orders"], "1") as watch:
            await watch.change()
            variables.down = True
            variables.build("orders")
            await looks(variables, 3)
            variables.down = False
            await watch.change()
            assert watch.built("orders").last is not None

    play(story())


@pytest.mark.rule("31.53")
def test_it_rests_when_nobody_waits_and_reads_anew_for_the_next(variables: Variables, poller: Poller) -> None:
    async def story() -> None:
        with poller.watching(["orders"], "1") as watch:
            await watch.change()
        assert poller._task is not None
        await poller._task
        before = len(variables.reads)
        variables.build("orders")
        await asyncio.sleep(0.1)
        assert len(variables.reads) == before
        with poller.watching(["orders"], "1") as watch:
            await watch.change()
            assert watch.built("orders").last is not None

    play(story())


@pytest.mark.rule("31.53")
def test_a_wait_for_a_change_ends_after_its_time() -> None:
    async def story() -> None:
        await Watch(["orders"], "1", {}).change(0.01)

    play(story())


@pytest.mark.rule("31.53")
@pytest.mark.parametrize("text", [None, "", "2024-01-01T00:00:00", "{}", "[1]", '[["a"]]'])
def test_another_text_of_the_beacon_says_that_anything_may_have_changed(text: str | None) -> None:
    ours = with_entry(text, "orders", "1")
    assert built_since(text, ours) is None
    assert built_since(ours, "other") is None
    assert built_since(ours, with_entry(ours, "rates", "2")) == frozenset({"rates"})


@pytest.mark.rule("31.53")
def test_the_beacon_stays_short_and_says_when_entries_were_missed() -> None:
    first = text = with_entry(None, "orders", "0")
    for number in range(KEPT):
        text = with_entry(text, "orders", str(number + 1))
    assert len(text) < 4000
    assert built_since(first, text) is None
