"""Values that are meant to break out of the SQL around them, and what an engine makes of them."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import strategies as st

from dataspec.errors import InvalidTemplate
from dataspec.parameters import COERCIONS, ParameterValueError
from dataspec.sql.template.render import render

FRAGMENTS = [
    "'", "''", '"', "`", "]", "[", "\\", "\\'", "\\\\", "--", "-- ", "/*", "*/", "/*!", "#", ";", "; drop table canary",
    "; drop table canary; --", " or 1=1", "$$", "$q$", "$1", "?", ":x", "%s", "%(x)s", "@x", "\x00", "\n", "\r\n", "\t",
    "\u2019", "\u02bc", "\uff07", "\u00bf'", "\u0000'", "\ud800", "{{ 7*7 }}", "{% raw %}", "{#", "E'", "N'", "U&'\\0027",
    "q'[", "]'", "r'", "x'", "null", "true", "1", "a", " ", "é", "0x27", "\\u0027", "\\047", ", 2", ") union select 1",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=3), max_size=6).map("".join)
VALUES = {
    "string": TEXTS,
    "integer": st.integers(-(2**63) + 1, 2**63 - 1),
    "float": st.floats(allow_nan=False, allow_infinity=False),
    "boolean": st.booleans(),
    "date": st.dates().map(lambda day: day.isoformat()),
    "datetime": st.datetimes().map(lambda moment: moment.isoformat()),
    "list": st.lists(TEXTS | st.integers(-1000, 1000) | st.booleans(), min_size=1, max_size=3),
}


@st.composite
def typed(draw: st.DrawFn) -> tuple[str, Any]:
    """Make a value as a parameter of some type has it."""
    kind = draw(st.sampled_from(sorted(VALUES)))
    value = draw(VALUES[kind])
    try:
        return kind, COERCIONS[kind](value)
    except ParameterValueError:
        return kind, value  # a value that no parameter lets in is no way out either


def rendered(template: str, dialect: str | None, value: Any, *, unsettled: bool = False) -> str | None:
    """Return the SQL with a value, or None if it was refused."""
    try:
        return render(template, {"x": value}, dialect=dialect, file="q.sql", unsettled=unsettled).sql
    except InvalidTemplate:
        return None


def near(found: Any, value: Any, dialect: str) -> bool:
    """Tell whether an engine gave a value back.

    Engines read 1.5 as a decimal. SQLite keeps 15 digits of a number that is written in decimals, no
    more: it reads 7.890886683888251e-305 one bit off, whichever way that is written.
    """
    if not isinstance(value, float):
        return bool(found == value)
    exact = dialect != "sqlite"
    return float(found) == value if exact else math.isclose(found, value, rel_tol=1e-15, abs_tol=5e-324)
