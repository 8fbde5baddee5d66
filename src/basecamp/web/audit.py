"""Route of the page that shows the audit log."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from basecamp.api.dependencies import Permitted, ServicesOf
from basecamp.web.queries import AuditQuery, audit_query
from basecamp.web.rendering import PageRoute, page

router = APIRouter(route_class=PageRoute, include_in_schema=False, default_response_class=Response)

ROWS = 100


@router.get("/audit")
def show_audit_log(
    request: Request,
    services: ServicesOf,
    permitted: Permitted,
    query: Annotated[AuditQuery, Depends(audit_query)],
) -> Response:
    """Show who changed what."""

    def sees(dataset: str | None) -> bool:
        return permitted.are_all or (dataset is not None and dataset in permitted)

    view = services.audit_reader.page(query.wanted, limit=ROWS, cursor=query.cursor, sees=sees)
    return page(request, "audit.html", view=view, query=query)
