"""Measure the server under load: pollers, writers and backfills at once, on an Airflow in memory.

`make bench` runs it. It prints Markdown; ``docs/benchmarks.md`` keeps a run with its date. Its arguments
are the minutes, and the kind of store: ``memory``, ``folder`` or ``s3``.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from commands import machine
from counting import resident_megabytes

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

from memory_server import SPEC, SQL, MemoryServer, memory_server, name_of
from s3 import s3_server

MINUTES = 4.0
DATASETS = 1000
POLLERS = 200
WRITERS = 20
BACKFILLS = 5
POLL_SECONDS = 2.0
WRITE_SECONDS = 2.0
BACKFILL_DATES = 20
WARM_UP_SECONDS = 15.0
TIMEOUT_SECONDS = 150.0


@dataclass
class Tally:
    """What the clients have seen."""

    reads: int = 0
    writes: int = 0
    backfills: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    read_seconds: list[float] = field(default_factory=list)
    runs: list[tuple[str, str]] = field(default_factory=list)
    """The last runs that writers have started: dataset and run id."""


class Clients:
    """The clients of one server."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.tally = Tally()

    async def work(self, what: Callable[[httpx.AsyncClient, int], Awaitable[None]], number: int) -> None:
        """Be one client, with a connection of its own: a pool of hundreds costs more than the server does."""
        async with httpx.AsyncClient(base_url=self._url, timeout=TIMEOUT_SECONDS, verify=False) as http:
            await what(http, number)

    async def poll(self, http: httpx.AsyncClient, number: int) -> None:
        """Read as a person's command line and page do, one request every two seconds."""
        await asyncio.sleep(random.random() * POLL_SECONDS)
        for turn in itertools.count():
            began = time.monotonic()
            answer = await self._send(http, "GET", self._path(number, turn))
            if answer is not None:
                self.tally.reads += 1
                self.tally.read_seconds.append(time.monotonic() - began)
            await asyncio.sleep(max(0.0, POLL_SECONDS - (time.monotonic() - began)))

    def _path(self, number: int, turn: int) -> str:
        name = name_of((number * 37 + turn) % DATASETS)
        run = random.choice(self.tally.runs) if self.tally.runs else None
        status = f"/api/v1/runs/{run[1]}?dataset={run[0]}" if run else f"/api/v1/workflows/{name}"
        paths = (status, "/api/v1/workflows?limit=100", f"/api/v1/workflows/{name}", status)
        return (*paths, f"/api/v1/runs?dataset={name}", f"/api/v1/datasets/{name}")[(number + turn) % 6]

    async def write(self, http: httpx.AsyncClient, number: int) -> None:
        """Register a new version, run it, pause and unpause it."""
        name, base = name_of(number), f"/api/v1/workflows/{name_of(number)}"
        await asyncio.sleep(random.random() * WRITE_SECONDS)
        for turn in itertools.count():
            spec = SPEC.format(name=name, note=f"Version {turn}")
            await self._write(
                http, "PUT", f"/api/v1/datasets/{name}", {"yaml": spec, "files": {"query.sql": SQL}}
            )
            day = date(2000, 1, 1) + timedelta(days=turn)
            run = await self._write(
                http, "POST", f"{base}/runs", {"parameters": {"execution_date": f"{day}"}}
            )
            if run is not None:
                self.tally.runs = [*self.tally.runs[-99:], (name, run["run_id"])]
            await self._write(http, "POST", f"{base}/pause")
            await self._write(http, "POST", f"{base}/unpause")

    async def _write(
        self, http: httpx.AsyncClient, method: str, path: str, body: object = None
    ) -> dict[str, Any] | None:
        answer = await self._send(http, method, path, body)
        self.tally.writes += answer is not None
        await asyncio.sleep(WRITE_SECONDS)
        return answer

    async def backfill(self, http: httpx.AsyncClient, number: int) -> None:
        """Build some dates, then the next ones."""
        name = name_of(DATASETS - 1 - number)
        for turn in itertools.count():
            start = date(2000, 1, 1) + timedelta(days=BACKFILL_DATES * turn)
            days = {"start": f"{start}", "end": f"{start + timedelta(days=BACKFILL_DATES - 1)}"}
            begun = await self._send(http, "POST", f"/api/v1/workflows/{name}/backfills", days)
            while begun is not None and begun["status"] in {"RUNNING", "PENDING", "STOPPING"}:
                await asyncio.sleep(POLL_SECONDS)
                begun = await self._send(http, "GET", f"/api/v1/backfills/{begun['backfill_id']}")
            self.tally.backfills += 1
            await asyncio.sleep(POLL_SECONDS)

    async def _send(
        self, http: httpx.AsyncClient, method: str, path: str, body: object = None
    ) -> dict[str, Any] | None:
        """Return the answer; None for an error, which is counted."""
        try:
            answer = await http.request(method, path, json=body)
        except httpx.HTTPError as error:
            self.tally.errors[f"{method} {type(error).__name__}"] += 1
            return None
        if answer.is_success:
            found: dict[str, Any] = answer.json()
            return found
        self.tally.errors[f"{method} {answer.status_code} {answer.json()['code']}"] += 1
        return None


@dataclass(frozen=True)
class Measured:
    """One measurement."""

    seconds: float
    cpu: float
    tally: Tally
    megabytes: tuple[float, float]

    def table(self) -> str:
        """Return it as a Markdown table."""
        tally = self.tally
        times = sorted(tally.read_seconds)
        rows = {
            "requests: reads, writes": f"{tally.reads:,}, {tally.writes:,}",
            "backfills ended": f"{tally.backfills}",
            "errors": f"{tally.errors.total()} {dict(tally.errors) or ''}".strip(),
            "reads per second of the server's CPU": f"{tally.reads / self.cpu:.0f}",
            "CPU of the server, seconds of": f"{self.cpu:.0f} of {self.seconds:.0f}",
            "read, ms: median, 99th percentile": f"{statistics.median(times) * 1000:.0f}, "
            f"{times[int(len(times) * 0.99)] * 1000:.0f}",
            "memory, MB: start, end": f"{self.megabytes[0]:.0f}, {self.megabytes[1]:.0f}",
        }
        return "\n".join(
            [
                "| measured | figure |",
                "| --- | ---: |",
                *(f"| {name} | {said} |" for name, said in rows.items()),
            ]
        )


async def load(server: MemoryServer, seconds: float) -> Measured:
    """Let all clients work for a while, and measure what follows a warm-up."""
    clients = Clients(server.url)
    async with working(clients):
        await asyncio.sleep(WARM_UP_SECONDS)
        clients.tally = Tally(runs=clients.tally.runs)
        began, cpu, memory = time.monotonic(), server.cpu_seconds, resident_megabytes(server.pid)
        await asyncio.sleep(seconds)
        took, used = time.monotonic() - began, server.cpu_seconds - cpu
    return Measured(took, used, clients.tally, (memory, resident_megabytes(server.pid)))


@asynccontextmanager
async def working(clients: Clients) -> AsyncIterator[None]:
    """Let the clients work for as long as the block lasts."""
    work = ((clients.poll, POLLERS), (clients.write, WRITERS), (clients.backfill, BACKFILLS))
    tasks = [
        asyncio.create_task(clients.work(what, number)) for what, count in work for number in range(count)
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def store_of(kind: str, folder: Path) -> Iterator[str]:
    """Give the address of a store of this kind; an S3 server is started for it."""
    if kind == "s3":
        with s3_server(folder) as place:
            os.environ.update(place.environ)
            yield place.url
    else:
        yield str(folder / "store") if kind == "folder" else "memory:"


def main() -> None:
    """Measure and print."""
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else MINUTES
    kind = sys.argv[2] if len(sys.argv) > 2 else "memory"
    print(f"{datetime.now(UTC):%Y-%m-%d}, {machine()}\n")
    with (
        tempfile.TemporaryDirectory(prefix="dli-bench-") as name,
        store_of(kind, Path(name)) as url,
        memory_server(Path(name) / "server.log", "--store", url, "--datasets", str(DATASETS)) as server,
    ):
        measured = asyncio.run(load(server, minutes * 60))
    print(
        f"## Load: {DATASETS:,} datasets, {POLLERS} pollers, {WRITERS} writers, {BACKFILLS} backfills, "
        f"{minutes:g} minutes, store: {kind}\n\n{measured.table()}"
    )


if __name__ == "__main__":
    main()
