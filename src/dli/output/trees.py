"""A graph of datasets as a tree in the terminal: each under what it is built from."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import click

from dli.output.diagrams import Arrow, Node
from dli.output.tables import in_colour, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from dli.output.diagrams import Drawing

SEEN = "(above)"
_MARKS = {"dataset": "", "source": " (source)", "missing": " (not in this project)"}


def whole_tree(drawing: Drawing) -> list[str]:
    """Return the lines of a tree of all that is drawn, each dataset under all that it is built from."""
    below = _branches(drawing, down=True)
    hanging = {node for branches in below.values() for node, _ in branches}
    shown: set[Node] = set()
    lines: list[str] = []
    roots = [node for node in drawing.nodes if node not in hanging]
    # Datasets that depend on each other hang under nothing but themselves.
    for node in (*roots, *drawing.nodes):
        if node not in shown:
            lines += (_label(node), *_below(node, below, shown))
    return lines


def tree_around(node: Node, drawing: Drawing) -> list[str]:
    """Return the lines of two trees: what a dataset is built from, and what is built from it."""
    lines = [_label(node)]
    for title, down in (("Built from:", False), ("Needed by:", True)):
        branches = list(_below(node, _branches(drawing, down=down), set()))
        lines += ["", title, *(branches or ["nothing"])]
    return lines


def _branches(drawing: Drawing, *, down: bool) -> Mapping[Node, Sequence[tuple[Node, str]]]:
    branches: defaultdict[Node, list[tuple[Node, str]]] = defaultdict(list)
    for arrow in drawing.arrows:
        begin, end = (arrow.begin, arrow.end) if down else (arrow.end, arrow.begin)
        branches[begin].append((end, _note(arrow)))
    return {node: sorted(found) for node, found in branches.items()}


def _note(arrow: Arrow) -> str:
    known = arrow.begin.kind == "dataset"
    return " (not in depends_on)" if known and not arrow.declared else ""


def _below(
    root: Node, branches: Mapping[Node, Sequence[tuple[Node, str]]], shown: set[Node]
) -> Iterator[str]:
    """Yield the lines under a node; what was shown already is named, and not followed again."""
    shown.add(root)
    ahead = _steps(branches.get(root, ()), "")
    while ahead:
        node, note, before, last = ahead.pop()
        seen = node in shown
        yield f"{before}{'└── ' if last else '├── '}{_label(node, note, seen=seen)}"
        if not seen:
            shown.add(node)
            ahead += _steps(branches.get(node, ()), before + ("    " if last else "│   "))


def _steps(branches: Iterable[tuple[Node, str]], before: str) -> list[tuple[Node, str, str, bool]]:
    steps = [(node, note, before, False) for node, note in branches]
    if steps:
        steps[-1] = (*steps[-1][:3], True)
    return steps[::-1]


def _label(node: Node, note: str = "", *, seen: bool = False) -> str:
    name = printable(node.name)
    mark = _MARKS[node.kind] + note + (f" {SEEN}" if seen else "")
    if not in_colour():
        return name + mark
    dim = node.kind != "dataset" or seen
    return (click.style(name, dim=True) if dim else name) + click.style(mark, dim=True)
