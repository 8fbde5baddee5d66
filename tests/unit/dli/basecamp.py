"""A real Basecamp on loopback, with a store and an Airflow in memory."""

from __future__ import annotations

import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING

import anyio
import uvicorn

from basecamp.airflow.models import LogEvent, RunFilter
from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.api.app import create_app
from basecamp.server.wiring import build_services
from basecamp.shared.clock import DAY_SECONDS
from dataspec.catalog.cache import MemorySpecCache
from dataspec.catalog.reader import CatalogReader
from dataspec.catalog.spec_storage import Release, manual_key, write_release
from dataspec.contract import LoadedSpec
from dataspec.models import CheckResult
from dataspec.schedule.cron import next_tick
from dataspec.schedule.run_ids import parse_run_id
from dataspec.store import MemoryStore
from dataspec.store.base import MISSING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dataspec.catalog.effective import SpecFile

NOW = datetime(2024, 1, 15, 9, 30, 45, tzinfo=UTC)


class SlowClock:
    """Each look at it is a microsecond later; waiting takes as long as it says."""

    def __init__(self) -> None:
        self._looks = count()
        self._passed = timedelta()

    def now(self) -> datetime:
        return NOW + self._passed + timedelta(microseconds=next(self._looks))

    def let_pass(self, seconds: float) -> None:
        self._passed += timedelta(seconds=seconds)

    def monotonic(self) -> float:
        return time.monotonic()

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)

    def patience(self, _: float) -> float:
        """Return a day: nothing here is late but on a busy machine."""
        return DAY_SECONDS


class Basecamp:
    """What a test may do behind the server's back."""

    def __init__(self) -> None:
        self.url = ""
        self.loading = True
        """Whether Airflow loads what changes."""
        self.when_cleared: Callable[[str], None] | None = None
        """What becomes of a run that is retried."""
        self.finish_queued = False
        """Whether every run that waits starts and ends well."""
        self.results: list[CheckResult] = []
        """What the checks of runs that end well found."""
        self.store = MemoryStore()
        self.clock = SlowClock()
        self.airflow = MemoryAirflow(now=self.clock.now)
        self.services = build_services(self.store, self.airflow, self.clock)
        self._loaded: dict[str, str | None] = {}
        self._reader = CatalogReader(self.store, MemorySpecCache())

    def put_code(self, name: str, yaml: str, files: Mapping[str, str] | None = None) -> None:
        """Deploy a spec as CI/CD does: a plain copy into ``code/``."""
        for path, text in {f"{name}.yaml": yaml, **(files or {})}.items():
            self.store.put(f"code/{path}", text.encode(), expected=MISSING)
        self.load()

    def put_manual(self, name: str, yaml: str, files: Mapping[str, str] | None = None) -> None:
        """Register a spec without the command line."""
        write_release(self.store, manual_key(name), Release(yaml.encode(), dict(files or {})))
        self.load()

    def remove_code(self, name: str) -> None:
        """Let Git have the spec no longer."""
        key = f"code/{name}.yaml"
        found = self.store.get(key)
        assert found is not None
        self.store.delete(key, expected=found.etag)
        self.load()

    def load(self) -> None:
        """Let Airflow load what changed, as its dag processor does by itself."""
        for name, file in self._reader.read().effective.items():
            if self._loaded.get(name) != file.spec_hash:
                self._load(name, file)
                self._loaded[name] = file.spec_hash

    def work(self) -> None:
        """Do with the runs that wait what the test says."""
        if self.when_cleared is None and not self.finish_queued:
            return
        for run in self.airflow.list_runs(RunFilter(states=("queued",)), limit=100).runs:
            if self.finish_queued:
                self.complete(run.run_id)
            elif self.when_cleared is not None and (run.note or "").startswith("Retried by"):
                self.when_cleared(run.run_id)

    def start_attempt(self, run_id: str) -> None:
        """Let a worker start the next attempt of a run."""
        dataset = self._dataset_of(run_id)
        found = self.airflow.get_dag(dataset)
        assert found is not None
        assert found.loaded is not None
        self.airflow.start(dataset, run_id, source=found.loaded.source, spec_hash=found.loaded.spec_hash)

    def log(self, run_id: str, message: str, *, error: str | None = None) -> None:
        """Let the attempt write to its log."""
        event = LogEvent(timestamp=NOW, level="info", message=message, error=error)
        self.airflow.log_event(self._dataset_of(run_id), run_id, event)

    def complete(self, run_id: str) -> None:
        """Let a run start and end well."""
        self.start_attempt(run_id)
        self.airflow.note_checks(self._dataset_of(run_id), run_id, self.results)
        self.airflow.end(self._dataset_of(run_id), run_id, "success")

    def fail(self, run_id: str) -> None:
        """Let every attempt of a run fail."""
        dataset = self._dataset_of(run_id)
        run = self.airflow.get_run(dataset, run_id)
        while run is not None and not run.finished:
            self.start_attempt(run_id)
            self.log(run_id, "the query failed", error="Binder Error: no table 'clicks'")
            self.airflow.end(dataset, run_id, "failed")
            run = self.airflow.get_run(dataset, run_id)

    def _load(self, name: str, file: SpecFile) -> None:
        assert file.spec is not None
        assert file.spec_hash is not None
        schedule = file.spec.schedule
        upcoming = next_tick(schedule.cron, schedule.timezone, NOW) if schedule and schedule.enabled else None
        self.airflow.load(
            name,
            loaded=LoadedSpec(file.spec_hash, file.source, file.key),
            tags=[f"source:{file.source}"],
            next_run=upcoming,
            retries=file.spec.retry.max_attempts,
        )

    @staticmethod
    def _dataset_of(run_id: str) -> str:
        parsed = parse_run_id(run_id)
        assert parsed is not None
        return parsed.dataset


class DagProcessor(threading.Thread):
    """Loads what changed in the store, again and again."""

    def __init__(self, basecamp: Basecamp) -> None:
        super().__init__(daemon=True)
        self._basecamp = basecamp
        self._ending = threading.Event()

    def run(self) -> None:
        while not self._ending.wait(0.02):
            if self._basecamp.loading:
                self._basecamp.load()
                self._basecamp.work()

    def end(self) -> None:
        self._ending.set()
        self.join(120)


class Server:
    """The server itself, one for all tests; each puts its own services behind it."""

    def __init__(self) -> None:
        self._app = create_app(Basecamp().services)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._server = uvicorn.Server(uvicorn.Config(self._app, log_level="critical", ws="none"))
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._listener]}, daemon=True
        )

    def start(self) -> None:
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            time.sleep(0.005)

    def put(self, basecamp: Basecamp) -> None:
        self._app.state.services = basecamp.services

    def end(self) -> None:
        self._server.should_exit = True
        self._thread.join(120)
        self._listener.close()
