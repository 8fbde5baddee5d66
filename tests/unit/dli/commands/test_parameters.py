"""What the command line makes of ``-p``, in the words of specification 8.2 and 8.3."""

from __future__ import annotations

import json

import pytest

from parameter_cases import CASES, DATE, Case
from unit.dli.basecamp import Basecamp
from unit.dli.conftest import Dli
from unit.dli.specs import spec_of

NAME = "reports.summary"
DAY = DATE["execution_date"]

every_text = pytest.mark.parametrize(
    "case", [case for case in CASES if case.is_text], ids=lambda case: case.id
)


def given(case: Case) -> list[str]:
    return [word for name, value in case.given.items() for word in ("-p", f"{name}={value}")]


@pytest.mark.rule("8.1")
@every_text
def test_the_command_line_gives_a_run_its_parameters_or_refuses_them(
    case: Case, basecamp: Basecamp, dli: Dli
) -> None:
    basecamp.put_manual(NAME, spec_of(NAME, more=case.declaration()))
    command = ["workflow", "run", NAME, "-p", f"execution_date={DAY}", *given(case), "-f", "json"]
    result = dli(*command)
    if case.title is not None:
        assert (result.status, result.out, result.err) == (2, "", case.words())
        return
    assert (result.status, result.err) == (0, "")
    assert json.loads(result.out)["parameters"] == DATE | {"x": case.value}


@pytest.mark.rule("8.1")
@every_text
def test_the_command_line_gives_a_backfill_its_parameters_or_refuses_them(
    case: Case, basecamp: Basecamp, dli: Dli
) -> None:
    basecamp.put_manual(NAME, spec_of(NAME, more=case.declaration()))
    command = ["workflow", "backfill", NAME, "-s", DAY, "-e", DAY, *given(case), "--dry-run", "-f", "json"]
    result = dli(*command)
    if case.title is not None:
        assert (result.status, result.out, result.err) == (2, "", case.words())
        return
    assert (result.status, result.err) == (0, "")
    assert json.loads(result.out)["parameters"] == {"x": case.value}
