"""The operator that runs a dataset: resolve its parameters, render its SQL, execute it on the engine."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from dataspec.contract import (
    CHECKS_KEY,
    adopts,
    checks_only,
    full_refresh_of,
    request_of,
    trace_of,
    write_check_results,
    write_rows_key,
    write_version_key,
)
from dataspec.engines.check_runner import CheckRunner
from dataspec.engines.leftovers import AttemptMark, Leftovers
from dataspec.engines.materializer import Materializer
from dataspec.engines.session import SessionCancelled, SqlSession
from dataspec.engines.statement_log import FIRST_ROWS, StatementLog
from dataspec.errors import Forbidden, InvalidSettings
from dataspec.file_lock import FileLock
from dataspec.schedule.partitions import Grid
from dataspec.spec.dialects import dialect_of_connection
from dataspec.sql.checks.findings import ChecksFailed
from dataspec.sql.rendering import render_statements
from dataspec.tracing import flush, trace_span
from dli_airflow.airflow_api import (
    AirflowException,
    AirflowFailException,
    AirflowTaskTimeout,
    BaseOperator,
)
from dli_airflow.connection_teams import connection_teams
from dli_airflow.connections import sql_hook
from dli_airflow.lineage_events import RunEvents, namespace_of
from dli_airflow.mirror.dataset import Dataset
from dli_airflow.resolved_run import resolved_run
from dli_airflow.waiting.variables import note_built


class DatasetOperator(BaseOperator):
    """Runs one attempt of a dataset's run.

    Wrong parameters, a connection of other teams, and rows that fail checks fail the run without retries. All other errors are retried,
    also those in templates: an attempt runs the spec version that is effective when it starts, which may have been
    corrected.

    Args:
        dataset: The spec to run, with its SQL.
        turns: A folder with a lock for each dataset: the process of a killed attempt may run on for some
            seconds, beside the next attempt.
        store: Identifies the store; part of the mark of the attempt's session on the engine.
        arguments: The arguments of every Airflow operator.
    """

    template_fields = ()
    ui_color = "#e8f7e4"

    def __init__(self, *, dataset: Dataset, turns: Path, store: str = "", **arguments: Any) -> None:
        super().__init__(**arguments)
        self.dataset = dataset
        self.turns = turns
        self.store = store
        self._session: SqlSession | None = None
        self._killed = False

    def execute(self, context: Mapping[str, Any]) -> None:
        """Run the dataset's statements on the engine.

        Raises:
            AirflowFailException: For wrong parameters, for a connection that is limited to other teams, and when
                rows fail checks.
            AirflowTaskTimeout: After the spec's ``execution.timeout_seconds``.
            AirflowException: When the attempt was cancelled, or its connection can't be used.
            StatementFailed: When the engine refused a statement.
            MaterializationFailed: When the rows of the query can't be published.
            LeftoverRuns: When an earlier attempt still runs on the engine and can't be ended.
        """
        ti, run, dataset = context["ti"], context["dag_run"], self.dataset
        with self._traced(run, ti), self._how_it_ended():
            version = write_version_key(dataset.source, dataset.spec_hash, ti.try_number)
            ti.xcom_push(key=version, value=dataset.key)
            self.log.info(
                "%s, spec %s, from %s (%s)", dataset.name, dataset.spec_hash, dataset.key, dataset.source
            )
            if request := request_of(run.conf or {}):
                self.log.info("started by the request %s", request)
            self._check_connection()
            values = resolved_run(dataset.spec, run, self.log)
            hook = sql_hook(dataset.spec.execution.connection, f"execution.connection of {dataset.key}")
            connected = dialect_of_connection(hook.conn_type)
            render = partial(
                render_statements,
                dataset.spec,
                dataset.files,
                values.template,
                dialect=dataset.spec.execution.dialect or connected,
                file=dataset.key,
                connected=connected,
            )
            turn = partial(self._turn, run.run_id)
            log = StatementLog(self.log)
            checks = CheckRunner.of(
                dataset.spec,
                dataset.files,
                values.template,
                dialect=dataset.spec.execution.dialect or connected,
                file=dataset.key,
                connected=connected,
            )
            conf = run.conf or {}
            materializer = Materializer.of(
                dataset.spec,
                values,
                connected,
                adopt=adopts(conf),
                refresh=full_refresh_of(conf),
                checks=checks,
            )
            statements = materializer.statements(render, dataset.files) if materializer else render()
            finish = checks.finish if checks else lambda _: None
            if is_check := checks_only(conf):
                self.log.info("the checks alone: the run builds nothing")
                statements = [statement for statement in render() if statement.kind == "seed"]
                finish = materializer.check_built if materializer else finish
            leftovers = Leftovers(hook, AttemptMark(self.store, dataset.name, run.run_id), self.log)
            self._session = SqlSession(
                hook,
                log,
                first_rows=FIRST_ROWS,
                turn=turn,
                prepare=leftovers.end,
                query_runner=materializer,
                finish=finish,
            )
            if self._killed:
                self._session.cancel()
            events = RunEvents(
                dataset=dataset,
                values=values,
                run_id=run.run_id,
                try_number=ti.try_number,
                namespace=namespace_of(hook),
                dialect=connected,
                log=self.log,
            )
            with nullcontext() if is_check else events.sent():
                try:
                    self._session.run(statements)
                finally:
                    if checks and checks.results:
                        events.checks = checks.results
                        log.check_results(checks.results)
                        ti.xcom_push(key=CHECKS_KEY, value=write_check_results(checks.results))
            if log.rows is not None:
                ti.xcom_push(key=write_rows_key(log.rows, ti.try_number), value=log.rows)
            if not is_check:
                log.check_stored(dataset.spec, dataset.files, connected)
        if not is_check:
            note_built(dataset.name, values.partition, Grid.of(dataset.spec.schedule), self.log)
        self.log.info("Done.")

    @contextmanager
    def _traced(self, run: Any, ti: Any) -> Iterator[None]:
        """Trace the attempt, as a part of the trace of the request that started the run."""
        known = {
            "dli.dataset": self.dataset.name,
            "dli.source": str(self.dataset.source),
            "dli.spec_hash": self.dataset.spec_hash,
            "dli.run_id": run.run_id,
            "dli.try_number": ti.try_number,
        }
        name, parent = f"run {self.dataset.name}", trace_of(run.conf or {})
        try:
            with trace_span("dli-airflow", name, parent=parent, kind="consumer", attributes=known):
                yield
        finally:
            flush()

    @contextmanager
    def _how_it_ended(self) -> Iterator[None]:
        """Say of an attempt that took too long or was cancelled which statement ran, and how it ended."""
        try:
            yield
        except AirflowTaskTimeout:
            seconds = self.dataset.spec.execution.timeout_seconds
            ended = self._session.how_it_ended() if self._session else "no statement had started"
            message = f"The attempt took longer than execution.timeout_seconds, {seconds} s: {ended}."
            raise AirflowTaskTimeout(message) from None
        except ChecksFailed as failed:
            raise AirflowFailException(str(failed)) from None
        except SessionCancelled as cancelled:
            raise AirflowException(f"The attempt was ended from outside: {cancelled}.") from cancelled

    def on_kill(self) -> None:
        """Cancel the running query on the engine; Airflow calls this on SIGTERM and after a timeout."""
        self._killed = True
        if self._session is not None:
            self._session.cancel()

    def _check_connection(self) -> None:
        """Check that the spec's team may use its connection, before the connection is read.

        Raises:
            AirflowFailException: When it may not; another attempt would fail as well.
            AirflowException: When the list of teams can't be read.
        """
        try:
            connection_teams(os.environ).check(self.dataset.spec)
        except Forbidden as error:
            raise AirflowFailException(f"{error.title} {error.detail}") from None
        except InvalidSettings as error:
            raise AirflowException(error.title) from None

    @contextmanager
    def _turn(self, run_id: str, stop: threading.Event) -> Iterator[None]:
        lock = FileLock(self.turns / f"{self.dataset.name}.lock")
        lock.acquire(
            f"the run {run_id} (process {os.getpid()})",
            waiting=lambda holder: self.log.info("waiting for %s to end", holder),
            stop=stop,
        )
        try:
            yield
        finally:
            lock.release()
