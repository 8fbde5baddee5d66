"""SQL templates: Jinja, sandboxed, where values go in as data (decisions 6).

A value never becomes SQL. Each ``{{ … }}`` is first rendered as a word that stands for
it; the dialect's own tokenizer then tells where the word is: inside quotes, where the
value is escaped for them; alone, where a number, a boolean or a list is written as a
literal and text is refused; or in a comment. At the end the text is tokenized again
and must hold the same statements as it did with the words.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from jinja2 import (
    StrictUndefined,
    Template,
    TemplateError,
    TemplateSyntaxError,
    Undefined,
    nodes,
    pass_context,
)
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from dataspec.errors import InvalidTemplate
from dataspec.problems import Problem, nearest
from dataspec.sql_names import sql_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jinja2.runtime import Context

    from dataspec.slots import Slots

MAX_RENDERED = 4 * 1024 * 1024
_SLOTS = "_dli_slots"


def render(sql: str, values: Mapping[str, Any], *, dialect: str | None, file: str) -> str:
    """Render one SQL template with values as data.

    Raises:
        InvalidTemplate: When the template is wrong, names something unknown, or a value does
            not fit where it stands.
    """
    from dataspec.slots import Slots

    slots = Slots(file)
    try:
        text = _compiled(sql).render({**values, _SLOTS: slots})
    except TemplateSyntaxError as error:
        raise InvalidTemplate(_syntax_problem(error, file)) from None
    except (TemplateError, SecurityError, TypeError, ValueError, ArithmeticError, LookupError) as error:
        raise InvalidTemplate(Problem(f"{_plain(error)}.", file, _line_of(error), None)) from None
    if len(text) > MAX_RENDERED:
        raise InvalidTemplate(Problem(f"the rendered SQL has {len(text):,} characters.", file))
    return slots.fill(text, dialect)


def check_template(sql: str, known: Sequence[str], *, file: str) -> Problem | None:
    """Return what is wrong with a template before it is rendered: its syntax, or a name that is not known."""
    from jinja2.meta import find_undeclared_variables

    try:
        tree = _ENVIRONMENT.parse(sql)
        used = find_undeclared_variables(tree)  # generates the code as well, so unknown filters show
    except TemplateSyntaxError as error:
        return _syntax_problem(error, file)
    for node in tree.find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)):
        return Problem("a SQL template can't include or import another.", file, node.lineno)
    unknown = used - set(known) - _ENVIRONMENT.globals.keys()
    return _unknown_name(sql, tree, unknown, known, file) if unknown else None


def _syntax_problem(error: TemplateSyntaxError, file: str) -> Problem:
    return Problem(f"{_plain(error)}.", file, error.lineno)


def _unknown_name(
    sql: str, tree: nodes.Template, unknown: set[str], known: Sequence[str], file: str
) -> Problem | None:
    for node in tree.find_all(nodes.Name):
        if node.name in unknown:
            line = sql.splitlines()[node.lineno - 1]
            found = re.search(rf"\b{re.escape(node.name)}\b", line)
            hint = nearest(node.name, known) or "Declare it under 'parameters'."
            message = f"'{node.name}' is not a parameter of this dataset."
            return Problem(message, file, node.lineno, found.start() + 1 if found else None, hint)
    return None


class _SqlEnvironment(ImmutableSandboxedEnvironment):
    """Jinja without what a template of SQL has no use for: writing to objects, huge repetitions."""

    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "**" and (abs(left) > 1_000_000 or abs(right) > 64):  # noqa: PLR2004 - far above any use
            raise SecurityError("the power is too large")
        if operator == "*":
            for one, other in ((left, right), (right, left)):
                if isinstance(one, str | list | tuple) and len(one) * abs(int(other)) > MAX_RENDERED:
                    raise SecurityError("the repetition is too long")
        return super().call_binop(context, operator, left, right)


@pass_context
def _slot(context: Context, value: Any, line: int, column: int, source: str) -> str:
    if isinstance(value, Undefined):
        str(value)  # raises, naming what is not defined
    slots: Slots = context[_SLOTS]
    return slots.take(value, line, column, source)


def _environment() -> _SqlEnvironment:
    environment = _SqlEnvironment(
        undefined=StrictUndefined, keep_trailing_newline=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"_slot": _slot, "identifier": sql_name}
    for name in ("lipsum", "cycler", "joiner"):
        environment.globals.pop(name, None)
    return environment


_ENVIRONMENT = _environment()


@lru_cache(maxsize=256)
def _compiled(sql: str) -> Template:
    tree = _ENVIRONMENT.parse(sql)
    lines = sql.splitlines() or [""]
    for output in tree.find_all(nodes.Output):
        output.nodes = [_wrapped(node, lines) for node in output.nodes]
    return Template.from_code(_ENVIRONMENT, _ENVIRONMENT.compile(tree), _ENVIRONMENT.make_globals(None))


def _wrapped(node: nodes.Expr, lines: list[str]) -> nodes.Expr:
    if isinstance(node, nodes.TemplateData):
        return node
    names = [name.name for name in node.find_all(nodes.Name)]
    if isinstance(node, nodes.Name):
        names = [node.name]
    source = names[0] if names else ""
    found = re.search(rf"\{{\{{.*?\b{re.escape(source)}\b", lines[node.lineno - 1])
    place = [nodes.Const(node.lineno), nodes.Const(found.start() + 1 if found else 1), nodes.Const(source)]
    wrapped = nodes.Filter(node, "_slot", place, [], None, None, lineno=node.lineno)
    wrapped.set_environment(_ENVIRONMENT)
    return wrapped


def _plain(error: Exception) -> str:
    message = error.message if isinstance(error, TemplateError) else str(error)
    return (message or type(error).__name__).rstrip(".")


def _line_of(error: Exception) -> int | None:
    """Return the line of the template in which an error was raised."""
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
