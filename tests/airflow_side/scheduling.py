"""Airflow's scheduler around one DAG, on a clock that the test sets: the code and the objects of the installed line."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.utils.types import DagRunType
from sqlalchemy import inspect

from dataspec.schedule.stored_start import date_of
from dli_airflow.airflow_api import AIRFLOW_2
from dli_airflow.factory import build_dag
from dli_airflow.timetable import DatasetTimetable
from unit.dli_airflow.catalogs import datasets

NAME = "sales.daily"
ROUNDS = 40
"""More than any schedule needs at one moment of the clock."""


@dataclass(frozen=True)
class Made:
    """One scheduled run, as Airflow keeps it."""

    run_id: str
    start: datetime
    end: datetime
    at: datetime
    """When the scheduler made it."""

    @property
    def date(self) -> str:
        """The ``execution_date`` that it builds."""
        return date_of(self.start)

    @property
    def interval(self) -> tuple[datetime, datetime]:
        """Its data interval, without what tells the date."""
        return self.start.replace(microsecond=0), self.end


class Loop(ABC):
    """The scheduler's loop, and the DAG processor that parses the DAG."""

    def __init__(self, schedule: str, now: datetime, folder: Path) -> None:
        self.now = self.registered_at = now
        self.folder = folder
        self.made: list[Made] = []
        self.parse(schedule)

    @property
    @abstractmethod
    def model(self) -> DagModel:
        """The DAG's row in Airflow's database."""

    @abstractmethod
    def store(self, dag: Any) -> None:
        """Store a DAG that was parsed, as the DAG processor does."""

    @abstractmethod
    def round(self) -> None:
        """Let the scheduler create the run that is due."""

    @abstractmethod
    def trigger(self, logical_date: datetime) -> None:
        """Make a run as a person does in Airflow's page, who names the moment."""

    @abstractmethod
    def finish(self, run: Made) -> None:
        """Let the scheduler see that a run has ended."""

    def parse(self, schedule: str) -> None:
        """Parse the DAG with a schedule."""
        self.schedule = schedule
        [dataset] = datasets(NAME, query="select 1", more=f"schedule: {{{schedule}}}\n")
        self.store(build_dag(dataset, base_url=None, turns=self.folder))

    def on_the_clock(self, dag: Any) -> Any:
        """Return a DAG with the clock of the test."""
        found = dag.timetable
        dag.timetable = DatasetTimetable(
            found.dataset, found.cron, found.zone, self.registered_at, now=lambda: self.now
        )
        return dag

    @property
    def next_run(self) -> datetime:
        """From when on Airflow says that the next run is to be created: NEXT RUN."""
        return plain(self.model.next_dagrun_create_after)

    def create_due(self) -> None:
        """Let the scheduler go round until nothing is due."""
        for _ in range(ROUNDS):
            if self.next_run > self.now:
                return
            self.round()
        raise AssertionError(f"{ROUNDS} rounds at {self.now}, and {self.next_run} is still due")

    def pass_to(self, moment: datetime) -> None:
        """Let time pass; create each run when it is due."""
        self.create_due()
        while self.next_run <= moment:
            self.now = self.next_run
            self.create_due()
        self.now = max(self.now, moment)

    def sleep_to(self, moment: datetime, *, parse_every: timedelta | None = None) -> None:
        """Let time pass while no run is created: a pause, or, without parsing, a downtime."""
        while parse_every and self.now + parse_every < moment:
            self.now += parse_every
            self.parse(self.schedule)
        self.now = moment

    @property
    def dates(self) -> list[str]:
        """The dates that were built, in order."""
        return [run.date for run in self.made]


class Loop3(Loop):
    """What ``_create_dag_runs`` of 3.3 does, without its database."""

    def __init__(self, schedule: str, now: datetime, folder: Path) -> None:
        self._model = DagModel(dag_id=NAME)
        self._by_hand: list[DagRun] = []
        self._last: DagRun | None = None
        super().__init__(schedule, now, folder)

    @property
    def model(self) -> DagModel:
        return self._model

    def store(self, dag: Any) -> None:
        from airflow.serialization.serialized_objects import DagSerialization

        self.dag = self.on_the_clock(DagSerialization.from_dict(DagSerialization.to_dict(dag)))
        self._plan(self._last)

    def round(self) -> None:
        taken = [run for run in self._by_hand if run.logical_date == self.model.next_dagrun]
        if taken:
            self._plan(taken[0])
            return
        info = self.dag.timetable.next_run_info_from_dag_model(dag_model=self.model)
        run = DagRun(
            dag_id=NAME,
            run_id=self.dag.timetable.generate_run_id(
                run_type=DagRunType.SCHEDULED,
                run_after=info.run_after,
                data_interval=info.data_interval,
                partition_key=info.partition_key,
            ),
            logical_date=info.logical_date,
            data_interval=info.data_interval,
            run_after=info.run_after,
            run_type=DagRunType.SCHEDULED,
        )
        run.dag_model = self.model
        self._last = run
        start, end = map(plain, info.data_interval)
        self.made.append(Made(run.run_id, start, end, self.now))
        self._plan(run)

    def trigger(self, logical_date: datetime) -> None:
        interval = self.dag.timetable.infer_manual_data_interval(run_after=logical_date)
        run = DagRun(
            dag_id=NAME,
            run_id="manual__1",
            logical_date=logical_date,
            data_interval=interval,
            run_after=self.now,
            run_type=DagRunType.MANUAL,
        )
        run.dag_model = self.model
        self._by_hand.append(run)

    def finish(self, run: Made) -> None:
        """Airflow 3 plans nothing when a run ends."""

    def _plan(self, last: DagRun | None) -> None:
        self.model.calculate_dagrun_date_fields(self.dag, reference_run=last)


class Loop2(Loop):
    """The scheduler of 2.11 itself, on a database."""

    def __init__(self, schedule: str, now: datetime, folder: Path) -> None:
        from airflow import settings
        from airflow.jobs.job import Job
        from airflow.jobs.scheduler_job_runner import SchedulerJobRunner

        self._session = settings.Session()
        clean_database(self._session)
        self._runner = SchedulerJobRunner(job=Job())
        super().__init__(schedule, now, folder)

    @property
    def model(self) -> DagModel:
        return self._session.get(DagModel, NAME)

    def store(self, dag: Any) -> None:
        from airflow.serialization.serialized_objects import SerializedDAG

        # the scheduler's cache, which it looks into first
        self._runner.dagbag.dags[NAME] = self.on_the_clock(
            SerializedDAG.from_dict(SerializedDAG.to_dict(dag))
        )
        self._session.expunge_all()
        dag.bulk_write_to_db([self.on_the_clock(dag)], session=self._session)
        self._session.commit()

    def round(self) -> None:
        self._session.expunge_all()
        self._runner._create_dag_runs([self.model], self._session)
        self._session.commit()
        known = {run.run_id for run in self.made}
        runs = self._session.query(DagRun).filter(DagRun.run_type == DagRunType.SCHEDULED)
        self.made += [
            Made(run.run_id, plain(run.data_interval_start), plain(run.data_interval_end), self.now)
            for run in runs.order_by(DagRun.id.desc()).limit(1)
            if run.run_id not in known
        ]

    def trigger(self, logical_date: datetime) -> None:
        from airflow.utils.state import DagRunState

        self._runner.dagbag.dags[NAME].create_dagrun(
            run_type=DagRunType.MANUAL,
            execution_date=logical_date,
            data_interval=self._runner.dagbag.dags[NAME].timetable.infer_manual_data_interval(
                run_after=logical_date
            ),
            state=DagRunState.QUEUED,
            external_trigger=True,
            session=self._session,
        )
        self._session.commit()

    def finish(self, run: Made) -> None:
        from airflow.models.taskinstance import TaskInstance

        self._session.expunge_all()
        found = self._session.query(DagRun).filter(DagRun.run_id == run.run_id).one()
        found.state, found.start_date = "running", found.execution_date
        for task in self._session.query(TaskInstance).filter(TaskInstance.run_id == run.run_id):
            task.state = "success"
        self._session.flush()
        self._runner._schedule_dag_run(found, self._session)
        assert found.state == "success"
        self._session.commit()


def plain(moment: datetime) -> datetime:
    """Return one of Airflow's moments without pendulum's arithmetic."""
    return datetime.fromisoformat(moment.isoformat()).astimezone(UTC)


def clean_database(session: Any) -> None:
    """Return to a database that knows no DAG; the first time, make it."""
    from airflow.models.base import Base
    from airflow.utils.db import import_all_models, synchronize_log_template

    session.rollback()  # what a test that failed left
    engine = session.get_bind()
    if not inspect(engine).has_table("dag"):  # Airflow itself may have made the file, empty
        import_all_models()
        import_module("airflow.providers.fab.auth_manager.models")  # to whose tables Airflow's refer
        Base.metadata.create_all(engine)
        synchronize_log_template(session=session)
    session.commit()
    session.expunge_all()
    for table in ("task_instance", "dag_run", "dag_tag", "dag"):
        session.execute(Base.metadata.tables[table].delete())
    session.commit()


def scheduler(schedule: str, now: datetime, folder: Path) -> Loop:
    """Return the installed Airflow's scheduler around a DAG that was registered just now."""
    return (Loop2 if AIRFLOW_2 else Loop3)(schedule, now, folder)
