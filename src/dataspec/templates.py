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
    from collections.abc import Iterator, Mapping, Sequence

    from jinja2.runtime import Context

    from dataspec.slots import Slots, WrittenName

MAX_RENDERED = 4 * 1024 * 1024
_SLOTS = "_dli_slots"


def render(sql: str, values: Mapping[str, Any], *, dialect: str | None, file: str) -> str:
    """Render one SQL template with values as data.

    Raises:
        InvalidTemplate: When the template is wrong, names something unknown, or a value does
            not fit where it stands.
    """
    return render_named(sql, values, dialect=dialect, file=file)[0]


def render_named(
    sql: str, values: Mapping[str, Any], *, dialect: str | None, file: str
) -> tuple[str, list[WrittenName]]:
    """Render one SQL template as :func:`render` does; returns the names that values are in as well."""
    from dataspec.slots import Slots

    if is_plain(sql):
        return sql, []
    slots = Slots(file)
    try:
        text = _with_slots(sql, values, slots)
    except TemplateSyntaxError as error:
        raise InvalidTemplate(_syntax_problem(error, file)) from None
    except (TemplateError, SecurityError, TypeError, ValueError, ArithmeticError, LookupError) as error:
        raise InvalidTemplate(Problem(f"{_plain(error)}.", file, _line_of(error), None)) from None
    if len(text) > MAX_RENDERED:
        raise InvalidTemplate(Problem(f"the rendered SQL has {len(text):,} characters.", file))
    return slots.fill(text, dialect), slots.names


def _with_slots(sql: str, values: Mapping[str, Any], slots: Slots) -> str:
    """Return a template as rendered, with a word of the slots for each value."""
    names = _simple_names(sql)
    if names is None or not names <= values.keys():
        return _compiled(sql).render({**values, _SLOTS: slots})

    def word(match: re.Match[str]) -> str:
        line = sql.count("\n", 0, match.start()) + 1
        column = match.start() - sql.rfind("\n", 0, match.start())
        return slots.take(values[match[1]], line, column, match[1])

    return _SIMPLE.sub(word, sql)


def _simple_names(sql: str) -> frozenset[str] | None:
    """Return the names in a template of nothing but ``{{ name }}``; None for one that Jinja has to read.

    Most are that simple, and Jinja takes as long for one as all the rest of a spec does.
    """
    if not is_plain(_SIMPLE.sub(" ", sql)):
        return None
    names = frozenset(match[1] for match in _SIMPLE.finditer(sql))
    return None if names & _OF_JINJA else names


def is_plain(sql: str) -> bool:
    """Tell SQL in which nothing is to be rendered, nor any line break to be written anew."""
    return not ("{{" in sql or "{%" in sql or "{#" in sql or "\r" in sql)


def check_template(
    sql: str, known: Sequence[str], *, file: str
) -> tuple[list[Problem], frozenset[str] | None]:
    """Check a template before it is rendered.

    Args:
        sql: The template.
        known: The names that it may use.
        file: The file that it stands in, for problems.

    Returns:
        Everything that is wrong with it, in the order of the lines, and the names that it uses;
        None for those of a template that can't be read.
    """
    problems, names = _checked_template(sql, tuple(known))
    return [problem.at(file, problem.line, problem.column) for problem in problems], names


@lru_cache(maxsize=256)
def _checked_template(sql: str, known: tuple[str, ...]) -> tuple[list[Problem], frozenset[str] | None]:
    from jinja2.meta import find_undeclared_variables

    file = ""
    simple = _simple_names(sql)
    if simple is not None and simple <= {*known}:
        return [], simple
    try:
        tree = _ENVIRONMENT.parse(sql)
        problems = [*_foreign_templates(tree, file), *_unknown_functions(tree, file)]
        used = find_undeclared_variables(tree) - _ENVIRONMENT.globals.keys()
    except TemplateSyntaxError as error:
        return [_syntax_problem(error, file)], None
    problems += _unknown_names(sql, tree, used - set(known), known, file)
    return sorted(problems, key=lambda problem: problem.line or 0), frozenset(used)


def _foreign_templates(tree: nodes.Template, file: str) -> Iterator[Problem]:
    for node in tree.find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)):
        yield Problem("a SQL template can't include or import another.", file, node.lineno)


def _unknown_functions(tree: nodes.Template, file: str) -> Iterator[Problem]:
    """Yield what is wrong with filters and tests, and put others in their places, so that the rest is read."""
    for node in tree.find_all((nodes.Filter, nodes.Test)):
        kind, known, other = ("filter", _ENVIRONMENT.filters, "string")
        if isinstance(node, nodes.Test):
            kind, known, other = ("test", _ENVIRONMENT.tests, "defined")
        if node.name not in known:
            yield Problem(
                f"No {kind} named '{node.name}'.", file, node.lineno, hint=nearest(node.name, known)
            )
            node.name = other


def _syntax_problem(error: TemplateSyntaxError, file: str) -> Problem:
    return Problem(f"{_plain(error)}.", file, error.lineno)


def _unknown_names(
    sql: str, tree: nodes.Template, unknown: set[str], known: Sequence[str], file: str
) -> Iterator[Problem]:
    """Yield a problem for each name that is not known, where it first stands."""
    lines = sql.splitlines()
    for node in sorted(tree.find_all(nodes.Name), key=lambda name: name.lineno) if unknown else ():
        if node.name in unknown:
            unknown.discard(node.name)
            found = re.search(rf"\b{re.escape(node.name)}\b", lines[node.lineno - 1])
            hint = nearest(node.name, known) or "Declare it under 'parameters'."
            message = f"'{node.name}' is not a parameter of this dataset."
            yield Problem(message, file, node.lineno, found.start() + 1 if found else None, hint)


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
_SIMPLE = re.compile(r"(?<!\{)\{\{[ \t]*([A-Za-z_][A-Za-z0-9_]*)[ \t]*\}\}")
_OF_JINJA = frozenset(
    {
        *("and", "else", "if", "in", "is", "not", "or"),
        *("False", "None", "True", "false", "none", "true"),
        *("caller", "kwargs", "loop", "self", "super", "varargs"),
        *_ENVIRONMENT.globals,
    }
)
"""Words that stand for something else than a parameter in an expression."""


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
