"""The filters, tests, methods and operators of SQL templates, each within the budget of its rendering.

Templates have no others: no padding, wrapping, HTML, random numbers, or methods of Python objects.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import wraps
from typing import TYPE_CHECKING, Any, cast

from jinja2 import Undefined, pass_context
from jinja2.filters import FILTERS
from jinja2.runtime import LoopContext, Macro
from jinja2.tests import TESTS
from jinja2.utils import Namespace

from dataspec.sql.values.budget import MAX_BITS, Budget, BudgetError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jinja2.runtime import Context

    from dataspec.sql.values.binding import Slots

SLOTS = "_dli_slots"
"""The variable of a rendering that holds its slots and its budget."""

DEFAULT_FILTERS = cast("dict[str, Callable[..., Any]]", FILTERS)
DEFAULT_TESTS = cast("dict[str, Callable[..., Any]]", TESTS)

MAX_WIDTH = 100
"""Maximum width of padding, in digits or blanks."""
_LONG = 100
"""Maximum number of characters of a text that is converted to a number."""

_CONVERSION = re.compile(r"%(?:\([^()%]{1,100}\))?[#0\- +]*([0-9]*)(?:\.([0-9]*))?([a-zA-Z%])")

_FILTERS = (
    "abs", "batch", "capitalize", "count", "d", "default", "dictsort", "first", "float", "groupby", "items", "last",
    "length", "list", "lower", "map", "max", "min", "reject", "rejectattr", "reverse", "select", "selectattr",
    "slice", "sort", "title", "tojson", "trim", "truncate", "unique", "upper", "urlencode", "wordcount",
)  # fmt: skip
_TESTS = (
    "!=", "<", "<=", "==", ">", ">=", "eq", "equalto", "ge", "greaterthan", "gt", "in", "le", "lessthan", "lower",
    "lt", "ne", "upper",
)  # fmt: skip
_OF_ANYTHING = (
    "boolean", "callable", "defined", "false", "filter", "float", "integer", "iterable", "mapping", "none", "number",
    "sameas", "sequence", "string", "test", "true", "undefined",
)  # fmt: skip
"""Tests that take any value and don't look into it."""

_METHODS: dict[type[Any], frozenset[str]] = {
    str: frozenset(
        {
            "capitalize", "casefold", "count", "endswith", "find", "index", "isalnum", "isalpha", "isdigit",
            "isidentifier", "islower", "isnumeric", "isspace", "isupper", "join", "lower", "lstrip", "partition",
            "removeprefix", "removesuffix", "replace", "rfind", "rpartition", "rsplit", "rstrip", "split",
            "splitlines", "startswith", "strip", "swapcase", "title", "upper", "zfill",
        }
    ),
    list: frozenset({"count", "index"}),
    tuple: frozenset({"count", "index"}),
    dict: frozenset({"get", "items", "keys", "values"}),
    LoopContext: frozenset(
        {
            "changed", "cycle", "depth", "depth0", "first", "index", "index0", "last", "length", "nextitem",
            "previtem", "revindex", "revindex0",
        }
    ),
    Macro: frozenset({"arguments", "name"}),
}  # fmt: skip


def budget_of(context: Context) -> Budget:
    """Return the budget of the rendering that a context belongs to."""
    return cast("Slots", context.parent[SLOTS]).budget


def may_read(value: Any, attribute: str) -> bool:
    """Return whether a template may read an attribute of a value."""
    if isinstance(value, Namespace):
        return not attribute.startswith("_")
    kinds = (kind for kind in _METHODS if isinstance(value, kind))
    return any(attribute in _METHODS[kind] for kind in kinds)


def called(budget: Budget, function: Any, args: tuple[Any, ...], named: Mapping[str, Any]) -> Any:
    """Count the arguments of a call, and return the function or its bounded replacement."""
    name, owner = getattr(function, "__name__", ""), getattr(function, "__self__", None)
    budget.take_steps(1 + len(args))
    if not isinstance(function, Macro | LoopContext) and function is not Namespace:
        for value in (*args, *(value for key, value in named.items() if not key.startswith("_"))):
            budget.take(value)
    if isinstance(owner, str | list | tuple | dict):
        budget.take(owner)
        if name == "join" and isinstance(owner, str):
            return lambda items: _join(budget, list(items), owner)
        if name == "replace" and isinstance(owner, str):
            return lambda old, new, count=None: _replace(budget, owner, old, new, count)
        if name == "zfill" and args and not (isinstance(args[0], int) and args[0] <= MAX_WIDTH):
            raise BudgetError(f"zfill fills up to {MAX_WIDTH} digits at most.")
    return function


def joined(context: Context, parts: list[Any]) -> str:
    """Return the result of ``~``."""
    return _join(budget_of(context), parts, "")


def _join(budget: Budget, parts: list[Any], between: str) -> str:
    texts = [text_of(budget, part) for part in parts]
    budget.take_text(len(between) * len(texts) + sum(map(len, texts)))
    return between.join(texts)


def text_of(budget: Budget, value: Any) -> str:
    """Count a value, and return it as text."""
    budget.take(value)
    return str(value)


def _replace(budget: Budget, text: str, old: str, new: str, count: int | None = None) -> str:
    found = text.count(old)
    found = found if count is None or count < 0 else min(found, count)
    budget.take_text(len(text) + found * len(new))
    return text.replace(old, new, -1 if count is None else count)


def compute(budget: Budget, operator: str, left: Any, right: Any, plain: Callable[[Any, Any], Any]) -> Any:
    """Return the result of a binary operator, after a check that it is within the limits."""
    budget.take_steps(1)
    if isinstance(left, Undefined) or isinstance(right, Undefined):
        return plain(left, right)  # raises an error with the undefined name
    if operator == "%" and isinstance(left, str):
        return _formatted(budget, left, right if isinstance(right, tuple | dict) else (right,))
    budget.take(left)
    budget.take(right)
    if operator == "*":
        _check_repetition(budget, left, right)
    elif operator == "**":
        _check_power(left, right)
    elif operator == "+" and isinstance(left, str) and isinstance(right, str):
        budget.take_text(len(left) + len(right))
    result = plain(left, right)
    budget.take(result)
    return result


def _check_repetition(budget: Budget, left: Any, right: Any) -> None:
    for one, times in ((left, right), (right, left)):
        if isinstance(one, str | list | tuple) and isinstance(times, int) and times > 0:
            try:
                (budget.take_text if isinstance(one, str) else budget.take_steps)(len(one) * times)
            except BudgetError:
                raise BudgetError("the repetition is too long.") from None


def _check_power(left: Any, right: Any) -> None:
    whole = isinstance(left, int) and isinstance(right, int)
    if whole and right > 0 and left.bit_length() * right > MAX_BITS + right:
        raise BudgetError("the power is too large.", "Let the SQL compute it.")


def _formatted(budget: Budget, pattern: str, values: Any) -> str:
    """Return values formatted by a pattern of ``%``, whose widths are bounded."""
    budget.take(pattern)
    budget.take(values)
    found = list(_CONVERSION.finditer(pattern))
    if sum(match[0].count("%") for match in found) != pattern.count("%"):
        raise BudgetError(f"{_short(pattern)} is no pattern such as '%02d' or '%s'.")
    widths = [width for match in found for width in match.groups("")[:2]]
    if any(len(width) > len(str(MAX_WIDTH)) or int(width or 0) > MAX_WIDTH for width in widths):
        raise BudgetError(f"a pattern fills up to {MAX_WIDTH} characters at most.")
    every = list(values.values()) if isinstance(values, dict) else list(values)
    longest = max((len(text_of(budget, value)) for value in every), default=0)
    budget.take_text(len(pattern) + len(found) * (4 * longest + 4 * MAX_WIDTH))
    return str(pattern % values)


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}…")  # noqa: PLR2004 - a line of an error


def filters() -> dict[str, Callable[..., Any]]:
    """Return the filters that a template may use, each within the budget."""
    own: dict[str, Callable[..., Any]] = {
        "format": _format, "int": _int, "join": _join_filter, "replace": _replace_filter, "round": _round,
        "string": _string, "sum": _sum,
    }  # fmt: skip
    return {name: _bounded(DEFAULT_FILTERS[name]) for name in _FILTERS} | own


def tests() -> dict[str, Callable[..., Any]]:
    """Return the tests that a template may use, each within the budget."""
    kept: dict[str, Callable[..., Any]] = {name: DEFAULT_TESTS[name] for name in _OF_ANYTHING}
    return kept | {name: _bounded(DEFAULT_TESTS[name]) for name in _TESTS} | _OF_NUMBERS


def _bounded(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a filter or a test that counts its arguments and its result."""
    passed = getattr(function, "jinja_pass_arg", None)
    name = getattr(passed, "name", None)

    @pass_context
    @wraps(function)
    def bounded(context: Context, value: Any, *args: Any, **named: Any) -> Any:
        budget = budget_of(context)
        budget.take_steps(1 + len(args))
        for given in (value, *args, *named.values()):
            budget.take(given)
            _check_count(function, given, value)
        first = {"context": context, "eval_context": context.eval_ctx, "environment": context.environment}
        result = function(*([first[name]] if name else []), value, *args, **named)
        if isinstance(result, Iterator):
            result = list(result)
        budget.take(result)
        return result

    return bounded


_FILLING = (DEFAULT_FILTERS["batch"], DEFAULT_FILTERS["slice"])


def _check_count(function: Callable[..., Any], given: Any, value: Any) -> None:
    if function in _FILLING and given is not value and isinstance(given, int) and given > 10 * MAX_WIDTH:
        raise BudgetError(f"a list is cut into {10 * MAX_WIDTH:,} parts at most.")


@pass_context
def _string(context: Context, value: Any) -> str:
    return value if isinstance(value, str) else text_of(budget_of(context), value)


@pass_context
def _format(context: Context, value: str, *args: Any, **named: Any) -> str:
    if args and named:
        raise TypeError("can't handle positional and keyword arguments at the same time")
    budget = budget_of(context)
    return _formatted(budget, text_of(budget, value), named or args)


@pass_context
def _join_filter(context: Context, value: Any, d: str = "", attribute: Any = None) -> str:
    if attribute is not None:
        value = context.environment.call_filter(
            "map", value, kwargs={"attribute": attribute}, context=context
        )
    budget = budget_of(context)
    budget.take(value)
    return _join(budget, list(value), text_of(budget, d))


@pass_context
def _replace_filter(context: Context, value: Any, old: Any, new: Any, count: int | None = None) -> str:
    budget = budget_of(context)
    text, old, new = (text_of(budget, given) for given in (value, old, new))
    return _replace(budget, text, old, new, count)


@pass_context
def _int(context: Context, value: Any, default: int = 0, base: int = 10) -> Any:
    if isinstance(value, str) and len(value) > _LONG:
        raise BudgetError(f"a text of {len(value):,} characters is no number.")
    result = DEFAULT_FILTERS["int"](value, default, base)
    budget_of(context).take(result)
    return result


@pass_context
def _round(context: Context, value: Any, precision: int = 0, method: str = "common") -> Any:
    _numbers(value, precision)
    budget_of(context).take(value)
    if abs(precision) > MAX_WIDTH:
        raise BudgetError(f"a number is rounded to {MAX_WIDTH} digits at most.")
    return DEFAULT_FILTERS["round"](value, precision, method)


@pass_context
def _sum(context: Context, value: Any, attribute: Any = None, start: Any = 0) -> Any:
    if attribute is not None:
        value = context.environment.call_filter(
            "map", value, kwargs={"attribute": attribute}, context=context
        )
    budget = budget_of(context)
    budget.take(value)
    numbers = list(value)
    _numbers(start, *numbers)
    result = sum(numbers, start)
    budget.take(result)
    return result


def _numbers(*values: Any) -> None:
    for value in values:
        if isinstance(value, Undefined):
            str(value)  # raises an error with the undefined name
        if not isinstance(value, int | float):
            raise TypeError(f"a {type(value).__name__} is no number")


def _is_even(value: Any) -> bool:
    _numbers(value)
    return bool(value % 2 == 0)


def _is_odd(value: Any) -> bool:
    _numbers(value)
    return bool(value % 2 == 1)


def _is_divisible(value: Any, num: Any) -> bool:
    _numbers(value, num)
    return bool(value % num == 0)


_OF_NUMBERS: dict[str, Callable[..., Any]] = {
    "divisibleby": _is_divisible,
    "even": _is_even,
    "odd": _is_odd,
}
