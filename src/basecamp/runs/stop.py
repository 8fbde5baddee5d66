"""Stop runs (specification 13.1)."""

from __future__ import annotations

from dataclasses import replace

from basecamp.airflow.gateway import AirflowGateway
from basecamp.airflow.models import DagRun, TaskAttempt
from basecamp.runs.lookup import RunLookup
from basecamp.runs.notes import MAX_NOTE_LENGTH, STILL_THERE, note_of_stop
from basecamp.runs.records import is_killed, is_of_other_dag
from basecamp.shared.clock import Clock
from basecamp.shared.idempotency import KeyedRequest, Reservations
from basecamp.shared.refresh_cache import Changes
from basecamp.shared.request_facts import note_facts
from basecamp.shared.waiting import Steps
from dataspec.contract import CONF_KEY
from dataspec.errors import AirflowUnreachable, Refused, RunNotFound
from dataspec.models import WorkflowRun

VERIFY_SECONDS = 20.0
"""How long to wait for a run to end, and then for the process of its attempt."""
POLL_SECONDS = 0.5


class RunStopper:
    """Stops runs."""

    def __init__(
        self,
        lookup: RunLookup,
        gateway: AirflowGateway,
        reservations: Reservations,
        clock: Clock,
        run_changes: Changes,
    ) -> None:
        self._run_changes = run_changes
        self._lookup = lookup
        self._reservations = reservations
        self._gateway = gateway
        self._clock = clock

    def stop(
        self,
        run_id: str,
        *,
        stopped_by: str,
        reason: str | None = None,
        dataset: str | None = None,
        idempotency_key: str | None = None,
    ) -> Steps[WorkflowRun]:
        """Stop a run by its id, as :meth:`end` does.

        A second call with the idempotency key stops nothing, even if the run was retried since.

        Raises:
            RunNotFound, InvalidUsage: See :meth:`~basecamp.runs.lookup.RunLookup.find`.
        """

        def act(keyed: KeyedRequest) -> Steps[WorkflowRun]:
            keyed.reserve({})
            run = self._lookup.find(run_id, dataset)
            note_facts(dataset=run.dag_id)
            ended = yield from self.end(run, stopped_by=stopped_by, reason=reason)
            return self._lookup.record(ended)

        return self._reservations.once_in_steps(
            idempotency_key, ["stop", run_id, dataset, reason], WorkflowRun, act
        )

    def end(self, run: DagRun, *, stopped_by: str, reason: str | None) -> Steps[DagRun]:
        """Stop a run; return when it has ended and its process is gone. A run that has ended is left unchanged.

        Airflow writes the note and the state together: no reader sees a failed run without the note.
        The process ends once it has cancelled its
        query; if it is not seen to end, the returned run's note says so.

        Raises:
            RunNotFound: When it was deleted meanwhile.
            Refused: When it is a run of another DAG with the dataset's id, which Basecamp did not start.
            AirflowUnreachable: When Airflow does not answer, or the run goes on.
        """
        if run.finished:
            return run
        attempt = self._attempt(run)
        if CONF_KEY not in run.conf and is_of_other_dag(self._gateway, run, attempt):
            raise Refused(
                "This run is not the dataset's.",
                detail=f"Another DAG has the id '{run.dag_id}', and this is a run of it. Stop it in Airflow.",
            )
        note = self._note(attempt, stopped_by, reason)
        if self._order(run, note) is None:
            raise RunNotFound(run.run_id)
        ended, worked_on = yield from self._ended(run, note, _running(attempt))
        self._run_changes.note()
        if worked_on is None or (yield from self._is_gone(worked_on)):
            return ended
        return replace(ended, note=f"{ended.note} {STILL_THERE}")

    def _order(self, run: DagRun, note: str) -> DagRun | None:
        return self._gateway.set_run_state(run.dag_id, run.run_id, "failed", note=note)

    def _is_gone(self, attempt: TaskAttempt) -> Steps[bool]:
        deadline = self._clock.monotonic() + VERIFY_SECONDS
        while self._clock.monotonic() < deadline:
            if self._gateway.process_is_gone(attempt.dag_id, attempt.run_id, attempt.try_number):
                return True
            yield POLL_SECONDS
        return False

    def _attempt(self, run: DagRun) -> TaskAttempt | None:
        return next(iter(self._gateway.attempts([run])), None)

    def _note(self, attempt: TaskAttempt | None, stopped_by: str, reason: str | None) -> str:
        return note_of_stop(stopped_by, self._clock.now(), attempt.started if attempt else 0, reason)

    def _ended(
        self, run: DagRun, note: str, worked_on: TaskAttempt | None
    ) -> Steps[tuple[DagRun, TaskAttempt | None]]:
        """Wait until a run and its attempt have ended; return the run, and the attempt that was running.

        Airflow's scheduler may queue the attempt at the moment in which the run is
        stopped, and then start it in an ended run: it is stopped again. If none was
        running before, a second look is needed to be sure that none starts. A scheduler
        that has read the run before takes its skipped attempt for done, and sets the run
        successful: it is stopped again too.
        """
        deadline = self._clock.monotonic() + VERIFY_SECONDS
        looks = 1 if worked_on else 2
        while self._clock.monotonic() < deadline:
            now, attempt = self._gateway.get_run(run.dag_id, run.run_id), self._attempt(run)
            if now is None:
                raise RunNotFound(run.run_id)
            if _is_taken_for_done(now, attempt):
                self._order(run, note)
            elif now.finished and (attempt is None or attempt.ended):
                looks -= 1
                if looks <= 0:
                    return self._corrected(now, attempt), worked_on
            elif now.finished:
                worked_on = _running(attempt) or worked_on
                self._order(run, note)
            yield POLL_SECONDS
        raise AirflowUnreachable(
            "The run has not ended.",
            detail=f"Airflow was told to end '{run.run_id}', and {VERIFY_SECONDS:.0f} s later it is still running. "
            "Look at its page in Airflow.",
        )

    def _corrected(self, run: DagRun, attempt: TaskAttempt | None) -> DagRun:
        """Restore the state of a run that had succeeded just before it was stopped."""
        succeeded = attempt is not None and attempt.state == "success"
        if not succeeded or not is_killed(run):
            return run
        note = f"Completed before the stop took effect. {run.note}"[:MAX_NOTE_LENGTH]
        return self._gateway.set_run_state(run.dag_id, run.run_id, "success", note=note) or run


def _is_taken_for_done(run: DagRun, attempt: TaskAttempt | None) -> bool:
    return run.state == "success" and attempt is not None and attempt.state == "skipped"


def _running(attempt: TaskAttempt | None) -> TaskAttempt | None:
    return attempt if attempt is not None and attempt.state == "running" else None
