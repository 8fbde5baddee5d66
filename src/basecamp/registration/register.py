"""Register specs as manual (specification 16.1)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from basecamp.access.principal import Principal, Role
from basecamp.access.refusals import not_of_your_teams
from basecamp.datasets.catalog_cache import CatalogCache
from basecamp.datasets.spec_sql import SpecSql
from basecamp.datasets.submitted_specs import SubmittedSpec, as_file, check_rights, checked
from basecamp.datasets.takeovers import Takeovers
from basecamp.notifications.channels.sending import unconfigured
from basecamp.notifications.settings import NotificationSettings
from basecamp.registration.after_write import OVERRIDDEN_WARNING, WriteFollowUp, is_in_code
from basecamp.registration.entity_tags import is_one_of
from basecamp.registration.surroundings import Surroundings
from basecamp.registration.team_rights import TeamRights, seen_etag
from basecamp.shared.clock import Clock
from basecamp.shared.idempotency import KeyedRequest, Reservations
from basecamp.shared.request_facts import note_facts
from basecamp.shared.waiting import Steps
from dataspec.catalog.effective import Catalog
from dataspec.catalog.spec_storage import Release, manual_key, read_release, write_release
from dataspec.catalog.sql_map import SpecWriter
from dataspec.errors import (
    AirflowUnreachable,
    BreaksDependents,
    Conflict,
    DependencyCycle,
    ExistsInCode,
    Forbidden,
    InvalidSpec,
    NoUpstreamClock,
    ServerBusy,
    UnknownUpstream,
)
from dataspec.models import RegisteredDataset, SourceType, VersionAction
from dataspec.problems import Problem
from dataspec.spec.connection_teams import ConnectionTeams
from dataspec.spec.identity import check_name
from dataspec.spec.model import DatasetSpec
from dataspec.spec.yaml_reader import Document, read_document
from dataspec.store import Store, StoredObject
from dataspec.store.base import MISSING, etag_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """The result of a registration."""

    dataset: RegisteredDataset
    created: bool
    """Whether there was no manual spec of that name before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """The result of a check of a spec."""

    valid: bool
    name: str | None = None
    problems: list[dict[str, Any]] = field(default_factory=list)


class Registration:
    """Checks specs and stores them as manual."""

    def __init__(
        self,
        *,
        store: Store,
        specs: CatalogCache,
        connections: ConnectionTeams,
        rights: TeamRights,
        surroundings: Surroundings,
        follow_up: WriteFollowUp,
        clock: Clock,
        takeovers: Takeovers,
        sql: SpecSql,
        reservations: Reservations,
        notifications: NotificationSettings,
    ) -> None:
        self._notifications = notifications
        self._connections = connections
        self._rights = rights
        self._surroundings = surroundings
        self._reservations = reservations
        self._sql = sql
        self._takeovers = takeovers
        self._store = store
        self._specs = specs
        self._follow_up = follow_up
        self._clock = clock

    def validate(self, candidate: SubmittedSpec) -> Validation:
        """Check a spec as a registration does, and store nothing.

        The datasets around it are looked at for a caller who may register it. What a registration asks for consent to
        is a warning.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        try:
            spec = checked(candidate)
            self._sql.check_materialization(spec, as_file(spec, candidate))
        except InvalidSpec as error:
            return _refused(error.problems)
        document = read_document(candidate.yaml.encode(), candidate.file)
        if reason := self._connections.why_not(spec):
            return _refused([document.problem(("execution", "connection"), reason)])
        if (found := self._around(candidate, spec, document)) is None:
            return Validation(valid=True, name=spec.name)
        if found.severity == "error":
            return _refused([found])
        return Validation(valid=True, name=spec.name, problems=[found.to_json()])

    def _around(self, candidate: SubmittedSpec, spec: DatasetSpec, document: Document) -> Problem | None:
        """Return what is wrong with a spec among the datasets around it, at the key that says so."""
        catalog = self._specs.catalog()
        try:
            check_rights(candidate, spec, Role.EDITOR, self._connections)
            self._rights.check(candidate.caller, catalog, spec.name)
            self._surroundings.check_written(candidate.caller, catalog, spec, accepted=False)
        except (UnknownUpstream, DependencyCycle) as error:
            return document.problem(("depends_on",), error.title, hint=error.detail)
        except NoUpstreamClock as error:
            return document.problem(("schedule", "cron"), error.title, hint=error.detail)
        except BreaksDependents as error:
            problem = document.problem(("schedule",), error.title, hint=error.detail, at_key=True)
            return problem.as_warning()
        except Forbidden:  # other datasets are not told to a caller who may not register it
            return None
        return None

    def register(
        self,
        name: str,
        candidate: SubmittedSpec,
        *,
        action: VersionAction = "register",
        accept_override: bool = False,
        accept_dependents: bool = False,
        if_match: str | None = None,
        if_none_match: str | None = None,
        wait_seconds: float = 60.0,
        idempotency_key: str | None = None,
    ) -> Steps[Registered]:
        """Store a spec as manual, and wait until Airflow has loaded it.

        Args:
            name: The dataset.
            candidate: The spec.
            action: ``rollback`` for an earlier version.
            accept_override: Store it even if code has a spec of that name.
            accept_dependents: Store it even if other datasets would wait in vain.
            if_match: The ETags of which the manual spec must have one; ``*`` for any.
            if_none_match: The ETags of which it must have none; ``*`` to refuse if there is a manual spec.
            wait_seconds: How long Airflow may take to load it; 0 not to wait.
            idempotency_key: A second call with it writes nothing, even if the spec was replaced or removed since.

        Raises:
            InvalidName: When the name can't be a dataset's.
            InvalidSpec: With every problem; nothing is stored.
            Forbidden: When the caller is no editor of the spec's team or of a team that has the name, or the spec's
                connection is limited to other teams; nothing is stored.
            ExistsInCode: When code has a spec of that name, without ``accept_override``.
            UnknownUpstream, DependencyCycle, NoUpstreamClock: When it can never be built on time; nothing is stored.
            BreaksDependents: When other datasets would wait in vain, without ``accept_dependents``.
            TakenOver: When another DAG has that id; nothing is stored.
            Conflict: When someone else changed the manual spec meanwhile.
            NotLoaded: When Airflow has not loaded it in time. It is stored.
            Replaced: When another registration has replaced it while Airflow loaded it.
            StoreUnreachable: When the store does not answer.
        """
        content = [candidate.yaml, dict(candidate.files)]
        values = [action, name, content, accept_override, if_match, if_none_match, accept_dependents]
        act = partial(
            self._register,
            name,
            candidate,
            action=action,
            accept_override=accept_override,
            accept_dependents=accept_dependents,
            if_match=if_match,
            if_none_match=if_none_match,
            wait_seconds=wait_seconds,
        )
        return self._reservations.once_in_steps(idempotency_key, values, Registered, act)

    def _register(
        self,
        name: str,
        candidate: SubmittedSpec,
        keyed: KeyedRequest,
        *,
        action: VersionAction,
        accept_override: bool,
        accept_dependents: bool,
        if_match: str | None,
        if_none_match: str | None,
        wait_seconds: float,
    ) -> Steps[Registered]:
        spec = checked(candidate, name=check_name(name))
        check_rights(candidate, spec, Role.EDITOR, self._connections)
        if keyed.plan is None:
            self._sql.check_materialization(spec, as_file(spec, candidate))
        catalog = self._specs.catalog(fresh=True)
        self._rights.check(candidate.caller, catalog, name)
        in_code = is_in_code(catalog, name)
        if in_code and not accept_override:
            raise ExistsInCode
        self._check_dag(candidate.caller, catalog, name)
        if keyed.plan is None:
            self._surroundings.check_written(candidate.caller, catalog, spec, accepted=accept_dependents)
        release = Release(candidate.yaml.encode(), candidate.files)
        started_at = self._clock.now()
        before = catalog.get(name, SourceType.MANUAL)
        note_facts(spec_hash_before=before.spec_hash if before else None)
        seen = seen_etag(candidate.caller, catalog, manual_key(name))
        writer = SpecWriter(candidate.caller.name, action)
        etag, created = self._write(
            manual_key(name), release, keyed, if_match, if_none_match, seen=seen, writer=writer
        )
        note_facts(spec_hash_after=release.spec_hash)
        dataset = yield from self._follow_up.written(
            name,
            release,
            key=manual_key(name),
            etag=etag,
            since=started_at,
            wait_seconds=wait_seconds,
            waits=bool(spec.depends_on),
            overridden=OVERRIDDEN_WARNING if in_code else None,
        )
        lacking = unconfigured(spec.notifications.targets, self._notifications)
        silent = [f"Its messages can't be sent: {line}." for line in lacking]
        warnings = [*dataset.warnings, *self._sql_warnings(spec, candidate), *silent]
        return Registered(dataset=replace(dataset, warnings=warnings), created=created)

    def _check_dag(self, caller: Principal, catalog: Catalog, name: str) -> None:
        """Refuse a name that another DAG has, and a new one with runs of an unknown team.

        Raises:
            TakenOver: When another DAG has the name.
            Forbidden: When the caller's role is limited to teams, and Airflow knows the name.
            AirflowUnreachable: When that matters, and Airflow does not answer.
        """
        may_be_anyones = self._rights.is_new(catalog, name) and not caller.may_everywhere(Role.EDITOR)
        try:
            dag = self._takeovers.check(name)
        except AirflowUnreachable:
            if may_be_anyones:
                raise
            return  # the wait for the DAG reports it
        if may_be_anyones and dag is not None:
            raise not_of_your_teams(caller, Role.EDITOR, "dataset", name)

    def _write(
        self,
        key: str,
        release: Release,
        keyed: KeyedRequest,
        if_match: str | None,
        if_none_match: str | None,
        *,
        seen: str | None,
        writer: SpecWriter,
    ) -> tuple[str, bool]:
        """Write a spec; return its ETag, and whether there was none before.

        If ``seen`` is given, only the file with this ETag is replaced: the rights were checked for its team. A repeated
        request writes only what the first one found: what is byte for byte its own is written already.
        """
        if keyed.plan is None:
            current = self._store.get(key)
            expected = _expected(key, current, if_match, if_none_match)
            _check_seen(key, etag_of(current), seen)
            before = keyed.reserve({"etag": etag_of(current)}).text("etag")
        else:
            before = expected = keyed.plan.text("etag")
            stored = read_release(self._store, key, release.files)
            if stored is not None and stored.release == release:
                return stored.etag, before == MISSING
            if keyed.is_done:
                raise changed_meanwhile(key)
            _check_seen(key, before, seen)
        etag = write_release(
            self._store, key, release, if_match=seen or expected, writer=writer, now=self._clock.now
        )
        keyed.mark_done()
        return etag, before == MISSING

    def _sql_warnings(self, spec: DatasetSpec, candidate: SubmittedSpec) -> list[str]:
        """Return the warnings about a stored spec's SQL; none if the server is too busy to read it."""
        try:
            return self._sql.lineage(spec, as_file(spec, candidate)).warnings
        except ServerBusy:
            return []


def _refused(problems: Iterable[Problem]) -> Validation:
    return Validation(valid=False, problems=[problem.to_json() for problem in problems])


def _expected(
    key: str, current: StoredObject | None, if_match: str | None, if_none_match: str | None
) -> str | None:
    """Return the ETag that the write must find: what the conditions were checked on; None without one.

    Raises:
        Conflict: When a condition is not met.
    """
    etag = current.etag if current else None
    if if_match is not None and not is_one_of(if_match, etag):
        raise changed_meanwhile(key)
    if if_none_match is not None and is_one_of(if_none_match, etag, weak=True):
        raise Conflict(
            "This dataset is registered already.",
            detail=f"{key} has a version that If-None-Match excludes. Read it, then update it with If-Match.",
        )
    return None if if_match is None and if_none_match is None else etag_of(current)


def _check_seen(key: str, etag: str, seen: str | None) -> None:
    if seen is not None and etag != seen:
        raise changed_meanwhile(key)


def changed_meanwhile(key: str) -> Conflict:
    """Return the error for a manual spec that is not the one that the caller has seen."""
    return Conflict(
        "This dataset was changed by someone else meanwhile.",
        detail=f"{key} has changed since it was read. Read it again, then repeat the change.",
    )
