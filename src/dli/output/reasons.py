"""Say in plain lines why a partition is there or not (specification 32.24)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dli.output.times import local
from dli.output.waits import waits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dataspec.models import Explanation, PartitionReason, PartitionState, WaitingFor

MAX_NAMED = 3
"""Maximum number of partitions that one line names."""
MAX_STEPS = 5
"""Maximum number of commands that are named."""

_TEXTS: dict[PartitionState, str] = {
    "running": "its run {run_id} is running, since {at}",
    "pending": "its run {run_id} is pending: Airflow has not started it yet",
    "waiting": "its run {run_id} waits for {needs}",
    "failed": "its run {run_id} failed at {at}",
    "killed": "its run {run_id} was stopped{by} at {at}",
    "due": "its run was due at {due}, and Airflow has not created it yet",
    "not_due": "its run is not due before {due}",
    "paused": "the dataset is paused{by}{since}",
    "schedule_off": "the schedule is off",
    "no_schedule": "no scheduled run builds it",
    "passed_over": "the schedule has passed it over, as its run was due at {due} and {cause}",
    "before_registration": "its run was due at {due}, before the dataset was registered at {at}",
    "not_loaded": "Airflow has not loaded the dataset",
    "taken_over": "another DAG has the dataset's id",
    "refused": "its runs are refused",
    "invalid": "the spec can't be used",
}
"""What each state means; a reason or an error follows after a colon. Every time is in the user's time zone."""

_UNKNOWN_CAUSE = "did not start: the dataset was paused, or Airflow was down"


def described(found: Explanation) -> str:
    """Return an answer as lines: the partition, what it waits for, and the commands that help."""
    reasons = [found, *found.upstream]
    lines = [line for one in reasons for line in _lines(one)]
    explained = {one.name for one in found.upstream}
    others = [one for reason in reasons for one in reason.waiting_for if _is_unexplained(one)]
    lines += [one.text for one in others if one.name not in explained]
    steps = list(dict.fromkeys(step for one in reasons if (step := one.next_step)))
    lines += [f"Next: {step}" for step in steps[:MAX_STEPS]]
    return "\n".join(dict.fromkeys(lines))


def _is_unexplained(one: WaitingFor) -> bool:
    return one.state in {"hidden", "unregistered"}


def _lines(one: PartitionReason) -> Iterator[str]:
    if one.state == "built":
        by = f": its run {one.run_id} completed at {local(one.at)}" if one.run_id else ""
        yield f"{one.name} is built{by}."
    else:
        why = _TEXTS[one.state].format(
            run_id=one.run_id,
            at=local(one.at),
            due=local(one.due_at),
            cause=f"the dataset was paused by {one.by}" if one.by else _UNKNOWN_CAUSE,
            by=f" by {one.by}" if one.by else "",
            since=f" since {local(one.at)}" if one.at else "",
            needs=", ".join(waits(one.waiting_for, limit=MAX_NAMED, names=True)),
        )
        told = one.error or one.reason
        sentence = f"{one.name} is not built: {why}" + (f": {told}" if told else "")
        yield sentence if sentence.endswith((".", "!", "?")) else f"{sentence}."
    if one.note:
        yield f"{one.dataset_name}: {one.note}"
