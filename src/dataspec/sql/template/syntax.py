"""Parse a template, and find what is wrong with it, without evaluating any part of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeAlias

from jinja2 import nodes
from jinja2.meta import TrackingCodeGenerator

from dataspec.keys import MACRO_FOLDER, why_no_key
from dataspec.problems import nearest
from dataspec.sql.template.bounds import PlacedError, TemplatePlaces, too_deep
from dataspec.sql.template.filters import FILTERS
from dataspec.sql.template.sandbox import ENVIRONMENT, ConstantFreeCodeGenerator

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Import: TypeAlias = "nodes.Import | nodes.FromImport"

MAX_DEPTH = 150
"""Maximum depth of a template's syntax tree."""
MACRO_SUFFIX = ".sql"
"""The suffix of a macro file."""
SEED = "seed"
"""The function that reads a seed."""
_SEED_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_REFUSED: dict[type[nodes.Node], str] = {
    nodes.Include: "a SQL template can't include another; it can import macros.",
    nodes.Extends: "a SQL template can't extend another; it can import macros.",
    # Their result would reach the SQL without being bound as a value.
    nodes.FilterBlock: "{% filter %} would make SQL of values; give a value its filter: {{ name | filter }}.",
    nodes.CallBlock: "{% call %} would make SQL of values; call a macro as {{ name() }}.",
    nodes.ScopedEvalContextModifier: "{% autoescape %} writes HTML, not SQL.",
}


def parsed(sql: str) -> nodes.Template:
    """Parse a template without evaluating any part of it.

    Raises:
        PlacedError: For a template that is nested too deep, or too long.
        TemplateSyntaxError: For a syntax error.
    """
    try:
        tree = ENVIRONMENT.parse(sql)
    except ValueError as error:
        raise PlacedError(f"a number can't be read: {error}.", None, None) from None
    level: list[nodes.Node] = [tree]
    for _ in range(MAX_DEPTH):
        level = [child for node in level for child in node.iter_child_nodes()]
        if not level:
            return tree
    raise too_deep(level[0].lineno)


def refusals(tree: nodes.Template, sql: str) -> Iterator[PlacedError]:
    """Yield an error for each tag that SQL templates don't allow, and for each unknown filter and test."""
    for kind, message in _REFUSED.items():
        for node in tree.find_all(kind):
            yield PlacedError(message, node.lineno, None)
    yield from _refused_uses(tree, sql)
    for block in tree.find_all(nodes.AssignBlock):
        if block.filter is not None:
            yield PlacedError("a {% set %} block can't have a filter.", block.lineno, None)
    places = TemplatePlaces(sql)
    for found in tree.find_all((nodes.Filter, nodes.Test)):
        if not _is_known(found):
            yield _missing(found, places)


def _refused_uses(tree: nodes.Template, sql: str) -> Iterator[PlacedError]:
    """Yield an error for each import and each seed whose file is not a literal path."""
    words = WordPlaces(sql)
    for node in imports_in(tree):
        if reason := why_not_imported(node):
            column = words.of("import" if isinstance(node, nodes.Import) else "from", node.lineno)
            yield PlacedError(reason, node.lineno, column, "Write {% import 'macros/dates.sql' as dates %}.")
    for call in seed_calls(tree):
        if seed_name(call) is None:
            message = "'seed' takes the name of a file of the folder seeds/, as a text in quotes."
            column = words.of(SEED, call.lineno)
            yield PlacedError(message, call.lineno, column, "Write {{ seed('countries') }}.")


def make_readable(tree: nodes.Template) -> None:
    """Replace unknown filters and tests by known ones, so that the rest of the template can be checked."""
    for found in tree.find_all((nodes.Filter, nodes.Test)):
        if not _is_known(found):
            found.name = "string" if isinstance(found, nodes.Filter) else "defined"


def names_in(tree: nodes.Template) -> frozenset[str]:
    """Return the undeclared names that a template uses, without evaluating any part of it."""
    finder = _NameFinder(ENVIRONMENT)
    finder.optimizer = None
    finder.visit(tree)
    return frozenset(finder.undeclared_identifiers)


class _NameFinder(ConstantFreeCodeGenerator, TrackingCodeGenerator):
    """Collects the undeclared names of a template."""


def _is_known(found: Any) -> bool:
    """Tell whether a template may use a filter or a test; not the internal ones, which the compiler inserts."""
    known = ENVIRONMENT.filters if isinstance(found, nodes.Filter) else ENVIRONMENT.tests
    return found.name in known and not found.name.startswith("_")


def _missing(found: Any, places: TemplatePlaces) -> PlacedError:
    if isinstance(found, nodes.Test):
        return PlacedError(
            f"there is no test '{found.name}'.", found.lineno, None, nearest(found.name, ENVIRONMENT.tests)
        )
    known = (name for name in ENVIRONMENT.filters if not name.startswith("_"))
    hint = nearest(found.name, [*FILTERS, *known])
    hint = hint or f"Filters for dates and names: {', '.join(FILTERS)}."
    return PlacedError(f"there is no filter '{found.name}'.", found.lineno, places.of_filter(found), hint)


def imports_in(tree: nodes.Template) -> Iterator[Import]:
    """Yield the imports of a template."""
    yield from tree.find_all(nodes.Import)
    yield from tree.find_all(nodes.FromImport)


def path_of(node: Import) -> str | None:
    """Return the literal path of an import; None for an expression."""
    path = node.template
    return path.value if isinstance(path, nodes.Const) and isinstance(path.value, str) else None


def names_of(node: nodes.FromImport) -> Sequence[tuple[str, str]]:
    """Return the names that a ``from … import`` takes, each with its name in the template."""
    return [(name, name) if isinstance(name, str) else name for name in node.names]


def why_not_imported(node: Import) -> str | None:
    """Return why an import is refused by its form; None for a valid one."""
    if (path := path_of(node)) is None:
        return "the path of an import is a text in quotes, not an expression."
    if node.with_context:
        return "a macro sees its arguments alone, so 'with context' is refused."
    if path.startswith(MACRO_FOLDER) and path.endswith(MACRO_SUFFIX) and why_no_key(path) is None:
        return None
    return f"'{path}' is no macro file: its path begins with '{MACRO_FOLDER}' and ends with '{MACRO_SUFFIX}'."


def seed_calls(tree: nodes.Template) -> list[nodes.Call]:
    """Return the calls of ``seed`` in a template that gives this name no other meaning."""
    if any(name.name == SEED and name.ctx != "load" for name in tree.find_all(nodes.Name)) or any(
        macro.name == SEED for macro in tree.find_all(nodes.Macro)
    ):
        return []
    return [
        call
        for call in tree.find_all(nodes.Call)
        if isinstance(call.node, nodes.Name) and call.node.name == SEED
    ]


def seed_name(call: nodes.Call) -> str | None:
    """Return the literal name of a seed in a call; None for anything else."""
    if len(call.args) != 1 or call.kwargs or call.dyn_args is not None or call.dyn_kwargs is not None:
        return None
    name = call.args[0]
    if not isinstance(name, nodes.Const) or not isinstance(name.value, str):
        return None
    return name.value if _SEED_NAME.fullmatch(name.value) else None


class WordPlaces:
    """The columns of words in a template."""

    def __init__(self, sql: str) -> None:
        self._lines = sql.splitlines()

    def of(self, word: str, line: int) -> int | None:
        """Return the column of a word on a line; None where it is not on it."""
        text = self._lines[line - 1] if line <= len(self._lines) else ""
        found = re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text) if word else None
        return found.start() + 1 if found else None
