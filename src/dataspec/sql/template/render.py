"""Render and check SQL templates: sandboxed Jinja, with values bound as data (specification 9.1, 9.3).

A value never becomes SQL. Each ``{{ … }}`` is first rendered as a placeholder. The dialect's tokenizer
tells where it stands: inside quotes, where the value is escaped; alone, where a number, a boolean or a
list becomes a literal and text is refused; or in a comment. The result is tokenized again and must have
the same statements as with the placeholders.

Templates with nothing but ``{{ name }}`` are rendered without Jinja, which takes longer to load than a small
run; the result is the same.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlglot.tokens import Token as FoundToken

    from dataspec.problems import Problem
    from dataspec.sql.values.binding import Slots, WrittenName

_SIMPLE = re.compile(r"(?<!\{)\{\{[ \t]*([A-Za-z_][A-Za-z0-9_]*)[ \t]*\}\}")
_OF_JINJA = frozenset(
    {
        *("and", "else", "if", "in", "is", "not", "or"),
        *("False", "None", "True", "false", "none", "true"),
        *("caller", "kwargs", "loop", "self", "super", "varargs"),
        *("dict", "namespace", "range"),
    }
)
"""Words of Jinja, which name no parameter."""


class Rendered(NamedTuple):
    """A rendered template, with the names and tokens that rendering found."""

    sql: str
    names: Sequence[WrittenName] = ()
    """The names in the SQL that contain values."""
    tokens: Sequence[FoundToken] | None = None
    """The SQL's tokens; None where it was not tokenized."""


def render(
    sql: str,
    values: Mapping[str, Any],
    *,
    dialect: str | None,
    file: str,
    unsettled: bool = False,
    shared: Mapping[str, str] = MappingProxyType({}),
) -> Rendered:
    """Render one SQL template, with values bound as data.

    Args:
        sql: The template.
        values: The values, by the names that the template uses.
        dialect: The SQL dialect, by sqlglot's name; None where it is unknown.
        file: The template's file, for problems.
        unsettled: Whether a session setting may change how the engine reads strings.
        shared: The macro files and seeds that it may use, by path.

    Raises:
        InvalidTemplate: For an invalid template, an unknown name, or a value that does
            not fit its place.
    """
    if is_plain(sql):
        return Rendered(sql)
    from dataspec.sql.values.binding import Slots

    slots = Slots(file)
    text = _with_slots(sql, values, slots, file, shared=shared, dialect=dialect)
    return Rendered(slots.fill(text, dialect, unsettled=unsettled), slots.names, slots.tokens)


def uses_files(sql: str) -> bool:
    """Return whether a template may use files of the project: macros or seeds."""
    return "import" in sql or "seed" in sql


def is_plain(sql: str) -> bool:
    """Return whether SQL has nothing to render, and no line break that Jinja would change."""
    return not ("{{" in sql or "{%" in sql or "{#" in sql or "\r" in sql)


def check_template(
    sql: str, known: Sequence[str], *, file: str, shared: Mapping[str, str] = MappingProxyType({})
) -> tuple[list[Problem], frozenset[str] | None]:
    """Check a template without rendering it.

    Args:
        sql: The template.
        known: The names that it may use.
        file: The template's file, for problems.
        shared: The macro files and seeds that it may use, by path. Their problems have this path as their file.

    Returns:
        All problems in the order of the lines, and the names that the template uses;
        None instead of names after a syntax error.
    """
    if shared and uses_files(sql):
        from dataspec.sql.template.macro_files import checked

        problems, names = checked(sql, known, tuple(sorted(shared.items())))
    else:
        problems, names = _checked(sql, tuple(known))
    own = [problem if problem.file else replace(problem, file=file) for problem in problems]
    return own, names


@lru_cache(maxsize=256)
def _checked(sql: str, known: tuple[str, ...]) -> tuple[list[Problem], frozenset[str] | None]:
    simple = _simple_names(sql)
    if simple is not None and simple <= {*known}:
        return [], simple
    from dataspec.sql.template.macro_files import checked

    return checked(sql, known, ())


def _with_slots(
    sql: str,
    values: Mapping[str, Any],
    slots: Slots,
    file: str,
    *,
    shared: Mapping[str, str],
    dialect: str | None,
) -> str:
    """Render a template, with a placeholder of ``slots`` for each value."""
    names = _simple_names(sql)
    if names is None or not names <= values.keys():
        from dataspec.sql.template.jinja import with_slots

        return with_slots(sql, values, slots, file, shared=shared, dialect=dialect)

    line, begin, seen = 1, 0, 0

    def word(match: re.Match[str]) -> str:
        nonlocal line, begin, seen
        if newlines := sql.count("\n", seen, match.start()):
            line += newlines
            begin = sql.rfind("\n", seen, match.start()) + 1
        seen = match.start()
        return slots.take(values[match[1]], line, seen - begin + 1, match[1])

    return _SIMPLE.sub(word, sql)


def _simple_names(sql: str) -> frozenset[str] | None:
    """Return the names in a template of nothing but ``{{ name }}``; None for a template that needs Jinja."""
    if not is_plain(_SIMPLE.sub(" ", sql)):
        return None
    names = frozenset(match[1] for match in _SIMPLE.finditer(sql))
    return None if names & _OF_JINJA else names
