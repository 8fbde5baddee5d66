from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest

from dataspec.errors import InvalidParameters, MissingParameter, UnknownParameter
from dataspec.parameters import COERCIONS, PARAMETER_TYPES, ParameterValueError
from dataspec.spec.model import DatasetSpec, Parameter
from dataspec.spec.run_values import resolve_run
from parameter_cases import CASES, DATE, KINDS, Case

DECLARED = [
    Parameter(name="execution_date", type="string"),
    Parameter(name="limit", type="integer", required=False, default=100),
]


def resolved(declared: list[Parameter], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a run of a spec that declares these."""
    text = {
        "name": "web.clicks",
        "type": "Dataset",
        "owner": "dana@example.com",
        "query_statement": "select 1",
    }
    spec = DatasetSpec.model_validate(text).model_copy(update={"parameters": declared})
    return resolve_run(spec, given).parameters


@pytest.mark.rule("8.7")
def test_parameters_are_converted_and_have_defaults() -> None:
    assert resolved(DECLARED, {"execution_date": "2024-01-15"}) == {
        "execution_date": "2024-01-15",
        "limit": 100,
    }


@pytest.mark.rule("8.2")
def test_unknown_parameter_is_refused_with_the_specified_message() -> None:
    with pytest.raises(UnknownParameter) as caught:
        resolved(DECLARED, {"undefined_param": "value"})
    assert caught.value.title == "Unknown parameter 'undefined_param'. Allowed: execution_date, limit"
    assert caught.value.text == (
        "Unknown parameter 'undefined_param'.\n"
        "Allowed parameters: execution_date (required), limit (optional)"
    )
    assert caught.value.exit_status == 2


@pytest.mark.rule("8.3")
def test_missing_required_parameter_is_refused_with_the_specified_message() -> None:
    with pytest.raises(MissingParameter) as caught:
        resolved(DECLARED, {"limit": 3})
    assert caught.value.title == "Missing required parameter: execution_date"


def test_misspelt_parameter_gets_a_hint_with_the_nearest_name() -> None:
    with pytest.raises(UnknownParameter) as caught:
        resolved(DECLARED, {"excution_date": "2024-01-15"})
    assert caught.value.detail == "Did you mean 'execution_date'?"


@pytest.mark.rule("8.1", "8.4", "8.5", "8.6")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_value_is_converted_to_its_type_or_refused_with_the_expected_value(case: Case) -> None:
    declared = [
        Parameter(name="execution_date", type="date"),
        Parameter.model_validate({"name": "x", **case.declared}),
    ]
    if case.title is None:
        found = resolved(declared, DATE | case.given)
        assert found == DATE | {"x": case.value}
        assert type(found["x"]) is type(case.value)
        return
    with pytest.raises(InvalidParameters) as caught:
        resolved(declared, DATE | case.given)
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
def test_execution_date_is_a_date_even_if_declared_as_a_string() -> None:
    with pytest.raises(InvalidParameters, match=r"there is no date 2024-13-01\."):
        resolved(DECLARED, {"execution_date": "2024-13-01"})


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
def test_value_that_is_too_long_or_contains_nul_is_refused(kind: str, value: object, reason: str) -> None:
    with pytest.raises(ParameterValueError, match=re.escape(reason)):
        COERCIONS[kind](value)


@pytest.mark.rule("8.5")
def test_value_of_maximum_length_is_accepted() -> None:
    assert COERCIONS["string"]("x" * 65_536) == "x" * 65_536
    assert COERCIONS["list"](["x"] * 10_000) == ["x"] * 10_000
