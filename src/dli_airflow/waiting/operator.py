"""The task that waits for the upstreams of a dataset (docs/waiting.md, "How a run waits")."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Never

from dataspec.contract import WAIT_ERROR_KEY, waits
from dataspec.errors import DliError
from dataspec.schedule.needs import need_of
from dataspec.schedule.partitions import Grid, Partition
from dataspec.spec.dialects import dialect_of_connection
from dataspec.spec.model import Dependency, SqlDependency
from dataspec.sql.rendering import render_condition
from dli_airflow.airflow_api import AirflowFailException, BaseOperator, run_type_name
from dli_airflow.connection_teams import connection_teams
from dli_airflow.connections import sql_hook
from dli_airflow.mirror.dataset import Dataset
from dli_airflow.resolved_run import resolved_run
from dli_airflow.waiting.awaited import AwaitedDataset, AwaitedQuery, retry_words
from dli_airflow.waiting.trigger import UpstreamTrigger
from dli_airflow.waiting.upstream_runs import has_run
from dli_airflow.waiting.variables import read_built


class WaitOperator(BaseOperator):
    """Waits until what a run needs of other datasets is built, and its queries return a row.

    Args:
        dataset: The dataset that waits.
        arguments: The arguments of every Airflow operator.
    """

    template_fields = ()
    ui_color = "#fdf3d8"

    def __init__(self, *, dataset: Dataset, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.dataset = dataset

    def execute(self, context: Mapping[str, Any]) -> None:
        """Succeed if the run's needs are met; otherwise defer to a trigger that ends the task.

        Raises:
            AirflowFailException: For a need that will never be met, wrong parameters, a query that can't be rendered,
                and a connection that is limited to other teams.
            TaskDeferred: When the run waits.
        """
        run, now = context["dag_run"], datetime.now(UTC)
        if not waits(run.conf or {}, run_type=run_type_name(run.run_type)):
            self.log.info("This run does not wait for other datasets.")
            return
        try:
            values = resolved_run(self.dataset.spec, run, self.log)
            queries = list(self._queries(values.template, now))
            datasets = list(self._missing(values.partition, now))
        except AirflowFailException as error:
            self._fail(context, str(error))
        except DliError as error:
            self._fail(context, " ".join(filter(None, (error.title, error.detail))))
        if not datasets and not queries:
            self.log.info("All that the run needs is built.")
            return
        self.defer(
            trigger=UpstreamTrigger(
                run_id=run.run_id,
                turn=run.logical_date.isoformat() if run.logical_date else now.isoformat(),
                datasets=[one.to_json() for one in datasets],
                queries=[query.to_json() for query in queries],
            ),
            method_name="execute",
        )

    def _fail(self, context: Mapping[str, Any], reason: str) -> Never:
        """Fail the run, and leave the reason for Basecamp."""
        message = f"{reason}{retry_words(context['dag_run'].run_id)}"
        context["ti"].xcom_push(key=WAIT_ERROR_KEY, value=message)
        raise AirflowFailException(message)

    def _missing(self, partition: Partition | None, now: datetime) -> Iterator[AwaitedDataset]:
        """Yield what the run needs of other datasets and is not built.

        Raises:
            AirflowFailException: For a partition that its schedule will never build.
        """
        for entry in self.dataset.spec.dependencies:
            awaited = self._awaited(entry, partition, now)
            if awaited is None:
                self.log.info("%s has nothing to wait for", entry.dataset)
                continue
            built = read_built(entry.dataset, self.log)
            if awaited.need.is_met(built):
                continue
            for one, run_id, at in awaited.replaced_at(built):
                if at <= now and not has_run(entry.dataset, run_id):
                    raise AirflowFailException(awaited.passed_over(one))
            self.log.info("Waiting for %s", awaited.missing(built))
            yield awaited

    def _awaited(
        self, entry: Dependency, partition: Partition | None, now: datetime
    ) -> AwaitedDataset | None:
        spec, facts = self.dataset.spec, self.dataset.upstreams[entry.dataset]
        need = need_of(
            entry.dataset, entry.partition, partition, grid=Grid.of(spec.schedule), upstream=facts.upstream
        )
        return None if need is None else AwaitedDataset(need, self._deadline(entry, now), facts.catches_up)

    def _queries(self, values: Mapping[str, Any], now: datetime) -> Iterator[AwaitedQuery]:
        """Yield the queries that have to return a row, rendered for this run.

        Raises:
            DliError: When one can't be rendered, or the team may not use its connection.
        """
        spec, dataset = self.dataset.spec, self.dataset
        if spec.conditions:
            connection_teams(os.environ).check(spec)
        for entry in spec.conditions:
            conn_id, dialect = spec.condition_engine(entry)
            connected = dialect_of_connection(sql_hook(conn_id, "depends_on").conn_type)
            sql = render_condition(
                spec,
                entry,
                dataset.files,
                values,
                dialect=dialect or connected,
                file=dataset.key,
                connected=connected,
            )
            self.log.info("Waiting for a row of the query on %s:\n%s", conn_id, sql)
            yield AwaitedQuery(sql, conn_id, entry.every_seconds, self._deadline(entry, now))

    def _deadline(self, entry: Dependency | SqlDependency, now: datetime) -> datetime | None:
        """Return when the run fails, if ever; it counts from the start of this task, so a retried run waits anew."""
        seconds = self.dataset.spec.wait_seconds(entry)
        return None if seconds is None else now + timedelta(seconds=seconds)
