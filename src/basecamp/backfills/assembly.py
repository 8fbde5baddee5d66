"""Puts the parts of backfills together."""

from __future__ import annotations

from functools import partial

from basecamp.airflow.gateway import AirflowGateway
from basecamp.backfills.backfills import Backfills
from basecamp.backfills.plans import PlanStore
from basecamp.backfills.reconciler import Reconciler
from basecamp.backfills.records import BackfillRecords
from basecamp.backfills.start import BackfillStarter
from basecamp.backfills.steps import BackfillSteps
from basecamp.datasets.catalog_cache import CatalogCache
from basecamp.datasets.spec_sql import SpecSql
from basecamp.datasets.takeovers import Takeovers
from basecamp.runs.logs import RunLogs
from basecamp.runs.records import RunRecords
from basecamp.runs.stop import RunStopper
from basecamp.shared.clock import Clock
from basecamp.shared.idempotency import Reservations
from basecamp.shared.lease import Lease
from dataspec.store import Store


def assemble_backfills(
    *,
    store: Store,
    gateway: AirflowGateway,
    specs: CatalogCache,
    stopping: RunStopper,
    logs: RunLogs,
    reservations: Reservations,
    clock: Clock,
    sql: SpecSql,
    takeovers: Takeovers,
    records: RunRecords,
    owner: str,
) -> Backfills:
    """Return the backfills of a store and an Airflow; ``owner`` names this replica among all."""
    plans = PlanStore(store)
    steps = BackfillSteps(
        plans=plans,
        specs=specs,
        gateway=gateway,
        stopping=stopping,
        takeovers=takeovers,
        records=records,
        logs=logs,
        clock=clock,
    )
    lease = partial(_lease, store, owner, clock)
    return Backfills(
        plans=plans,
        starting=BackfillStarter(
            specs=specs,
            gateway=gateway,
            plans=plans,
            reservations=reservations,
            clock=clock,
            sql=sql,
            takeovers=takeovers,
        ),
        steps=steps,
        records=BackfillRecords(gateway),
        reconciler=Reconciler(steps, plans, lease, clock),
        clock=clock,
    )


def _lease(store: Store, owner: str, clock: Clock, dataset: str) -> Lease:
    return Lease(store, f"backfills/{dataset}", owner, clock)
