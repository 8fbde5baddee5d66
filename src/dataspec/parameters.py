"""A run's parameters: strict in name, presence and type (spec 3.4, decisions 6).

Checked wherever a run can start: the command line, the API and the run itself.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from dataspec.errors import InvalidParameters, MissingParameter, UnknownParameter
from dataspec.parameter_values import ParameterValueError, coerce
from dataspec.problems import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dataspec.spec import Parameter

EXECUTION_DATE = "execution_date"
"""The parameter that names a dataset's partition: a date, filled in by scheduled runs."""


def resolve_parameters(declared: Sequence[Parameter], given: Mapping[str, Any]) -> dict[str, Any]:
    """Check what a run was given against what its spec declares.

    Returns:
        Every declared parameter with its value or default, safe for JSON, in the
        order of the declaration; dates and times as ISO text.

    Raises:
        UnknownParameter: For the first name that is not declared.
        MissingParameter: For the first required parameter that was not given.
        InvalidParameters: For the first value that does not fit.
    """
    by_name = {parameter.name: parameter for parameter in declared}
    for name in given:
        if name not in by_name:
            allowed = {parameter.name: parameter.must_be_given for parameter in declared}
            raise UnknownParameter(name, allowed, hint=nearest(name, allowed))
    return {name: _value(parameter, given) for name, parameter in by_name.items()}


def _value(parameter: Parameter, given: Mapping[str, Any]) -> Any:
    raw = given.get(parameter.name)
    if raw is None:
        if parameter.must_be_given:
            raise MissingParameter(parameter.name)
        raw = parameter.default
    if raw is None:
        return None
    try:
        value = coerce(raw, "date" if parameter.name == EXECUTION_DATE else parameter.type)
    except ParameterValueError as error:
        raise InvalidParameters(f"Invalid value for parameter '{parameter.name}': {error}") from None
    if parameter.choices is not None:
        _check_choice(parameter, value)
    return value


def _check_choice(parameter: Parameter, value: Any) -> None:
    choices = [coerce(choice, parameter.type) for choice in parameter.choices or ()]
    if value not in choices:
        words = [_as_typed(choice) for choice in choices]
        shown = repr(value) if isinstance(value, str) else _as_typed(value)
        raise InvalidParameters(
            f"Invalid value for parameter '{parameter.name}': {shown} is not one of {', '.join(words)}",
            detail=nearest(_as_typed(value), words),
        )


def _as_typed(value: Any) -> str:
    """Return a value as one would type it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
