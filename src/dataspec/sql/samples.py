"""Render a spec's SQL with sample values, to check it and read its lineage without a run.

Where a template has conditions, further values lead through their other branches.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import lru_cache
from itertools import islice, product
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from dataspec.errors import InvalidTemplate
from dataspec.parameters import COERCIONS, EXECUTION_DATE, ParameterValueError, coerce_choices
from dataspec.spec.model import Parameter
from dataspec.spec.sql_texts import check_texts, condition_texts, sql_texts
from dataspec.sql.parser import ParsedSql, parse_sql
from dataspec.sql.rendering import CHECKED_ROWS, target_values
from dataspec.sql.template.render import render, uses_files
from dataspec.sql.values.seed_rows import TEMPORARY
from dataspec.sql.values.seeds import is_seed, sample_of_seed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from dataspec.problems import Problem
    from dataspec.spec.dialects import ConnectionDialect
    from dataspec.spec.model import DatasetSpec
    from dataspec.spec.sql_texts import SqlText
    from dataspec.sql.values.binding import WrittenName


SAMPLE_TEXT = "dli_sample"
"""The sample of a text parameter; no table has this name."""

_DATE = "2024-01-15"
_START, _END = "2024-01-15T00:00:00+00:00", "2024-01-16T00:00:00+00:00"
_TIMES = {
    "data_interval_start": _START,
    "data_interval_end": _END,
    "partition_start": _START,
    "partition_end": _END,
}
_OF_TYPE: dict[str, Any] = {
    "string": SAMPLE_TEXT,
    "integer": 1,
    "float": 1.5,
    "boolean": True,
    "date": _DATE,
    "datetime": _START,
    "list": [SAMPLE_TEXT],
}


MAX_COMBINATIONS = 32
"""Maximum number of combinations of values; above it, one parameter is varied at a time."""
MAX_SINGLE_VARIATIONS = 100
"""Maximum number of variations of single parameters."""
_TAG = re.compile(r"\{[{%]")
_IF = re.compile(r"\bif\b")
_EMPTY: dict[str, Any] = {"string": "", "integer": 0, "float": 0.0, "list": []}


def sample_values(spec: DatasetSpec) -> dict[str, Any]:
    """Return the template values of a plausible run.

    A parameter has its default, or else its first choice, or else a value of its type.
    """
    own = target_values(spec)
    return {**_TIMES, **own, **{parameter.name: _sample(parameter) for parameter in spec.parameters}}


def guessed_names(spec: DatasetSpec) -> frozenset[str]:
    """Return the names whose sample value does not predict the value of a run."""
    free = (parameter.name for parameter in spec.parameters if parameter.default is None)
    return frozenset({*_TIMES, EXECUTION_DATE, *free})


def _sample(parameter: Parameter) -> Any:
    if parameter.default is not None:
        return COERCIONS[parameter.kind](parameter.default)
    if parameter.choices:
        first = coerce_choices(parameter.choices[:1], parameter.kind)
        return first if parameter.kind == "list" else first[0]
    return _OF_TYPE[parameter.kind]


@dataclass(frozen=True, slots=True)
class SampledText:
    """One of a spec's SQL texts, rendered with sample values and parsed."""

    text: SqlText
    parsed: ParsedSql
    names: tuple[WrittenName, ...] = ()
    """The names in the SQL that depend on values of the run."""
    unrendered: Problem | None = None
    """Why the text can't be rendered with these values, at its place in the template."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """The values that differ from the samples."""
    others: tuple[SampledText, ...] = ()
    """The text rendered through other branches of its conditions, without duplicates."""

    @property
    def all_ways(self) -> tuple[SampledText, ...]:
        """The text rendered with the samples, and with other values."""
        return (self, *self.others)


def sampled_texts(
    spec: DatasetSpec, files: Mapping[str, str], dialect: str | None = None
) -> list[SampledText]:
    """Return a spec's SQL texts in their order, rendered with sample values and parsed.

    Args:
        spec: The spec.
        files: The text of each SQL file, by its path in the spec.
        dialect: The connection's dialect, where it is known; the spec's own takes precedence.
    """
    return _all_sampled(spec, sql_texts(spec, files), spec.execution.dialect or dialect)


def sampled_conditions(
    spec: DatasetSpec, files: Mapping[str, str], dialects: Mapping[str, ConnectionDialect]
) -> list[SampledText]:
    """Return the SQL entries of a spec's ``depends_on``, like :func:`sampled_texts`.

    Args:
        spec: The spec.
        files: The files, as for :func:`sampled_texts`.
        dialects: The dialects of the known connections, by name.
    """
    found = []
    for text, entry in zip(condition_texts(spec, files), spec.conditions, strict=True):
        connection, named = spec.condition_engine(entry)
        known = dialects.get(connection)
        found += _all_sampled(spec, [text], named or (known.name if known else None))
    return found


def sampled_checks(
    spec: DatasetSpec, files: Mapping[str, str], dialect: str | None = None
) -> list[SampledText]:
    """Return the SQL in a spec's ``checks``, like :func:`sampled_texts`."""
    return _all_sampled(
        spec, check_texts(spec, files), spec.execution.dialect or dialect, {"this": CHECKED_ROWS}
    )


def rendered_texts(
    texts: Iterable[SqlText], values: Mapping[str, Any], dialect: str | None
) -> list[SampledText]:
    """Return SQL texts, rendered with the values of one run and parsed.

    Args:
        texts: The texts.
        values: The template values of the run.
        dialect: Their dialect; None for generic SQL.
    """
    return [_sampled(text, values, frozenset(), dialect) for text in texts]


def _all_sampled(
    spec: DatasetSpec,
    texts: Iterable[SqlText],
    dialect: str | None,
    more: Mapping[str, Any] = MappingProxyType({}),
) -> list[SampledText]:
    values, guessed = {**sample_values(spec), **more}, guessed_names(spec)
    asked = [Parameter(name="table_exists", type="boolean")] if spec.materialization else []
    parameters = [*spec.parameters, *asked]
    found = []
    for text in texts:
        sampled = _sampled(text, values, guessed, dialect)
        others = {sampled.parsed.sql: sampled}
        for way in other_ways(text.sql, parameters, values):
            other = _sampled(text, way, guessed, dialect)
            if other.unrendered is None:
                differing = {name: value for name, value in way.items() if value != values[name]}
                others.setdefault(other.parsed.sql, replace(other, values=differing))
        del others[sampled.parsed.sql]
        found.append(replace(sampled, others=tuple(others.values())))
    return found


def _sampled(
    text: SqlText, values: Mapping[str, Any], guessed: frozenset[str], dialect: str | None
) -> SampledText:
    try:
        rendered = render(text.sql, values, dialect=dialect, file="", shared=_sampled_files(text, dialect))
    except InvalidTemplate as error:
        return SampledText(text, ParsedSql(""), unrendered=error.problem)
    free = (name for name in rendered.names if name.sources & guessed or SAMPLE_TEXT in name.name.lower())
    parsed = parse_sql(text.sql, rendered.sql, dialect, rendered.tokens)
    return SampledText(text, parsed, tuple(free))


def _sampled_files(text: SqlText, dialect: str | None) -> Mapping[str, str]:
    """Return the files of the project that a text may use, of large seeds the first rows where they can be loaded."""
    if dialect not in TEMPORARY or not uses_files(text.sql):
        return text.shared
    return {path: sample_of_seed(file) if is_seed(path) else file for path, file in text.shared.items()}


def other_ways(sql: str, parameters: Iterable[Parameter], values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return complete sets of values that may lead through other branches of a template's conditions.

    Args:
        sql: The template.
        parameters: The parameters of its spec.
        values: The values of the first branch.
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
    """Return whether a template may have a condition, without loading Jinja."""
    tags = ((part, _TAG.search(part)) for part in sql.split("}"))
    return any(tag is not None and _IF.search(part, tag.end()) for part, tag in tags)


def _ways(differing: Mapping[str, Sequence[Any]], values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    combinations = 1
    for found in differing.values():
        combinations *= len(found) + 1
    if combinations > MAX_COMBINATIONS:
        singly = ({name: value} for name, found in differing.items() for value in found)
        yield from islice(singly, MAX_SINGLE_VARIATIONS)
        return
    choices = ([values[name], *found] for name, found in differing.items())
    every = (dict(zip(differing, way, strict=True)) for way in product(*choices))
    next(every)  # the samples themselves
    yield from every


def _values(parameter: Parameter, constants: Iterable[Any]) -> Iterator[Any]:
    """Yield values of a parameter for which a condition may have different results."""
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
                yield from _around(COERCIONS[kind]([constant] if kind == "list" else constant), kind)
        if kind in _EMPTY:
            yield _EMPTY[kind]
    if parameter.default is None and not parameter.must_be_given:
        yield None


def _around(value: Any, kind: str) -> Iterator[Any]:
    """Yield a value and its neighbours, where there is an order: a condition may compare with it."""
    yield value
    if kind in {"integer", "float"}:
        yield from (value - 1, value + 1)
    elif kind == "date":
        yield from ((date.fromisoformat(value) + timedelta(days=step)).isoformat() for step in (-1, 1))


@lru_cache(maxsize=256)
def _tested(sql: str) -> dict[str, list[Any]]:
    """Return the names in a template's conditions, each with the constants that it is compared with."""
    from jinja2 import TemplateError, nodes

    from dataspec.sql.template.syntax import parsed

    try:
        tree = parsed(sql)
    except (TemplateError, RecursionError):  # reported where it is rendered
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
            if name in set_to:  # a name that `set` computes: follow the names in its expression
                tests.append(set_to.pop(name))
    return beside


def _all(node: Any, kind: type[Any]) -> Iterator[Any]:
    """Yield the nodes of a kind in a tree, including its root."""
    if isinstance(node, kind):
        yield node
    yield from node.find_all(kind)
