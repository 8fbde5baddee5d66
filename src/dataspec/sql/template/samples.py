"""Sample values for a spec's parameters, so that its SQL can be read where nobody gives any."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from dataspec.errors import InvalidTemplate
from dataspec.parameters.resolve import EXECUTION_DATE
from dataspec.parameters.types import coerce, coerce_choices
from dataspec.sql.parse import ParsedSql, parse_sql
from dataspec.sql.sql_sources import sql_texts
from dataspec.sql.template.branches import other_ways
from dataspec.sql.template.render import render_whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dataspec.problems import Problem
    from dataspec.spec.model import DatasetSpec, Parameter
    from dataspec.sql.sql_sources import SqlText
    from dataspec.sql.values.binding import WrittenName

SAMPLE_TEXT = "dli_sample"
"""Stands for text that nobody gave; no table is called so."""

_DATE = "2024-01-15"
_INTERVAL = {
    "data_interval_start": "2024-01-15T00:00:00+00:00",
    "data_interval_end": "2024-01-16T00:00:00+00:00",
}
_OF_TYPE: dict[str, Any] = {
    "string": SAMPLE_TEXT,
    "integer": 1,
    "float": 1.5,
    "boolean": True,
    "date": _DATE,
    "datetime": f"{_DATE}T00:00:00+00:00",
    "list": [SAMPLE_TEXT],
}


def sample_values(spec: DatasetSpec) -> dict[str, Any]:
    """Return what the templates of a spec see in a plausible run.

    A parameter has its default, else its first choice, else a value of its type.
    """
    return {**_INTERVAL, **{parameter.name: _sample(parameter) for parameter in spec.parameters}}


def guessed_names(spec: DatasetSpec) -> frozenset[str]:
    """Return the names whose sample value says nothing of what a run will have."""
    free = (parameter.name for parameter in spec.parameters if parameter.default is None)
    return frozenset({*_INTERVAL, EXECUTION_DATE, *free})


def _sample(parameter: Parameter) -> Any:
    if parameter.default is not None:
        return coerce(parameter.default, parameter.kind)
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
    """The names in it that no sample tells: a run gives them."""
    unrendered: Problem | None = None
    """Why it can't be rendered with these values, at its place in the template."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """The values that led here, where they are not the samples."""
    others: tuple[SampledText, ...] = ()
    """The same text as other values make it, where it has conditions that hang on them; each SQL once."""

    @property
    def all_ways(self) -> tuple[SampledText, ...]:
        """The text as the samples make it, and as other values do."""
        return (self, *self.others)


def sampled_texts(
    spec: DatasetSpec, files: Mapping[str, str], dialect: str | None = None
) -> list[SampledText]:
    """Return a spec's SQL texts in the order in which they run, rendered with sample values and parsed.

    Args:
        spec: The spec.
        files: The text of each SQL file, by the path that the spec names it with.
        dialect: That of the spec's connection, where it is known; the spec's own comes first.
    """
    values, guessed = sample_values(spec), guessed_names(spec)
    dialect = spec.execution.dialect or dialect
    found = []
    for text in sql_texts(spec, files):
        sampled = _sampled(text, values, guessed, dialect)
        others = {sampled.parsed.sql: sampled}
        for way in other_ways(text.sql, spec.parameters, values):
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
        rendered = render_whole(text.sql, values, dialect=dialect, file="")
    except InvalidTemplate as error:
        return SampledText(text, ParsedSql(""), unrendered=error.problem)
    free = (name for name in rendered.names if name.sources & guessed or SAMPLE_TEXT in name.name.lower())
    parsed = parse_sql(text.sql, rendered.sql, dialect, rendered.tokens)
    return SampledText(text, parsed, tuple(free))
