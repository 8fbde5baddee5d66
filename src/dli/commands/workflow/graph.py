"""``dli workflow graph`` (specification 32.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dli.options import (
    complete_dataset,
    env_option,
    pass_session,
    path_option,
    server_url_option,
    verbose_option,
)
from dli.session import Session, warn

if TYPE_CHECKING:
    from dataspec.models import WorkflowGraph


@click.command("graph")
@click.argument("dataset", required=False, shell_complete=complete_dataset)
@click.option(
    "--format",
    "-f",
    "form",
    type=click.Choice(["tree", "mermaid", "dot", "json"]),
    help="How to print it. [default: tree]",
)
@server_url_option
@path_option
@env_option
@verbose_option
@pass_session
def command(session: Session, dataset: str | None, form: str | None) -> None:
    """Show what depends on what on the server.

    Each registered dataset is below those that it is built from, with its source, its status and
    its last result. With DATASET: its upstream and its downstream datasets.
    """
    name = session.dataset_name(dataset) if dataset else None
    graph = session.client.get_graph(name)
    if (form or session.format) == "json":
        session.print_json(graph)
        return
    click.echo(_drawn(graph, name, form))
    warn(graph.warnings)
    warn(f"These datasets depend on each other: {' → '.join((*cycle, cycle[0]))}" for cycle in graph.cycles)


def _drawn(graph: WorkflowGraph, name: str | None, form: str | None) -> str:
    from dli.output.graph import Drawing, dot, mermaid, tree_around, whole_tree

    drawing = Drawing.of_registered(graph)
    if form in {"mermaid", "dot"}:
        return (mermaid if form == "mermaid" else dot)(drawing)
    return whole_tree(drawing) if name is None else tree_around(drawing.node(name), drawing)
