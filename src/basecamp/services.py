"""The services that routes call; :mod:`basecamp.server.wiring` builds them."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client.registry import Collector

from basecamp.access.audit.log import AuditLog
from basecamp.access.audit.reader import AuditReader
from basecamp.access.audit.refused_requests import RefusedRequests
from basecamp.access.logins import Logins
from basecamp.access.oidc.tokens import OidcTokens
from basecamp.access.sessions import PageSignIn
from basecamp.access.token_lookup import TokenLookup
from basecamp.access.tokens import Tokens
from basecamp.backfills.lookup import BackfillLookup
from basecamp.backfills.reconciler import Reconciler
from basecamp.backfills.start import BackfillStarter
from basecamp.backfills.steps import BackfillSteps
from basecamp.backfills.stop import BackfillStopper
from basecamp.datasets.dataset_teams import DatasetTeams
from basecamp.datasets.registered_specs import RegisteredSpecs
from basecamp.datasets.takeovers import Takeovers
from basecamp.monitoring.housekeeping import Housekeeping
from basecamp.monitoring.readiness import ReadinessChecks
from basecamp.notifications.channel_test import ChannelTester
from basecamp.notifications.delivery import Delivery
from basecamp.notifications.late_watch import LateWatch
from basecamp.notifications.run_watch import RunWatch
from basecamp.registration.changes import ManualSpecChanges
from basecamp.registration.register import Registration
from basecamp.registration.rollback import Rollback
from basecamp.runs.airflow_starts import AirflowStarts
from basecamp.runs.history import RunHistory
from basecamp.runs.logs import RunLogs
from basecamp.runs.lookup import RunLookup
from basecamp.runs.records import RunRecords
from basecamp.runs.retry import RunRetrier
from basecamp.runs.start import RunStarter
from basecamp.runs.stop import RunStopper
from basecamp.shared.background import BackgroundLoop
from basecamp.shared.waiting import RequestWork
from basecamp.sync.built_check import BuiltCheck
from basecamp.sync.check import PeriodicCheck
from basecamp.workflows.graph import RegisteredGraph
from basecamp.workflows.lineage import RegisteredLineage
from basecamp.workflows.pauses import Pauses
from basecamp.workflows.rows import Workflows
from basecamp.workflows.version_list import VersionList
from basecamp.workflows.why import PartitionReasons


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Every service once, by room. Routes get it from ``app.state.services``."""

    work: RequestWork
    audit_log: AuditLog
    audit_reader: AuditReader
    refused_requests: RefusedRequests

    tokens: Tokens
    token_lookup: TokenLookup
    oidc: OidcTokens | None
    """None on a server without sign-in by OIDC."""
    logins: Logins
    page_sign_in: PageSignIn | None
    """How people sign in on the pages; None if nobody does."""

    dataset_teams: DatasetTeams
    registered_specs: RegisteredSpecs
    takeovers: Takeovers

    run_records: RunRecords
    run_lookup: RunLookup
    run_history: RunHistory
    run_logs: RunLogs
    airflow_starts: AirflowStarts
    run_starter: RunStarter
    run_stopper: RunStopper
    run_retrier: RunRetrier

    workflows: Workflows
    versions: VersionList
    graph: RegisteredGraph
    lineage: RegisteredLineage
    partition_reasons: PartitionReasons
    pauses: Pauses

    delivery: Delivery
    run_watch: RunWatch
    late_watch: LateWatch
    channel_test: ChannelTester

    check: PeriodicCheck
    built_check: BuiltCheck

    registration: Registration
    changes: ManualSpecChanges
    rollback: Rollback

    backfill_steps: BackfillSteps
    reconciler: Reconciler
    backfill_lookup: BackfillLookup
    backfill_starter: BackfillStarter
    backfill_stopper: BackfillStopper

    housekeeping: Housekeeping
    readiness: ReadinessChecks
    collectors: tuple[Collector, ...]
    """What ``/metrics`` shows of datasets, runs and this replica."""

    @property
    def loops(self) -> tuple[BackgroundLoop, ...]:
        """The background loops of this replica."""
        looping = (
            self.token_lookup,
            self.takeovers,
            self.delivery,
            self.run_watch,
            self.late_watch,
            self.airflow_starts,
            self.check,
            self.built_check,
            self.reconciler,
            self.housekeeping,
            self.refused_requests,
        )
        return (*self.readiness.loops, *(service.loop for service in looping))
