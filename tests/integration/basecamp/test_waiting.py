"""Many registrations that wait for an Airflow that loads nothing, on a real server."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest

from memory_server import SPEC, SQL, MemoryServer, memory_server

WAITING = 300
ROUNDS = 10
STORED_SECONDS = 300.0
"""Generous: a machine that is shared by many may be twenty times as slow as an idle one."""
QUICK_SECONDS = 8.0
"""Generous: the machine may be busy. With a thread for each that waits, these answers took 20 seconds and more, each."""
ADDRESSES = ("/healthz", "/readyz", "/metrics", "/api/v1/workflows?limit=20", "/")


def threads(server: MemoryServer) -> int:
    status = Path(f"/proc/{server.pid}/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("Threads"))


async def register(http: httpx.AsyncClient, number: int) -> int:
    name = f"new.dataset_{number:03d}"
    body = {"yaml": SPEC.format(name=name, note="New"), "files": {"query.sql": SQL}}
    return (await http.put(f"/api/v1/datasets/{name}?wait=25", json=body)).status_code


async def seconds_of(http: httpx.AsyncClient, address: str) -> float:
    began = time.monotonic()
    assert (await http.get(address)).status_code == 200
    return time.monotonic() - began


@pytest.mark.rule("18.24")
def test_health_and_reads_are_quick_while_many_registrations_wait(tmp_path: Path) -> None:
    async def measure(server: MemoryServer) -> None:
        limits = httpx.Limits(max_connections=WAITING + 5)
        async with (
            httpx.AsyncClient(base_url=server.url, timeout=180, limits=limits) as writers,
            httpx.AsyncClient(base_url=server.url, timeout=180) as reader,
        ):
            waiting = [asyncio.create_task(register(writers, number)) for number in range(WAITING)]
            await all_stored(reader, waiting)
            quickest = dict.fromkeys(ADDRESSES, math.inf)
            for _ in range(ROUNDS):
                for address in ADDRESSES:
                    quickest[address] = min(quickest[address], await seconds_of(reader, address))
            assert threads(server) < WAITING / 2
            assert max(quickest.values()) < QUICK_SECONDS, quickest
            assert set(await asyncio.gather(*waiting)) == {504}

    options = ("--loads-nothing", "--datasets", "20")
    with memory_server(tmp_path / "server.log", *options) as server:
        asyncio.run(measure(server))


async def all_stored(http: httpx.AsyncClient, waiting: Sequence[asyncio.Task[int]]) -> None:
    """Wait until every spec is registered: all requests wait for Airflow then."""
    count, deadline = 0, time.monotonic() + STORED_SECONDS
    while count < WAITING:
        refused = Counter(task.result() for task in waiting if task.done()) - Counter({504: WAITING})
        assert not refused, f"registrations were refused instead of stored, by status: {dict(refused)}"
        assert time.monotonic() < deadline, f"{count} of {WAITING} are stored after {STORED_SECONDS:.0f} s"
        rows = (await http.get("/api/v1/workflows?limit=1000")).json()["items"]
        count = sum(row["dataset_name"].startswith("new.") for row in rows)
