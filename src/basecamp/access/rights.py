"""The table of rights: which role each route needs, and for which datasets.

A route that is not in the table is not served.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from basecamp.access.principal import Role


class Scope(Enum):
    """What a route is about, and so which team's datasets its role must be for."""

    PUBLIC = "public"
    """Nothing that anybody must not know: no sign-in is needed."""
    SIGNED_IN = "signed in"
    """The caller alone: any role will do."""
    SERVER = "server"
    """The whole server: the role must be for all datasets."""
    LIST = "list"
    """Many datasets: the answer has those alone that the role is for."""
    DATASET = "dataset"
    """The dataset that the path names."""
    BODY = "body"
    """The dataset that the body names; without one of that name, the whole server."""
    SPEC = "spec"
    """The dataset that the path names, and the team of the spec in the body."""
    RUN = "run"
    """The dataset of the run that the path names."""
    BACKFILL = "backfill"
    """The dataset of the backfill that the path names."""


@dataclass(frozen=True, slots=True)
class Right:
    """What a route needs."""

    role: Role | None
    """None for a route that needs no role."""
    scope: Scope
    commands: tuple[str, ...] = ()
    """The commands that call the route."""
    changes: bool = False
    """Whether the route changes something: the audit log has an entry for each request."""


def _public() -> Right:
    return Right(None, Scope.PUBLIC)


def _reads(scope: Scope, *commands: str, role: Role = Role.VIEWER) -> Right:
    return Right(role, scope, commands)


def _changes(role: Role, scope: Scope, *commands: str) -> Right:
    return Right(role, scope, commands, changes=True)


RIGHTS: Mapping[str, Right] = {
    "GET /healthz": _public(),
    "GET /readyz": _public(),
    "GET /schemas/dataset.json": _public(),
    "GET /openapi.json": _public(),
    "GET /docs": _public(),
    "GET /static-offline-docs/{name}": _public(),
    "GET /static/{digest}/{name}": _public(),
    "GET /{path:path}": _public(),
    "GET /api/v1/whoami": Right(None, Scope.SIGNED_IN, ("dli whoami",)),
    "POST /api/v1/logins": Right(None, Scope.PUBLIC, ("dli login",)),
    "POST /api/v1/logins/token": Right(None, Scope.PUBLIC, ("dli login",)),
    "POST /api/v1/logout": Right(None, Scope.SIGNED_IN, ("dli logout",), changes=True),
    "GET /metrics": _reads(Scope.SERVER),
    "GET /api/v1/workflows": _reads(Scope.LIST, "dli workflow list", "dli workflow watch"),
    "GET /api/v1/workflows/{name}": _reads(Scope.DATASET, "dli workflow status", "dli workflow open"),
    "GET /api/v1/workflows/{name}/why": _reads(Scope.DATASET, "dli workflow why"),
    "GET /api/v1/graph": _reads(Scope.LIST, "dli workflow graph"),
    "POST /api/v1/workflows/{name}/runs": _changes(
        Role.OPERATOR, Scope.SPEC, "dli workflow run", "dli dataset check"
    ),
    "POST /api/v1/workflows/{name}/pause": _changes(Role.OPERATOR, Scope.DATASET, "dli workflow pause"),
    "POST /api/v1/workflows/{name}/unpause": _changes(Role.OPERATOR, Scope.DATASET, "dli workflow unpause"),
    "POST /api/v1/workflows/{name}/backfills": _changes(Role.OPERATOR, Scope.SPEC, "dli workflow backfill"),
    "GET /api/v1/backfills": _reads(Scope.LIST, "dli workflow backfills", "dli workflow stop"),
    "GET /api/v1/backfills/{backfill_id}": _reads(Scope.BACKFILL, "dli workflow status", "dli workflow open"),
    "POST /api/v1/backfills/{backfill_id}/stop": _changes(Role.OPERATOR, Scope.BACKFILL, "dli workflow stop"),
    "GET /api/v1/runs": _reads(
        Scope.LIST,
        "dli workflow history",
        "dli workflow watch",
        "dli workflow status",
        "dli workflow logs",
        "dli workflow stop",
        "dli workflow retry",
    ),
    "GET /api/v1/runs/{run_id}": _reads(Scope.RUN, "dli workflow status", "dli workflow open"),
    "POST /api/v1/runs/{run_id}/stop": _changes(Role.OPERATOR, Scope.RUN, "dli workflow stop"),
    "POST /api/v1/runs/{run_id}/retry": _changes(Role.OPERATOR, Scope.RUN, "dli workflow retry"),
    "GET /api/v1/runs/{run_id}/logs": _reads(Scope.RUN, "dli workflow logs"),
    "GET /api/v1/datasets": _reads(Scope.LIST, "dli dataset list"),
    "GET /api/v1/datasets/{name}": _reads(Scope.DATASET, "dli dataset show", "dli dataset diff"),
    "GET /api/v1/datasets/{name}/lineage": _reads(Scope.DATASET, "dli dataset show"),
    "GET /api/v1/datasets/{name}/versions": _reads(
        Scope.DATASET,
        "dli dataset versions",
        "dli dataset diff",
        "dli dataset register",
        "dli dataset rollback",
    ),
    "GET /api/v1/datasets/{name}/versions/{version}": _reads(
        Scope.DATASET, "dli dataset show", "dli dataset diff", "dli dataset rollback"
    ),
    "PUT /api/v1/datasets/{name}": _changes(Role.EDITOR, Scope.SPEC, "dli dataset register"),
    "POST /api/v1/datasets/{name}/rollback": _changes(Role.EDITOR, Scope.DATASET, "dli dataset rollback"),
    "PATCH /api/v1/datasets/{name}": _changes(Role.EDITOR, Scope.SPEC, "dli dataset update"),
    "DELETE /api/v1/datasets/{name}": _changes(Role.EDITOR, Scope.DATASET, "dli dataset unregister"),
    "POST /api/v1/datasets/validate": _reads(Scope.SIGNED_IN),
    "GET /api/v1/audit": _reads(Scope.LIST, "dli audit", role=Role.ADMIN),
    "POST /api/v1/sync": _changes(Role.OPERATOR, Scope.LIST, "dli workflow sync"),
    "POST /api/v1/notifications/test": _changes(Role.OPERATOR, Scope.BODY, "dli notifications test"),
    "GET /": _reads(Scope.LIST),
    "GET /workflows/{name}": _reads(Scope.DATASET),
    "GET /workflows/{name}/runs": _reads(Scope.DATASET),
    "GET /workflows/{name}/pause": _reads(Scope.DATASET),
    "GET /workflows/{name}/unpause": _reads(Scope.DATASET),
    "POST /workflows/{name}/runs": _changes(Role.OPERATOR, Scope.DATASET),
    "POST /workflows/{name}/pause": _changes(Role.OPERATOR, Scope.DATASET),
    "POST /workflows/{name}/unpause": _changes(Role.OPERATOR, Scope.DATASET),
    "GET /runs": _reads(Scope.LIST),
    "GET /runs/{run_id}": _reads(Scope.RUN),
    "GET /runs/{run_id}/stop": _reads(Scope.RUN),
    "POST /runs/{run_id}/stop": _changes(Role.OPERATOR, Scope.RUN),
    "GET /audit": _reads(Scope.LIST, role=Role.ADMIN),
    "GET /device": _reads(Scope.SIGNED_IN),
    "POST /device": _changes(Role.VIEWER, Scope.SIGNED_IN),
    "GET /sign-in": _public(),
    "GET /sign-in/provider": _public(),
    "GET /sign-in/callback": _public(),
    "POST /sign-in/token": _public(),
    "GET /sign-out": _public(),
    "POST /sign-out": _public(),
    "GET /backfills/{backfill_id}": _reads(Scope.BACKFILL),
    "GET /backfills/{backfill_id}/stop": _reads(Scope.BACKFILL),
    "POST /backfills/{backfill_id}/stop": _changes(Role.OPERATOR, Scope.BACKFILL),
}
"""The rights by method and path of a route; the command line's names are those of ``docs/cli.md``."""
