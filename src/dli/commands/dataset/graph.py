"""``dli dataset graph``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from dataspec.errors import InvalidUsage
from dli.options import (
    complete_dataset,
    env_option,
    graph_form_option,
    pass_session,
    path_option,
    verbose_option,
)
from dli.selection.options import selection_options
from dli.session import Session, say, warn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dataspec.project.graph import DatasetGraph
    from dataspec.project.spec_checks import CheckedSpec
    from dli.selection.selection import Selection


@click.command("graph")
@click.argument("dataset", required=False, shell_complete=complete_dataset)
@selection_options
@graph_form_option
@path_option
@env_option
@verbose_option
@pass_session
def command(session: Session, *, dataset: str | None, selection: Selection, form: str | None) -> None:
    """Show the dependencies between datasets.

    They come from `depends_on` and from the tables that the SQL reads and writes. Each dataset
    is below those that it is built from. With DATASET, a name or the path of a file: its
    upstream and its downstream datasets. With --select: only those that are selected.
    """
    from dataspec.project.graph import DatasetGraph
    from dli.output.graph import Drawing, drawn
    from dli.project.check import check_datasets

    if dataset and selection:
        raise InvalidUsage("Give either a DATASET or a selection.", detail="A name as well: --select NAME")
    name = session.dataset_name(dataset) if dataset else None
    checked = check_datasets(session.project, session.dialects)
    if not checked:
        raise session.project.no_datasets()
    graph = DatasetGraph(spec.dataset for spec in checked if spec.dataset)
    if name is not None and name not in graph.datasets:
        session.project.find(name)  # raises NotFound with the nearest name
    selected = selection.of(session.root, checked)
    drawn_names = {spec.name for spec in selected}
    names = graph.around(name) if name is not None else [at for at in graph.sequence if at in drawn_names]
    if (form or session.format) == "json":
        session.print_json(_report(graph, names, checked))
    elif text := drawn(Drawing.of(graph, names), name, form):
        click.echo(text)
    _warn(graph, names, selected)


def _report(graph: DatasetGraph, names: Sequence[str], checked: Sequence[CheckedSpec]) -> dict[str, Any]:
    first: dict[str | None, CheckedSpec] = {}
    for spec in checked:
        first.setdefault(spec.name, spec)
    wanted = set(names)
    return {
        "datasets": [
            {
                "name": name,
                "file": first[name].file,
                "valid": first[name].valid,
                "builds": graph.datasets[name].lineage.builds(name),
                "sources": graph.sources(name),
                "missing": graph.missing(name),
                "unknown": [problem.to_json() for problem in graph.datasets[name].lineage.unknown],
            }
            for name in names
        ],
        "edges": [
            {
                "upstream": edge.upstream,
                "downstream": edge.downstream,
                "declared": edge.declared,
                "found": edge.found,
                "tables": edge.tables,
            }
            for edge in graph.edges
            if {edge.upstream, edge.downstream} <= wanted
        ],
        "cycles": [cycle for cycle in graph.cycles() if set(cycle) <= wanted],
    }


def _warn(graph: DatasetGraph, names: Sequence[str], checked: Sequence[CheckedSpec]) -> None:
    from dataspec.project.graph import as_path

    for spec in checked:
        if not spec.valid and (spec.name is None or spec.name in names):
            say(f"Warning: {spec.file} is not valid: dli dataset validate {spec.file}")
    warn(str(problem) for name in names for problem in graph.datasets[name].lineage.unknown)
    for cycle in graph.cycles():
        if set(cycle) <= set(names):
            say(f"Warning: These datasets depend on each other: {as_path(cycle)}")
