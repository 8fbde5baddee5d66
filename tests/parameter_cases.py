"""Each way in which a parameter may be given, right and wrong, with what every place where a run can start makes of it.

The dataset of each case takes an ``execution_date``, which is given rightly, and ``x``, which the case is about.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

DATE = {"execution_date": "2024-01-15"}


@dataclass(frozen=True, kw_only=True)
class Case:
    """One way to give ``x``, and what comes of it."""

    id: str
    declared: dict[str, Any]
    """What the spec says of ``x`` beside its name."""
    given: dict[str, Any] = field(default_factory=dict)
    """What the run is given beside its date: text as on a command line, or what JSON has."""
    value: Any = None
    """What ``x`` is then, unless it is refused."""
    title: str | None = None
    """The API's title of the error (specification 8.2, 8.3)."""
    text: str | None = None
    """The command line's wording, where it is another (specification 8.2)."""
    detail: str | None = None
    code: str = "invalid_parameter"

    @property
    def is_text(self) -> bool:
        """Whether a command line can give it so."""
        return all(isinstance(value, str) for value in self.given.values())

    def declaration(self) -> str:
        """Return the line of a spec's YAML that declares both parameters."""
        date = {"name": "execution_date", "type": "date"}
        return f"parameters: {json.dumps([date, {'name': 'x', **self.declared}])}\n"

    def words(self) -> str:
        """Return the error as the command line prints it."""
        margin = "" if self.code == "unknown_parameter" else " " * len("Error: ")
        lines = [*(self.text or self.title or "").splitlines(), *(self.detail or "").splitlines()]
        return "Error: " + f"\n{margin}".join(lines) + "\n"


@dataclass(frozen=True)
class Kind:
    """One type of parameter by examples."""

    right: tuple[tuple[Any, Any], ...]
    """What may be given, and what it is read as."""
    wrong: tuple[tuple[Any, str], ...]
    """What may not, and what the error says."""
    default: tuple[Any, Any]
    """A default, and what it is read as."""
    choices: list[Any]
    chosen: tuple[tuple[Any, Any], ...]
    """What fits the choices, and what it is read as."""
    outside: tuple[tuple[Any, str, str | None], ...]
    """What has the type but is none of the choices, what the error says, and its hint."""


KINDS = {
    "string": Kind(
        right=(("AA", "AA"), ("", ""), (" 5", " 5")),
        wrong=(
            (5, "expected text, got 5; put it in quotes."),
            (True, "expected text, got true; put it in quotes."),
            ("x" * 70_000, "the text has 70,000 characters, at most 65,536 are allowed."),
        ),
        default=("UA", "UA"),
        choices=["north", "south"],
        chosen=(("south", "south"),),
        outside=(
            ("nroth", "'nroth' is not one of north, south.", "Did you mean 'north'?"),
            ("", "'' is not one of north, south.", None),
        ),
    ),
    "integer": Kind(
        right=(("-42", -42), (" 7 ", 7), (7, 7)),
        wrong=(
            ("1.5", "expected a whole number, got '1.5'."),
            ("", "expected a whole number, got ''."),
            (1.5, "expected a whole number, got 1.5."),
            (True, "expected a whole number, got true."),
            ("9223372036854775808", "the number is too large; at most 9223372036854775807 is allowed."),
        ),
        default=("100", 100),
        choices=[1, "2"],
        chosen=(("2", 2), (1, 1)),
        outside=(("3", "3 is not one of 1, 2.", None),),
    ),
    "float": Kind(
        right=(("1.5e3", 1500.0), ("2", 2.0), (2, 2.0), (-0.5, -0.5)),
        wrong=(
            ("nan", "expected a number, got 'nan'."),
            ("1_000", "expected a number, got '1_000'."),
            ("1,5", "expected a number, got '1,5'."),
            ("1e999", "expected a number, got inf."),
            (False, "expected a number, got false."),
        ),
        default=(1, 1.0),
        choices=[0.5, 2],
        chosen=(("2", 2.0), (0.5, 0.5)),
        outside=(("3", "3.0 is not one of 0.5, 2.0.", None),),
    ),
    "boolean": Kind(
        right=(("true", True), ("False", False), (True, True)),
        wrong=(
            ("yes", "expected true or false, got 'yes'."),
            ("1", "expected true or false, got '1'."),
            (1, "expected true or false, got 1."),
        ),
        default=(False, False),
        choices=[True],
        chosen=(("true", True),),
        outside=(("false", "false is not one of true.", None),),
    ),
    "date": Kind(
        right=(("2024-02-29", "2024-02-29"),),
        wrong=(
            ("2023-02-29", "there is no date 2023-02-29."),
            ("2024-1-5", "expected a date as YYYY-MM-DD, got '2024-1-5'."),
            ("today", "expected a date as YYYY-MM-DD, got 'today'."),
            (20240105, "expected a date as YYYY-MM-DD, got 20240105."),
        ),
        default=("2024-01-01", "2024-01-01"),
        choices=["2024-01-01", "2024-07-01"],
        chosen=(("2024-07-01", "2024-07-01"),),
        outside=(("2024-03-01", "'2024-03-01' is not one of 2024-01-01, 2024-07-01.", None),),
    ),
    "datetime": Kind(
        right=(
            ("2024-02-29T10:00:00+09:00", "2024-02-29T10:00:00+09:00"),
            ("2024-02-29T10:00:00Z", "2024-02-29T10:00:00+00:00"),
            ("2024-02-29 10:00", "2024-02-29T10:00:00"),
            ("2024-02-29", "2024-02-29T00:00:00"),
        ),
        wrong=(
            ("tomorrow", "expected a time as YYYY-MM-DDTHH:MM:SS, got 'tomorrow'."),
            ("2024-02-30T10:00:00", "expected a time as YYYY-MM-DDTHH:MM:SS, got '2024-02-30T10:00:00'."),
            ("20240229T10", "expected a time as YYYY-MM-DDTHH:MM:SS, got '20240229T10'."),
            (1709200800, "expected a time as YYYY-MM-DDTHH:MM:SS, got 1709200800."),
        ),
        default=("2024-01-01T00:00:00Z", "2024-01-01T00:00:00+00:00"),
        choices=["2024-01-01T00:00:00", "2024-07-01T00:00:00"],
        chosen=(("2024-07-01 00:00", "2024-07-01T00:00:00"),),
        outside=(
            (
                "2024-03-01T00:00:00",
                "'2024-03-01T00:00:00' is not one of 2024-01-01T00:00:00, 2024-07-01T00:00:00.",
                None,
            ),
        ),
    ),
    "list": Kind(
        right=(
            ("AA,UA", ["AA", "UA"]),
            ("", []),
            ('["A,A", 1, 0.5, true]', ["A,A", 1, 0.5, True]),
            (["AA", 1], ["AA", 1]),
        ),
        wrong=(
            ("[[1]]", "a list holds text, numbers and true or false, not [1]."),
            ("[" * 50_000, "a list holds text, numbers and true or false, not lists."),
            ([{"a": 1}], "a list holds text, numbers and true or false, not {'a': 1}."),
            ([None], "a list holds text, numbers and true or false, not null."),
            ('["a"] b', "not a JSON list: Extra data: line 1 column 7 (char 6)."),
            (3, "expected a list such as A,B or [1, 2], got 3."),
        ),
        default=("AA,UA", ["AA", "UA"]),
        choices=["north", "south", 1],
        chosen=(("south,north", ["south", "north"]), ("", []), ('["north", 1]', ["north", 1])),
        outside=(
            ("north,souht", "'souht' is not one of north, south, 1.", "Did you mean 'south'?"),
            ("[2]", "2 is not one of north, south, 1.", None),
            ([True], "true is not one of north, south, 1.", None),
        ),
    ),
}
"""Every type of parameter."""


def _cases() -> Iterator[Case]:
    for kind, about in KINDS.items():
        plain, offered = {"type": kind}, {"type": kind, "choices": about.choices}
        default, resolved = about.default
        for given, value in about.right:
            yield Case(id=f"{kind}-right-{_short(given)}", declared=plain, given={"x": given}, value=value)
        for given, told in about.wrong:
            yield _refused(f"{kind}-wrong-{_short(given)}", plain, given, told)
        for given, value in about.chosen:
            yield Case(id=f"{kind}-choice-{_short(given)}", declared=offered, given={"x": given}, value=value)
        for given, told, hint in about.outside:
            yield _refused(f"{kind}-no-choice-{_short(given)}", offered, given, told, hint)
        yield Case(id=f"{kind}-default", declared={**plain, "default": default}, value=resolved)
        null = {"x": None}
        yield Case(id=f"{kind}-null", declared={**plain, "default": default}, given=null, value=resolved)
        yield Case(id=f"{kind}-optional", declared={**plain, "required": False})
        yield _missing(f"{kind}-missing", plain, {})
        yield _missing(f"{kind}-missing-null", offered, null)
        yield _unknown(f"{kind}-unknown", plain, about.right[0][0], "required")
        yield _unknown(f"{kind}-unknown-optional", {**plain, "default": default}, None, "optional")


def _refused(name: str, declared: dict[str, Any], given: Any, told: str, hint: str | None = None) -> Case:
    title = f"Invalid value for parameter 'x': {told}"
    return Case(id=name, declared=declared, given={"x": given}, title=title, detail=hint)


def _missing(name: str, declared: dict[str, Any], given: dict[str, Any]) -> Case:
    return Case(
        id=name,
        declared=declared,
        given=given,
        code="missing_parameter",
        title="Missing required parameter: x",
        detail="Add: -p x=VALUE",
    )


def _unknown(name: str, declared: dict[str, Any], given: Any, need: str) -> Case:
    return Case(
        id=name,
        declared=declared,
        given={"unlisted": "1"} | ({} if given is None else {"x": given}),
        code="unknown_parameter",
        title="Unknown parameter 'unlisted'. Allowed: execution_date, x",
        text=f"Unknown parameter 'unlisted'.\nAllowed parameters: execution_date (required), x ({need})",
    )


def _short(given: Any) -> str:
    return f"{type(given).__name__}:{str(given)[:12]}"


CASES = tuple(_cases())
