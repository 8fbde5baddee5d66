"""Plans of backfills in the store: one active plan for each dataset, and the ended ones."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import NamedTuple

from basecamp.shared.object_reader import QUARANTINE_PREFIX, ObjectReader
from dataspec.errors import CorruptObject, InvalidName, UnreadableObject
from dataspec.schedule.backfill_plan import BackfillPlan
from dataspec.schedule.run_ids import parse_run_id
from dataspec.spec.identity import check_name
from dataspec.store import Store, StoredObject
from dataspec.store.base import MISSING, age_of, try_delete, try_put, usable
from dataspec.stored_document import StoredDocument

PREFIX = "basecamp/backfills/"
ACTIVE_PREFIX = f"{PREFIX}active/"
ENDED_PREFIX = f"{PREFIX}ended/"
HELD_PREFIX = f"{PREFIX}held/"
CHAINS_PREFIX = f"{PREFIX}chains/"
"""The ended chains of each dataset that is not the one whose plan it is."""


class _Claim(StoredDocument):
    """The claim of a backfill to a dataset other than the one whose plan it is; void unless that plan is active.

    An ended chain leaves one under each of these datasets, so that their lists have it.
    """

    backfill_id: str


@dataclass(frozen=True, slots=True)
class StoredPlan:
    """A plan as read from the store, with the ETag for a conditional write."""

    plan: BackfillPlan
    etag: str


@dataclass(frozen=True, slots=True)
class ReadPlans:
    """The plans that could be read, and a warning for each of the others."""

    plans: tuple[BackfillPlan, ...]
    warnings: tuple[str, ...] = ()


class Taken(NamedTuple):
    """A dataset that an active backfill builds."""

    dataset: str
    backfill_id: str


class PlanStore:
    """Reads and writes plans. Every method raises StoreUnreachable when the store does not answer.

    Args:
        store: The store.
        objects: Notes the plans that this replica can't read.
    """

    def __init__(self, store: Store, objects: ObjectReader) -> None:
        self._store = store
        self._objects = objects
        self._known: dict[str, tuple[StoredObject, StoredPlan]] = {}

    def create(self, plan: BackfillPlan) -> StoredPlan | None:
        """Write a new plan; None if its dataset has one already."""
        return self._write(plan, expected=MISSING)

    def active(self, dataset: str) -> StoredPlan | None:
        """Return a dataset's active plan; one with an outcome is not moved to the ended ones yet.

        Raises:
            NewerFormat: When a newer version of Basecamp wrote it.
            CorruptObject: When it is damaged.
        """
        known = self._known.get(dataset)
        stored = self._store.get(_active_key(dataset), known=known[0] if known else None)
        if stored is None:
            self._known.pop(dataset, None)
            return None
        if known is not None and stored is known[0]:
            return known[1]
        held = StoredPlan(self._objects.read(_plan_of, stored), stored.etag)
        self._known[dataset] = stored, held
        return held

    def age(self, dataset: str) -> timedelta:
        """Return for how long a dataset's active plan has been as it is, by the store's clock."""
        return age_of(self._store, _active_key(dataset))

    def active_or_free(self, dataset: str) -> StoredPlan | None:
        """Return a dataset's active plan; a damaged one is moved to the quarantine first, and makes room.

        Raises:
            NewerFormat: When a newer version of Basecamp wrote it.
        """
        try:
            return self.active(dataset)
        except CorruptObject:
            stored = self._store.get(_active_key(dataset))
            if stored is None or self._objects.read_or_remove(_plan_of, stored) is None:
                return None
            return self.active(dataset)

    def is_active_id(self, dataset: str, run_id: str) -> bool:
        """Return whether an id is that of the dataset's active backfill, which no run may have."""
        try:
            held = self.active(dataset)
        except UnreadableObject:
            return False  # a plan that can't be read does not prevent runs
        return held is not None and held.plan.backfill_id == run_id

    def change(self, held: StoredPlan, plan: BackfillPlan) -> StoredPlan | None:
        """Replace a plan; None if it has changed since it was read."""
        return self._write(plan, expected=held.etag)

    def _write(self, plan: BackfillPlan, *, expected: str) -> StoredPlan | None:
        key, body = _active_key(plan.dataset), plan.body()
        etag = try_put(self._store, key, body, expected=expected)
        if etag is None:
            return None
        written = StoredPlan(plan, etag)
        self._known[plan.dataset] = StoredObject(key, etag, body), written
        return written

    def put_away(self, held: StoredPlan) -> None:
        """Move a plan with an outcome to the ended ones."""
        plan = held.plan
        # Any replica may have done either already: an outcome is set once.
        ended_key = _ended_key(plan.dataset, plan.backfill_id)
        while try_put(self._store, ended_key, plan.body(), expected=MISSING) is None:
            if self.ended(plan.dataset, plan.backfill_id) is not None:
                break
        claim = _Claim(backfill_id=plan.backfill_id).body()
        for dataset in plan.datasets:
            if dataset != plan.dataset:
                try_put(self._store, _chain_key(dataset, plan.backfill_id), claim, expected=MISSING)
        self._release(plan)
        try_delete(self._store, _active_key(plan.dataset), expected=held.etag)

    def admit(self, held: StoredPlan) -> Taken | None:
        """Claim the datasets of a plan; remove it if another active backfill has one of them.

        The plan and its claims are written before those of others are read, so of two backfills with a dataset in
        common at most one is admitted.

        Returns:
            What the other backfill has; None if the plan may begin, or has changed meanwhile.
        """
        plan = held.plan
        for dataset in plan.datasets:
            other = self._other(dataset, plan)
            if other is not None:
                return Taken(dataset, other.backfill_id) if self._remove(held) else None
        self.change(held, plan.changed(is_admitted=True))
        return None

    def _other(self, dataset: str, plan: BackfillPlan) -> BackfillPlan | None:
        """Return another active plan that builds a dataset; claim the dataset for a plan if there is none."""
        claim = _Claim(backfill_id=plan.backfill_id).body()
        while True:
            is_mine = dataset == plan.dataset or try_put(
                self._store, _held_key(dataset), claim, expected=MISSING
            )
            active = None if dataset == plan.dataset else self.active_or_free(dataset)
            others = [one for one in (self._claimant(dataset), active) if one]
            if ended := next((one for one in others if one.plan.outcome), None):
                self.put_away(ended)
                continue
            ids = {one.plan.backfill_id: one.plan for one in others}
            mine = ids.pop(plan.backfill_id, None)
            if ids or is_mine or mine:
                return next(iter(ids.values()), None)

    def _claimant(self, dataset: str) -> StoredPlan | None:
        """Return the active plan with a claim to a dataset; remove a claim whose plan is not active."""
        stored = self._store.get(_held_key(dataset))
        claim = self._objects.read_or_remove(_Claim.read, stored) if stored else None
        if stored is None or claim is None:
            return None
        parsed = parse_run_id(claim.backfill_id)
        held = self.active_or_free(parsed.dataset) if parsed and _is_name(parsed.dataset) else None
        if held is not None and held.plan.backfill_id == claim.backfill_id:
            return held
        try_delete(self._store, stored.key, expected=stored.etag)
        return None

    def _remove(self, held: StoredPlan) -> bool:
        """Remove a plan that is not admitted, then its claims; return whether it was unchanged.

        In this order: another server that admits the plan meanwhile must keep its claims.
        """
        is_removed = try_delete(self._store, _active_key(held.plan.dataset), expected=held.etag)
        if is_removed:
            self._release(held.plan)
        return is_removed

    def _release(self, plan: BackfillPlan) -> None:
        """Remove the claims of a plan."""
        for dataset in plan.datasets:
            stored = self._store.get(_held_key(dataset)) if dataset != plan.dataset else None
            claim = self._objects.read_or_remove(_Claim.read, stored) if stored else None
            if stored and claim and claim.backfill_id == plan.backfill_id:
                try_delete(self._store, stored.key, expected=stored.etag)

    def discard_if_id_is_used(self, held: StoredPlan) -> bool:
        """Remove an active plan that has not begun if an ended backfill has its id; return whether it has.

        Two backfills of one second may find the same id free. The later one then takes another id.
        """
        plan = held.plan
        if self._store.get(_ended_key(plan.dataset, plan.backfill_id)) is None:
            return False
        try_delete(self._store, _active_key(plan.dataset), expected=held.etag)
        return True

    def ended(self, dataset: str, backfill_id: str) -> BackfillPlan | None:
        """Return the plan of a backfill that has ended; a damaged one is moved to the quarantine.

        Raises:
            NewerFormat: When a newer version of Basecamp wrote it.
        """
        stored = self._store.get(_ended_key(dataset, backfill_id))
        return self._objects.read_or_remove(_plan_of, stored) if stored else None

    def find(self, backfill_id: str) -> BackfillPlan | None:
        """Return a backfill's plan, whether it has ended or not.

        Raises:
            NewerFormat, CorruptObject: When the dataset's active plan can't be read, and may be this one.
        """
        parsed = parse_run_id(backfill_id)
        if parsed is None or parsed.backfill_partition or not _is_name(parsed.dataset):
            return None
        # In this order: a plan is among the ended ones before it leaves the active ones.
        try:
            held = self.active(parsed.dataset)
        except UnreadableObject:
            if (ended := self.ended(parsed.dataset, backfill_id)) is None:
                raise
            return ended
        if held is not None and held.plan.backfill_id == backfill_id:
            return held.plan
        return self.ended(parsed.dataset, backfill_id)

    def all_active(self, datasets: Iterable[str]) -> ReadPlans:
        """Return the active plans of some datasets; one that can't be read costs no other."""
        plans, warnings = [], []
        for name in datasets:
            try:
                held = self.active(name)
            except UnreadableObject as error:
                warnings.append(f"{error.title} The backfill of {name} is not shown.")
            else:
                plans += [held.plan] if held else []
        return ReadPlans(tuple(plans), tuple(warnings))

    def active_with(self, dataset: str) -> ReadPlans:
        """Return the active plans that build a dataset: its own, and the chain that has claimed it."""
        stored = self._store.get(_held_key(dataset))
        claim = self._objects.read_or_remove(_Claim.read, stored) if stored else None
        parsed = parse_run_id(claim.backfill_id) if claim else None
        roots = [dataset, parsed.dataset] if parsed and _is_name(parsed.dataset) else [dataset]
        found = self.all_active(roots)
        return replace(found, plans=tuple(plan for plan in found.plans if dataset in plan.datasets))

    def lost(self, dataset: str | None, permitted: Container[str]) -> tuple[str, ...]:
        """Return a warning for each damaged plan in the quarantine, of one dataset or of all permitted ones."""
        prefixes = (f"{ACTIVE_PREFIX}{dataset}.json/", f"{ENDED_PREFIX}{dataset}/") if dataset else (PREFIX,)
        return tuple(_lost(copy) for copy in self._copies(*prefixes) if _dataset_of_copy(copy) in permitted)

    def lost_plan(self, backfill_id: str) -> str | None:
        """Return the warning of a damaged plan that may be that of a backfill."""
        parsed = parse_run_id(backfill_id)
        if parsed is None or not _is_name(parsed.dataset):
            return None
        keys = _ended_key(parsed.dataset, backfill_id), _active_key(parsed.dataset)
        return next((_lost(copy) for copy in self._copies(*(f"{key}/" for key in keys))), None)

    def _copies(self, *prefixes: str) -> list[str]:
        """Return the keys of damaged plans in the quarantine."""
        return [copy for prefix in prefixes for copy in self._objects.quarantined(prefix)]

    def active_datasets(self) -> list[str]:
        """Return the datasets that have an active plan, in the order of their names."""
        listed = usable(self._store.list(ACTIVE_PREFIX))
        names = [info.key.removeprefix(ACTIVE_PREFIX).removesuffix(".json") for info in listed]
        return [name for name in names if _is_name(name)]  # other programs may write other keys

    def ended_ids(self, dataset: str | None = None) -> list[str]:
        """Return the ids of the backfills that have ended, of one dataset or of all."""
        return self._ids(f"{ENDED_PREFIX}{dataset}/" if dataset else ENDED_PREFIX)

    def ended_ids_with(self, dataset: str) -> list[str]:
        """Return the ids of the backfills that have ended and built a dataset: its own, and chains of others."""
        return [*self.ended_ids(dataset), *self._ids(f"{CHAINS_PREFIX}{dataset}/")]

    def _ids(self, prefix: str) -> list[str]:
        return [
            info.key.rpartition("/")[2].removesuffix(".json") for info in usable(self._store.list(prefix))
        ]

    def read_ended(self, backfill_ids: Iterable[str]) -> ReadPlans:
        """Return ended plans in the same order, read in parallel; one that can't be read costs no other."""
        parsed = {backfill_id: parse_run_id(backfill_id) for backfill_id in backfill_ids}
        keys = [_ended_key(run.dataset, name) for name, run in parsed.items() if run is not None]
        found = self._store.get_many(keys)
        plans: list[BackfillPlan] = []
        warnings = [f"'{key}' can't be read: {reason}." for key, reason in found.unreadable.items()]
        for stored in (found[key] for key in keys if key in found):
            try:
                plan = self._objects.read_or_remove(_plan_of, stored)
            except UnreadableObject as error:
                warnings.append(f"{error.title} The backfill is not shown.")
            else:
                plans += [plan] if plan else []
        return ReadPlans(tuple(plans), tuple(warnings))


def _plan_of(stored: StoredObject) -> BackfillPlan:
    """Parse a plan, which must be one of the dataset in its key: a step writes to the key of the plan's dataset."""
    plan = BackfillPlan.read(stored)
    parsed = parse_run_id(plan.backfill_id)
    if parsed is None or parsed.dataset != plan.dataset:
        raise CorruptObject(stored.key, "its id is not one of its dataset")
    if stored.key not in {_active_key(plan.dataset), _ended_key(plan.dataset, plan.backfill_id)}:
        raise CorruptObject(stored.key, "it is the plan of another backfill")
    return plan


def _dataset_of_copy(copy: str) -> str:
    """Return the dataset of a plan in the quarantine, by its key."""
    key = copy.removeprefix(QUARANTINE_PREFIX).rpartition("/")[0]
    return key.removeprefix(ACTIVE_PREFIX).removeprefix(ENDED_PREFIX).removesuffix(".json").partition("/")[0]


def _lost(copy: str) -> str:
    """Return the warning of a plan in the quarantine."""
    key = copy.removeprefix(QUARANTINE_PREFIX).rpartition("/")[0]
    return (
        f"The plan of a backfill, '{key}', could not be read and was moved to '{copy}'. "
        "Dates that it had not built are not built: see the dataset's runs, backfill what is missing, and remove that object."
    )


def _is_name(text: str) -> bool:
    try:
        check_name(text)
    except InvalidName:
        return False
    return True


def _held_key(dataset: str) -> str:
    return f"{HELD_PREFIX}{dataset}.json"


def _active_key(dataset: str) -> str:
    return f"{ACTIVE_PREFIX}{dataset}.json"


def _ended_key(dataset: str, backfill_id: str) -> str:
    return f"{ENDED_PREFIX}{dataset}/{backfill_id}.json"


def _chain_key(dataset: str, backfill_id: str) -> str:
    return f"{CHAINS_PREFIX}{dataset}/{backfill_id}.json"
