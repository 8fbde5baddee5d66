"""What must be true of a world, whatever happened in it (docs/reliability.md)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import pairwise

from basecamp.airflow.models import DagRun
from basecamp.notifications.outbox import PREFIX as OUTBOX
from basecamp.notifications.run_watch import KEY as WATCH_KEY
from dataspec.contract import CONF_KEY
from dataspec.models import RunStatus, SourceType, WorkflowInfo
from dataspec.schedule.backfill_plan import BackfillPlan
from dataspec.store import StoredObject
from simulation.clients import NAMES, Request
from simulation.world import START, Change, World, sent

PLANS = "basecamp/backfills/"


class Model:
    """Checks the requests, the store's history and Airflow's runs against each other.

    Args:
        world: The world.
        requests: What clients asked for.
        seen: The datasets that each replica shows at the end.
    """

    def __init__(
        self, world: World, requests: Sequence[Request], seen: Sequence[Sequence[WorkflowInfo]]
    ) -> None:
        self._world = world
        self._requests = requests
        self._seen = seen
        self.checked: Counter[str] = Counter()

    def check(self) -> None:
        """Record every promise that is broken, once all faults and requests are over."""
        for check in (
            self._specs,
            self._removals,
            self._sources,
            self._runs,
            self._pauses,
            self._backfills,
            self._notifications,
            self._ends_of_runs,
        ):
            check()

    def _of(self, *kinds: str) -> Iterator[Request]:
        for asked in self._requests:
            if asked.kind in kinds:
                self.checked[f"{asked.kind} {asked.outcome}"] += 1
                yield asked

    def _fault(self, asked: Request, text: str) -> None:
        said = f" ({asked.error.title})" if asked.error else ""
        self._world.fault(f"{asked.number}, {asked.kind} of {asked.name}, {asked.outcome}{said}: {text}")

    def _specs(self) -> None:
        """Hold that an acknowledged spec was stored, and a refused one never was."""
        written = [change for change in self._world.store.history if change.key.startswith("manual/")]
        for asked in self._of("register"):
            body = asked.given["yaml"].encode()
            own = [change for change in written if change.key == f"manual/{asked.name}.yaml"]
            times = [
                after.at
                for before, after in zip([None, *own], own, strict=False)
                if _becomes(body, before, after)
            ]
            if any(at > (asked.answered_at or 0) for at in times[1:]) and asked.outcome == "done":
                self._fault(asked, f"its spec was stored again after its answer: {times}")
            if asked.outcome == "done" and not times:
                self._fault(asked, "its spec was never stored")
            if asked.outcome == "refused" and times:
                self._fault(asked, f"its spec was stored, at {times[0]:.3f} s")
        known = {asked.number for asked in self._of("register", "update", "unregister")}
        for change in written:
            if change.request not in known and change.body is not None and change.key.endswith(".yaml"):
                self._world.fault(f"{change.key} was written by nobody's request, at {change.at:.3f} s")

    def _removals(self) -> None:
        """Hold that a removal takes place once, however often it is sent."""
        removals = [change for change in self._world.store.history if change.body is None]
        for asked in self._of("unregister"):
            gone = [change for change in removals if change.key == f"manual/{asked.name}.yaml"]
            removed = [change for change in gone if change.request == asked.number]
            meanwhile = any(asked.began_at <= change.at <= (asked.answered_at or 0) for change in gone)
            if len(removed) > 1:
                self._fault(asked, f"it removed its dataset {len(removed)} times")
            if asked.outcome == "done" and not meanwhile:
                self._fault(asked, "it removed nothing")
            if asked.outcome == "refused" and removed:
                self._fault(asked, "it removed its dataset")

    def _sources(self) -> None:
        """Hold that code wins, that manual takes over again, and that each replica sees it."""
        stored = {info.key for info in self._world.store.list("")}
        for number, rows in enumerate(self._seen):
            shown = {row.dataset_name: row.source_type for row in rows if row.status != "overridden"}
            for name in NAMES:
                manual = SourceType.MANUAL if f"manual/{name}.yaml" in stored else None
                wanted = SourceType.CODE if f"code/{name}.yaml" in stored else manual
                self.checked["sources"] += 1
                if shown.get(name) is not wanted:
                    self._world.fault(f"{name} is {shown.get(name)} on replica {number}, not {wanted}")

    def _runs(self) -> None:
        """Hold that each acknowledged run exists once, and that no request made two."""
        by_key = defaultdict(list)
        for run in self._world.runs():
            own = run.conf.get(CONF_KEY, {})
            by_key[own.get("idempotency_key")].append(run)
        for asked in self._of("run"):
            made = by_key[asked.number]
            if len(made) > 1:
                self._fault(asked, f"it made {[run.run_id for run in made]}")
            if asked.outcome == "done" and [run.run_id for run in made] != [asked.answer.run_id]:
                self._fault(asked, f"Airflow has {[run.run_id for run in made]}, not {asked.answer.run_id}")
            if asked.outcome == "refused" and made:
                self._fault(asked, f"it made {made[0].run_id}")

    def _pauses(self) -> None:
        """Hold that an acknowledged pause was set by its request, and a refused one was not."""
        for asked in self._of("pause", "unpause"):
            wanted = asked.kind == "pause"
            set_to = {paused for _, _, paused, number in self._world.paused if number == asked.number}
            if set_to - {wanted} or (asked.outcome == "done" and not set_to):
                self._fault(asked, f"it set the pause to {sorted(set_to)}")
            if asked.outcome == "refused" and set_to:
                self._fault(asked, "it changed the pause")

    def _backfills(self) -> None:
        """Hold that a backfill builds each of its dates once and in order, and comes to an end."""
        plans = self._plans()
        by_key = {plan.idempotency_key: plan for plan in plans.values()}
        for asked in self._of("backfill"):
            plan = by_key.get(asked.number)
            if asked.outcome == "done" and plan is None:
                self._fault(asked, "its plan was never stored")
            if asked.outcome == "refused" and plan is not None:
                self._fault(asked, f"its plan was stored as {plan.backfill_id}")
        runs = defaultdict(list)
        for run in self._world.runs():
            runs[run.conf.get(CONF_KEY, {}).get("backfill_id")].append(run)
        for plan in plans.values():
            self._backfill(plan, runs[plan.backfill_id])

    def _plans(self) -> dict[str, BackfillPlan]:
        """Return the last state of every plan that was ever stored."""
        plans: dict[str, BackfillPlan] = {}
        for change in self._world.store.history:
            if change.key.startswith(PLANS) and change.body is not None:
                plan = BackfillPlan.read(StoredObject(change.key, "", change.body))
                known = plans.get(plan.backfill_id)
                if known is None or known.outcome is None:
                    plans[plan.backfill_id] = plan
        return plans

    def _backfill(self, plan: BackfillPlan, runs: list[DagRun]) -> None:
        self.checked[f"backfills {plan.outcome.status if plan.outcome else 'without end'}"] += 1
        name = plan.backfill_id
        dates = [run.run_id.rpartition("__")[2] for run in runs]
        made = [run.conf.get("execution_date") for run in runs]
        if len(set(dates)) < len(dates):
            self._world.fault(f"{name} made two runs of a date: {dates}")
        if made != list(plan.dates[: len(made)]):
            self._world.fault(f"{name} built {made}, of {list(plan.dates)}")
        if plan.outcome is None:
            self._world.fault(f"{name} has not ended; it is at {plan.date}, its runs: {_states(runs)}")
        elif plan.outcome.status is RunStatus.COMPLETED and len(made) < len(plan.dates):
            self._world.fault(f"{name} is completed and built {made}, of {list(plan.dates)}")
        elif plan.outcome.status is RunStatus.COMPLETED and any(_has_failed(run) for run in runs):
            self._world.fault(f"{name} is completed, with {_states(runs)}")
        for before, after in pairwise(runs):
            if _overlap(before, after):
                self._world.fault(f"{after.run_id} began before {before.run_id} had ended")

    def _notifications(self) -> None:
        """Hold that no notification is lost; that one arrives twice needs a failure in between."""
        for info in self._world.store.list(OUTBOX):
            identifier = info.key.removeprefix(OUTBOX).removesuffix(".json")
            self.checked["notifications"] += 1
            if not sent(self._world.store, info.key):
                self._world.fault(f"the notification {identifier} was not delivered")
            elif not self._world.inbox.arrived.get(identifier):
                self._world.fault(f"the notification {identifier} is marked as sent and never arrived")

    def _ends_of_runs(self) -> None:
        """Hold that the last end of each failed run was announced, since the runs are watched."""
        positions = [change for change in self._world.store.history if change.key == WATCH_KEY]
        if not positions or positions[-1].body is None:
            return
        paused = [number for number, change in enumerate(positions) if change.body is None]
        begun = positions[paused[-1] + 1 if paused else 0]
        watched_from = START + timedelta(seconds=begun.at)
        for run in self._world.runs("failed"):
            attempt = self._world.airflow.attempts([run])[0]
            if run.end_date is None or run.end_date <= watched_from or attempt.state == "success":
                continue  # the last: a stop that arrived after the run had succeeded, and been seen to
            self.checked["ends of runs"] += 1
            if not any(run.run_id in subject for subject in self._world.inbox.subjects):
                self._world.fault(f"the end of {run.run_id} at {run.end_date:%H:%M:%S} was not announced")


def _becomes(body: bytes, before: Change | None, after: Change) -> bool:
    return after.body == body and (before is None or before.body != body)


def _states(runs: list[DagRun]) -> dict[str, str]:
    return {run.run_id: run.state for run in runs}


def _has_failed(run: DagRun) -> bool:
    return run.state != "success" and not _is_retried_or_stopped(run)


def _is_retried_or_stopped(run: DagRun) -> bool:
    return run.note is not None


def _overlap(before: DagRun, after: DagRun) -> bool:
    began, ended = after.queued_at, before.end_date
    return began is not None and ended is not None and began < ended and not _is_retried_or_stopped(before)
