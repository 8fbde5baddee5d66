"""The ways through a template's conditions: values that a run may be given, and that change its SQL."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import date, timedelta
from functools import lru_cache
from itertools import islice, product
from typing import TYPE_CHECKING, Any

from dataspec.parameters.types import ParameterValueError, coerce, coerce_choices

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from dataspec.spec.model import Parameter

MAX_WAYS = 32
"""Of more combinations, those alone are tried in which one value differs from the samples."""
MAX_DIFFERING = 100
"""And of these no more than so many."""

_TAG = re.compile(r"\{[{%]")
_IF = re.compile(r"\bif\b")
_EMPTY: dict[str, Any] = {"string": "", "integer": 0, "float": 0.0, "list": []}


def other_ways(sql: str, parameters: Iterable[Parameter], values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return values that may lead another way through a template's conditions, each set whole.

    Args:
        sql: The template.
        parameters: Those of its spec.
        values: What led one way.
    """
    if not _may_have_condition(sql) or not (tested := _tested(sql)):
        return []
    differing = {
        parameter.name: [
            value for value in _values(parameter, tested[parameter.name]) if value != values[parameter.name]
        ]
        for parameter in parameters
        if parameter.name in tested
    }
    return [{**values, **way} for way in _ways(differing, values)]


def _may_have_condition(sql: str) -> bool:
    """Tell whether a template may have a condition: Jinja, which knows, takes long to load."""
    tags = ((part, _TAG.search(part)) for part in sql.split("}"))
    return any(tag is not None and _IF.search(part, tag.end()) for part, tag in tags)


def _ways(differing: Mapping[str, Sequence[Any]], values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    combinations = 1
    for found in differing.values():
        combinations *= len(found) + 1
    if combinations > MAX_WAYS:
        singly = ({name: value} for name, found in differing.items() for value in found)
        yield from islice(singly, MAX_DIFFERING)
        return
    choices = ([values[name], *found] for name, found in differing.items())
    every = (dict(zip(differing, way, strict=True)) for way in product(*choices))
    next(every)  # the one that is known
    yield from every


def _values(parameter: Parameter, constants: Iterable[Any]) -> Iterator[Any]:
    """Yield values of a parameter of which a condition may think differently."""
    kind = parameter.kind
    if parameter.choices:
        constants = list(constants)
        choices = sorted(coerce_choices(parameter.choices, kind), key=lambda choice: choice not in constants)
        yield from ([choice] for choice in choices) if kind == "list" else choices
    elif kind == "boolean":
        yield from (True, False)
    else:
        for constant in constants:
            with suppress(ParameterValueError, OverflowError):  # there is no day after the last
                yield from _around(coerce([constant] if kind == "list" else constant, kind), kind)
        if kind in _EMPTY:
            yield _EMPTY[kind]
    if parameter.default is None and not parameter.must_be_given:
        yield None


def _around(value: Any, kind: str) -> Iterator[Any]:
    """Yield a value, and those beside it, where there is an order: a condition may ask for more or less."""
    yield value
    if kind in {"integer", "float"}:
        yield from (value - 1, value + 1)
    elif kind == "date":
        yield from ((date.fromisoformat(value) + timedelta(days=step)).isoformat() for step in (-1, 1))


@lru_cache(maxsize=256)
def _tested(sql: str) -> dict[str, list[Any]]:
    """Return the names on which a template's conditions hang, each with the constants that stand beside it."""
    from jinja2 import TemplateError, nodes

    from dataspec.sql.template.sandbox import parsed

    try:
        tree = parsed(sql)
    except (TemplateError, RecursionError):  # who renders it tells
        return {}
    conditions: Iterator[Any] = tree.find_all((nodes.If, nodes.CondExpr))
    tests = [found.test for found in conditions]
    set_to = {
        target.name: found.node
        for found in tree.find_all(nodes.Assign)
        if isinstance(target := found.target, nodes.Name)
    }
    beside: dict[str, list[Any]] = {}
    while tests:
        test = tests.pop()
        constants = [found.value for found in _all(test, nodes.Const)]
        for name in (found.name for found in _all(test, nodes.Name)):
            beside.setdefault(name, []).extend(constants)
            if name in set_to:  # what a `set` computed is tested: so are the names that it was computed of
                tests.append(set_to.pop(name))
    return beside


def _all(node: Any, kind: type[Any]) -> Iterator[Any]:
    """Yield the nodes of a kind in a tree, its root included."""
    if isinstance(node, kind):
        yield node
    yield from node.find_all(kind)
