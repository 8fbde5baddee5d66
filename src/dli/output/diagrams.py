"""A graph of datasets as something to look at: its nodes and arrows, as text for Mermaid and Graphviz."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from dli.output.tables import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dataspec.project.graph import DatasetGraph

Kind = Literal["dataset", "source", "missing"]


@dataclass(frozen=True, slots=True, order=True)
class Node:
    """A dataset, a table that no dataset builds, or a dataset that the project does not have."""

    name: str
    kind: Kind = "dataset"


@dataclass(frozen=True, slots=True, order=True)
class Arrow:
    """One node is built from another."""

    begin: Node
    end: Node
    declared: bool = True
    """Whether ``depends_on`` says so."""
    found: bool = True
    """Whether the SQL says so."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """Nodes and arrows, each in the order in which they are drawn."""

    nodes: tuple[Node, ...]
    arrows: tuple[Arrow, ...]

    @classmethod
    def of(cls, graph: DatasetGraph, names: Iterable[str]) -> Drawing:
        """Return the drawing of some datasets of a graph, what they are built from first."""
        datasets = [Node(name) for name in names]
        arrows = sorted({arrow for node in datasets for arrow in _arrows_into(node, graph, set(datasets))})
        others = {arrow.begin: None for arrow in arrows if arrow.begin.kind != "dataset"}
        return cls((*others, *datasets), tuple(arrows))


def _arrows_into(node: Node, graph: DatasetGraph, drawn: set[Node]) -> Iterator[Arrow]:
    for table in graph.sources(node.name):
        yield Arrow(Node(table, "source"), node, declared=False)
    for name in graph.missing(node.name):
        yield Arrow(Node(name, "missing"), node, found=False)
    for edge in graph.parents(node.name):
        if Node(edge.upstream) in drawn:
            yield Arrow(Node(edge.upstream), node, declared=edge.declared, found=edge.found)


def mermaid(drawing: Drawing) -> str:
    """Return a drawing in Mermaid's language; an arrow that only ``depends_on`` names is dotted."""
    shapes = {"dataset": '["{}"]', "source": '[("{}")]', "missing": '["{}"]:::missing'}
    ids = {node: f"n{number}" for number, node in enumerate(drawing.nodes)}
    lines = ["flowchart LR"]
    for node, key in ids.items():
        label = printable(node.name).replace("#", "#35;").replace('"', "#quot;")
        lines.append(f"    {key}{shapes[node.kind].format(label)}")
    lines += [
        f"    {ids[arrow.begin]} {'-->' if arrow.found else '-.->'} {ids[arrow.end]}"
        for arrow in drawing.arrows
    ]
    if any(node.kind == "missing" for node in drawing.nodes):
        lines.append("    classDef missing stroke-dasharray: 4")
    return "\n".join(lines)


def dot(drawing: Drawing) -> str:
    """Return a drawing in Graphviz's language; an arrow that only ``depends_on`` names is dashed."""
    styles = {"dataset": "", "source": " [shape=cylinder]", "missing": " [style=dashed]"}
    ids = {node: f"n{number}" for number, node in enumerate(drawing.nodes)}
    lines = ["digraph datasets {", "    rankdir=LR", "    node [shape=box]"]
    for node, key in ids.items():
        label = printable(node.name).replace("\\", "\\\\").replace('"', '\\"')
        lines.append(f'    {key} [label="{label}"]{styles[node.kind]}')
    lines += [
        f"    {ids[arrow.begin]} -> {ids[arrow.end]}{'' if arrow.found else ' [style=dashed]'}"
        for arrow in drawing.arrows
    ]
    return "\n".join([*lines, "}"])
