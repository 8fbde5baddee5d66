"""The operator that runs a dataset: its parameters, its SQL, its engine."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from dataspec.contract import TIMETABLE_RUN_TYPES, given_parameters, write_version_key
from dataspec.engines.session import SessionCancelled, SqlSession
from dataspec.engines.statement_log import FIRST_ROWS, StatementLog
from dataspec.errors import InvalidParameters
from dataspec.file_lock import FileLock
from dataspec.parameters.resolve import resolve_parameters
from dataspec.schedule.next_run import ScheduledRun, data_interval
from dataspec.sql.dialects import dialect_of
from dataspec.sql.rendering import RenderedStatement
from dataspec.sql.template.run_values import run_values
from dli_airflow.airflow_api import (
    AirflowException,
    AirflowFailException,
    AirflowNotFoundException,
    AirflowTaskTimeout,
    BaseHook,
    BaseOperator,
)
from dli_airflow.mirror.dataset import Dataset


class DatasetOperator(BaseOperator):
    """Runs one attempt of one dataset.

    Wrong parameters fail the run without retries. Everything else is retried, templates
    included: an attempt runs the version of the spec that is effective when it starts, so
    that a mended query mends the run.

    Args:
        dataset: The spec to run, with its SQL.
        turns: A folder for the locks that keep a dataset's attempts on this machine apart: a
            killed one lives on for some seconds.
        arguments: Those of every Airflow operator.
    """

    template_fields = ()
    ui_color = "#e8f7e4"

    def __init__(self, *, dataset: Dataset, turns: Path, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.dataset = dataset
        self.turns = turns
        self._session: SqlSession | None = None
        self._killed = False

    def execute(self, context: Mapping[str, Any]) -> None:
        """Run the dataset's statements on the engine."""
        try:
            self._attempt(context)
        except AirflowTaskTimeout:
            seconds = self.dataset.spec.execution.timeout_seconds
            ended = self._session.how_it_ended() if self._session else "no statement had started"
            message = f"The attempt took longer than execution.timeout_seconds, {seconds} s: {ended}."
            raise AirflowTaskTimeout(message) from None
        except SessionCancelled as cancelled:
            raise AirflowException(f"The attempt was ended from outside: {cancelled}.") from cancelled
        self.log.info("Done.")

    def _attempt(self, context: Mapping[str, Any]) -> None:
        ti, run = context["ti"], context["dag_run"]
        dataset = self.dataset
        version = write_version_key(dataset.source, dataset.spec_hash, ti.try_number)
        ti.xcom_push(key=version, value=dataset.key)
        self._tell_version()
        scheduled = self._scheduled(run)
        parameters = self._parameters(run)
        hook = self._hook()
        interval = data_interval(*self._clock(), scheduled) if scheduled else None
        values = run_values(self.dataset.spec, parameters, data_interval=interval)
        statements = self._rendered(values, hook)
        log = StatementLog(self.log)
        turn = partial(self._turn, run.run_id)
        self._session = SqlSession(hook, log, first_rows=FIRST_ROWS, turn=turn)
        if self._killed:
            self._session.cancel()
        self._session.run(statements)

    def on_kill(self) -> None:
        """Cancel the running query on the engine; Airflow calls this on SIGTERM and after a timeout."""
        self._killed = True
        if self._session is not None:
            self._session.cancel()

    def _tell_version(self) -> None:
        dataset = self.dataset
        self.log.info(
            "%s, spec %s, from %s (%s)", dataset.name, dataset.spec_hash, dataset.key, dataset.source
        )

    def _clock(self) -> tuple[str | None, str]:
        schedule = self.dataset.spec.schedule
        return (schedule.cron, schedule.timezone) if schedule else (None, "UTC")

    def _scheduled(self, run: Any) -> ScheduledRun | None:
        if _type_of(run) not in TIMETABLE_RUN_TYPES or run.data_interval_start is None:
            return None
        return ScheduledRun.kept((run.data_interval_start, run.data_interval_end))

    def _parameters(self, run: Any) -> dict[str, Any]:
        declared = self.dataset.spec.parameters
        given = given_parameters(
            run.conf or {}, declared, run_type=_type_of(run), interval_start=run.data_interval_start
        )
        try:
            parameters = resolve_parameters(declared, given)
        except InvalidParameters as error:
            self.log.error("%s", "\n".join(filter(None, (error.text, error.detail))))  # noqa: TRY400 - no trace
            raise AirflowFailException(error.title) from None
        self.log.info("Parameters: %s", parameters)
        return parameters

    def _hook(self) -> Any:
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
            hook.use_legacy_sql = False  # Airflow's default, which no other dialect of BigQuery's is near
        return hook

    def _rendered(self, values: Mapping[str, Any], hook: Any) -> list[RenderedStatement]:
        from dataspec.sql.rendering import render_statements

        dataset = self.dataset
        connected = dialect_of(hook.conn_type)
        return render_statements(
            dataset.spec,
            dataset.files,
            values,
            dialect=dataset.spec.execution.dialect or connected,
            file=dataset.key,
            connected=connected,
        )

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


def _type_of(run: Any) -> str:
    """Return Airflow's type of a run; some lines have an enumeration for it."""
    return str(getattr(run.run_type, "value", run.run_type))
