"""SQL templates: Jinja, sandboxed, where values go in as data (specification 9.1, 9.3).

A value never becomes SQL. Each ``{{ … }}`` is first rendered as a word that stands for
it; the dialect's own tokenizer then tells where the word is: inside quotes, where the
value is escaped for them; alone, where a number, a boolean or a list is written as a
literal and text is refused; or in a comment. At the end the text is tokenized again
and must hold the same statements as it did with the words.

Most templates hold nothing but ``{{ name }}``. These are read here, without Jinja, which
takes as long to load as a small run takes; the result is the same.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlglot.tokenizer_core import Token as FoundToken

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
"""Words that stand for something else than a parameter in an expression."""


class Rendered(NamedTuple):
    """A template as it was rendered, with what was found out on the way."""

    sql: str
    names: Sequence[WrittenName] = ()
    """The names in the SQL that values are in."""
    tokens: Sequence[FoundToken] | None = None
    """The SQL's tokens, if it was taken apart."""


def render(
    sql: str, values: Mapping[str, Any], *, dialect: str | None, file: str, unsettled: bool = False
) -> str:
    """Render one SQL template with values as data.

    Args:
        sql: The template.
        values: The values, by the names that the template uses.
        dialect: The SQL dialect, by sqlglot's name; None where it is not known.
        file: The file that it stands in, for problems.
        unsettled: Whether the session may read strings by other rules than the dialect's.

    Raises:
        InvalidTemplate: When the template is wrong, names something unknown, or a value does
            not fit where it stands.
    """
    return render_whole(sql, values, dialect=dialect, file=file, unsettled=unsettled).sql


def render_whole(
    sql: str, values: Mapping[str, Any], *, dialect: str | None, file: str, unsettled: bool = False
) -> Rendered:
    """Render one SQL template as :func:`render` does; returns what was found out on the way as well."""
    if is_plain(sql):
        return Rendered(sql)
    from dataspec.sql.values.binding import Slots

    slots = Slots(file)
    text = _with_slots(sql, values, slots, file)
    return Rendered(slots.fill(text, dialect, unsettled=unsettled), slots.names, slots.tokens)


def is_plain(sql: str) -> bool:
    """Tell SQL in which nothing is to be rendered, nor any line break to be written anew."""
    return not ("{{" in sql or "{%" in sql or "{#" in sql or "\r" in sql)


def check_template(
    sql: str, known: Sequence[str], *, file: str
) -> tuple[list[Problem], frozenset[str] | None]:
    """Check a template before it is rendered.

    Args:
        sql: The template.
        known: The names that it may use.
        file: The file that it stands in, for problems.

    Returns:
        Everything that is wrong with it, in the order of the lines, and the names that it uses;
        None for those of a template that can't be read.
    """
    problems, names = _checked(sql, tuple(known))
    return [problem.at(file, problem.line, problem.column) for problem in problems], names


@lru_cache(maxsize=256)
def _checked(sql: str, known: tuple[str, ...]) -> tuple[list[Problem], frozenset[str] | None]:
    simple = _simple_names(sql)
    if simple is not None and simple <= {*known}:
        return [], simple
    from dataspec.sql.template.jinja import checked

    return checked(sql, known)


def _with_slots(sql: str, values: Mapping[str, Any], slots: Slots, file: str) -> str:
    """Return a template as rendered, with a word of the slots for each value."""
    names = _simple_names(sql)
    if names is None or not names <= values.keys():
        from dataspec.sql.template.jinja import with_slots

        return with_slots(sql, values, slots, file)

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
    """Return the names in a template of nothing but ``{{ name }}``; None for one that Jinja has to read."""
    if not is_plain(_SIMPLE.sub(" ", sql)):
        return None
    names = frozenset(match[1] for match in _SIMPLE.finditer(sql))
    return None if names & _OF_JINJA else names
