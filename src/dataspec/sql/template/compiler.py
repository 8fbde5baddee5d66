"""Compile a template whose values become placeholders, and whose work is counted."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from jinja2 import Template, nodes
from jinja2.visitor import NodeTransformer

from dataspec.sql.template.bounds import TemplatePlaces
from dataspec.sql.template.filters import FILTERS
from dataspec.sql.template.sandbox import ENVIRONMENT, PLACE
from dataspec.sql.template.seed_checks import has_alias
from dataspec.sql.template.syntax import SEED, WordPlaces, names_of, parsed, path_of, refusals, seed_calls

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dataspec.sql.template.syntax import Import

MAIN = "<template>"
"""The file name of a template's code; that of a macro file's code is its path."""


@lru_cache(maxsize=256)
def compiled(sql: str, macro_file: str | None = None) -> Template:
    """Compile a template whose every ``{{ … }}`` takes a placeholder from :data:`SLOTS`.

    All that it does is counted by the budget of these slots. Raises the errors of :func:`parsed`.

    Args:
        sql: The template.
        macro_file: The path of a macro file; None for the template of a dataset.
    """
    tree = parsed(sql)
    for wrong in refusals(tree, sql):
        raise wrong
    places = TemplatePlaces(sql)
    for found in tree.find_all(nodes.Filter):
        if found.name in FILTERS:
            place: Any = nodes.Keyword(PLACE, nodes.Const((found.lineno, places.of_filter(found))))
            found.kwargs = [*found.kwargs, place]
    seeds = {id(call) for call in seed_calls(tree)} if macro_file is None else set()
    for output in tree.find_all(nodes.Output):
        texts = [node.data if isinstance(node, nodes.TemplateData) else "" for node in output.nodes[1:]]
        output.nodes = [
            _seeded(node, places, needs_alias=not has_alias(after)) if id(node) in seeds else node
            for node, after in zip(output.nodes, [*texts, ""], strict=True)
        ]
        output.nodes = [_wrapped(node, places) for node in output.nodes]
    for call in tree.find_all(nodes.Call):
        name = next((name.name for name in call.find_all(nodes.Name)), "")
        call.kwargs = [
            *call.kwargs,
            nodes.Keyword(PLACE, nodes.Const((call.lineno, places.of_name(name, call.lineno)))),
        ]
    tree = _Counter().visit(_Importer(sql, seeds).visit(tree))
    tree.set_environment(ENVIRONMENT)
    code = ENVIRONMENT.compile(tree, macro_file, macro_file or MAIN)
    return Template.from_code(ENVIRONMENT, code, ENVIRONMENT.make_globals(None))


def _seeded(call: nodes.Expr, places: TemplatePlaces, *, needs_alias: bool = False) -> nodes.Expr:
    """Return a call of ``seed`` as an internal filter of the seed's name."""
    assert isinstance(call, nodes.Call)  # noqa: S101 - one of `seed_calls`
    place = [nodes.Const(call.lineno), nodes.Const(places.of_name(SEED, call.lineno))]
    return _filter(call.args[0], "_seeded", [*place, nodes.Const(needs_alias)])


class _Importer(NodeTransformer):
    """Replace imports by assignments, so that a macro file is run once in a rendering, and counted; and seeds."""

    def __init__(self, sql: str, seeds: set[int]) -> None:
        self._places = WordPlaces(sql)
        self._calls = TemplatePlaces(sql)
        self._seeds = seeds

    def visit_Call(self, node: nodes.Call) -> nodes.Node:  # noqa: N802 - named by Jinja
        if id(node) in self._seeds:
            return _seeded(node, self._calls)
        return self.generic_visit(node)

    def visit_Import(self, node: nodes.Import) -> nodes.Node:  # noqa: N802 - named by Jinja
        return self._assigned(node, node.target)

    def visit_FromImport(self, node: nodes.FromImport) -> list[nodes.Node]:  # noqa: N802 - named by Jinja
        return [self._assigned(node, alias, nodes.Const(name)) for name, alias in names_of(node)]

    def _assigned(self, node: Import, target: str, *name: nodes.Const) -> nodes.Node:
        column = self._places.of(path_of(node) or "", node.lineno) or 1
        place = [nodes.Const(node.lineno), nodes.Const(column)]
        value = _filter(node.template, "_imported", [*place, *name])
        return nodes.Assign(nodes.Name(target, "store", lineno=node.lineno), value, lineno=node.lineno)


class _Counter(NodeTransformer):
    """Put counters into a template: into each block that may run again, and around each value that may be large."""

    def visit(self, node: nodes.Node, *_: Any, **__: Any) -> Any:
        """Return a node, and the nodes within it, with their counters."""
        if (
            isinstance(node, nodes.For) and node.test is not None
        ):  # turns that its condition skips count as well
            words = nodes.Const(_size_of([node.test])[0])
            node.test = nodes.And(_filter(words, "_step", [nodes.Const(0)]), node.test, lineno=node.lineno)
        for field in ("body", "else_") if isinstance(node, _BODIES) else ():
            if body := getattr(node, field, None):
                words, text = (nodes.Const(size, lineno=node.lineno) for size in _size_of(body))
                step = nodes.ExprStmt(_filter(words, "_step", [text]), lineno=node.lineno)
                setattr(node, field, [step, *body])
        self.generic_visit(node)
        return _with_size(node)


def _with_size(node: nodes.Node) -> nodes.Node:
    """Return an expression whose value is counted, if it may be large."""
    if isinstance(node, nodes.Concat):
        return _filter(nodes.List(node.nodes, lineno=node.lineno), "_joined")
    if isinstance(node, nodes.Compare):
        node.expr = _sized(node.expr)
        for operand in node.ops:
            operand.expr = _sized(operand.expr)
    elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Slice):
        return _sized(node)
    elif isinstance(node, nodes.List | nodes.Tuple | nodes.Dict):
        stored = getattr(node, "ctx", "load") != "load"
        return node if stored or all(isinstance(item, nodes.Const) for item in node.items) else _sized(node)
    return node


def _filter(node: nodes.Expr, name: str, args: list[nodes.Expr] | None = None) -> nodes.Filter:
    return nodes.Filter(node, name, args or [], [], None, None, lineno=node.lineno)


def _sized(node: nodes.Expr) -> nodes.Expr:
    short = isinstance(node, nodes.Const) and (not isinstance(node.value, str) or len(node.value) <= 64)  # noqa: PLR2004
    return node if short else _filter(node, "_sized")


_BODIES = (nodes.For, nodes.If, nodes.Macro, nodes.Block, nodes.AssignBlock, nodes.With)


def _size_of(statements: Iterable[nodes.Node]) -> tuple[int, int]:
    """Return the number of nodes in statements, and of characters of text, without those in inner blocks."""
    parts, text, rest = 0, 0, list(statements)
    while rest:
        node = rest.pop()
        parts += 1
        if isinstance(node, nodes.TemplateData):
            text += len(node.data)
        within = ("body", "else_") if isinstance(node, _BODIES) else None
        rest.extend(node.iter_child_nodes(exclude=within))
    return parts, text


def _wrapped(node: nodes.Expr, places: TemplatePlaces) -> nodes.Expr:
    if isinstance(node, nodes.TemplateData):
        return node
    names = [name.name for name in node.find_all(nodes.Name)]
    if isinstance(node, nodes.Name):
        names = [node.name]
    source = names[0] if names else ""
    column = places.of_name(source, node.lineno)
    return _filter(node, "_slot", [nodes.Const(node.lineno), nodes.Const(column), nodes.Const(source)])
