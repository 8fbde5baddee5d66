"""The route that asks for a check of the store now (specification 19.5)."""

from __future__ import annotations

from fastapi import APIRouter

from basecamp.api import PREFIX
from basecamp.api.dependencies import ServicesOf
from dataspec.models import SyncReport

router = APIRouter(prefix=f"{PREFIX}/sync", tags=["server"])


@router.post("")
def sync(services: ServicesOf) -> SyncReport:
    """Check the store now, and say what changed since the last check."""
    return services.check.sync()
