"""The function that decides about parameters, which every other place is proved to ask."""

from __future__ import annotations

import pytest

from dataspec.errors import InvalidParameters
from dataspec.parameter_values import PARAMETER_TYPES
from dataspec.parameters import resolve_parameters
from dataspec.parsing import parse_spec
from unit.parameter_matrix import CASES, KINDS, Case


def test_every_type_is_in_the_matrix() -> None:
    assert {kind.name for kind in KINDS} == set(PARAMETER_TYPES)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_run_gets_what_the_spec_says_or_is_refused_in_the_words_of_the_specification(case: Case) -> None:
    declared = parse_spec(case.kind.yaml.encode(), file="a.yaml").parameters
    if case.expected is not None:
        found = resolve_parameters(declared, case.given)
        assert repr(found) == repr(case.expected)
        return
    with pytest.raises(InvalidParameters) as raised:
        resolve_parameters(declared, case.given)
    assert (raised.value.title.startswith(case.title), raised.value.code) == (True, case.code), raised.value
    assert raised.value.text.startswith(case.text or case.title)
