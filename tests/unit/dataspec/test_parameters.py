from __future__ import annotations

import pytest

from dataspec.errors import InvalidParameters, MissingParameter, UnknownParameter
from dataspec.parameters.resolve import resolve_parameters
from dataspec.parameters.types import PARAMETER_TYPES
from dataspec.spec.model import Parameter
from parameter_cases import CASES, DATE, KINDS, Case

DECLARED = [
    Parameter(name="execution_date", type="string"),
    Parameter(name="limit", type="integer", required=False, default=100),
]


def test_values_are_given_their_types_and_defaults() -> None:
    assert resolve_parameters(DECLARED, {"execution_date": "2024-01-15"}) == {
        "execution_date": "2024-01-15",
        "limit": 100,
    }


def test_a_parameter_that_the_spec_does_not_define_is_refused_in_the_words_of_the_specification() -> None:
    with pytest.raises(UnknownParameter) as caught:
        resolve_parameters(DECLARED, {"undefined_param": "value"})
    assert caught.value.title == "Unknown parameter 'undefined_param'. Allowed: execution_date, limit"
    assert caught.value.text == (
        "Unknown parameter 'undefined_param'.\n"
        "Allowed parameters: execution_date (required), limit (optional)"
    )
    assert caught.value.exit_status == 2


def test_a_required_parameter_that_is_missing_is_refused_in_the_words_of_the_specification() -> None:
    with pytest.raises(MissingParameter) as caught:
        resolve_parameters(DECLARED, {"limit": 3})
    assert caught.value.title == "Missing required parameter: execution_date"


def test_a_misspelt_parameter_is_told_the_nearest_name() -> None:
    with pytest.raises(UnknownParameter) as caught:
        resolve_parameters(DECLARED, {"excution_date": "2024-01-15"})
    assert caught.value.detail == "Did you mean 'execution_date'?"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_parameter_is_read_as_its_type_or_refused_with_what_is_expected(case: Case) -> None:
    declared = [
        Parameter(name="execution_date", type="date"),
        Parameter.model_validate({"name": "x", **case.declared}),
    ]
    if case.title is None:
        found = resolve_parameters(declared, DATE | case.given)
        assert found == DATE | {"x": case.value}
        assert type(found["x"]) is type(case.value)
        return
    with pytest.raises(InvalidParameters) as caught:
        resolve_parameters(declared, DATE | case.given)
    error = caught.value
    assert (error.code, error.title, error.text, error.detail) == (
        case.code,
        case.title,
        case.text or case.title,
        case.detail,
    )


def test_every_type_is_in_the_table() -> None:
    assert set(KINDS) == set(PARAMETER_TYPES)


def test_an_execution_date_is_a_date_whatever_its_type_says() -> None:
    with pytest.raises(InvalidParameters, match=r"there is no date 2024-13-01\."):
        resolve_parameters(DECLARED, {"execution_date": "2024-13-01"})
