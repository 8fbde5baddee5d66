"""Compile, render and check the templates that need Jinja: with filters, conditions or loops."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from jinja2 import Template, TemplateError, TemplateSyntaxError, nodes
from jinja2.exceptions import SecurityError
from jinja2.meta import TrackingCodeGenerator
from jinja2.visitor import NodeTransformer

from dataspec.errors import InvalidTemplate
from dataspec.problems import Problem, nearest
from dataspec.sql.template.bounds import PlacedError, TemplatePlaces, too_deep
from dataspec.sql.template.filters import FILTERS
from dataspec.sql.template.operations import SLOTS
from dataspec.sql.template.sandbox import ENVIRONMENT, PLACE, ConstantFreeCodeGenerator
from dataspec.sql.values.budget import BudgetError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from dataspec.sql.values.binding import Slots

MAX_DEPTH = 150
"""Maximum depth of a template's syntax tree."""
_REFUSED: dict[type[nodes.Node], str] = {
    nodes.Include: "a SQL template can't include or import another.",
    nodes.Import: "a SQL template can't include or import another.",
    nodes.FromImport: "a SQL template can't include or import another.",
    nodes.Extends: "a SQL template can't include or import another.",
    # Their result would reach the SQL without being bound as a value.
    nodes.FilterBlock: "{% filter %} would make SQL of values; give a value its filter: {{ name | filter }}.",
    nodes.CallBlock: "{% call %} would make SQL of values; call a macro as {{ name() }}.",
    nodes.ScopedEvalContextModifier: "{% autoescape %} writes HTML, not SQL.",
}
_WRONG = (TemplateError, SecurityError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError)
"""Exceptions of an expression whose values do not fit its filters and operators."""
_TOO_DEEP = (RecursionError, SyntaxError, MemoryError)
"""Exceptions of Jinja and Python for blocks that are nested too deep."""
_DEEP = 90
"""Tags above which a template is compiled as a check: Python compiles at most a hundred nested blocks."""


def with_slots(sql: str, values: Mapping[str, Any], slots: Slots, file: str) -> str:
    """Render a template, with a placeholder of ``slots`` for each value.

    Raises:
        InvalidTemplate: When the template is wrong, or a value does not fit its filters.
    """
    template = None
    try:
        template = compiled(sql)
        text = template.render({**values, SLOTS: slots})
    except PlacedError as error:
        raise InvalidTemplate(error.problem(file, _line_of(error))) from None
    except BudgetError as error:
        raise InvalidTemplate(Problem(str(error), file, _line_of(error), None, error.hint)) from None
    except TemplateSyntaxError as error:
        raise InvalidTemplate(_syntax_problem(error, file)) from None
    except _TOO_DEEP:
        endless = Problem("a macro calls itself without an end.", file)
        raise InvalidTemplate(endless if template else _depth_problem(file)) from None
    except _WRONG as error:
        raise InvalidTemplate(Problem(f"{_plain(error)}.", file, _line_of(error), None)) from None
    return text


def checked(sql: str, known: Sequence[str]) -> tuple[list[Problem], frozenset[str] | None]:
    """Return all problems of a template, without a file name, and the names that it uses."""
    try:
        tree = parsed(sql)
        problems = [error.problem("") for error in refusals(tree, sql)]
        make_readable(tree)
        used = names_in(tree) - ENVIRONMENT.globals.keys()
        if not problems and sql.count("{%") > _DEEP:
            compiled(sql)
    except PlacedError as error:
        return [error.problem("")], None
    except TemplateSyntaxError as error:
        return [_syntax_problem(error, "")], None
    except _TOO_DEEP:
        return [_depth_problem("")], None
    problems += _unknown_names(sql, tree, set(used - set(known)), known)
    return sorted(problems, key=lambda problem: problem.line or 0), frozenset(used)


def _unknown_names(
    sql: str, tree: nodes.Template, unknown: set[str], known: Sequence[str]
) -> Iterator[Problem]:
    """Yield a problem for each unknown name, at its first use."""
    lines = sql.splitlines()
    for node in sorted(tree.find_all(nodes.Name), key=lambda name: name.lineno) if unknown else ():
        if node.name in unknown:
            unknown.discard(node.name)
            found = re.search(rf"\b{re.escape(node.name)}\b", lines[node.lineno - 1])
            hint = nearest(node.name, known) or "Declare it under 'parameters'."
            message = f"'{node.name}' is not a parameter of this dataset."
            yield Problem(message, "", node.lineno, found.start() + 1 if found else None, hint)


def _syntax_problem(error: TemplateSyntaxError, file: str) -> Problem:
    return Problem(f"{_plain(error)}.", file, error.lineno)


def _depth_problem(file: str) -> Problem:
    return Problem("the template is nested too deep.", file)


def _plain(error: Exception) -> str:
    message = error.message if isinstance(error, TemplateError) else str(error)
    return (message or type(error).__name__).rstrip(".")


def _line_of(error: Exception) -> int | None:
    """Return the template line that raised an error."""
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def refusals(tree: nodes.Template, sql: str) -> Iterator[PlacedError]:
    """Yield an error for each tag that SQL templates don't allow, and for each unknown filter and test."""
    for kind, message in _REFUSED.items():
        for node in tree.find_all(kind):
            yield PlacedError(message, node.lineno, None)
    for block in tree.find_all(nodes.AssignBlock):
        if block.filter is not None:
            yield PlacedError("a {% set %} block can't have a filter.", block.lineno, None)
    places = TemplatePlaces(sql)
    for found in tree.find_all((nodes.Filter, nodes.Test)):
        if found.name not in _known(found):
            yield _missing(found, places)


def make_readable(tree: nodes.Template) -> None:
    """Replace unknown filters and tests by known ones, so that the rest of the template can be checked."""
    for found in tree.find_all((nodes.Filter, nodes.Test)):
        if found.name not in _known(found):
            found.name = "string" if isinstance(found, nodes.Filter) else "defined"


def parsed(sql: str) -> nodes.Template:
    """Parse a template without evaluating any part of it.

    Raises:
        PlacedError: For a template that is nested too deep, or too long.
        TemplateSyntaxError: For a syntax error.
    """
    try:
        tree = ENVIRONMENT.parse(sql)
    except ValueError as error:
        raise PlacedError(f"a number can't be read: {error}.", None, None) from None
    level: list[nodes.Node] = [tree]
    for _ in range(MAX_DEPTH):
        level = [child for node in level for child in node.iter_child_nodes()]
        if not level:
            return tree
    raise too_deep(level[0].lineno)


def names_in(tree: nodes.Template) -> frozenset[str]:
    """Return the undeclared names that a template uses, without evaluating any part of it."""
    finder = _NameFinder(ENVIRONMENT)
    finder.optimizer = None
    finder.visit(tree)
    return frozenset(finder.undeclared_identifiers)


@lru_cache(maxsize=256)
def compiled(sql: str) -> Template:
    """Compile a template whose every ``{{ … }}`` takes a placeholder from :data:`SLOTS`.

    All that it does is counted by the budget of these slots. Raises the errors of :func:`parsed`.
    """
    tree = parsed(sql)
    for wrong in refusals(tree, sql):
        raise wrong
    places = TemplatePlaces(sql)
    for found in tree.find_all(nodes.Filter):
        if found.name in FILTERS:
            place: Any = nodes.Keyword(PLACE, nodes.Const((found.lineno, places.of_filter(found))))
            found.kwargs = [*found.kwargs, place]
    for output in tree.find_all(nodes.Output):
        output.nodes = [_wrapped(node, places) for node in output.nodes]
    tree = _Counter().visit(tree)
    tree.set_environment(ENVIRONMENT)
    return Template.from_code(ENVIRONMENT, ENVIRONMENT.compile(tree), ENVIRONMENT.make_globals(None))


class _NameFinder(ConstantFreeCodeGenerator, TrackingCodeGenerator):
    """Collects the undeclared names of a template."""


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


def _known(found: nodes.Node) -> Mapping[str, Any]:
    return ENVIRONMENT.filters if isinstance(found, nodes.Filter) else ENVIRONMENT.tests


def _missing(found: Any, places: TemplatePlaces) -> PlacedError:
    if isinstance(found, nodes.Test):
        return PlacedError(
            f"there is no test '{found.name}'.", found.lineno, None, nearest(found.name, ENVIRONMENT.tests)
        )
    hint = nearest(found.name, [*FILTERS, *ENVIRONMENT.filters])
    hint = hint or f"Filters for dates and names: {', '.join(FILTERS)}."
    return PlacedError(f"there is no filter '{found.name}'.", found.lineno, places.of_filter(found), hint)


def _wrapped(node: nodes.Expr, places: TemplatePlaces) -> nodes.Expr:
    if isinstance(node, nodes.TemplateData):
        return node
    names = [name.name for name in node.find_all(nodes.Name)]
    if isinstance(node, nodes.Name):
        names = [node.name]
    source = names[0] if names else ""
    column = places.of_name(source, node.lineno)
    return _filter(node, "_slot", [nodes.Const(node.lineno), nodes.Const(column), nodes.Const(source)])
