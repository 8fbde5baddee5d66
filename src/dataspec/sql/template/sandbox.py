"""The Jinja that SQL templates are written in: sandboxed, every value a slot, every filter with its place.

What reaches the SQL is the template's own text and words that stand for values. Text that
Jinja made of both, by joining or changing it, is neither and goes nowhere.
"""

from __future__ import annotations

import inspect
import re
from collections import Counter
from functools import lru_cache, wraps
from typing import TYPE_CHECKING, Any

from jinja2 import StrictUndefined, Template, TemplateRuntimeError, Undefined, nodes, pass_context
from jinja2.compiler import CodeGenerator
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension
from jinja2.lexer import Token
from jinja2.meta import TrackingCodeGenerator
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

from dataspec.problems import Problem, nearest
from dataspec.sql.sql_sources import MAX_SQL
from dataspec.sql.template import operations
from dataspec.sql.template.budget import MAX_BITS, BudgetError
from dataspec.sql.template.filters import FILTERS, FilterError
from dataspec.sql.template.operations import SLOTS, budget_of
from dataspec.sql.template.text import TemplateText

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from jinja2.compiler import Frame
    from jinja2.lexer import TokenStream
    from jinja2.runtime import Context

    from dataspec.sql.values.binding import Slots

MAX_RENDERED = MAX_SQL
MAX_WORDS = 20_000
"""Words and signs in the tags of a template."""
MAX_BRACKETS = 25
"""Brackets within each other in an expression."""
MAX_BLOCKS = 80
"""Blocks within each other; Python takes a hundred."""
MAX_LOOPS = 15
"""Loops within each other; Python takes twenty."""
MAX_ELIFS = 200
"""Ways of one condition."""
MAX_DEPTH = 150
"""Parts of an expression within each other, with the blocks around it."""

_PLACE = "_dli_place"
_REFUSED: dict[type[nodes.Node], str] = {
    nodes.Include: "a SQL template can't include or import another.",
    nodes.Import: "a SQL template can't include or import another.",
    nodes.FromImport: "a SQL template can't include or import another.",
    nodes.Extends: "a SQL template can't include or import another.",
    # Their result would be SQL without having been a slot.
    nodes.FilterBlock: "{% filter %} would make SQL of values; give a value its filter: {{ name | filter }}.",
    nodes.CallBlock: "{% call %} would make SQL of values; call a macro as {{ name() }}.",
    nodes.ScopedEvalContextModifier: "{% autoescape %} writes HTML, not SQL.",
}


class PlacedError(TemplateRuntimeError):
    """A template is wrong at a place that is known."""

    def __init__(self, message: str, line: int | None, column: int | None, hint: str | None = None) -> None:
        super().__init__(message)
        self._place = line, column
        self._hint = hint

    def problem(self, file: str, line: int | None = None) -> Problem:
        """Return it as a problem in a file, at a line that is known otherwise if its own is not."""
        own, column = self._place
        return Problem(str(self), file, own or line, column, self._hint)


def refusals(tree: nodes.Template, sql: str) -> Iterator[PlacedError]:
    """Yield everything in a template that no SQL template may hold, and the filters and tests that do not exist."""
    for kind, message in _REFUSED.items():
        for node in tree.find_all(kind):
            yield PlacedError(message, node.lineno, None)
    for block in tree.find_all(nodes.AssignBlock):
        if block.filter is not None:
            yield PlacedError("a {% set %} block can't have a filter.", block.lineno, None)
    places = _Places(sql)
    for found in tree.find_all((nodes.Filter, nodes.Test)):
        if found.name not in _known(found):
            yield _missing(found, places)


def make_readable(tree: nodes.Template) -> None:
    """Put others in the places of filters and tests that do not exist, so that the rest can be read."""
    for found in tree.find_all((nodes.Filter, nodes.Test)):
        if found.name not in _known(found):
            found.name = "string" if isinstance(found, nodes.Filter) else "defined"


def parsed(sql: str) -> nodes.Template:
    """Read a template; nothing in it is computed.

    Raises:
        PlacedError: For one that is nested too deep, or too long.
        TemplateSyntaxError: For what is no template.
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
    raise _too_deep(level[0].lineno)


def names_in(tree: nodes.Template) -> frozenset[str]:
    """Return the names that a template takes from outside; nothing in it is computed."""
    finder = _NameFinder(ENVIRONMENT)
    finder.optimizer = None
    finder.visit(tree)
    return frozenset(finder.undeclared_identifiers)


@lru_cache(maxsize=256)
def compiled(sql: str) -> Template:
    """Return a template whose every ``{{ … }}`` asks :data:`SLOTS` for a word; errors as in reading it.

    Whatever it does when it runs is counted by the budget of these slots.
    """
    tree = parsed(sql)
    for wrong in refusals(tree, sql):
        raise wrong
    places = _Places(sql)
    for found in tree.find_all(nodes.Filter):
        if found.name in FILTERS:
            place: Any = nodes.Keyword(_PLACE, nodes.Const((found.lineno, places.of_filter(found))))
            found.kwargs = [*found.kwargs, place]
    for output in tree.find_all(nodes.Output):
        output.nodes = [_wrapped(node, places) for node in output.nodes]
    tree = _Counting().visit(tree)
    tree.set_environment(ENVIRONMENT)
    return Template.from_code(ENVIRONMENT, ENVIRONMENT.compile(tree), ENVIRONMENT.make_globals(None))


def _too_deep(line: int) -> PlacedError:
    return PlacedError("the template is nested too deep.", line, None)


class _CodeGenerator(CodeGenerator):
    """Writes a template's code without computing any part of it beforehand."""

    def _output_child_to_const(self, node: nodes.Expr, frame: Frame, finalize: Any) -> str:
        if not isinstance(node, nodes.TemplateData):
            raise nodes.Impossible
        return super()._output_child_to_const(node, frame, finalize)


class _NameFinder(_CodeGenerator, TrackingCodeGenerator):
    """Finds the names that a template takes from outside, as its code would."""


class _Counting(NodeTransformer):
    """Puts counters into a template: in each block that may run again, and around what may be large."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802 - as Jinja calls it
        """Count each turn of a loop, also those that its condition leaves out."""
        if node.test is not None:
            words = nodes.Const(_size_of([node.test])[0])
            test = _filter(words, "_step", [nodes.Const(0)])
            node.test = nodes.And(test, node.test, lineno=node.lineno)
        return self._counted(node, "body", "else_")

    def visit_If(self, node: nodes.If) -> nodes.Node:  # noqa: N802 - as Jinja calls it
        """Count what a condition lets in."""
        return self._counted(node, "body", "else_")

    def visit_Macro(self, node: nodes.Macro) -> nodes.Node:  # noqa: N802 - as Jinja calls it
        """Count each call of a macro."""
        return self._counted(node, "body")

    visit_Block = visit_Macro  # noqa: N815
    visit_AssignBlock = visit_Macro  # noqa: N815
    visit_With = visit_Macro  # noqa: N815

    def _counted(self, node: Any, *fields: str) -> nodes.Node:
        for field in fields:
            if body := getattr(node, field):
                words, text = _size_of(body)
                step = _filter(nodes.Const(words, lineno=node.lineno), "_step", [nodes.Const(text)])
                setattr(node, field, [nodes.ExprStmt(step, lineno=node.lineno), *body])
        return self._within(node)

    def _within(self, node: nodes.Node) -> nodes.Node:
        self.generic_visit(node)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802 - as Jinja calls it
        """Count what ``~`` makes."""
        self.generic_visit(node)
        return _filter(nodes.List(node.nodes, lineno=node.lineno), "_joined")

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:  # noqa: N802 - as Jinja calls it
        """Count what is compared."""
        self.generic_visit(node)
        node.expr = _sized(node.expr)
        for operand in node.ops:
            operand.expr = _sized(operand.expr)
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802 - as Jinja calls it
        """Count what is cut out of a list or a text."""
        self.generic_visit(node)
        return _sized(node) if isinstance(node.arg, nodes.Slice) else node

    def visit_List(self, node: Any) -> nodes.Node:  # noqa: N802 - as Jinja calls it
        """Count what a list holds, unless it stands there."""
        self.generic_visit(node)
        stored = getattr(node, "ctx", "load") != "load"
        return node if stored or all(isinstance(item, nodes.Const) for item in node.items) else _sized(node)

    visit_Tuple = visit_List  # noqa: N815
    visit_Dict = visit_List  # noqa: N815


def _filter(node: nodes.Expr, name: str, args: list[nodes.Expr] | None = None) -> nodes.Filter:
    return nodes.Filter(node, name, args or [], [], None, None, lineno=node.lineno)


def _sized(node: nodes.Expr) -> nodes.Expr:
    short = isinstance(node, nodes.Const) and (not isinstance(node.value, str) or len(node.value) <= 64)  # noqa: PLR2004
    return node if short else _filter(node, "_sized")


_BODIES = (nodes.For, nodes.If, nodes.Macro, nodes.Block, nodes.AssignBlock, nodes.With)


def _size_of(statements: Iterable[nodes.Node]) -> tuple[int, int]:
    """Return of how many parts statements are made, and characters of text, without the blocks within."""
    parts, text, rest = 0, 0, list(statements)
    while rest:
        node = rest.pop()
        parts += 1
        if isinstance(node, nodes.TemplateData):
            text += len(node.data)
        within = ("body", "else_") if isinstance(node, _BODIES) else None
        rest.extend(node.iter_child_nodes(exclude=within))
    return parts, text


class _SqlEnvironment(ImmutableSandboxedEnvironment):
    """Jinja whose every call, operator and attribute is one of those that are known, and is counted."""

    code_generator_class = _CodeGenerator
    intercepted_binops = frozenset(ImmutableSandboxedEnvironment.default_binop_table)
    intercepted_unops = frozenset(ImmutableSandboxedEnvironment.default_unop_table)

    @staticmethod
    def concat(pieces: Iterable[str]) -> str:
        """Mark what a block, a macro or the whole template yields as text of the template's own."""
        found, length = [], 0
        for piece in pieces:
            found.append(piece)
            length += len(piece)
            if length > MAX_RENDERED:
                raise BudgetError(f"the rendered SQL has more than {MAX_RENDERED:,} characters.")
        return TemplateText("".join(found))

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call a macro, a loop, or a method that is known."""
        budget = budget_of(context)
        function = operations.called(budget, obj, args, kwargs)
        budget.enter()
        try:
            result = super().call(context, function, *args, **kwargs)
        finally:
            budget.leave()
        if not isinstance(result, Namespace):
            budget.take(result)
        return result

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        return operations.compute(budget_of(context), operator, left, right, self.binop_table[operator])

    def call_unop(self, context: Context, operator: str, arg: Any) -> Any:
        budget_of(context).take(arg)
        return self.unop_table[operator](arg)

    def call_filter(self, name: str, *args: Any, **named: Any) -> Any:
        """Call a filter by a name that the template gives, which those within are not."""
        if name.startswith("_"):
            raise SecurityError(f"there is no filter {name!r}")
        return super().call_filter(name, *args, **named)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        return super().is_safe_attribute(obj, attr, value) and operations.may_read(obj, attr)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Return an attribute that is known, else an item of that name."""
        if isinstance(obj, dict) and not operations.may_read(obj, attribute) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)

    def wrap_str_format(self, value: Any) -> None:
        """Leave ``format`` out: it is no method that is known."""


class _FilterName(str):
    """The name of a filter, which knows how many of that name stand before it on its line."""

    __slots__ = ("before",)
    before: int


class _FilterNames(Extension):
    """Numbers the filters while a template is read: Jinja keeps lines alone, people need columns."""

    def filter_stream(self, stream: TokenStream) -> Iterator[Token]:
        """Return the tokens with the names of filters numbered."""
        seen: Counter[tuple[int, str]] = Counter()
        after_pipe = False
        bounds = _Bounds()
        for token in stream:
            bounds.check(token)
            if after_pipe and token.type == "name":
                name = _FilterName(token.value)
                name.before = seen[token.lineno, token.value]
                seen[token.lineno, token.value] += 1
                yield Token(token.lineno, token.type, name)
            else:
                yield token
            after_pipe = token.type == "pipe"


class _Bounds:
    """Counts brackets and blocks before Jinja's parser, which is recursive, goes into them."""

    def __init__(self) -> None:
        self._words = self._brackets = 0
        self._blocks: list[str] = []
        self._elifs = 0
        self._begins = False

    def check(self, token: Token) -> None:
        """Take in one token.

        Raises:
            PlacedError: When the template is nested too deep, or too long.
        """
        kind = token.type
        if kind == "data":
            return
        self._words += 1
        if self._words > MAX_WORDS:
            message = f"the template has more than {MAX_WORDS:,} words and signs in its tags."
            raise PlacedError(message, token.lineno, None, "Split it, or loop over a list.")
        if kind in {"lparen", "lbracket", "lbrace"}:
            self._brackets += 1
        elif kind in {"rparen", "rbracket", "rbrace"}:
            self._brackets -= 1
        elif kind in {"variable_begin", "block_begin"}:
            self._brackets = 0
        elif self._begins:
            self._block(token.value)
        elif isinstance(token.value, int) and token.value.bit_length() > MAX_BITS:
            message = f"a number has more than {MAX_BITS} bits."
            raise PlacedError(message, token.lineno, None, "Let the SQL compute it.")
        self._begins = kind == "block_begin"
        loops = len(self._blocks) > MAX_LOOPS and self._blocks.count("for") > MAX_LOOPS
        blocks = loops or len(self._blocks) > MAX_BLOCKS or self._elifs > MAX_ELIFS
        if blocks or self._brackets > MAX_BRACKETS:
            raise _too_deep(token.lineno)

    def _block(self, name: str) -> None:
        self._elifs = self._elifs + 1 if name == "elif" else 0
        if name.startswith("end"):
            if self._blocks:
                self._blocks.pop()
        elif name in {"if", "for", "macro", "block", "with", "filter", "call", "autoescape"}:
            self._blocks.append(name)


class _Places:
    """Where names and filters stand on the lines of a template; each line is looked through once."""

    def __init__(self, sql: str) -> None:
        self._lines = sql.splitlines() or [""]
        self._names: dict[int, dict[str, int]] = {}
        self._filters: dict[int, dict[str, list[int]]] = {}

    def of_name(self, name: str, line: int) -> int:
        """Return the column of the first ``{{ … }}`` on a line with a name in it; with any word for no name."""
        if line not in self._names:
            self._names[line] = _first_words(self._line(line))
        return self._names[line].get(name, 1)

    def of_filter(self, found: nodes.Filter) -> int | None:
        """Return the column of a filter's name."""
        if not isinstance(found.name, _FilterName):
            return None
        if found.lineno not in self._filters:
            columns = self._filters[found.lineno] = {}
            for match in _PIPED.finditer(self._line(found.lineno)):
                columns.setdefault(match[1], []).append(match.start(1) + 1)
        places = self._filters[found.lineno].get(found.name, [])
        return places[found.name.before] if found.name.before < len(places) else None

    def _line(self, number: int) -> str:
        return self._lines[number - 1] if number <= len(self._lines) else ""


_PIPED = re.compile(r"(?:\||^)\s*(\w+)")
_WORD = re.compile(r"\w+")


def _first_words(line: str) -> dict[str, int]:
    """Return the words within ``{{ … }}`` on a line, each with the column of the first that holds it."""
    words: dict[str, int] = {}
    begin = line.find("{{")
    while begin >= 0:
        end = line.find("}}", begin + 2)
        end = end if end >= 0 else len(line)
        for match in _WORD.finditer(line, begin + 2, end):
            words.setdefault(match[0], begin + 1)
            words.setdefault("", begin + 1)
        begin = line.find("{{", end)
    return words


def _known(found: nodes.Node) -> Mapping[str, Any]:
    return ENVIRONMENT.filters if isinstance(found, nodes.Filter) else ENVIRONMENT.tests


def _missing(found: Any, places: _Places) -> PlacedError:
    if isinstance(found, nodes.Test):
        return PlacedError(
            f"there is no test '{found.name}'.", found.lineno, None, nearest(found.name, ENVIRONMENT.tests)
        )
    hint = nearest(found.name, [*FILTERS, *ENVIRONMENT.filters])
    hint = hint or f"Filters for dates and names: {', '.join(FILTERS)}."
    return PlacedError(f"there is no filter '{found.name}'.", found.lineno, places.of_filter(found), hint)


def _placed(name: str, function: Callable[..., Any], usage: str) -> Callable[..., Any]:
    """Return a filter whose errors tell where in the template it stands."""
    signature = inspect.signature(function)

    @wraps(function)
    def placed(value: Any, *args: Any, **named: Any) -> Any:
        line, column = named.pop(_PLACE, (None, None))
        if isinstance(value, Undefined):
            str(value)  # raises, naming what is not defined
        try:
            signature.bind(value, *args, **named)
        except TypeError:
            raise PlacedError(f"the filter '{name}' is written {usage}.", line, column) from None
        try:
            return function(value, *args, **named)
        except FilterError as error:
            raise PlacedError(str(error), line, column, error.hint) from None
        except ValueError as error:
            raise PlacedError(f"{error}.", line, column) from None

    return placed


@pass_context
def _slot(context: Context, value: Any, line: int, column: int, source: str) -> str:
    if isinstance(value, Undefined):
        str(value)  # raises, naming what is not defined
    slots: Slots = context.parent[SLOTS]
    return slots.take(value, line, column, source)


@pass_context
def _step(context: Context, words: int, text: int) -> bool:
    budget = budget_of(context)
    budget.take_steps(words)
    budget.take_text(text)
    return True


@pass_context
def _size(context: Context, value: Any) -> Any:
    budget_of(context).take(value)
    return value


@pass_context
def _join(context: Context, parts: list[Any]) -> str:
    return operations.joined(context, parts)


_COUNTERS: dict[str, Callable[..., Any]] = {"_slot": _slot, "_step": _step, "_sized": _size, "_joined": _join}
"""Filters that only :func:`compiled` writes."""


def _wrapped(node: nodes.Expr, places: _Places) -> nodes.Expr:
    if isinstance(node, nodes.TemplateData):
        return node
    names = [name.name for name in node.find_all(nodes.Name)]
    if isinstance(node, nodes.Name):
        names = [node.name]
    source = names[0] if names else ""
    column = places.of_name(source, node.lineno)
    return _filter(node, "_slot", [nodes.Const(node.lineno), nodes.Const(column), nodes.Const(source)])


def _environment() -> _SqlEnvironment:
    environment = _SqlEnvironment(
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        optimized=False,
        extensions=[_FilterNames],
    )
    own = {name: _placed(name, *about) for name, about in FILTERS.items()}
    for table, known in (
        (environment.filters, operations.filters() | own | _COUNTERS),
        (environment.tests, operations.tests()),
    ):
        table.clear()
        table.update(known)
    environment.globals = {"range": environment.globals["range"], "dict": dict, "namespace": Namespace}
    return environment


ENVIRONMENT = _environment()
