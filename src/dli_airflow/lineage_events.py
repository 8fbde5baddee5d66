"""Events of a run for an OpenLineage backend, where the environment names one (docs/monitoring.md, "Lineage events").

Without one, or without its client, nothing is sent. What goes wrong here is logged, and never fails a run.
"""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from logging import Logger
from typing import Any

from dataspec.distribution import version
from dataspec.engines.session import one_line
from dataspec.models import CheckResult
from dataspec.schedule.partitions import Grid
from dataspec.spec.run_values import RunValues
from dli_airflow.mirror.dataset import Dataset

NAMESPACE = "dli"
"""The namespace of the jobs, unless ``OPENLINEAGE_NAMESPACE`` gives another."""
PRODUCER = f"urn:dli-basecamp:{version()}"
SETTINGS = ("OPENLINEAGE_URL", "OPENLINEAGE_CONFIG", "OPENLINEAGE__TRANSPORT__TYPE", "OPENLINEAGE__TRANSPORT")
PATIENCE_SECONDS = 10
"""How long a run waits for the backend to take an event."""
_RUN_IDS = uuid.UUID("5f0c3a52-3c0e-4f3a-9a55-6d1f4c1b7f43")


def is_on() -> bool:
    """Return whether the environment names a backend."""
    disabled = os.environ.get("OPENLINEAGE_DISABLED", "").lower() == "true"
    return not disabled and any(os.environ.get(name) for name in SETTINGS)


def namespace_of(hook: Any) -> str:
    """Return the namespace of the tables on a hook's connection: its engine and its address, never a credential."""
    connection = hook.get_connection()
    address = f"{connection.host or ''}{f':{connection.port}' if connection.port else ''}"
    return f"{connection.conn_type}://{address}"


@dataclass(kw_only=True)
class RunEvents:
    """The events of one attempt of a run.

    Attributes:
        dataset: The dataset.
        values: The run's values.
        run_id: Airflow's id of the run.
        try_number: The number of the attempt.
        namespace: The namespace of its tables.
        dialect: The connection's dialect, where it is known.
        log: Gets what goes wrong.
        checks: What the checks of the attempt found.
    """

    dataset: Dataset
    values: RunValues
    run_id: str
    try_number: int
    namespace: str
    dialect: str | None
    log: Logger
    checks: Sequence[CheckResult] = field(default=())
    _client: Any = None

    @contextmanager
    def sent(self) -> Iterator[RunEvents]:
        """Send that the attempt has started, and how it has ended."""
        if not is_on():
            yield self
            return
        self._attempt(self._start)
        try:
            yield self
        except BaseException as error:
            reason = one_line(error)
            self._attempt(lambda: self._end("FAIL", reason))
            raise
        else:
            self._attempt(lambda: self._end("COMPLETE"))
        finally:
            self._attempt(self._close)

    def _attempt(self, step: Callable[[], None]) -> None:
        """Take a step in a thread of its own; give all up when the backend takes too long."""
        thread = threading.Thread(target=self._try, args=(step,), name="lineage-event", daemon=True)
        thread.start()
        thread.join(PATIENCE_SECONDS)
        if thread.is_alive():
            self.log.warning("The lineage backend takes longer than %d s; no more events.", PATIENCE_SECONDS)
            self._client = None

    def _try(self, step: Callable[[], None]) -> None:
        try:
            step()
        except ImportError:
            self.log.warning("No lineage events are sent: install dli-basecamp[openlineage].")
        except Exception as error:  # noqa: BLE001 - a run never fails by its events
            self.log.warning("A lineage event could not be sent: %s", one_line(error))

    def _start(self) -> None:
        # Imported here: the package is needed on the machines of those alone who have such a backend.
        from openlineage.client import OpenLineageClient

        self._client = OpenLineageClient()
        self._emit("START", {})

    def _end(self, state: str, error: str | None = None) -> None:
        if self._client is None:
            return
        from openlineage.client.facet_v2 import error_message_run

        found = (
            {} if error is None else {"errorMessage": error_message_run.ErrorMessageRunFacet(error, "SQL")}
        )
        self._emit(state, found)

    def _close(self) -> None:
        if self._client is not None:
            self._client.close()

    def _emit(self, state: str, run_facets: dict[str, Any]) -> None:
        from openlineage.client.event_v2 import Job, Run, RunEvent, RunState

        inputs, outputs = self._tables()
        namespace = os.environ.get("OPENLINEAGE_NAMESPACE") or NAMESPACE
        event = RunEvent(
            eventType=RunState(state),
            eventTime=datetime.now(UTC).isoformat(),
            run=Run(runId=self._attempt_id(), facets={**self._nominal_time(), **run_facets}),
            job=Job(namespace=namespace, name=self.dataset.name, facets=self._job_facets()),
            inputs=inputs,
            outputs=outputs,
            producer=PRODUCER,
        )
        self._client.emit(event)

    def _attempt_id(self) -> str:
        return str(uuid.uuid5(_RUN_IDS, f"{self.dataset.name}\x00{self.run_id}\x00{self.try_number}"))

    def _nominal_time(self) -> dict[str, Any]:
        from openlineage.client.facet_v2 import nominal_time_run

        if self.values.partition is None:
            return {}
        start, end = Grid.of(self.dataset.spec.schedule).data_interval(self.values.partition)
        facet = nominal_time_run.NominalTimeRunFacet(
            start.astimezone(UTC).isoformat(), end.astimezone(UTC).isoformat()
        )
        return {"nominalTime": facet}

    def _job_facets(self) -> dict[str, Any]:
        from openlineage.client.facet_v2 import documentation_job, job_type_job, ownership_job

        spec = self.dataset.spec
        owners = [ownership_job.Owner(name) for name in (spec.owner, spec.team) if name]
        facets: dict[str, Any] = {
            "jobType": job_type_job.JobTypeJobFacet("BATCH", "DLI", "DATASET"),
            "ownership": ownership_job.OwnershipJobFacet(owners),
        }
        if spec.description:
            facets["documentation"] = documentation_job.DocumentationJobFacet(spec.description)
        return facets

    def _tables(self) -> tuple[list[Any], list[Any]]:
        from openlineage.client.event_v2 import InputDataset, OutputDataset

        # Imported here: they load the SQL parser, and Airflow parses DAG files in a process for each.
        from dataspec.sql.lineage.column_lineage import column_lineage_of
        from dataspec.sql.lineage.dataset_lineage import lineage_of

        spec, files = self.dataset.spec, self.dataset.files
        tables = lineage_of(spec, files, dialect=self.dialect)
        columns = column_lineage_of(spec, files, {}, dialect=self.dialect)
        inputs = [InputDataset(namespace=self.namespace, name=use.name) for use in tables.reads]
        outputs = [
            OutputDataset(namespace=self.namespace, name=name, facets=self._table_facets(name, columns))
            for name in tables.builds(self.dataset.name)
        ]
        return inputs, outputs

    def _table_facets(self, name: str, columns: Any) -> dict[str, Any]:
        if columns.table is not None and columns.table.lower() != name.lower():
            return {}
        facets = {**self._schema(columns), **self._column_lineage(columns)}
        return {**facets, **_assertions(self.checks)}

    def _schema(self, columns: Any) -> dict[str, Any]:
        from openlineage.client.facet_v2 import schema_dataset

        written = self.dataset.spec.columns
        fields = [
            schema_dataset.SchemaDatasetFacetFields(one.name, type=one.type, description=one.description)
            for one in written
        ] or [schema_dataset.SchemaDatasetFacetFields(name) for name in columns.names or ()]
        return {"schema": schema_dataset.SchemaDatasetFacet(fields)} if fields else {}

    def _column_lineage(self, columns: Any) -> dict[str, Any]:
        from openlineage.client.facet_v2 import column_lineage_dataset

        fields: Mapping[str, Any] = {
            column.name: column_lineage_dataset.Fields(
                [
                    column_lineage_dataset.InputField(self.namespace, source.table, source.column)
                    for source in column.sources
                ]
            )
            for column in columns.columns
            if column.named
        }
        return (
            {"columnLineage": column_lineage_dataset.ColumnLineageDatasetFacet(dict(fields))}
            if fields
            else {}
        )


def _assertions(checks: Iterable[CheckResult]) -> dict[str, Any]:
    from openlineage.client.facet_v2 import data_quality_assertions_dataset

    found = [
        data_quality_assertions_dataset.Assertion(
            assertion=check.name, success=check.status == "passed", severity=check.severity
        )
        for check in checks
    ]
    facet = data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet
    return {"dataQualityAssertions": facet(found)} if found else {}
