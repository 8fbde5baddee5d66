"""What Basecamp does, free of HTTP: each module is one thing that it can be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from basecamp.backfills.backfills import Backfills
    from basecamp.notifications.assembly import Notifications
    from basecamp.services.changing import Changing
    from basecamp.services.checks import SourceChecks
    from basecamp.services.pauses import Pauses
    from basecamp.services.readiness import ReadinessChecks
    from basecamp.services.registration import Registration
    from basecamp.services.runs import Runs
    from basecamp.services.takeovers import Takeovers
    from basecamp.services.versions import Versions
    from basecamp.services.workflows import Workflows


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The services, as routes get them from ``app.state.services``."""

    workflows: Workflows
    runs: Runs
    registration: Registration
    changing: Changing
    versions: Versions
    pauses: Pauses
    readiness: ReadinessChecks
    checks: SourceChecks
    takeovers: Takeovers
    notifications: Notifications
    backfills: Backfills
