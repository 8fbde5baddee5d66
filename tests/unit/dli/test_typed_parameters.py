"""Parameters on the command line, in the words of the specification's terminal sessions."""

from __future__ import annotations

import json

import pytest

from unit.dli.basecamp import Basecamp
from unit.dli.conftest import Dli
from unit.parameter_matrix import CASES, NAME, Case


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_run_from_the_command_line(basecamp: Basecamp, dli: Dli, case: Case) -> None:
    basecamp.put_code(NAME, case.kind.yaml)
    typed = [word for name, text in case.given.items() for word in ("-p", f"{name}={text}")]
    result = dli("workflow", "run", NAME, *typed, "-f", "json")
    if case.expected is None:
        assert (result.status, result.out) == (2, "")
        assert result.err.startswith(f"Error: {case.text or case.title}")
        return
    assert (result.status, result.err) == (0, "")
    assert repr(json.loads(result.out)["parameters"]) == repr(case.expected)
