"""The operator that runs a dataset: resolve its parameters, render its SQL, execute it on the engine."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from dataspec.contract import built_interval, given_parameters, write_version_key
from dataspec.engines.leftovers import AttemptMark, Leftovers
from dataspec.engines.session import SessionCancelled, SqlSession
from dataspec.engines.statement_log import FIRST_ROWS, StatementLog
from dataspec.errors import Forbidden, InvalidParameters, InvalidSettings
from dataspec.file_lock import FileLock
from dataspec.spec.dialects import dialect_of_connection
from dataspec.spec.run_values import resolve_run
from dataspec.sql.rendering import render_statements
from dli_airflow.airflow_api import (
    AirflowException,
    AirflowFailException,
    AirflowNotFoundException,
    AirflowTaskTimeout,
    BaseHook,
    BaseOperator,
    run_type_name,
)
from dli_airflow.connection_teams import connection_teams
from dli_airflow.mirror.dataset import Dataset


class DatasetOperator(BaseOperator):
    """Runs one attempt of a dataset's run.

    Wrong parameters, and a connection of other teams, fail the run without retries. All other errors are retried, also those in templates: an
    attempt runs the spec version that is effective when it starts, which may have been corrected.

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
            AirflowFailException: For wrong parameters, and for a connection that is limited to other teams.
            AirflowTaskTimeout: After the spec's ``execution.timeout_seconds``.
            AirflowException: When the attempt was cancelled, or its connection can't be used.
            StatementFailed: When the engine refused a statement.
            LeftoverRuns: When an earlier attempt still runs on the engine and can't be ended.
        """
        ti, run, dataset = context["ti"], context["dag_run"], self.dataset
        with self._how_it_ended():
            version = write_version_key(dataset.source, dataset.spec_hash, ti.try_number)
            ti.xcom_push(key=version, value=dataset.key)
            self.log.info(
                "%s, spec %s, from %s (%s)", dataset.name, dataset.spec_hash, dataset.key, dataset.source
            )
            self._check_connection()
            values = self._values(run)
            hook = self._hook()
            connected = dialect_of_connection(hook.conn_type)
            statements = render_statements(
                dataset.spec,
                dataset.files,
                values,
                dialect=dataset.spec.execution.dialect or connected,
                file=dataset.key,
                connected=connected,
            )
            turn = partial(self._turn, run.run_id)
            log = StatementLog(self.log)
            leftovers = Leftovers(hook, AttemptMark(self.store, dataset.name, run.run_id), self.log)
            self._session = SqlSession(hook, log, first_rows=FIRST_ROWS, turn=turn, prepare=leftovers.end)
            if self._killed:
                self._session.cancel()
            self._session.run(statements)
            log.check_stored(dataset.spec, dataset.files, connected)
        self.log.info("Done.")

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

    def _values(self, run: Any) -> dict[str, Any]:
        """Return what the SQL of a run sees: its parameters and its data interval.

        Raises:
            AirflowFailException: For wrong parameters; another attempt would fail as well.
        """
        spec, run_type = self.dataset.spec, run_type_name(run.run_type)
        interval = run.data_interval_start, run.data_interval_end
        given = given_parameters(
            run.conf or {}, spec.parameters, run_type=run_type, interval_start=interval[0]
        )
        try:
            built = built_interval(spec.schedule, run_type=run_type, interval=interval)
            values = resolve_run(spec, given, data_interval=built)
        except InvalidParameters as error:
            self.log.error("%s", "\n".join(filter(None, (error.text, error.detail))))  # noqa: TRY400 - no trace
            raise AirflowFailException(error.title) from None
        self.log.info("Parameters: %s", values.parameters)
        return values.template

    def _hook(self) -> Any:
        # Imported here: it takes 0.1 s, and Airflow parses DAG files in a process for each.
        from airflow.providers.common.sql.hooks.sql import DbApiHook

        conn_id = self.dataset.spec.execution.connection
        try:
            connection = BaseHook.get_connection(conn_id)
        except AirflowNotFoundException:
            raise AirflowException(
                f"Airflow has no connection '{conn_id}', which execution.connection of {self.dataset.key} "
                f"names. Add it in Airflow: airflow connections add {conn_id} …"
            ) from None
        hook = connection.get_hook()
        if not isinstance(hook, DbApiHook):
            raise AirflowException(
                f"The connection '{conn_id}' of the type '{connection.conn_type}' runs no SQL. "
                "Name a connection to a database in execution.connection."
            )
        if connection.conn_type == "gcpbigquery":
            hook.use_legacy_sql = False  # Airflow's default is a dialect that sqlglot does not know
        return hook

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
