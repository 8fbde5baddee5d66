"""The machinery of `make chaos`: its networks fail as they say, and its model finds each broken promise."""

from __future__ import annotations

import threading
import time
import urllib.request
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from types import SimpleNamespace
from typing import Any

import obstore
import pytest

from chaos import faults
from chaos.clients import NAMES, YAML, Request
from chaos.faults import FAULTS, Network, Weather, network
from chaos.model import Facts, Model
from chaos.world import AirflowRun, Execution
from dataspec.errors import StoreUnreachable
from dataspec.store.base import MISSING
from dataspec.store.bucket import BucketStore, StoreTimeouts
from s3 import S3

SHORT = StoreTimeouts(connect=2, request=2, retry=1, call=5)
START = datetime(2026, 1, 1, tzinfo=UTC)


def through(way: Network, s3: S3) -> BucketStore:
    return s3.through(way.url).limited(SHORT)


@pytest.mark.parametrize("weather", ["hangs", "unavailable", "refuses"])
def test_a_network_fails_as_long_as_its_weather_says(weather: Weather, s3: S3) -> None:
    with network("to the store", s3.endpoint, Random(1)) as way:
        store = through(way, s3)
        s3.store().put("a", b"one", expected=MISSING)
        way.change(weather)
        with pytest.raises(StoreUnreachable):
            store.get("a")
        way.change("calm")
        found = through(way, s3).get("a")
        assert found is not None
        assert found.body == b"one"


@pytest.mark.parametrize("kind", [kind for kind in FAULTS if kind != "passed"])
def test_each_fault_of_a_flaky_network_is_one_for_the_client(
    kind: str, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faults, "FLAKY_SHARE", 1.0)
    monkeypatch.setattr(faults, "FLAKY_KINDS", (kind,))
    s3.store().put("a", b"one", expected=MISSING)
    with network("to the store", s3.endpoint, Random(1)) as way:
        way.change("flaky")
        with pytest.raises(StoreUnreachable):
            through(way, s3).get("a")
        assert set(way.counted) == {kind}


def test_a_request_that_is_held_back_arrives_after_its_client_has_left(
    s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faults, "FLAKY_SHARE", 1.0)
    monkeypatch.setattr(faults, "FLAKY_KINDS", ("held back",))
    monkeypatch.setattr(faults, "HELD_SECONDS", 8.0)
    with network("to the store", s3.endpoint, Random(5)) as way:
        way.change("flaky")
        thread = threading.Thread(target=put_late, args=(through(way, s3),))
        thread.start()
        thread.join()
        deadline = time.monotonic() + 30
        while (found := s3.store().get("manual/late")) is None:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    assert found.body == b"of request-00001"
    assert [write.mark for write in way.writes][:1] == ["request-00001"]


def put_late(store: BucketStore) -> None:
    """Send a write as a program does whose writes stay valid while nobody waits for them."""
    url = obstore.sign(store._store, "PUT", "manual/late", timedelta(minutes=1))
    request = urllib.request.Request(url, b"of request-00001", method="PUT")
    with pytest.raises(TimeoutError):
        urllib.request.urlopen(request, timeout=2)


def spec(mark: str, cron: str = "0 0 1 1 *") -> str:
    return YAML.format(name=NAMES[0], mark=mark, cron=cron, hook="http://hook", seconds=0)


def asked(number: int, kind: str, **more: Any) -> Request:
    found = Request(f"request-{number:05d}", kind, NAMES[0], began_at=number * 10, ended_at=number * 10 + 5)
    found.outcome = more.pop("outcome", "done")
    found.given = {"cron": "0 0 1 1 *", **more}
    return found


def run_of(request: str, day: str = "2026-01-01", **more: Any) -> AirflowRun:
    found = AirflowRun(
        dag_id=NAMES[0],
        run_id=f"{request}-{day}",
        state="success",
        queued_at=START,
        request=request,
        day=day,
        backfill_id=None,
        note=None,
        tries=1,
    )
    return replace(found, **more)


def row_of(request: str, day: str = "2026-01-01", *, at: float = 0) -> Execution:
    began = START + timedelta(minutes=at)
    return Execution(request, day, began, began + timedelta(seconds=1))


REGISTERED = asked(1, "register")
FACTS = Facts(
    specs={name: spec("request-00001") for name in NAMES},
    writes=[faults.Write(1, "manual", "request-00001")],
    runs=[],
    executions=[],
    backfills={},
    paused=False,
    undelivered=[],
    told="",
)
RUN = asked(2, "run")
RUN.answer = SimpleNamespace(run_id="request-00002-2026-01-01")
RAN: dict[str, Any] = {"runs": [run_of(RUN.number)], "executions": [row_of(RUN.number)]}
BACKFILL = asked(3, "backfill")
BACKFILL.answer = SimpleNamespace(backfill_id="b", dates_total=2)
ROWS = [row_of(BACKFILL.number), row_of(BACKFILL.number, "2026-01-02", at=1)]
BUILT: dict[str, Any] = {
    "runs": [
        run_of(BACKFILL.number, backfill_id="b"),
        run_of(BACKFILL.number, "2026-01-02", backfill_id="b"),
    ],
    "executions": ROWS,
    "backfills": {"b": {"status": "COMPLETED"}},
}
STOP = asked(4, "stop", id=RAN["runs"][0].run_id, answered=START)
STOPPED = asked(5, "stop_backfill", id="b", answered=START + timedelta(seconds=-1))


def broken(requests: list[Request], **facts: Any) -> set[str]:
    model = Model([REGISTERED, *requests], replace(FACTS, **facts))
    model.check()
    return set(model.broken)


def test_the_model_finds_nothing_where_all_is_well() -> None:
    both = {name: [*RAN[name], *BUILT[name]] for name in RAN}
    assert broken([RUN, BACKFILL], **(BUILT | both)) == set()


@pytest.mark.parametrize(
    ("requests", "facts", "promise"),
    [
        ([], {"writes": []}, "an acknowledged spec was stored"),
        ([asked(2, "register")], {}, "an acknowledged spec was stored"),
        ([], {"specs": FACTS.specs | {NAMES[0]: None}}, "each dataset's spec is the last"),
        ([asked(2, "update", cron="5 5 1 1 *")], {}, "each dataset's spec is the last"),
        ([asked(2, "unregister")], {}, "each dataset's spec is the last"),
        ([], {"paused": True}, "the pause is the last"),
        ([RUN], {}, "an acknowledged run exists once"),
        ([RUN], {**RAN, "runs": RAN["runs"] * 2}, "an acknowledged run exists once"),
        ([asked(2, "run", outcome="refused")], RAN, "an acknowledged run exists once"),
        ([RUN], {**RAN, "executions": []}, "a successful run has written its rows"),
        ([RUN], {**RAN, "executions": RAN["executions"] * 2}, "a successful run has written its rows"),
        ([], {"executions": RAN["executions"]}, "a successful run has written its rows"),
        ([RUN], {**RAN, "runs": [replace(RAN["runs"][0], state="running")]}, "a successful run has written"),
        ([BACKFILL], BUILT | {"runs": BUILT["runs"][:1]}, "a backfill builds each date once"),
        ([BACKFILL], BUILT | {"runs": BUILT["runs"][::-1]}, "a backfill builds each date once"),
        ([BACKFILL], BUILT | {"backfills": {"b": {"status": "RUNNING"}}}, "a backfill builds each date once"),
        ([BACKFILL], BUILT | {"executions": [ROWS[0], row_of(BACKFILL.number, "2026-01-02")]}, "a backfill"),
        ([RUN, STOP], RAN, "nothing is built after an acknowledged stop"),
        ([BACKFILL, STOPPED], BUILT, "nothing is built after an acknowledged stop"),
        ([RUN], RAN | {"runs": [replace(RAN["runs"][0], state="failed")]}, "each failure is told"),
        ([], {"undelivered": ["n"]}, "each failure is told"),
    ],
)
def test_the_model_finds_each_broken_promise(
    requests: list[Request], facts: dict[str, Any], promise: str
) -> None:
    assert any(found.startswith(promise) for found in broken(requests, **facts))
