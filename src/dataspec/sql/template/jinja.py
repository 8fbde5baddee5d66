"""Render and check the templates that need Jinja: with filters, conditions, loops or imports."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from jinja2 import TemplateError, TemplateSyntaxError, nodes
from jinja2.exceptions import SecurityError

from dataspec.errors import InvalidTemplate
from dataspec.problems import Problem, nearest
from dataspec.sql.template.bounds import PlacedError
from dataspec.sql.template.compiler import MAIN, compiled
from dataspec.sql.template.macro_modules import MODULES, MacroModules
from dataspec.sql.template.operations import SLOTS
from dataspec.sql.template.sandbox import ENVIRONMENT
from dataspec.sql.template.syntax import SEED, make_readable, names_in, parsed, refusals, seed_calls
from dataspec.sql.values.budget import BudgetError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from jinja2 import Template

    from dataspec.sql.values.binding import Slots

_WRONG = (TemplateError, SecurityError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError)
"""Exceptions of an expression whose values do not fit its filters and operators."""
_TOO_DEEP = (RecursionError, SyntaxError, MemoryError)
"""Exceptions of Jinja and Python for blocks that are nested too deep."""
_DEEP = 90
"""Tags above which a template is compiled as a check: Python compiles at most a hundred nested blocks."""


class CheckedTemplate(NamedTuple):
    """The result of the checks of a template by itself."""

    problems: list[Problem]
    """The problems, without a file name."""
    names: frozenset[str] | None = None
    """The names that it uses; None after a syntax error."""
    tree: nodes.Template | None = None
    """None after a syntax error."""


def with_slots(
    sql: str,
    values: Mapping[str, Any],
    slots: Slots,
    file: str,
    *,
    shared: Mapping[str, str],
    dialect: str | None,
) -> str:
    """Render a template, with a placeholder of ``slots`` for each value.

    Raises:
        InvalidTemplate: When the template is wrong, or a value does not fit its filters.
    """
    template = None
    try:
        template = compiled(sql)
        modules = MacroModules(shared, slots, _compiled_macros, dialect)
        text = template.render({**values, SLOTS: slots, MODULES: modules})
    except PlacedError as error:
        raise InvalidTemplate(_placed(error, error.problem(file), slots, shared)) from None
    except BudgetError as error:
        problem = Problem(str(error), file, None, None, error.hint)
        raise InvalidTemplate(_placed(error, problem, slots, shared)) from None
    except TemplateSyntaxError as error:
        raise InvalidTemplate(_syntax_problem(error, file)) from None
    except _TOO_DEEP:
        endless = Problem("a macro calls itself without an end.", file)
        raise InvalidTemplate(endless if template else _depth_problem(file)) from None
    except _WRONG as error:
        raise InvalidTemplate(_placed(error, Problem(f"{_plain(error)}.", file), slots, shared)) from None
    return text


def _compiled_macros(sql: str, path: str) -> Template:
    """Compile a macro file.

    Raises:
        PlacedError: For an invalid one, with its place in the message.
    """
    try:
        return compiled(sql, path)
    except PlacedError as error:
        problem = error.problem(path)
    except TemplateSyntaxError as error:
        problem = _syntax_problem(error, path)
    raise PlacedError(str(problem), None, None)


def checked(sql: str, known: Sequence[str] | None) -> CheckedTemplate:
    """Check a template by itself, without rendering it.

    Args:
        sql: The template.
        known: The names that it may use; None for a macro file, which sees none.
    """
    try:
        tree = parsed(sql)
        problems = [error.problem("") for error in refusals(tree, sql)]
        make_readable(tree)
        used = names_in(tree) - ENVIRONMENT.globals.keys()
        if known is not None and _only_calls_seed(tree):
            used -= {SEED}
        if not problems and sql.count("{%") > _DEEP:
            compiled(sql)
    except PlacedError as error:
        return CheckedTemplate([error.problem("")])
    except TemplateSyntaxError as error:
        return CheckedTemplate([_syntax_problem(error, "")])
    except _TOO_DEEP:
        return CheckedTemplate([_depth_problem("")])
    problems += _unknown_names(sql, tree, set(used - set(known or ())), known)
    return CheckedTemplate(sorted(problems, key=lambda problem: problem.line or 0), frozenset(used), tree)


def _only_calls_seed(tree: nodes.Template) -> bool:
    """Tell whether a template uses the name ``seed`` for seeds alone, and for no parameter."""
    return len(seed_calls(tree)) == sum(name.name == SEED for name in tree.find_all(nodes.Name))


def _unknown_names(
    sql: str, tree: nodes.Template, unknown: set[str], known: Sequence[str] | None
) -> Iterator[Problem]:
    """Yield a problem for each unknown name, at its first use."""
    lines = sql.splitlines()
    for node in sorted(tree.find_all(nodes.Name), key=lambda name: name.lineno) if unknown else ():
        if node.name in unknown:
            unknown.discard(node.name)
            found = re.search(rf"\b{re.escape(node.name)}\b", lines[node.lineno - 1])
            if known is None:
                message = f"'{node.name}' is not defined: a macro sees its arguments alone."
                hint = "Pass it as an argument."
            else:
                message = f"'{node.name}' is not a parameter of this dataset."
                hint = nearest(node.name, known) or "Declare it under 'parameters'."
            yield Problem(message, "", node.lineno, found.start() + 1 if found else None, hint)


def _syntax_problem(error: TemplateSyntaxError, file: str) -> Problem:
    return Problem(f"{_plain(error)}.", file, error.lineno)


def _depth_problem(file: str) -> Problem:
    return Problem("the template is nested too deep.", file)


def _plain(error: Exception) -> str:
    message = error.message if isinstance(error, TemplateError) else str(error)
    return (message or type(error).__name__).rstrip(".")


def _placed(error: Exception, problem: Problem, slots: Slots, shared: Mapping[str, str]) -> Problem:
    """Return the problem of an exception at the line of the template that raised it.

    The place of one in a macro file is that of its use; the message then begins with the place in the macro file.
    """
    line = inner = None
    file, trace = MAIN, error.__traceback__
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if name == MAIN:
            line = trace.tb_lineno
        if name == MAIN or name in shared:
            file, inner = name, trace.tb_lineno
        trace = trace.tb_next
    if file == MAIN:
        return replace(problem, line=problem.line or line)
    place = ":".join(str(part) for part in (file, problem.line or inner, problem.column) if part is not None)
    used_at, column = slots.use
    return replace(problem, message=f"{place}: {problem.message}", line=used_at, column=column)
