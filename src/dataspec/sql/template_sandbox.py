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
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension
from jinja2.lexer import Token
from jinja2.sandbox import ImmutableSandboxedEnvironment

from dataspec.problems import Problem, nearest
from dataspec.sql.template_filters import FILTERS, FilterError
from dataspec.sql.template_text import TemplateText

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from jinja2.lexer import TokenStream
    from jinja2.runtime import Context

    from dataspec.sql.slots import Slots

MAX_RENDERED = 4 * 1024 * 1024
SLOTS = "_dli_slots"
"""The name under which a rendering finds its slots."""

_PLACE = "_dli_place"
_REFUSED: dict[type[nodes.Node], str] = {
    nodes.Include: "a SQL template can't include or import another.",
    nodes.Import: "a SQL template can't include or import another.",
    nodes.FromImport: "a SQL template can't include or import another.",
    nodes.Extends: "a SQL template can't include or import another.",
    # Their result would be SQL without having been a slot.
    nodes.FilterBlock: "{% filter %} would make SQL of values; give a value its filter: {{ name | filter }}.",
    nodes.CallBlock: "{% call %} would make SQL of values; call a macro as {{ name() }}.",
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
    lines = sql.splitlines()
    for found in tree.find_all((nodes.Filter, nodes.Test)):
        if found.name not in _known(found):
            yield _missing(found, lines)


def make_readable(tree: nodes.Template) -> None:
    """Put others in the places of filters and tests that do not exist, so that the rest can be read."""
    for found in tree.find_all((nodes.Filter, nodes.Test)):
        if found.name not in _known(found):
            found.name = "string" if isinstance(found, nodes.Filter) else "defined"


def _parsed(sql: str) -> nodes.Template:
    """Read a template.

    Raises:
        PlacedError: For the first thing that it may not hold.
        TemplateSyntaxError: For what is no template.
    """
    tree = ENVIRONMENT.parse(sql)
    for refusal in refusals(tree, sql):
        raise refusal
    return tree


@lru_cache(maxsize=256)
def compiled(sql: str) -> Template:
    """Return a template whose every ``{{ … }}`` asks :data:`SLOTS` for a word; errors as in reading it."""
    tree = _parsed(sql)
    lines = sql.splitlines() or [""]
    for found in tree.find_all(nodes.Filter):
        if found.name in FILTERS:
            place: Any = nodes.Keyword(_PLACE, nodes.Const((found.lineno, _column(found, lines))))
            found.kwargs = [*found.kwargs, place]
    for output in tree.find_all(nodes.Output):
        output.nodes = [_wrapped(node, lines) for node in output.nodes]
    tree.set_environment(ENVIRONMENT)
    return Template.from_code(ENVIRONMENT, ENVIRONMENT.compile(tree), ENVIRONMENT.make_globals(None))


class _SqlEnvironment(ImmutableSandboxedEnvironment):
    """Jinja without what a template of SQL has no use for: writing to objects, huge repetitions."""

    intercepted_binops = frozenset({"*", "**"})

    @staticmethod
    def concat(pieces: Iterable[str]) -> str:
        """Mark what a block, a macro or the whole template yields as text of the template's own."""
        return TemplateText("".join(pieces))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "**" and (abs(left) > 1_000_000 or abs(right) > 64):  # noqa: PLR2004 - far above any use
            raise SecurityError("the power is too large")
        if operator == "*":
            for one, other in ((left, right), (right, left)):
                if isinstance(one, str | list | tuple) and len(one) * abs(int(other)) > MAX_RENDERED:
                    raise SecurityError("the repetition is too long")
        return super().call_binop(context, operator, left, right)


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
        for token in stream:
            if after_pipe and token.type == "name":
                name = _FilterName(token.value)
                name.before = seen[token.lineno, token.value]
                seen[token.lineno, token.value] += 1
                yield Token(token.lineno, token.type, name)
            else:
                yield token
            after_pipe = token.type == "pipe"


def _known(found: nodes.Node) -> Mapping[str, Any]:
    return ENVIRONMENT.filters if isinstance(found, nodes.Filter) else ENVIRONMENT.tests


def _missing(found: Any, lines: list[str]) -> PlacedError:
    if isinstance(found, nodes.Test):
        return PlacedError(
            f"there is no test '{found.name}'.", found.lineno, None, nearest(found.name, ENVIRONMENT.tests)
        )
    hint = nearest(found.name, [*FILTERS, *ENVIRONMENT.filters])
    hint = hint or f"Filters for dates and names: {', '.join(FILTERS)}."
    return PlacedError(f"there is no filter '{found.name}'.", found.lineno, _column(found, lines), hint)


def _column(found: nodes.Filter, lines: list[str]) -> int | None:
    if not isinstance(found.name, _FilterName):
        return None
    names = list(re.finditer(rf"(?:\||^)\s*({re.escape(found.name)})\b", lines[found.lineno - 1]))
    return names[found.name.before].start(1) + 1 if found.name.before < len(names) else None


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
    slots: Slots = context[SLOTS]
    return slots.take(value, line, column, source)


def _wrapped(node: nodes.Expr, lines: list[str]) -> nodes.Expr:
    if isinstance(node, nodes.TemplateData):
        return node
    names = [name.name for name in node.find_all(nodes.Name)]
    if isinstance(node, nodes.Name):
        names = [node.name]
    source = names[0] if names else ""
    found = re.search(rf"\{{\{{(?:(?!\}}\}}).)*?\b{re.escape(source)}\b", lines[node.lineno - 1])
    place = [nodes.Const(node.lineno), nodes.Const(found.start() + 1 if found else 1), nodes.Const(source)]
    return nodes.Filter(node, "_slot", place, [], None, None, lineno=node.lineno)


def _environment() -> _SqlEnvironment:
    environment = _SqlEnvironment(
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[_FilterNames],
    )
    environment.filters |= {name: _placed(name, *about) for name, about in FILTERS.items()}
    environment.filters["_slot"] = _slot
    for name in ("lipsum", "cycler", "joiner"):
        environment.globals.pop(name, None)
    return environment


ENVIRONMENT = _environment()
