"""Draw a graph of datasets: as a tree in the terminal, for Mermaid, and for Graphviz."""

from __future__ import annotations

import sys
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from dli.output.tables import in_colour, printable
from dli.output.waits import waits

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rich.tree import Tree

    from dataspec.models import GraphNode, WorkflowGraph
    from dataspec.project.graph import DatasetGraph

Kind = Literal["dataset", "source", "missing", "unregistered"]
SEEN = "(above)"
SHOWN = 3
"""Maximum number of things that a dataset is shown to wait for."""
_MARKS = {
    "dataset": "",
    "source": " (source)",
    "missing": " (not in this project)",
    "unregistered": " (not registered)",
}

_ABSENT = ("missing", "unregistered")


@dataclass(frozen=True, slots=True, order=True)
class Node:
    """A dataset, a table that no dataset builds, or a dataset that the project or the server does not have."""

    name: str
    kind: Kind = "dataset"
    state: str = field(default="", compare=False)
    """The state of a registered dataset, as text."""


@dataclass(frozen=True, slots=True, order=True)
class Arrow:
    """A dependency: ``end`` is built from ``begin``."""

    begin: Node
    end: Node
    declared: bool = True
    """Whether ``depends_on`` names it."""
    found: bool = True
    """Whether the SQL reads it."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """The nodes and arrows of a graph, in drawing order."""

    nodes: tuple[Node, ...]
    arrows: tuple[Arrow, ...]

    @classmethod
    def of(cls, graph: DatasetGraph, names: Iterable[str]) -> Drawing:
        """Return the drawing of some datasets of a graph, upstream ones first."""
        datasets = [Node(name) for name in names]
        arrows = sorted({arrow for node in datasets for arrow in _arrows_into(node, graph, set(datasets))})
        others = {arrow.begin: None for arrow in arrows if arrow.begin.kind != "dataset"}
        return cls((*others, *datasets), tuple(arrows))

    @classmethod
    def of_registered(cls, graph: WorkflowGraph) -> Drawing:
        """Return the drawing of the server's graph; each node shows its state."""
        nodes = {node.name: Node(node.name, state=_state(node)) for node in graph.datasets}
        missing = sorted({Node(name, "unregistered") for node in graph.datasets for name in node.missing})
        arrows = [
            Arrow(nodes[edge.upstream], nodes[edge.downstream], edge.declared, found=bool(edge.tables))
            for edge in graph.edges
        ]
        arrows += [
            Arrow(Node(name, "unregistered"), nodes[node.name], found=False)
            for node in graph.datasets
            for name in node.missing
        ]
        return cls((*missing, *nodes.values()), tuple(sorted(arrows)))

    def node(self, name: str) -> Node:
        """Return the node of a dataset."""
        return next(node for node in self.nodes if node == Node(name))


def _state(node: GraphNode) -> str:
    facts = [str(node.source_type), str(node.status)]
    if node.last_result:
        facts.append(f"last run {node.last_result}")
    if node.running_run_id:
        facts.append(f"running {node.running_run_id}")
    if node.waiting_run_id:
        named = ", ".join(waits(node.waiting_for, limit=SHOWN, names=True))
        facts.append(f"waits for {named}" if named else "waits")
    return ", ".join(facts)


def _arrows_into(node: Node, graph: DatasetGraph, drawn: set[Node]) -> Iterator[Arrow]:
    for table in graph.sources(node.name):
        yield Arrow(Node(table, "source"), node, declared=False)
    for name in graph.missing(node.name):
        yield Arrow(Node(name, "missing"), node, found=False)
    for edge in graph.parents(node.name):
        if Node(edge.upstream) in drawn:
            yield Arrow(Node(edge.upstream), node, declared=edge.declared, found=edge.found)


def drawn(drawing: Drawing, name: str | None, form: str | None) -> str:
    """Return a drawing as text.

    Args:
        drawing: The datasets and their dependencies.
        name: The dataset around which a tree is drawn; None for the whole graph.
        form: ``mermaid`` or ``dot``; anything else is a tree.
    """
    if form in {"mermaid", "dot"}:
        return (mermaid if form == "mermaid" else dot)(drawing)
    return whole_tree(drawing) if name is None else tree_around(drawing.node(name), drawing)


def mermaid(drawing: Drawing) -> str:
    """Return a drawing for Mermaid; an arrow that only ``depends_on`` names is dotted."""
    absent = '["{}"]:::missing'
    shapes = {"dataset": '["{}"]', "source": '[("{}")]', "missing": absent, "unregistered": absent}
    ids = {node: f"n{number}" for number, node in enumerate(drawing.nodes)}
    lines = ["flowchart LR"]
    for node, key in ids.items():
        label = _text(node).replace("#", "#35;").replace('"', "#quot;").replace("\n", "<br/>")
        lines.append(f"    {key}{shapes[node.kind].format(label)}")
    lines += [
        f"    {ids[arrow.begin]} {'-->' if arrow.found else '-.->'} {ids[arrow.end]}"
        for arrow in drawing.arrows
    ]
    if any(node.kind in _ABSENT for node in drawing.nodes):
        lines.append("    classDef missing stroke-dasharray: 4")
    return "\n".join(lines)


def _text(node: Node) -> str:
    """Return a node's name with its state below."""
    return "\n".join(printable(line) for line in (node.name, node.state) if line)


def dot(drawing: Drawing) -> str:
    """Return a drawing for Graphviz; an arrow that only ``depends_on`` names is dashed."""
    styles = {"dataset": "", "source": " [shape=cylinder]", **dict.fromkeys(_ABSENT, " [style=dashed]")}
    ids = {node: f"n{number}" for number, node in enumerate(drawing.nodes)}
    lines = ["digraph datasets {", "    rankdir=LR", "    node [shape=box]"]
    for node, key in ids.items():
        label = _text(node).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        lines.append(f'    {key} [label="{label}"]{styles[node.kind]}')
    lines += [
        f"    {ids[arrow.begin]} -> {ids[arrow.end]}{'' if arrow.found else ' [style=dashed]'}"
        for arrow in drawing.arrows
    ]
    return "\n".join([*lines, "}"])


def whole_tree(drawing: Drawing) -> str:
    """Return a tree of the whole drawing, each dataset below everything that it is built from."""
    children = _children(drawing, downstream=True)
    below_others = {node for branches in children.values() for node, _ in branches}
    shown: set[Node] = set()
    roots = [node for node in drawing.nodes if node not in below_others]
    # The datasets of a cycle are below one another only, so none of them is a root.
    ahead = (node for node in (*roots, *drawing.nodes) if node not in shown)
    return _printed([_tree(_label(node), node, children, shown) for node in ahead])


def tree_around(node: Node, drawing: Drawing) -> str:
    """Return two trees: the datasets that a dataset is built from, and those built from it."""
    parts = [_printed([_leaf(_label(node))])]
    for title, downstream in (("Built from:", False), ("Needed by:", True)):
        tree = _tree((title, ""), node, _children(drawing, downstream=downstream), set())
        parts.append(_printed([tree]) if tree.children else f"{title}\nnothing")
    return "\n\n".join(parts)


def _children(drawing: Drawing, *, downstream: bool) -> Mapping[Node, Sequence[tuple[Node, str]]]:
    """Return the neighbours of each node in one direction, each with its mark."""
    children: defaultdict[Node, list[tuple[Node, str]]] = defaultdict(list)
    for arrow in drawing.arrows:
        parent, child = (arrow.begin, arrow.end) if downstream else (arrow.end, arrow.begin)
        undeclared = arrow.begin.kind == "dataset" and not arrow.declared
        children[parent].append((child, " (not in depends_on)" if undeclared else ""))
    return {node: sorted(found) for node, found in children.items()}


def _tree(
    title: tuple[str, str], root: Node, children: Mapping[Node, Sequence[tuple[Node, str]]], shown: set[Node]
) -> Tree:
    """Return the tree below a node; a node that was shown before is named, and not followed again."""
    tree = _leaf(title)
    shown.add(root)
    ahead = [(tree, *child) for child in reversed(children.get(root, ()))]
    while ahead:
        parent, node, note = ahead.pop()
        seen = node in shown
        branch = _leaf(_label(node, note, seen=seen))
        parent.children.append(branch)
        if not seen:
            shown.add(node)
            ahead += [(branch, *child) for child in reversed(children.get(node, ()))]
    return tree


def _label(node: Node, note: str = "", *, seen: bool = False) -> tuple[str, str]:
    """Return a node's name and its marks."""
    state = f" ({node.state})" if node.state and not seen else ""
    return printable(node.name), _MARKS[node.kind] + printable(state) + note + (f" {SEEN}" if seen else "")


def _leaf(label: tuple[str, str]) -> Tree:
    from rich.text import Text
    from rich.tree import Tree

    name, marks = label
    dim = marks.startswith(tuple(filter(None, _MARKS.values()))) or marks.endswith(SEEN)
    return Tree(Text.assemble((name, "dim" if dim else ""), (marks, "dim")))


def _printed(trees: list[Tree]) -> str:
    """Return trees as text, with colour where standard output takes it."""
    from io import StringIO

    from rich.console import Console

    text = StringIO()
    console = Console(
        file=text,
        width=sys.maxsize,
        highlight=False,
        force_terminal=in_colour(),
        color_system="standard" if in_colour() else None,
    )
    for tree in trees:
        console.print(tree)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())
