"""Check the seeds that a template uses, without rendering it."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from dataspec.keys import SEED_FOLDER, UNREAD
from dataspec.problems import Problem, nearest
from dataspec.sql.template.syntax import WordPlaces, seed_calls, seed_name
from dataspec.sql.values.seeds import problems_in_seed, seed_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jinja2 import nodes

_AFTER_TABLE = frozenset(
    {
        *(
            "anti",
            "any",
            "asof",
            "cross",
            "except",
            "fetch",
            "final",
            "for",
            "full",
            "global",
            "group",
            "having",
        ),
        *(
            "inner",
            "intersect",
            "join",
            "lateral",
            "left",
            "limit",
            "match_recognize",
            "minus",
            "natural",
            "offset",
        ),
        *(
            "on",
            "order",
            "pivot",
            "positional",
            "prewhere",
            "qualify",
            "returning",
            "right",
            "sample",
            "select",
        ),
        *(
            "semi",
            "set",
            "settings",
            "straight_join",
            "tablesample",
            "union",
            "unpivot",
            "using",
            "when",
            "where",
        ),
        *("window", "with"),
    }
)
"""Words that may follow a table in FROM and are no alias of it."""
_ALIAS = re.compile(r"\s*(?:(as)\s|([\"`\[])|([A-Za-z_]\w*))", re.IGNORECASE)


def seed_problems(tree: nodes.Template, sql: str, files: Mapping[str, str]) -> Iterator[Problem]:
    """Yield the problems of the seeds that a template uses: in the file, with its path, and at the use."""
    places = WordPlaces(sql)
    for call in seed_calls(tree):
        if (name := seed_name(call)) is None:
            continue  # reported with the refused tags
        path, column = seed_path(name), places.of("seed", call.lineno)
        if path not in files:
            known = [file.removeprefix(SEED_FOLDER)[:-4] for file in files if file.startswith(SEED_FOLDER)]
            hint = (
                nearest(name, known)
                or "A folder copied to the store has no seeds: publish it with dli code publish."
            )
            message = f"there is no seed file '{path}' in the project's folder."
            yield Problem(message, "", call.lineno, column, hint)
            continue
        if files[path] == UNREAD:
            yield Problem(f"the seed file '{path}' can't be read.", "", call.lineno, column)
            continue
        problems = problems_in_seed(files[path])
        placed = [problem.at(path, problem.line, problem.column) for problem in problems]
        yield from placed
        if placed:
            yield Problem(f"the seed can't be used: {replace(placed[0], hint=None)}", "", call.lineno, column)


def has_alias(following: str) -> bool:
    """Tell whether the SQL after a seed gives it an alias."""
    found = _ALIAS.match(following)
    return found is not None and (found[3] is None or found[3].lower() not in _AFTER_TABLE)
