"""Preview and lineage of specs' SQL, in the connection's dialect, each in a child process."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from functools import cache, partial
from queue import Empty, LifoQueue
from typing import Any, TypeVar

from cachetools import Cache, LRUCache, TTLCache

from basecamp.datasets.connection_dialects import ConnectionDialects
from basecamp.outages.request_budget import call_within_budget
from dataspec.catalog.effective import SpecFile
from dataspec.engines.materialization.rehearsal import preview_run
from dataspec.errors import InvalidSpec, InvalidTemplate, ServerBusy
from dataspec.isolation import LIMITS, NOT_KNOWN_IN_TIME, LimitExceeded, Limits, Worker
from dataspec.problems import Problem
from dataspec.project.spec_checks import materialization_errors
from dataspec.spec.dialects import ConnectionDialect
from dataspec.spec.full_refresh import FullRefresh
from dataspec.spec.model import DatasetSpec
from dataspec.spec.run_values import RunValues
from dataspec.spec.yaml_reader import read_document
from dataspec.sql.lineage.column_lineage import ColumnLineage, column_lineage_of
from dataspec.sql.lineage.dataset_lineage import Lineage, lineage_of
from dataspec.sql.preview import SqlPreview, preview_sql
from dataspec.store.call_budget import CallBudgetExceeded

R = TypeVar("R")

MAX_WAITING = 16
"""Maximum number of calls that wait for a worker; further calls are refused."""
MAX_CALLS = 200
"""Number of calls after which a worker is replaced: its caches grow."""
UNREAD_SECONDS = 60.0
"""How long it is remembered that reading a spec's lineage exceeded the limits."""
MAX_LINEAGES = 10_000
"""Maximum number of cached lineages, some 1 KB each. A version's lineage never changes."""
MAX_COLUMNS = 1_000
"""Maximum number of cached lineages of columns, some 10 KB each."""
COLUMNS_SECONDS = 3600.0
"""How long a lineage of columns is cached."""


class WorkerPool:
    """Child processes for the calls of many threads, started on demand.

    Args:
        limits: The limits of each call.
        size: Number of calls that run at once.
        waiting: Maximum number of calls that wait.
    """

    def __init__(self, limits: Limits, *, size: int, waiting: int = MAX_WAITING) -> None:
        self._limits = limits
        self._admitted = threading.BoundedSemaphore(size + waiting)
        self._idle: LifoQueue[tuple[Worker | None, int]] = LifoQueue()
        for _ in range(size):
            self._idle.put((None, 0))

    def call(self, function: Callable[[], R]) -> R:
        """Return what a function returns; raises what it raises.

        Raises:
            LimitExceeded: When the call exceeded its limits.
            ServerBusy: When too many calls are waiting.
        """
        if not self._admitted.acquire(blocking=False):
            raise ServerBusy
        try:
            return self._call(function)
        finally:
            self._admitted.release()

    def _call(self, function: Callable[[], R]) -> R:
        try:
            worker, calls = self._idle.get(timeout=self._limits.wall_seconds)
        except Empty:
            raise ServerBusy from None
        try:
            worker = worker or Worker(self._limits)
            return worker.call(function)
        finally:
            calls += 1
            if worker and calls >= MAX_CALLS:
                worker.end()
            self._idle.put((worker, calls) if worker and worker.alive else (None, 0))


@cache
def worker_pool(limits: Limits) -> WorkerPool:
    """Return the pool of this process for calls with these limits: one worker for each core."""
    return WorkerPool(limits, size=os.cpu_count() or 1)


class SpecSql:
    """Renders and parses the SQL of specs. Safe to share between threads.

    Args:
        dialects: Finds the dialects of connections.
        limits: The limits of reading one spec's SQL.
    """

    def __init__(self, dialects: ConnectionDialects, limits: Limits = LIMITS) -> None:
        self._dialects = dialects
        self._workers = worker_pool(limits)
        self._lineages: LRUCache[tuple[str, str | None], Lineage] = LRUCache(MAX_LINEAGES)
        self._unread: TTLCache[tuple[str, str | None], Lineage] = TTLCache(MAX_LINEAGES, UNREAD_SECONDS)
        self._columns: TTLCache[tuple[object, ...], ColumnLineage] = TTLCache(MAX_COLUMNS, COLUMNS_SECONDS)
        self._lock = threading.Lock()

    def preview(self, spec: DatasetSpec, file: SpecFile, values: Mapping[str, Any]) -> SqlPreview:
        """Return a spec's SQL, rendered with a run's values and parsed.

        Args:
            spec: The spec.
            file: Its file, with its SQL.
            values: The variables of the templates: :func:`dataspec.spec.run_values.resolve_run`.

        Raises:
            InvalidTemplate: When it can't be rendered or parsed within the limits; with the place in the file.
            ServerBusy: When too many calls are waiting, or the request can't wait any longer.
        """
        return self._in_worker(
            file,
            partial(
                preview_sql,
                spec,
                file.files,
                values,
                yaml=file.yaml,
                file=file.key,
                dialect=self._dialects.of(spec),
            ),
        )

    def preview_run(
        self, spec: DatasetSpec, file: SpecFile, values: RunValues, refresh: FullRefresh | None
    ) -> SqlPreview:
        """Return a spec's SQL like :meth:`preview`, with the statements that publish the rows of the run.

        Args:
            spec: The spec.
            file: Its file, with its SQL.
            values: The values of the run.
            refresh: The run's part in a full refresh.

        Raises:
            InvalidTemplate, ServerBusy: As :meth:`preview`.
        """
        return self._in_worker(
            file,
            partial(
                preview_run,
                spec,
                file.files,
                values,
                yaml=file.yaml,
                file=file.key,
                dialect=self._dialects.of(spec),
                refresh=refresh,
            ),
        )

    def _in_worker(self, file: SpecFile, preview: Callable[[], SqlPreview]) -> SqlPreview:
        try:
            return call_within_budget(lambda: self._workers.call(preview))
        except CallBudgetExceeded:
            raise ServerBusy from None
        except LimitExceeded as exceeded:
            raise InvalidTemplate(exceeded.problem(file.key), "The SQL can't be checked.") from None

    def check_materialization(self, spec: DatasetSpec, file: SpecFile) -> None:
        """Check that the query of a spec with a materialization is one SELECT, and that its engine can publish rows.

        Raises:
            InvalidSpec: With every problem at its place, or when reading the SQL exceeds a limit.
            ServerBusy: When too many calls are waiting, or the request can't wait any longer.
        """
        if spec.materialization is None:
            return
        connected = self._dialects.of_connection(spec.execution.connection)
        find = partial(_materialization_errors, spec, file.files, file.yaml, file.key, connected)
        try:
            problems = call_within_budget(lambda: self._workers.call(find))
        except CallBudgetExceeded:
            raise ServerBusy from None
        except LimitExceeded as exceeded:
            problems = [exceeded.problem(file.key)]
        if problems:
            raise InvalidSpec(problems)

    def lineage(self, spec: DatasetSpec, file: SpecFile) -> Lineage:
        """Return the tables that a spec's SQL reads and writes; unknown if reading it exceeds a limit or the budget.

        Raises:
            ServerBusy: When too many calls are waiting.
        """
        known = self.known_lineage(spec, file)
        if known is not None:
            return known
        try:
            return call_within_budget(lambda: self._read_lineage(spec, file, self._key(spec, file)))
        except CallBudgetExceeded:  # the next request finds it
            return Lineage(unknown=(Problem("reading it takes longer than a request may wait.", file.key),))

    def known_lineage(self, spec: DatasetSpec, file: SpecFile) -> Lineage | None:
        """Return the lineage of a spec that was read before; None for any other."""
        key = self._key(spec, file)
        with self._lock:
            return self._lineages.get(key) or self._unread.get(key)

    def columns(
        self, spec: DatasetSpec, file: SpecFile, known: Mapping[str, tuple[str, ...]]
    ) -> ColumnLineage:
        """Return the columns that a spec builds; unknown if reading them exceeds a limit or the request's budget.

        Args:
            spec: The spec.
            file: Its file, with its SQL.
            known: The columns of tables that it reads, by the table's name in lower case.

        Raises:
            ServerBusy: When too many calls are waiting.
        """
        key = (*self._key(spec, file), tuple(sorted(known.items())))
        with self._lock:
            found = self._columns.get(key)
        if found is not None:
            return found
        read = partial(column_lineage_of, spec, file.files, known, dialect=self._dialects.of(spec))
        try:
            found = call_within_budget(lambda: self._workers.call(read))
        except CallBudgetExceeded:  # the next request finds it
            return ColumnLineage(unknown=NOT_KNOWN_IN_TIME)
        except LimitExceeded as exceeded:
            found = ColumnLineage(unknown=exceeded.unknown)
        with self._lock:
            self._columns[key] = found
        return found

    def _key(self, spec: DatasetSpec, file: SpecFile) -> tuple[str, str | None]:
        return file.spec_hash or "", self._dialects.of(spec)

    def _read_lineage(self, spec: DatasetSpec, file: SpecFile, key: tuple[str, str | None]) -> Lineage:
        cache: Cache[tuple[str, str | None], Lineage] = self._lineages
        try:
            found = self._workers.call(partial(lineage_of, spec, file.files, dialect=key[1]))
        except LimitExceeded as exceeded:
            cache, found = self._unread, Lineage(unknown=(exceeded.problem(file.key),))
        with self._lock:
            cache[key] = found
        return found


def _materialization_errors(
    spec: DatasetSpec, files: Mapping[str, str], yaml: bytes, file: str, connected: str | None
) -> list[Problem]:
    dialect = ConnectionDialect(connected) if connected else None
    return materialization_errors(spec, files, read_document(yaml, file), dialect)
