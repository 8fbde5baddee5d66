from __future__ import annotations

import re

import pytest

from dataspec.errors import InvalidParameters, MissingParameter, UnknownParameter
from dataspec.parameters.resolve import resolve_parameters
from dataspec.parameters.types import PARAMETER_TYPES, ParameterValueError, coerce
from dataspec.spec.model import Parameter
from parameter_cases import CASES, DATE, KINDS, Case

DECLARED = [
    Parameter(name="execution_date", type="string"),
    Parameter(name="limit", type="integer", required=False, default=100),
]


@pytest.mark.rule("8.7")
def test_values_are_given_their_types_and_defaults() -> None:
    assert resolve_parameters(DECLARED, {"execution_date": "2024-01-15"}) == {
        "execution_date": "2024-01-15",
        "limit": 100,
    }


@pytest.mark.rule("8.2")
def test_a_parameter_that_the_spec_does_not_define_is_refused_in_the_words_of_the_specification() -> None:
    with pytest.raises(UnknownParameter) as caught:
        resolve_parameters(DECLARED, {"undefined_param": "value"})
    assert caught.value.title == "Unknown parameter 'undefined_param'. Allowed: execution_date, limit"
    assert caught.value.text == (
        "Unknown parameter 'undefined_param'.\n"
        "Allowed parameters: execution_date (required), limit (optional)"
    )
    assert caught.value.exit_status == 2


@pytest.mark.rule("8.3")
def test_a_required_parameter_that_is_missing_is_refused_in_the_words_of_the_specification() -> None:
    with pytest.raises(MissingParameter) as caught:
        resolve_parameters(DECLARED, {"limit": 3})
    assert caught.value.title == "Missing required parameter: execution_date"


def test_a_misspelt_parameter_is_told_the_nearest_name() -> None:
    with pytest.raises(UnknownParameter) as caught:
        resolve_parameters(DECLARED, {"excution_date": "2024-01-15"})
    assert caught.value.detail == "Did you mean 'execution_date'?"


@pytest.mark.rule("8.1", "8.4", "8.5", "8.6")
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


@pytest.mark.rule("8.4")
def test_every_type_is_in_the_table() -> None:
    assert set(KINDS) == set(PARAMETER_TYPES)


@pytest.mark.rule("8.8")
def test_an_execution_date_is_a_date_whatever_its_type_says() -> None:
    with pytest.raises(InvalidParameters, match=r"there is no date 2024-13-01\."):
        resolve_parameters(DECLARED, {"execution_date": "2024-13-01"})


@pytest.mark.rule("8.5")
@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        ("string", "x" * 65_537, "the text has 65,537 characters, at most 65,536 are allowed."),
        ("string", "a\0b", "the text holds a NUL character."),
        ("list", ["x"] * 10_001, "the list has 10,001 items, at most 10,000 are allowed."),
        ("list", ["x", "a\0b"], "the text holds a NUL character."),
    ],
    ids=["text", "NUL", "list", "NUL in a list"],
)
def test_a_value_that_is_too_long_or_holds_nul_is_refused(kind: str, value: object, reason: str) -> None:
    with pytest.raises(ParameterValueError, match=re.escape(reason)):
        coerce(value, kind)


@pytest.mark.rule("8.5")
def test_a_value_of_the_greatest_length_is_accepted() -> None:
    assert coerce("x" * 65_536, "string") == "x" * 65_536
    assert coerce(["x"] * 10_000, "list") == ["x"] * 10_000
