"""The route of the graph of registered datasets."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from basecamp.api import PREFIX
from basecamp.api.checked_route import CheckedRoute
from basecamp.api.dependencies import Permitted, ServicesOf
from dataspec.models import WorkflowGraph

router = APIRouter(route_class=CheckedRoute, prefix=f"{PREFIX}/graph", tags=["workflows"])


@router.get("")
def get_graph(
    services: ServicesOf,
    permitted: Permitted,
    dataset: Annotated[
        str | None, Query(description="A dataset's name: it, and all up- and downstream of it.")
    ] = None,
) -> WorkflowGraph:
    """Show what depends on what among the registered datasets, with the state of each."""
    return services.graph.of(dataset, permitted)
