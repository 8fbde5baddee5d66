"""A run's parameters: strict in name, presence and type (specification 8.1).

Checked wherever a run can start: the command line, the API and the run itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dataspec.errors import InvalidParameters, MissingParameter, UnknownParameter
from dataspec.parameters.types import ParameterValueError, check_choice, coerce
from dataspec.problems import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dataspec.spec.model import Parameter

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
        value = coerce(raw, parameter.kind)
        if parameter.choices is not None:
            check_choice(value, parameter.choices, parameter.kind)
    except ParameterValueError as error:
        title = f"Invalid value for parameter '{parameter.name}': {error}"
        raise InvalidParameters(title, detail=error.hint) from None
    return value
