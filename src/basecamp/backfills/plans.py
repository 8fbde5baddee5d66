"""Plans of backfills in the store: one active plan for each dataset, and the ended ones."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from dataspec.errors import InternalError, InvalidName
from dataspec.schedule.backfill_plan import BackfillPlan
from dataspec.schedule.run_ids import parse_run_id
from dataspec.spec.identity import check_name
from dataspec.store import Store, StoredObject
from dataspec.store.base import MISSING, age_of, try_delete, try_put, usable

PREFIX = "basecamp/backfills/"
ACTIVE_PREFIX = f"{PREFIX}active/"
ENDED_PREFIX = f"{PREFIX}ended/"


@dataclass(frozen=True, slots=True)
class StoredPlan:
    """A plan as read from the store, with the ETag for a conditional write."""

    plan: BackfillPlan
    etag: str


class PlanStore:
    """Reads and writes plans. Every method raises StoreUnreachable when the store does not answer."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, tuple[StoredObject, StoredPlan]] = {}

    def create(self, plan: BackfillPlan) -> StoredPlan | None:
        """Write a new plan; None if its dataset has one already."""
        return self._write(plan, expected=MISSING)

    def active(self, dataset: str) -> StoredPlan | None:
        """Return a dataset's active plan; one with an outcome is not moved to the ended ones yet.

        Raises:
            InternalError: When it can't be read.
        """
        known = self._known.get(dataset)
        stored = self._store.get(_active_key(dataset), known=known[0] if known else None)
        if stored is None:
            self._known.pop(dataset, None)
            return None
        if known is not None and stored is known[0]:
            return known[1]
        held = StoredPlan(BackfillPlan.read(stored.body), stored.etag)
        self._known[dataset] = stored, held
        return held

    def age(self, dataset: str) -> timedelta:
        """Return for how long a dataset's active plan has been as it is, by the store's clock."""
        return age_of(self._store, _active_key(dataset))

    def is_active_id(self, dataset: str, run_id: str) -> bool:
        """Return whether an id is that of the dataset's active backfill, which no run may have."""
        try:
            held = self.active(dataset)
        except InternalError:
            return False  # a plan of a later version of Basecamp does not prevent runs
        return held is not None and held.plan.backfill_id == run_id

    def change(self, held: StoredPlan, plan: BackfillPlan) -> StoredPlan | None:
        """Replace a plan; None if it has changed since it was read."""
        return self._write(plan, expected=held.etag)

    def _write(self, plan: BackfillPlan, *, expected: str) -> StoredPlan | None:
        etag = try_put(self._store, _active_key(plan.dataset), plan.body(), expected=expected)
        return None if etag is None else StoredPlan(plan, etag)

    def put_away(self, held: StoredPlan) -> None:
        """Move a plan with an outcome to the ended ones."""
        plan = held.plan
        # Any replica may have done either already: an outcome is set once.
        try_put(self._store, _ended_key(plan.dataset, plan.backfill_id), plan.body(), expected=MISSING)
        try_delete(self._store, _active_key(plan.dataset), expected=held.etag)

    def ended(self, dataset: str, backfill_id: str) -> BackfillPlan | None:
        """Return the plan of a backfill that has ended."""
        stored = self._store.get(_ended_key(dataset, backfill_id))
        return BackfillPlan.read(stored.body) if stored else None

    def find(self, backfill_id: str) -> BackfillPlan | None:
        """Return a backfill's plan, whether it has ended or not."""
        parsed = parse_run_id(backfill_id)
        if parsed is None or parsed.backfill_date or not _is_name(parsed.dataset):
            return None
        # In this order: a plan is among the ended ones before it leaves the active ones.
        held = self.active(parsed.dataset)
        if held is not None and held.plan.backfill_id == backfill_id:
            return held.plan
        return self.ended(parsed.dataset, backfill_id)

    def active_datasets(self) -> list[str]:
        """Return the datasets that have an active plan, in the order of their names."""
        listed = usable(self._store.list(ACTIVE_PREFIX))
        names = [info.key.removeprefix(ACTIVE_PREFIX).removesuffix(".json") for info in listed]
        return [name for name in names if _is_name(name)]  # other programs may write other keys

    def ended_ids(self, dataset: str | None = None) -> list[str]:
        """Return the ids of the backfills that have ended, of one dataset or of all."""
        prefix = f"{ENDED_PREFIX}{dataset}/" if dataset else ENDED_PREFIX
        listed = usable(self._store.list(prefix))
        return [info.key.rpartition("/")[2].removesuffix(".json") for info in listed]

    def read_ended(self, backfill_ids: Iterable[str]) -> list[BackfillPlan]:
        """Return ended plans in the same order, read in parallel."""
        parsed = {backfill_id: parse_run_id(backfill_id) for backfill_id in backfill_ids}
        keys = {name: _ended_key(run.dataset, name) for name, run in parsed.items() if run is not None}
        stored = self._store.get_many(keys.values())
        return [BackfillPlan.read(stored[key].body) for key in keys.values() if key in stored]


def _is_name(text: str) -> bool:
    try:
        check_name(text)
    except InvalidName:
        return False
    return True


def _active_key(dataset: str) -> str:
    return f"{ACTIVE_PREFIX}{dataset}.json"


def _ended_key(dataset: str, backfill_id: str) -> str:
    return f"{ENDED_PREFIX}{dataset}/{backfill_id}.json"
