"""Sandbox Jinja: only known attributes, operators, filters and calls, each counted against a budget.

Only a template's own text and placeholders of values reach the SQL. Text that a template makes of both, by
joining or changing them, is refused.
"""

from __future__ import annotations

import inspect
from functools import wraps
from typing import TYPE_CHECKING, Any

from jinja2 import StrictUndefined, Undefined, nodes, pass_context
from jinja2.compiler import CodeGenerator
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from dataspec.spec.sql_texts import MAX_SQL
from dataspec.sql.template import operations
from dataspec.sql.template.bounds import PlacedError, TokenChecks
from dataspec.sql.template.filters import FILTERS, FilterError
from dataspec.sql.template.macro_modules import MODULES, MacroModule, MacroModules, is_macro
from dataspec.sql.template.operations import SLOTS, budget_of
from dataspec.sql.values.budget import BudgetError, CallDepthError
from dataspec.sql.values.marked_text import TemplateText

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from jinja2.compiler import Frame
    from jinja2.runtime import Context

    from dataspec.sql.values.binding import Slots


PLACE = "_dli_place"
"""The keyword argument that tells a filter or a call its line and column."""


class ConstantFreeCodeGenerator(CodeGenerator):
    """Generates a template's code without evaluating constant parts at compile time."""

    def _output_child_to_const(self, node: nodes.Expr, frame: Frame, finalize: Any) -> str:
        if not isinstance(node, nodes.TemplateData):
            raise nodes.Impossible
        return super()._output_child_to_const(node, frame, finalize)


class _SqlEnvironment(ImmutableSandboxedEnvironment):
    """Jinja with known calls, operators and attributes alone, each counted."""

    code_generator_class = ConstantFreeCodeGenerator
    intercepted_binops = frozenset(ImmutableSandboxedEnvironment.default_binop_table)
    intercepted_unops = frozenset(ImmutableSandboxedEnvironment.default_unop_table)

    @staticmethod
    def concat(pieces: Iterable[str]) -> str:
        """Join the output of a block, a macro or a template, and mark it as the template's own text."""
        found, length = [], 0
        for piece in pieces:
            found.append(piece)
            length += len(piece)
            if length > MAX_SQL:
                raise BudgetError(f"the rendered SQL has more than {MAX_SQL:,} characters.")
        return TemplateText("".join(found))

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call a macro, a loop, or a known method."""
        slots: Slots = context.parent[SLOTS]
        budget, use = slots.budget, slots.use
        place: tuple[int, int] = kwargs.pop(PLACE, use)
        function = operations.called(budget, obj, args, kwargs)
        if is_macro(obj) and context.name is None:
            slots.use = place
        try:
            budget.enter()
            result = super().call(context, function, *args, **kwargs)
        except CallDepthError as error:
            raise PlacedError(str(error), place[0], place[1], error.hint) from None
        finally:
            budget.leave()
        slots.use = use  # not after an error, which happened there
        if not isinstance(result, Namespace):
            budget.take(result)
        return result

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        return operations.compute(budget_of(context), operator, left, right, self.binop_table[operator])

    def call_unop(self, context: Context, operator: str, arg: Any) -> Any:
        budget_of(context).take(arg)
        return self.unop_table[operator](arg)

    def call_filter(self, name: str, *args: Any, **named: Any) -> Any:
        """Call a filter by a name that the template gives; internal filters can't be called so."""
        if name.startswith("_"):
            raise SecurityError(f"there is no filter {name!r}")
        return super().call_filter(name, *args, **named)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        return super().is_safe_attribute(obj, attr, value) and operations.may_read(obj, attr)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Return a member of a macro file, a known attribute, or else an item of that name."""
        if isinstance(obj, MacroModule):
            return obj.member(attribute)
        if isinstance(obj, dict) and not operations.may_read(obj, attribute) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)

    def wrap_str_format(self, value: Any) -> None:
        """Disable ``str.format``, which is not among the known methods."""


def _placed(name: str, function: Callable[..., Any], usage: str) -> Callable[..., Any]:
    """Return a filter whose errors have its place in the template."""
    signature = inspect.signature(function)

    @wraps(function)
    def placed(value: Any, *args: Any, **named: Any) -> Any:
        line, column = named.pop(PLACE, (None, None))
        if isinstance(value, Undefined):
            str(value)  # raises an error with the undefined name
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
        str(value)  # raises an error with the undefined name
    slots: Slots = context.parent[SLOTS]
    if context.name is None:
        return slots.take(value, line, column, source)
    return slots.take(value, *slots.use, source, f"{context.name}:{line}:{column}")


@pass_context
def _imported(context: Context, path: str, line: int, column: int, name: str | None = None) -> Any:
    """Return a macro file's module, or one macro of it."""
    slots: Slots = context.parent[SLOTS]
    modules: MacroModules = context.parent[MODULES]
    if context.name is None:
        slots.use = line, column
    module = modules.module(path)
    return module if name is None else module.member(name)


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


@pass_context
def _seeded(context: Context, name: str, line: int, column: int, needs_alias: bool = False) -> str:
    """Return a seed as a table in FROM."""
    from dataspec.sql.values.seed_rows import seed_sql  # loads sqlglot, which a check does without

    slots: Slots = context.parent[SLOTS]
    modules: MacroModules = context.parent[MODULES]
    slots.use = line, column
    try:
        return seed_sql(name, modules.files, slots, modules.dialect, needs_alias=needs_alias)
    except LookupError as error:
        raise PlacedError(f"{error}.", line, column) from None


_INTERNAL: dict[str, Callable[..., Any]] = {
    "_imported": _imported,
    "_joined": _join,
    "_seeded": _seeded,
    "_sized": _size,
    "_slot": _slot,
    "_step": _step,
}
"""Internal filters, which only :func:`dataspec.sql.template.jinja.compiled` inserts."""


def _environment() -> _SqlEnvironment:
    environment = _SqlEnvironment(
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        optimized=False,
        extensions=[TokenChecks],
    )
    own = {name: _placed(name, *about) for name, about in FILTERS.items()}
    for table, known in (
        (environment.filters, operations.filters() | own | _INTERNAL),
        (environment.tests, operations.tests()),
    ):
        table.clear()
        table.update(known)
    environment.globals = {"range": environment.globals["range"], "dict": dict, "namespace": Namespace}
    return environment


ENVIRONMENT = _environment()
