"""Templates that Jinja has to read: with filters, conditions, loops; and what is wrong with them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError, TemplateSyntaxError, nodes
from jinja2.exceptions import SecurityError

from dataspec.errors import InvalidTemplate
from dataspec.problems import Problem, nearest
from dataspec.sql.template.budget import BudgetError
from dataspec.sql.template.operations import SLOTS
from dataspec.sql.template.sandbox import (
    ENVIRONMENT,
    PlacedError,
    compiled,
    make_readable,
    names_in,
    parsed,
    refusals,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dataspec.sql.values.binding import Slots

_WRONG = (TemplateError, SecurityError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError)
"""What an expression of a template may raise: values that do not fit its filters and operators."""
_TOO_DEEP = (RecursionError, SyntaxError, MemoryError)
"""What Jinja and Python raise for blocks within blocks without an end."""
_DEEP = 90
"""Python takes a hundred blocks within each other."""


def with_slots(sql: str, values: Mapping[str, Any], slots: Slots, file: str) -> str:
    """Return a template as rendered, with a word of the slots for each value.

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
    """Return everything that is wrong with a template, and the names that it uses; its file is not named."""
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
    """Yield a problem for each name that is not known, where it first stands."""
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
    """Return the line of the template in which an error was raised."""
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
