"""What Basecamp does, free of HTTP: each module is one thing that it can be asked for."""

from __future__ import annotations

from dataclasses import dataclass

from basecamp.backfills.backfills import Backfills
from basecamp.datasets.registered_specs import RegisteredSpecs
from basecamp.datasets.takeovers import Takeovers
from basecamp.datasets.versions import VersionsInUse
from basecamp.monitoring.readiness import ReadinessChecks
from basecamp.notifications.assembly import Notifications
from basecamp.registration.changes import ManualSpecChanges
from basecamp.registration.register import Registration
from basecamp.runs.runs import Runs
from basecamp.sync.check import PeriodicCheck
from basecamp.workflows.pauses import Pauses
from basecamp.workflows.rows import Workflows


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The services, as routes get them from ``app.state.services``."""

    workflows: Workflows
    runs: Runs
    registration: Registration
    registered_specs: RegisteredSpecs
    changing: ManualSpecChanges
    versions: VersionsInUse
    pauses: Pauses
    readiness: ReadinessChecks
    checks: PeriodicCheck
    takeovers: Takeovers
    notifications: Notifications
    backfills: Backfills
