"""``dli workflow graph`` (specification 32.4)."""

from __future__ import annotations

import click

from dli.options import (
    complete_dataset,
    env_option,
    graph_form_option,
    pass_session,
    path_option,
    server_url_option,
    verbose_option,
)
from dli.session import Session, warn


@click.command("graph")
@click.argument("dataset", required=False, shell_complete=complete_dataset)
@graph_form_option
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
    from dli.output.graph import Drawing, drawn

    name = session.dataset_name(dataset) if dataset else None
    graph = session.client.get_graph(name)
    if (form or session.format) == "json":
        session.print_json(graph)
        return
    click.echo(drawn(Drawing.of_registered(graph), name, form))
    warn(graph.warnings)
    warn(f"These datasets depend on each other: {' → '.join((*cycle, cycle[0]))}" for cycle in graph.cycles)
