from __future__ import annotations

from typing import Any

import pytest

from dataspec.errors import DliError, InvalidParameters, MissingParameter, UnknownParameter
from dataspec.parameter_values import PARAMETER_TYPES
from dataspec.parameters import resolve_parameters
from dataspec.spec import Parameter

DECLARED = [
    Parameter(name="execution_date", type="string"),
    Parameter(name="limit", type="integer", required=False, default=100),
]


def one(kind: str, value: Any) -> Any:
    parameter = Parameter.model_validate({"name": "x", "type": kind})
    return resolve_parameters([parameter], {"x": value})["x"]


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


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("string", "x", "x"),
        ("integer", "-42", -42),
        ("integer", 7, 7),
        ("float", "1.5e3", 1500.0),
        ("float", 2, 2.0),
        ("boolean", "true", True),
        ("boolean", False, False),
        ("date", "2024-02-29", "2024-02-29"),
        ("datetime", "2024-02-29T10:00:00+09:00", "2024-02-29T10:00:00+09:00"),
        ("list", "AA,UA", ["AA", "UA"]),
        ("list", '["A,A", 1]', ["A,A", 1]),
        ("list", [], []),
    ],
)
def test_a_value_is_read_as_its_type(kind: str, value: Any, expected: Any) -> None:
    found = one(kind, value)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("string", 5, "expected text, got 5"),
        ("string", "a\x00b", "NUL"),
        ("string", "x" * 70_000, "at most 65,536"),
        ("integer", "1.5", "expected a whole number, got '1.5'."),
        ("integer", True, "expected a whole number, got true."),
        ("integer", 2**63, "the number is too large"),
        ("integer", "-99999999999999999999", "the number is too large"),
        ("float", 10**400, "expected a number"),
        ("float", "nan", "expected a number"),
        ("float", "inf", "expected a number"),
        ("boolean", "yes", "expected true or false, got 'yes'."),
        ("date", "2024-02-30", "there is no date 2024-02-30."),
        ("date", "2024-1-5", "expected a date as YYYY-MM-DD"),
        ("date", "20240105", "expected a date as YYYY-MM-DD"),
        ("datetime", "tomorrow", "expected a time as"),
        ("list", '["a"', "not a JSON list"),
        ("list", [{"a": 1}], "a list holds text, numbers and true or false"),
        ("list", 3, "expected a list"),
        ("list", [2**63], "the number is too large"),
    ],
)
def test_a_value_of_another_type_is_refused_with_what_is_expected(
    kind: str, value: Any, message: str
) -> None:
    with pytest.raises(InvalidParameters) as caught:
        one(kind, value)
    assert caught.value.title.startswith("Invalid value for parameter 'x': ")
    assert message in caught.value.title


def test_every_type_has_a_test_above() -> None:
    assert set(PARAMETER_TYPES) == {"string", "integer", "float", "boolean", "date", "datetime", "list"}


def test_an_execution_date_is_a_date_whatever_its_type_says() -> None:
    with pytest.raises(InvalidParameters, match=r"there is no date 2024-13-01\."):
        resolve_parameters(DECLARED, {"execution_date": "2024-13-01"})


def test_a_value_outside_the_choices_is_refused_with_the_choices() -> None:
    parameter = Parameter(name="carrier", type="string", choices=["AA", "UA"])
    with pytest.raises(DliError, match="'AB' is not one of AA, UA"):
        resolve_parameters([parameter], {"carrier": "AB"})


def test_an_optional_parameter_without_default_is_null() -> None:
    parameter = Parameter(name="carrier", type="string", required=False)
    assert resolve_parameters([parameter], {}) == {"carrier": None}
