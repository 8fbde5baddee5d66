"""The route of the audit log."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from basecamp.access.audit.reader import AuditFilter
from basecamp.api import PREFIX
from basecamp.api.checked_route import CheckedRoute
from basecamp.api.dependencies import Cursor, Name, Permitted, ServicesOf
from basecamp.api.query_values import Positive, Timestamp
from basecamp.api.request_models import AuditPage
from dataspec.spec.identity import check_name

router = APIRouter(route_class=CheckedRoute, prefix=f"{PREFIX}/audit", tags=["audit"])

PAGE = 50
MAX_PAGE = 500


@router.get("")
def list_audit_entries(
    *,
    services: ServicesOf,
    permitted: Permitted,
    dataset: Annotated[Name | None, Query(description="Only changes of this dataset.")] = None,
    user: Annotated[
        str | None, Query(description="Only changes by this caller, by name or identity.")
    ] = None,
    since: Annotated[Timestamp | None, Query(description="Only changes since this time.")] = None,
    limit: Annotated[Positive, Query(description=f"At most {MAX_PAGE} per page.")] = PAGE,
    cursor: Cursor = None,
) -> AuditPage:
    """List who changed what, newest first; a page may have fewer entries than `limit`, and a cursor all the same."""
    wanted = AuditFilter(dataset=None if dataset is None else check_name(dataset), user=user, since=since)

    def sees(about: str | None) -> bool:
        return permitted.are_all or (about is not None and about in permitted)

    page = services.audit_reader.page(wanted, limit=min(limit, MAX_PAGE), cursor=cursor, sees=sees)
    return AuditPage(items=list(page.items), next_cursor=page.next_cursor, warnings=list(page.warnings))
