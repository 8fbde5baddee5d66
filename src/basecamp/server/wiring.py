"""Build the services around a store and an Airflow: the one place that puts parts together."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping

from basecamp.access.audit.log import AuditLog
from basecamp.access.audit.reader import AuditReader
from basecamp.access.audit.refused_requests import RefusedRequests
from basecamp.access.logins import Logins
from basecamp.access.oidc.settings import OidcSettings
from basecamp.access.oidc.tokens import OidcTokens
from basecamp.access.sessions import PageSignIn
from basecamp.access.token_lookup import TokenLookup
from basecamp.access.tokens import Tokens
from basecamp.airflow.gateway import AirflowGateway
from basecamp.backfills.lookup import BackfillLookup
from basecamp.backfills.missing import BuiltSteps
from basecamp.backfills.plans import PlanStore
from basecamp.backfills.reconciler import Reconciler
from basecamp.backfills.start import BackfillStarter
from basecamp.backfills.steps import BackfillSteps
from basecamp.backfills.stop import BackfillStopper
from basecamp.datasets.catalog_cache import CatalogCache
from basecamp.datasets.connection_dialects import ConnectionDialects
from basecamp.datasets.dag_cache import DagCache
from basecamp.datasets.dag_readiness import DagReadiness
from basecamp.datasets.dataset_names import DatasetNames
from basecamp.datasets.dataset_teams import DatasetTeams
from basecamp.datasets.registered_specs import RegisteredSpecs
from basecamp.datasets.spec_sql import SpecSql
from basecamp.datasets.takeovers import Takeovers
from basecamp.datasets.upstream_needs import UpstreamNeeds
from basecamp.datasets.versions import VersionsInUse
from basecamp.lateness.late_datasets import LateDatasets
from basecamp.lateness.pause_records import PauseRecords
from basecamp.lateness.records import LatenessStore
from basecamp.monitoring.dataset_metrics import DatasetMetrics
from basecamp.monitoring.housekeeping import Housekeeping
from basecamp.monitoring.readiness import ReadinessChecks
from basecamp.monitoring.run_metrics import RunMetrics
from basecamp.monitoring.server_metrics import ServerMetrics
from basecamp.notifications.channel_health import ChannelHealth
from basecamp.notifications.channel_test import ChannelTester
from basecamp.notifications.channels.sending import ChannelSender
from basecamp.notifications.delivery import Delivery
from basecamp.notifications.late_watch import LateWatch
from basecamp.notifications.messages import Messages
from basecamp.notifications.outbox import Outbox
from basecamp.notifications.run_watch import RunWatch
from basecamp.notifications.settings import NotificationSettings
from basecamp.outages.guarded_store import GuardedStore
from basecamp.registration.after_write import WriteFollowUp
from basecamp.registration.changes import ManualSpecChanges
from basecamp.registration.register import Registration
from basecamp.registration.rollback import Rollback
from basecamp.registration.surroundings import Surroundings
from basecamp.registration.team_rights import TeamRights
from basecamp.runs.airflow_starts import AirflowStarts
from basecamp.runs.failure_reasons import FailureReasons
from basecamp.runs.history import RunHistory
from basecamp.runs.last_runs import LastRuns
from basecamp.runs.logs import RunLogs
from basecamp.runs.lookup import RunLookup
from basecamp.runs.records import RunRecords
from basecamp.runs.retry import RunRetrier
from basecamp.runs.start import RunStarter
from basecamp.runs.stop import RunStopper
from basecamp.runs.values import ValuesOfRuns
from basecamp.runs.waiting import WaitingRuns
from basecamp.server.settings import SignIn
from basecamp.services import Services
from basecamp.shared.clock import Clock
from basecamp.shared.idempotency import Reservations
from basecamp.shared.lease import Lease
from basecamp.shared.object_reader import ObjectReader
from basecamp.shared.public_address import PublicAddress
from basecamp.shared.refresh_cache import Changes
from basecamp.shared.waiting import RequestWork
from basecamp.sync.built_check import BuiltCheck
from basecamp.sync.check import PeriodicCheck
from basecamp.sync.history_repair import HistoryRepair
from basecamp.sync.ledger_update import LedgerUpdater
from basecamp.sync.notices import SourceChangeNotices
from basecamp.workflows.graph import RegisteredGraph
from basecamp.workflows.lineage import RegisteredLineage
from basecamp.workflows.pauses import Pauses
from basecamp.workflows.rows import Workflows
from basecamp.workflows.version_list import VersionList
from basecamp.workflows.why import PartitionReasons
from dataspec.catalog.cache import MemorySpecCache
from dataspec.catalog.reader import CatalogReader
from dataspec.catalog.version_archive import KeptVersions
from dataspec.catalog.version_history import VersionHistory
from dataspec.spec.connection_teams import ConnectionTeams
from dataspec.store import Store


def build_services(
    store: Store,
    gateway: AirflowGateway,
    clock: Clock,
    *,
    airflow_public_url: str | None = None,
    sync_interval_seconds: float = 300,
    notifications: NotificationSettings | None = None,
    dialects: Mapping[str, str] | None = None,
    connections: ConnectionTeams | None = None,
    oidc: OidcSettings | None = None,
    sign_in: Collection[SignIn] = (),
) -> Services:
    """Build the services, from the lowest room to the highest. None of the background loops runs yet.

    Args:
        store: The store with the specs.
        gateway: The Airflow that runs them.
        clock: The clock.
        airflow_public_url: The address of Airflow's page for users; the gateway's if not given.
        sync_interval_seconds: Seconds between two checks of the store.
        notifications: The settings of the notification channels; none if not given.
        dialects: The SQL dialects of connections that Airflow does not show, by the connection's name.
        connections: The teams whose specs may use each limited connection; no connection is limited if not given.
        oidc: The OIDC issuers whose tokens count; none if not given.
        sign_in: The kinds of sign-in that are on.
    """
    connections = connections or ConnectionTeams()
    settings = notifications or NotificationSettings()
    store = GuardedStore(store)
    replica = uuid.uuid4().hex
    objects = ObjectReader(store, clock)
    audit, tokens = AuditLog(store, clock, replica), Tokens(store, clock)
    reservations = Reservations(store, clock, objects)

    specs = CatalogCache(CatalogReader(store, MemorySpecCache()), clock)
    teams = DatasetTeams(specs)
    dags = DagCache(gateway, clock)
    names = DatasetNames(specs, dags)
    takeovers = Takeovers(store, gateway, specs, dags, clock, objects=objects)
    readiness = DagReadiness(gateway, dags, clock)
    sql = SpecSql(ConnectionDialects(gateway, clock, named=dialects))
    archive, history = KeptVersions(store), VersionHistory(store)
    repair = HistoryRepair(specs, archive, history)
    in_use = VersionsInUse(store, specs, archive, gateway)

    values = ValuesOfRuns(specs, archive)
    records = RunRecords(values, gateway, airflow_public_url or gateway.url, clock, takeovers)
    reasons = FailureReasons(gateway, clock)
    needs = UpstreamNeeds(specs, gateway)
    waiting = WaitingRuns(specs=specs, gateway=gateway, dags=dags, records=records, needs=needs, clock=clock)
    lookup = RunLookup(
        names=names, gateway=gateway, records=records, reasons=reasons, waiting=waiting, clock=clock
    )
    run_history = RunHistory(
        specs=specs,
        names=names,
        gateway=gateway,
        records=records,
        reasons=reasons,
        clock=clock,
        takeovers=takeovers,
    )
    run_changes = Changes()
    stopper = RunStopper(lookup, gateway, reservations, clock, run_changes)

    pauses, lateness = PauseRecords(store, clock, objects), LatenessStore(store, objects)
    late = LateDatasets(
        specs=specs, gateway=gateway, dags=dags, pauses=pauses, needs=needs, records=lateness, clock=clock
    )
    workflows = Workflows(
        specs,
        dags,
        gateway,
        clock,
        takeovers,
        connections=connections,
        pauses=pauses,
        last_runs=LastRuns(specs, gateway, records, takeovers, clock, run_changes=run_changes),
        waiting=waiting,
        run_changes=run_changes,
        late=late,
    )

    partition_reasons = PartitionReasons(
        specs=specs,
        workflows=workflows,
        pauses=pauses,
        connections=connections,
        needs=needs,
        history=run_history,
        lookup=lookup,
        gateway=gateway,
        clock=clock,
    )

    messages, sender = Messages(settings.public_url, settings.language), ChannelSender(settings)
    outbox = Outbox(store, clock, messages, objects)
    delivery = Delivery(outbox, sender, clock, replica)

    notices = SourceChangeNotices(store, archive, outbox, clock)
    ledger = LedgerUpdater(
        store,
        specs,
        notices,
        clock,
        versions=archive,
        history=history,
        repair=repair,
        records=records,
        objects=objects,
    )
    versions = VersionList(specs, archive, history, in_use, names=names, gateway=gateway, records=records)
    rights, surroundings = TeamRights(teams), Surroundings(teams)
    follow_up = WriteFollowUp(specs, ledger, readiness)

    registration = Registration(
        store=store,
        specs=specs,
        connections=connections,
        rights=rights,
        surroundings=surroundings,
        follow_up=follow_up,
        clock=clock,
        takeovers=takeovers,
        sql=sql,
        reservations=reservations,
        notifications=settings,
    )

    plans = PlanStore(store, objects)
    steps = BackfillSteps(
        plans=plans,
        specs=specs,
        connections=connections,
        gateway=gateway,
        stopper=stopper,
        takeovers=takeovers,
        records=records,
        reasons=reasons,
        outbox=outbox,
        clock=clock,
    )
    reconciler = Reconciler(
        steps, plans, lambda name: Lease(store, f"backfills/{name}", replica, clock), clock
    )
    backfill_lookup = BackfillLookup(plans, gateway, names)

    logins_only = bool(sign_in) and "tokens" not in sign_in
    token_lookup = TokenLookup(store, clock, objects, logins_only=logins_only)
    oidc_tokens = OidcTokens(oidc, clock) if oidc else None
    graph = RegisteredGraph(specs, workflows, sql, clock)
    work, check = (
        RequestWork(clock),
        PeriodicCheck(
            ledger,
            workflows,
            takeovers,
            Lease(store, "check", replica, clock),
            reservations=reservations,
            clock=clock,
            interval_seconds=sync_interval_seconds,
        ),
    )
    dependencies = ReadinessChecks(
        store, specs, gateway, ChannelHealth(delivery, specs, settings), clock, objects=objects
    )
    return Services(
        work=work,
        audit_log=audit,
        refused_requests=RefusedRequests(audit, clock),
        audit_reader=AuditReader(store, clock, objects),
        tokens=tokens,
        oidc=oidc_tokens,
        token_lookup=token_lookup,
        logins=Logins(store, clock, objects),
        page_sign_in=PageSignIn.of(
            store,
            objects,
            clock,
            tokens=token_lookup if "tokens" in sign_in else None,
            oidc=(oidc, oidc_tokens) if oidc and oidc_tokens else None,
            public=PublicAddress.parse(settings.public_url) if settings.public_url else None,
        ),
        dataset_teams=teams,
        registered_specs=RegisteredSpecs(specs, readiness, sql),
        versions=versions,
        takeovers=takeovers,
        run_records=records,
        run_lookup=lookup,
        run_history=run_history,
        run_logs=RunLogs(lookup, gateway, clock),
        airflow_starts=AirflowStarts(
            gateway, specs, audit, Lease(store, "airflow_starts", replica, clock), clock
        ),
        run_starter=RunStarter(
            specs,
            gateway,
            reservations,
            clock,
            connections=connections,
            sql=sql,
            takeovers=takeovers,
            records=records,
            needs=needs,
            is_taken=plans.is_active_id,
            run_changes=run_changes,
        ),
        run_stopper=stopper,
        run_retrier=RunRetrier(
            lookup,
            specs,
            gateway,
            reservations,
            clock,
            connections=connections,
            takeovers=takeovers,
            records=records,
            run_changes=run_changes,
        ),
        workflows=workflows,
        graph=graph,
        lineage=RegisteredLineage(specs, graph, sql),
        partition_reasons=partition_reasons,
        pauses=Pauses(specs, dags, gateway, workflows, reservations, takeovers=takeovers, records=pauses),
        delivery=delivery,
        run_watch=RunWatch(
            store=store,
            gateway=gateway,
            specs=specs,
            records=records,
            reasons=reasons,
            outbox=outbox,
            lateness=lateness,
            clock=clock,
            objects=objects,
        ),
        late_watch=LateWatch(
            late=late,
            records=lateness,
            specs=specs,
            reasons=partition_reasons,
            gateway=gateway,
            outbox=outbox,
            alerts=settings.alerts,
            lease=Lease(store, "lateness", replica, clock),
            clock=clock,
        ),
        channel_test=ChannelTester(specs, sender, settings, messages, clock, reservations=reservations),
        check=check,
        built_check=BuiltCheck(
            store,
            gateway,
            specs,
            records,
            lease=Lease(store, "built", replica, clock),
            clock=clock,
            objects=objects,
        ),
        registration=registration,
        rollback=Rollback(specs, versions, registration),
        changes=ManualSpecChanges(
            store=store,
            specs=specs,
            connections=connections,
            rights=rights,
            surroundings=surroundings,
            follow_up=follow_up,
            stopper=stopper,
            reservations=reservations,
            clock=clock,
            records=records,
        ),
        backfill_steps=steps,
        reconciler=reconciler,
        backfill_lookup=backfill_lookup,
        backfill_starter=BackfillStarter(
            specs=specs,
            connections=connections,
            gateway=gateway,
            plans=plans,
            reservations=reservations,
            clock=clock,
            sql=sql,
            takeovers=takeovers,
            reconciler=reconciler,
            needs=needs,
            built=BuiltSteps(needs, gateway, records, clock),
        ),
        backfill_stopper=BackfillStopper(backfill_lookup, plans, steps, reservations, clock),
        housekeeping=Housekeeping(
            store,
            specs,
            archive=archive,
            history=history,
            repair=repair,
            tokens=tokens,
            objects=objects,
        ),
        readiness=dependencies,
        collectors=(
            DatasetMetrics(workflows, late, clock),
            RunMetrics(gateway, specs, records, takeovers, clock),
            ServerMetrics(
                readiness=dependencies,
                check=check,
                reconciler=reconciler,
                delivery=delivery,
                work=work,
                clock=clock,
            ),
        ),
    )
