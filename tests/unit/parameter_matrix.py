"""Every type of parameter, given in every way: what each place where a run can start must answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

NAME = "test.matrix"


@dataclass(frozen=True)
class Kind:
    """A type, with values as a person types them and as the run then has them."""

    name: str
    text: str
    value: Any
    wrong: str
    why_wrong: str
    default: Any
    other_text: str
    other: Any
    outside_text: str
    outside: str
    choices: str

    @property
    def yaml(self) -> str:
        """A spec with a required parameter of the type, and an optional one with choices."""
        parameters = f"""\
parameters:
  - {{name: given, type: {self.name}}}
  - {{name: chosen, type: {self.name}, default: {self.default!r}, choices: [{self.default!r}, {self.other!r}]}}
"""
        parameters = parameters.replace("True", "true").replace("False", "false")
        if self.name == "boolean":
            parameters = parameters.replace("choices: [false, true]", "choices: [false]")
        return f"name: {NAME}\ntype: Dataset\nowner: ann@example.com\nquery_statement: select 1\n{parameters}"


KINDS = [
    Kind(
        "string",
        "x y",
        "x y",
        "a\tb\x00",
        "the text holds a NUL character.",
        "a",
        "b",
        "b",
        "c",
        "'c'",
        "a, b",
    ),
    Kind("integer", "-7", -7, "1.5", "expected a whole number, got '1.5'.", 1, "2", 2, "3", "3", "1, 2"),
    Kind(
        "float",
        "1e3",
        1000.0,
        "much",
        "expected a number, got 'much'.",
        0.5,
        "1.5",
        1.5,
        "2",
        "2.0",
        "0.5, 1.5",
    ),
    Kind(
        "boolean",
        "TRUE",
        True,
        "yes",
        "expected true or false, got 'yes'.",
        False,
        "false",
        False,
        "true",
        "true",
        "false",
    ),
    Kind(
        "date",
        "2024-02-29",
        "2024-02-29",
        "2023-02-29",
        "there is no date 2023-02-29.",
        "2024-01-01",
        "2024-01-02",
        "2024-01-02",
        "2024-01-03",
        "'2024-01-03'",
        "2024-01-01, 2024-01-02",
    ),
    Kind(
        "datetime",
        "2024-01-01T09:00:00+09:00",
        "2024-01-01T09:00:00+09:00",
        "soon",
        "expected a time as YYYY-MM-DDTHH:MM:SS, got 'soon'.",
        "2024-01-01T00:00:00",
        "2024-01-02T00:00:00",
        "2024-01-02T00:00:00",
        "2024-01-03T00:00:00",
        "'2024-01-03T00:00:00'",
        "2024-01-01T00:00:00, 2024-01-02T00:00:00",
    ),
    Kind(
        "list",
        "a, b",
        ["a", "b"],
        '["a"',
        "not a JSON list:",
        ["a"],
        "b",
        ["b"],
        "c",
        '["c"]',
        '["a"], ["b"]',
    ),
]


@dataclass(frozen=True)
class Case:
    """Parameters as typed, and what a run has of them or what is wrong."""

    kind: Kind
    given: dict[str, str]
    expected: dict[str, Any] | None = None
    title: str = ""
    """How the title of the error begins: the one line of the specification's 7.1, whole where that has it."""
    text: str = ""
    """How the terminal's words begin, where the specification's 3.4 has others."""
    code: str = ""


def _cases(kind: Kind) -> dict[str, Case]:
    given, invalid = {"given": kind.text}, "invalid_parameter"
    why_not = f"Invalid value for parameter 'chosen': {kind.outside} is not one of {kind.choices}"
    return {
        "valid, with the default": Case(kind, given, {"given": kind.value, "chosen": kind.default}),
        "one of the choices": Case(
            kind, given | {"chosen": kind.other_text}, {"given": kind.value, "chosen": kind.other}
        ),
        "invalid": Case(
            kind,
            {"given": kind.wrong},
            None,
            f"Invalid value for parameter 'given': {kind.why_wrong}",
            code=invalid,
        ),
        "none of the choices": Case(kind, given | {"chosen": kind.outside_text}, None, why_not, code=invalid),
        "missing": Case(
            kind,
            {"chosen": kind.other_text},
            None,
            "Missing required parameter: given",
            code="missing_parameter",
        ),
        "unknown": Case(
            kind,
            given | {"xxx": "1"},
            None,
            "Unknown parameter 'xxx'. Allowed: given, chosen",
            "Unknown parameter 'xxx'.\nAllowed parameters: given (required), chosen (optional)",
            "unknown_parameter",
        ),
    }


CASES = {f"{kind.name}: {name}": case for kind in KINDS for name, case in _cases(kind).items()}
