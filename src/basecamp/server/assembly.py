"""Puts the services together around a store and an Airflow."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from basecamp.airflow.gateway import AirflowGateway
from basecamp.backfills.assembly import assemble_backfills
from basecamp.backfills.backfills import Backfills
from basecamp.datasets.catalog_cache import CatalogCache
from basecamp.datasets.connection_dialects import ConnectionDialects
from basecamp.datasets.dag_cache import DagCache
from basecamp.datasets.dag_readiness import DagReadiness
from basecamp.datasets.dataset_names import DatasetNames
from basecamp.datasets.registered_specs import RegisteredSpecs
from basecamp.datasets.spec_sql import SpecSql
from basecamp.datasets.takeovers import Takeovers
from basecamp.datasets.versions import VersionsInUse
from basecamp.monitoring.readiness import ReadinessChecks
from basecamp.notifications.assembly import Notifications, assemble_notifications
from basecamp.notifications.configuration import NotificationSettings
from basecamp.registration.after_write import WriteFollowUp
from basecamp.registration.changes import ManualSpecChanges
from basecamp.registration.register import Registration
from basecamp.runs.failure_reasons import FailureReasons
from basecamp.runs.history import RunHistory
from basecamp.runs.logs import RunLogs
from basecamp.runs.lookup import RunLookup
from basecamp.runs.records import RunRecords
from basecamp.runs.retry import RunRetrier
from basecamp.runs.runs import Runs
from basecamp.runs.start import RunStarter
from basecamp.runs.stop import RunStopper
from basecamp.services import Services
from basecamp.shared.clock import Clock
from basecamp.shared.idempotency import Reservations
from basecamp.shared.lease import Lease
from basecamp.sync.check import PeriodicCheck
from basecamp.sync.ledger_update import LedgerUpdater
from basecamp.sync.notices import SourceChangeNotices
from basecamp.workflows.pauses import Pauses
from basecamp.workflows.rows import Workflows
from dataspec.catalog.cache import MemorySpecCache
from dataspec.catalog.reader import CatalogReader
from dataspec.catalog.version_archive import KeptVersions
from dataspec.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ground:
    """What several services stand on."""

    store: Store
    gateway: AirflowGateway
    clock: Clock
    specs: CatalogCache
    dags: DagCache
    reservations: Reservations
    sql: SpecSql
    records: RunRecords
    logs: RunLogs
    stopping: RunStopper
    takeovers: Takeovers
    workflows: Workflows
    versions: KeptVersions
    owner: str
    """Names this replica among all."""


def assemble(
    store: Store,
    gateway: AirflowGateway,
    clock: Clock,
    *,
    airflow_public_url: str | None = None,
    sync_interval_seconds: float = 300,
    notifications: NotificationSettings | None = None,
    dialects: Mapping[str, str] | None = None,
) -> Services:
    """Return the services.

    Args:
        store: Where the specs are.
        gateway: The Airflow that runs them.
        clock: The time.
        airflow_public_url: Where people see Airflow's page; the gateway's address if not given.
        sync_interval_seconds: How often the store is looked at when nobody asks.
        notifications: What the channels need; nothing if not given.
        dialects: The SQL dialects of connections that Airflow does not show, by the connection's name.
    """
    specs, dags = CatalogCache(CatalogReader(store, MemorySpecCache()), clock), DagCache(gateway, clock)
    takeovers = Takeovers(store, gateway, specs, dags, clock)
    ground = _Ground(
        store=store,
        gateway=gateway,
        clock=clock,
        specs=specs,
        dags=dags,
        reservations=Reservations(store, clock),
        sql=SpecSql(ConnectionDialects(gateway, clock, named=dialects)),
        records=RunRecords(gateway, airflow_public_url or gateway.url, clock, takeovers),
        logs=RunLogs(gateway, clock),
        stopping=RunStopper(gateway, clock),
        takeovers=takeovers,
        workflows=Workflows(specs, dags, gateway, clock, takeovers),
        versions=KeptVersions(store),
        owner=uuid.uuid4().hex,
    )
    return _services(ground, notifications or NotificationSettings(), sync_interval_seconds)


def _services(ground: _Ground, settings: NotificationSettings, sync_interval_seconds: float) -> Services:
    store, gateway, clock, specs = ground.store, ground.gateway, ground.clock, ground.specs
    told, backfills = _notifications(ground, settings), _backfills(ground)
    announcer = SourceChangeNotices(store, ground.versions, told.outbox, clock)
    sources = LedgerUpdater(store, specs, ground.versions, gateway, announcer, clock, records=ground.records)
    loading = DagReadiness(gateway, ground.dags, clock)
    settling = WriteFollowUp(sources, loading)
    lease = Lease(store, "check", ground.owner, clock)
    return Services(
        workflows=ground.workflows,
        runs=_runs(ground, backfills),
        registration=Registration(
            store=store,
            specs=specs,
            settling=settling,
            clock=clock,
            takeovers=ground.takeovers,
        ),
        registered_specs=RegisteredSpecs(specs, loading, ground.sql),
        changing=ManualSpecChanges(
            store=store,
            specs=specs,
            settling=settling,
            gateway=gateway,
            stopping=ground.stopping,
            reservations=ground.reservations,
            clock=clock,
            records=ground.records,
        ),
        versions=VersionsInUse(specs, ground.versions, gateway),
        pauses=Pauses(
            specs,
            ground.dags,
            gateway,
            ground.workflows,
            ground.reservations,
            takeovers=ground.takeovers,
        ),
        readiness=ReadinessChecks(specs, gateway, told.health),
        checks=PeriodicCheck(
            sources,
            ground.workflows,
            ground.takeovers,
            lease,
            clock,
            interval_seconds=sync_interval_seconds,
        ),
        takeovers=ground.takeovers,
        notifications=told,
        backfills=backfills,
    )


def _runs(ground: _Ground, backfills: Backfills) -> Runs:
    specs, gateway, clock = ground.specs, ground.gateway, ground.clock
    names, errors = DatasetNames(specs, ground.dags), FailureReasons(ground.logs, clock)
    return Runs(
        specs=specs,
        finder=RunLookup(names, gateway),
        records=ground.records,
        history=RunHistory(
            specs=specs,
            names=names,
            gateway=gateway,
            records=ground.records,
            errors=errors,
            clock=clock,
            takeovers=ground.takeovers,
        ),
        starting=RunStarter(
            specs,
            gateway,
            ground.reservations,
            clock,
            sql=ground.sql,
            takeovers=ground.takeovers,
            is_taken=backfills.is_active_id,
        ),
        stopping=ground.stopping,
        retrying=RunRetrier(
            specs, gateway, ground.reservations, clock, takeovers=ground.takeovers, records=ground.records
        ),
        logs=ground.logs,
        errors=errors,
        clock=clock,
    )


def _notifications(ground: _Ground, settings: NotificationSettings) -> Notifications:
    return assemble_notifications(
        store=ground.store,
        gateway=ground.gateway,
        specs=ground.specs,
        records=ground.records,
        logs=ground.logs,
        clock=ground.clock,
        settings=settings,
        owner=ground.owner,
    )


def _backfills(ground: _Ground) -> Backfills:
    return assemble_backfills(
        store=ground.store,
        gateway=ground.gateway,
        specs=ground.specs,
        stopping=ground.stopping,
        logs=ground.logs,
        reservations=ground.reservations,
        clock=ground.clock,
        sql=ground.sql,
        takeovers=ground.takeovers,
        records=ground.records,
        owner=ground.owner,
    )
