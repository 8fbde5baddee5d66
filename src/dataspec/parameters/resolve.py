"""Resolve a run's parameters: strict in name, presence and type (specification 8.1).

The command line, the API and Airflow's task all resolve them by this module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from dataspec.errors import InvalidParameters, MissingParameter, UnknownParameter
from dataspec.parameters.types import ParameterValueError, check_choice, coerce
from dataspec.problems import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

EXECUTION_DATE = "execution_date"
"""The parameter that names a dataset's partition: a date, which scheduled runs set."""


class Declaration(Protocol):
    """A parameter as a spec declares it."""

    @property
    def name(self) -> str:
        """The name by which runs give it."""

    @property
    def kind(self) -> str:
        """The type that its values are read as."""

    @property
    def must_be_given(self) -> bool:
        """Whether a run without it is refused."""

    @property
    def default(self) -> Any:
        """The value of a run that does not give it."""

    @property
    def choices(self) -> list[Any] | None:
        """The only allowed values; None for any."""


def resolve_parameters(declared: Sequence[Declaration], given: Mapping[str, Any]) -> dict[str, Any]:
    """Check the given parameters against their declarations, and fill in defaults.

    Returns:
        Every declared parameter with its value or default, safe for JSON, in the
        order of the declaration; dates and times as ISO text.

    Raises:
        UnknownParameter: For the first name that is not declared.
        MissingParameter: For the first required parameter that is not given.
        InvalidParameters: For the first value of a wrong type, or not among the choices.
    """
    by_name = {parameter.name: parameter for parameter in declared}
    for name in given:
        if name not in by_name:
            allowed = {parameter.name: parameter.must_be_given for parameter in declared}
            raise UnknownParameter(name, allowed, hint=nearest(name, allowed))
    return {name: _value(parameter, given) for name, parameter in by_name.items()}


def _value(parameter: Declaration, given: Mapping[str, Any]) -> Any:
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
