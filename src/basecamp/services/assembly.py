"""Puts the services together around a store and an Airflow."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from basecamp.backfills.assembly import assemble_backfills
from basecamp.notifications.assembly import assemble_notifications
from basecamp.notifications.configuration import NotificationSettings
from basecamp.services import Services
from basecamp.services.changing import Changing
from basecamp.services.checks import SourceChecks
from basecamp.services.dags import DatasetDags
from basecamp.services.dataset_names import DatasetNames
from basecamp.services.dialects import ConnectionDialects
from basecamp.services.finding import RunFinder
from basecamp.services.history import History
from basecamp.services.lease import Lease
from basecamp.services.loading import Loading
from basecamp.services.pauses import Pauses
from basecamp.services.readiness import ReadinessChecks
from basecamp.services.registration import Registration
from basecamp.services.reservations import Reservations
from basecamp.services.retrying import Retrying
from basecamp.services.run_errors import RunErrors
from basecamp.services.run_log import RunLogs
from basecamp.services.run_records import RunRecords
from basecamp.services.runs import Runs
from basecamp.services.settling import Settling
from basecamp.services.sources import Sources
from basecamp.services.specs import Specs
from basecamp.services.starting import Starting
from basecamp.services.stopping import Stopping
from basecamp.services.switch_notices import SwitchNotices
from basecamp.services.versions import Versions
from basecamp.services.workflows import Workflows
from dataspec.catalog_reader import CatalogReader
from dataspec.kept_versions import KeptVersions
from dataspec.spec_cache import MemorySpecCache

if TYPE_CHECKING:
    from collections.abc import Mapping

    from basecamp.airflow.gateway import AirflowGateway
    from basecamp.services.clock import Clock
    from dataspec.store import Store


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
    specs = Specs(CatalogReader(store, MemorySpecCache()), clock)
    versions = KeptVersions(store)
    owner = uuid.uuid4().hex
    dags = DatasetDags(gateway, clock)
    names = DatasetNames(specs, dags)
    reservations = Reservations(store, clock)
    known_dialects = ConnectionDialects(gateway, clock, named=dialects)
    records = RunRecords(gateway, airflow_public_url or gateway.url, clock)
    workflows = Workflows(specs, dags, gateway, clock)
    logs = RunLogs(gateway, clock)
    errors = RunErrors(logs, clock)
    told = assemble_notifications(
        store=store,
        gateway=gateway,
        specs=specs,
        records=records,
        logs=logs,
        clock=clock,
        settings=notifications or NotificationSettings(),
        owner=owner,
    )
    announcer = SwitchNotices(store, versions, told.outbox, clock)
    sources = Sources(store, specs, versions, gateway, announcer, clock)
    loading = Loading(gateway, dags, clock)
    settling = Settling(sources, loading)
    stopping = Stopping(gateway, clock)
    backfills = assemble_backfills(
        store=store,
        gateway=gateway,
        specs=specs,
        stopping=stopping,
        logs=logs,
        reservations=reservations,
        clock=clock,
        dialects=known_dialects,
        owner=owner,
    )
    runs = Runs(
        specs=specs,
        finder=RunFinder(names, gateway),
        records=records,
        history=History(
            specs=specs, names=names, gateway=gateway, records=records, errors=errors, clock=clock
        ),
        starting=Starting(
            specs,
            gateway,
            reservations,
            clock,
            dialects=known_dialects,
            is_taken=backfills.is_active_id,
        ),
        stopping=stopping,
        retrying=Retrying(specs, gateway, reservations, clock),
        logs=logs,
        errors=errors,
        clock=clock,
    )
    return Services(
        workflows=workflows,
        runs=runs,
        registration=Registration(
            store=store,
            specs=specs,
            settling=settling,
            loading=loading,
            clock=clock,
            dialects=known_dialects,
        ),
        changing=Changing(
            store=store,
            specs=specs,
            settling=settling,
            gateway=gateway,
            stopping=stopping,
            reservations=reservations,
            clock=clock,
        ),
        versions=Versions(specs, versions, gateway),
        pauses=Pauses(specs, dags, gateway, workflows, reservations),
        readiness=ReadinessChecks(specs, gateway, told.health),
        checks=SourceChecks(
            sources,
            workflows,
            Lease(store, "check", owner, clock),
            clock,
            interval_seconds=sync_interval_seconds,
        ),
        notifications=told,
        backfills=backfills,
    )
