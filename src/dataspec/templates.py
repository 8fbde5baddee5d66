"""SQL templates: Jinja, sandboxed, where values go in as data (decisions 6).

A value never becomes SQL. Each ``{{ … }}`` is first rendered as a word that stands for
it; the dialect's own tokenizer then tells where the word is: inside quotes, where the
value is escaped for them; alone, where a number, a boolean or a list is written as a
literal and text is refused; or in a comment. At the end the text is tokenized again
and must hold the same statements as it did with the words.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError, TemplateSyntaxError, nodes
from jinja2.exceptions import SecurityError

from dataspec.errors import InvalidTemplate
from dataspec.problems import Problem, nearest
from dataspec.template_sandbox import ENVIRONMENT, MAX_RENDERED, SLOTS, PlacedError, compiled, parsed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_WRONG = (TemplateError, SecurityError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError)
"""What an expression of a template may raise: values that do not fit its filters and operators."""


def render(sql: str, values: Mapping[str, Any], *, dialect: str | None, file: str) -> str:
    """Render one SQL template with values as data.

    Raises:
        InvalidTemplate: When the template is wrong, names something unknown, or a value does
            not fit where it stands.
    """
    from dataspec.slots import Slots

    slots = Slots(file)
    try:
        text = compiled(sql).render({**values, SLOTS: slots})
    except PlacedError as error:
        raise InvalidTemplate(error.problem(file, _line_of(error))) from None
    except TemplateSyntaxError as error:
        raise InvalidTemplate(_syntax_problem(error, file)) from None
    except RecursionError:
        raise InvalidTemplate(Problem("a macro calls itself without an end.", file)) from None
    except _WRONG as error:
        raise InvalidTemplate(Problem(f"{_plain(error)}.", file, _line_of(error), None)) from None
    if len(text) > MAX_RENDERED:
        raise InvalidTemplate(Problem(f"the rendered SQL has {len(text):,} characters.", file))
    return slots.fill(text, dialect)


def check_template(sql: str, known: Sequence[str], *, file: str) -> Problem | None:
    """Return what is wrong with a template before it is rendered: its syntax, or a name that is not known."""
    from jinja2.meta import find_undeclared_variables

    try:
        tree = parsed(sql)
        used = find_undeclared_variables(tree)
    except PlacedError as error:
        return error.problem(file)
    except TemplateSyntaxError as error:
        return _syntax_problem(error, file)
    unknown = used - set(known) - ENVIRONMENT.globals.keys()
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
