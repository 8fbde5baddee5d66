"""Update and remove manual specs; specs in code are changed in Git alone (specification 16.5 to 16.9)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial

from basecamp.access.principal import Principal
from basecamp.airflow.models import DagRun
from basecamp.datasets.catalog_cache import CatalogCache, find_spec
from basecamp.registration.after_write import WriteFollowUp, is_in_code
from basecamp.registration.entity_tags import is_one_of
from basecamp.registration.register import changed_meanwhile
from basecamp.registration.surroundings import Surroundings
from basecamp.registration.team_rights import TeamRights
from basecamp.runs.records import RunRecords
from basecamp.runs.stop import RunStopper
from basecamp.shared.clock import Clock
from basecamp.shared.idempotency import KeyedRequest, RequestPlan, Reservations
from basecamp.shared.request_facts import note_facts
from basecamp.shared.waiting import Steps
from dataspec.catalog.effective import Catalog, SpecFile
from dataspec.catalog.spec_storage import (
    Release,
    StoredRelease,
    delete_release,
    manual_key,
    read_release,
    write_release,
)
from dataspec.catalog.sql_map import SpecWriter
from dataspec.errors import DatasetNotFound, InvalidUsage, ManagedByCode, RunsActive
from dataspec.models import RegisteredDataset, SourceType, UnregisteredDataset
from dataspec.spec.connection_teams import ConnectionTeams
from dataspec.spec.identity import check_name
from dataspec.spec.parse import parse_spec
from dataspec.spec.yaml_editor import ScheduleChanges, edit_schedule
from dataspec.store import Store

STAYS_OVERRIDDEN = "The Manual file was changed; it stays overridden by Code."
UNREGISTERED = "the dataset was unregistered"
CODE_GOES_ON = "The manual file was removed; the dataset keeps running from code."


class ManualSpecChanges:
    """Updates and unregisters manual specs."""

    def __init__(
        self,
        *,
        store: Store,
        specs: CatalogCache,
        connections: ConnectionTeams,
        rights: TeamRights,
        surroundings: Surroundings,
        follow_up: WriteFollowUp,
        stopper: RunStopper,
        reservations: Reservations,
        clock: Clock,
        records: RunRecords,
    ) -> None:
        self._connections = connections
        self._rights = rights
        self._surroundings = surroundings
        self._records = records
        self._store = store
        self._specs = specs
        self._follow_up = follow_up
        self._stopper = stopper
        self._reservations = reservations
        self._clock = clock

    def update(
        self,
        name: str,
        changes: ScheduleChanges,
        *,
        caller: Principal,
        source: SourceType | None = None,
        accept_dependents: bool = False,
        if_match: str | None = None,
        wait_seconds: float = 60.0,
        idempotency_key: str | None = None,
    ) -> Steps[RegisteredDataset]:
        """Change the schedule in a manual spec, and wait until Airflow has loaded it.

        Args:
            name: The dataset.
            changes: The fields to set; equal values are left as written.
            caller: Who requested it.
            source: ``manual`` for the kept file of a dataset that code has.
            accept_dependents: Change it even if other datasets would wait in vain.
            if_match: The ETags of which the manual spec must have one; ``*`` for any.
            wait_seconds: The longest wait for Airflow to load it; 0 not to wait.
            idempotency_key: A second call with it changes nothing, even if the spec was changed or removed since.

        Raises:
            InvalidUsage: When no change is given, or the YAML can't be changed in place.
            InvalidSpec: When the current spec or the result is invalid; nothing is stored.
            Forbidden: When the caller is no editor of a team that has the dataset, or the spec's connection is limited
                to other teams.
            NoUpstreamClock: When the new schedule follows upstream datasets without one.
            BreaksDependents: When other datasets would wait in vain, without ``accept_dependents``.
            ManagedByCode: When code has the dataset.
            DatasetNotFound: When there is no manual spec.
            Conflict: When someone else changed it meanwhile.
            NotLoaded: When Airflow has not loaded it in time. It is stored.
            Replaced: When another version was registered while Airflow loaded it.
            StoreUnreachable: When the store does not answer.
        """
        values = ["update", name, asdict(changes), source, if_match, accept_dependents]
        act = partial(
            self._update,
            name,
            changes,
            caller=caller,
            source=source,
            accept_dependents=accept_dependents,
            if_match=if_match,
            wait_seconds=wait_seconds,
        )
        return self._reservations.once_in_steps(idempotency_key, values, RegisteredDataset, act)

    def _update(
        self,
        name: str,
        changes: ScheduleChanges,
        keyed: KeyedRequest,
        *,
        caller: Principal,
        source: SourceType | None,
        accept_dependents: bool,
        if_match: str | None,
        wait_seconds: float,
    ) -> Steps[RegisteredDataset]:
        if not changes.values():
            raise InvalidUsage("Nothing to change was given.")
        catalog = self._specs.catalog(fresh=True)
        self._rights.check(caller, catalog, check_name(name))
        file = _manual_file(catalog, name, source)
        if file.spec is not None:
            self._connections.check(file.spec)
        stored = self._read(file, if_match if keyed.plan is None else None)
        text = stored.release.yaml.decode()
        release = Release(edit_schedule(text, changes, file=file.key).encode(), stored.release.files)
        if keyed.plan is None:
            spec = parse_spec(release.yaml, file=file.key)
            self._surroundings.check_written(caller, catalog, spec, accepted=accept_dependents)
        before = keyed.reserve({"etag": stored.etag}).text("etag")
        started_at = self._clock.now()
        note_facts(spec_hash_before=stored.release.spec_hash)
        etag = stored.etag
        if release != stored.release:
            if keyed.is_done:
                raise changed_meanwhile(file.key)
            etag = write_release(
                self._store,
                file.key,
                release,
                if_match=before,  # a repeated request changes only what the first one read
                files_if_match=stored.files_etag,
                writer=SpecWriter(caller.name, "update"),
                now=self._clock.now,
            )
            keyed.mark_done()
        note_facts(spec_hash_after=release.spec_hash)
        updated = yield from self._follow_up.written(
            name,
            release,
            key=file.key,
            etag=etag,
            since=started_at,
            wait_seconds=wait_seconds,
            waits=file.spec is not None and bool(file.spec.depends_on),
            overridden=STAYS_OVERRIDDEN if is_in_code(catalog, name) else None,
        )
        return updated

    def unregister(
        self,
        name: str,
        *,
        caller: Principal,
        source: SourceType | None = None,
        stop: bool = False,
        accept_active: bool = False,
        accept_dependents: bool = False,
        reason: str | None = None,
        if_match: str | None = None,
        idempotency_key: str | None = None,
    ) -> Steps[UnregisteredDataset]:
        """Remove a manual spec.

        Its DAG stays, unscheduled, until no run of it is active; its history stays.

        Args:
            name: The dataset.
            caller: Who requested it; the notes of stopped runs have the name.
            source: ``manual`` for the kept file of a dataset that code has.
            stop: Stop the active runs.
            accept_active: Let the active runs end by themselves.
            accept_dependents: Remove it even if other datasets depend on it.
            reason: Why, for the notes of stopped runs.
            if_match: The ETags of which the manual spec must have one; ``*`` for any.
            idempotency_key: A second call with it removes nothing, even if the dataset was registered again since.

        Raises:
            Forbidden: When the caller is no editor of a team that has the dataset.
            BreaksDependents: When other datasets depend on it, without ``accept_dependents``.
            RunsActive: When runs are active, and neither ``stop`` nor ``accept_active`` is given.
            ManagedByCode: When code has the dataset.
            DatasetNotFound: When there is no manual spec.
            Conflict: When someone else changed it meanwhile.
            AirflowUnreachable: When Airflow does not answer: active runs are unknown then.
            StoreUnreachable: When the store does not answer.
        """
        request = ["unregister", check_name(name), source]
        act = partial(
            self._unregister,
            name,
            caller=caller,
            source=source,
            stop=stop,
            accept_active=accept_active,
            accept_dependents=accept_dependents,
            reason=f"{UNREGISTERED}: {reason}" if reason else UNREGISTERED,
            if_match=if_match,
        )
        return self._reservations.once_in_steps(idempotency_key, request, UnregisteredDataset, act)

    def _unregister(
        self,
        name: str,
        keyed: KeyedRequest,
        *,
        caller: Principal,
        source: SourceType | None,
        stop: bool,
        accept_active: bool,
        accept_dependents: bool,
        reason: str,
        if_match: str | None,
    ) -> Steps[UnregisteredDataset]:
        if keyed.plan is not None and (keyed.is_done or self._is_removed(keyed.plan)):
            note_facts(repeated=True)
            return UnregisteredDataset(name=name, file=keyed.plan.text("file"))
        catalog = self._specs.catalog(fresh=True)
        self._rights.check(caller, catalog, name)
        key, etag = self._unregistered_file(catalog, name, source, if_match)
        before = catalog.get(name, SourceType.MANUAL)
        note_facts(spec_hash_before=before.spec_hash if before else None)
        plan = {"file": key, "etag": etag}
        if is_in_code(catalog, name):
            keyed.reserve(plan)
            yield from self._remove(name, key, etag, keyed)
            return UnregisteredDataset(
                name=name, file=key, effective_source=SourceType.CODE, warnings=[CODE_GOES_ON]
            )
        self._surroundings.check_removed(caller, catalog, name, accepted=accept_dependents)
        active = self._records.active([name])
        if active and not stop and not accept_active:
            raise RunsActive([run.run_id for run in active])
        yield from self._follow_up.about_to_remove(name, before, catalog.ledger)
        keyed.reserve(plan)
        stopped = (yield from self._stop(active, caller.name, reason)) if stop else []
        yield from self._remove(name, key, etag, keyed)
        if stop:  # runs that were started meanwhile
            stopped += yield from self._stop(self._records.active([name]), caller.name, reason)
        going_on = [] if stop else [run.run_id for run in active]
        return UnregisteredDataset(name=name, file=key, stopped_runs=stopped, active_runs=going_on)

    def _is_removed(self, plan: RequestPlan) -> bool:
        """Return whether the spec that the first request was going to remove is gone.

        Raises:
            Conflict: When another spec is there now: it may have replaced the first one, or come after its removal.
        """
        stored = self._store.get(plan.text("file"))
        if stored is not None and stored.etag != plan.text("etag"):
            raise changed_meanwhile(stored.key)
        return stored is None

    def _remove(self, name: str, key: str, etag: str, keyed: KeyedRequest) -> Steps[None]:
        delete_release(self._store, key, if_match=etag, now=self._clock.now)
        keyed.mark_done()
        yield from self._follow_up.removed(name)

    def _read(self, file: SpecFile, if_match: str | None) -> StoredRelease:
        """Return the file as it is now.

        Raises:
            Conflict: When it is not the version that the caller, or the catalog, has read.
        """
        stored = read_release(self._store, file.key, file.spec.files if file.spec else ())
        if stored is None or stored.etag != file.etag:
            raise changed_meanwhile(file.key)
        if if_match is not None and not is_one_of(if_match, stored.etag):
            raise changed_meanwhile(file.key)
        return stored

    def _unregistered_file(
        self, catalog: Catalog, name: str, source: SourceType | None, if_match: str | None
    ) -> tuple[str, str]:
        """Return the key and the ETag of a manual spec, valid or not."""
        _check_source(catalog, name, source)
        usable = catalog.get(name, SourceType.MANUAL)
        keys = {usable.key} if usable else {manual_key(name)}
        if usable is None:
            broken = (file for file in catalog.invalid if file.source is SourceType.MANUAL)
            keys |= {file.key for file in broken if file.name == name}
        file = next((file for file in catalog.files if file.key in keys), None)
        stored = self._store.get(file.key) if file else None
        if file is None or stored is None:
            raise _not_manual(catalog, name)
        if stored.etag != file.etag:  # the rights were checked for the team that it had
            raise changed_meanwhile(file.key)
        if if_match is not None and not is_one_of(if_match, stored.etag):
            raise changed_meanwhile(stored.key)
        return stored.key, stored.etag

    def _stop(self, runs: Sequence[DagRun], requested_by: str, reason: str) -> Steps[list[str]]:
        """Stop runs, the newest first: a queued run must not start when a running one ends."""
        for run in runs:
            yield from self._stopper.end(run, stopped_by=requested_by, reason=reason)
        return [run.run_id for run in runs]


def _manual_file(catalog: Catalog, name: str, source: SourceType | None) -> SpecFile:
    """Return the manual spec to change."""
    _check_source(catalog, check_name(name), source)
    file = catalog.get(name, SourceType.MANUAL)
    if file is None:
        file = find_spec(catalog, name, SourceType.MANUAL)
    broken = next((other for other in catalog.invalid if other.key == file.key), None)
    if broken is not None and broken.error is not None:
        raise broken.error
    return file


def _check_source(catalog: Catalog, name: str, source: SourceType | None) -> None:
    """Refuse a dataset of code, unless ``manual`` is requested."""
    if source is not SourceType.MANUAL and is_in_code(catalog, name):
        raise ManagedByCode
    if source is SourceType.CODE:
        find_spec(catalog, name, source)


def _not_manual(catalog: Catalog, name: str) -> DatasetNotFound:
    if is_in_code(catalog, name):
        return DatasetNotFound(name, hint="Not registered in manual; found in code.")
    try:
        find_spec(catalog, name, SourceType.MANUAL)
    except DatasetNotFound as error:
        return error
    return DatasetNotFound(name)
