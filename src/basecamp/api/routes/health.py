"""Routes that machines ask for: is it alive, should it get requests, its figures."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from basecamp.api.dependencies import ServicesOf
from basecamp.monitoring.metrics import CONTENT_TYPE, Metrics
from basecamp.monitoring.readiness import Readiness

router = APIRouter(tags=["server"])


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Say that the process answers."""
    return {"status": "ok"}


@router.get("/readyz", responses={503: {"model": Readiness, "description": "It should get no requests yet"}})
def readyz(services: ServicesOf, response: Response) -> Readiness:
    """Say whether this replica should get requests, and what is wrong if not all is well."""
    readiness = services.readiness.check()
    response.status_code = 200 if readiness.ready else 503
    return readiness


@router.get("/metrics", response_class=Response)
def metrics(request: Request) -> Response:
    """Give the figures, as Prometheus reads them."""
    figures: Metrics = request.app.state.metrics
    return Response(figures.render(), headers={"Content-Type": CONTENT_TYPE})
