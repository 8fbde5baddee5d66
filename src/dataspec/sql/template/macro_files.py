"""Check what a template imports from the project's macro files, and how it calls it, without rendering (36)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

from jinja2 import TemplateError, nodes

from dataspec.keys import MACRO_FOLDER, UNREAD
from dataspec.problems import Problem, nearest
from dataspec.sql.template import jinja
from dataspec.sql.template.macro_calls import Signature, calls_in, endless_macros, signature_of
from dataspec.sql.template.render import uses_files
from dataspec.sql.template.seed_checks import seed_problems
from dataspec.sql.template.syntax import (
    WordPlaces,
    imports_in,
    names_of,
    parsed,
    path_of,
    seed_calls,
    seed_name,
    why_not_imported,
)
from dataspec.sql.values.seeds import seed_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

MAX_IMPORT_DEPTH = 10
"""Maximum number of macro files that import each other in a row."""

_COMMENTS = re.compile(r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/)*", re.DOTALL)
_AT_TOP = (nodes.Macro, nodes.Import, nodes.FromImport, nodes.Assign, nodes.AssignBlock)

Files: TypeAlias = "tuple[tuple[str, str], ...]"
"""The text of each macro file, by its path in the project."""


@dataclass(frozen=True, slots=True)
class MacroFile:
    """The result of the checks of one macro file."""

    problems: tuple[Problem, ...]
    """Its problems, and those of the files that it imports; the cause first."""
    members: Mapping[str, Signature | None] | None = None
    """What it holds: the arguments of each macro, None for each constant. None where that is not known."""


def used_shared_files(sql: Iterable[str], read: Callable[[str], str | None]) -> dict[str, str | None]:
    """Return the macro files and seeds that templates use, directly or through each other; None for missing ones.

    Args:
        sql: The templates.
        read: Returns the text of a file of the project; None where there is none.
    """
    paths = [_used_paths(text) for text in sql]
    found = {path: read(path) for _, seeds in paths for path in seeds}
    waiting = [path for imported, _ in paths for path in imported]
    while waiting:
        path = waiting.pop()
        if path not in found:
            text = found[path] = read(path)
            waiting += _used_paths(text or "")[0]
    return found


@lru_cache(maxsize=64)
def _used_paths(sql: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the valid paths of the macro files and of the seeds in a template; none if it can't be parsed."""
    if not uses_files(sql):
        return (), ()
    try:
        tree = parsed(sql)
    except (TemplateError, RecursionError):  # reported where it is checked
        return (), ()
    imported = (path_of(node) for node in imports_in(tree) if why_not_imported(node) is None)
    seeds = (name for call in seed_calls(tree) if (name := seed_name(call)) is not None)
    return tuple(path for path in imported if path is not None), tuple(map(seed_path, seeds))


def checked(sql: str, known: Sequence[str], files: Files) -> tuple[list[Problem], frozenset[str] | None]:
    """Check a template, and the macro files that it imports, without rendering it.

    Args:
        sql: The template.
        known: The names that it may use.
        files: The macro files.

    Returns:
        All problems, those in a macro file first, with its path as their file; and the names that
        the template uses, None after a syntax error.
    """
    problems, names, tree = jinja.checked(sql, known)
    if tree is None:
        return problems, None
    found = [*_checks_of(files).template(tree, sql)[0], *seed_problems(tree, sql, dict(files))]
    own = [*problems, *(problem for problem in found if not problem.file)]
    return [
        *(problem for problem in found if problem.file),
        *sorted(own, key=lambda problem: problem.line or 0),
    ], names


@lru_cache(maxsize=8)
def _checks_of(files: Files) -> _Checks:
    return _Checks(dict(files))


class _Checks:
    """The checks of templates that share macro files; each file is checked once."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self._files = files
        self._checked: dict[str, MacroFile] = {}
        """The files that were checked; threads may share it, and check a file twice."""

    def template(
        self, tree: nodes.Template, sql: str, chain: tuple[str, ...] = ()
    ) -> tuple[list[Problem], Mapping[str, Signature | None]]:
        """Return the problems of a template's imports and calls, and the macros that it defines and imports.

        Args:
            tree: The template.
            sql: Its text.
            chain: The macro files that import each other, the last of which is this one; none for a dataset's template.
        """
        places = WordPlaces(sql)
        modules: dict[str, MacroFile] = {}
        macros: dict[str, Signature | None] = {
            node.name: signature_of(node) for node in tree.find_all(nodes.Macro)
        }
        problems: list[Problem] = []
        for node in imports_in(tree):
            path = path_of(node)
            if path is None or why_not_imported(node):
                continue  # reported with the refused tags
            line, column = node.lineno, places.of(path, node.lineno)
            file, found = self._imported(path, line, column, chain)
            problems += found
            if isinstance(node, nodes.Import):
                modules[node.target] = replace(file, problems=())
            else:
                for name, alias in names_of(node):
                    problems += _missing(name, file, path, line, places.of(name, line))
                    macros[alias] = (file.members or {}).get(name)
        problems += calls_in(tree, modules, macros, places.of)
        problems += endless_macros(tree, places.of)
        return problems, macros

    def _imported(
        self, path: str, line: int, column: int | None, chain: tuple[str, ...]
    ) -> tuple[MacroFile, list[Problem]]:
        """Return an imported file, and what is wrong with it: in the file, and at the import."""

        def at_import(message: str, hint: str | None = None) -> list[Problem]:
            return [Problem(message, "", line, column, hint)]

        if path not in self._files:
            hint = nearest(path, [known for known in self._files if known.startswith(MACRO_FOLDER)])
            return MacroFile(()), at_import(
                f"there is no macro file '{path}' in the project's folder.",
                hint or "A folder copied to the store has no macros: publish it with dli code publish.",
            )
        if self._files[path] == UNREAD:
            return MacroFile(()), at_import(f"the macro file '{path}' can't be read.")
        if path in chain:
            return MacroFile(()), at_import(
                f"the macro file '{path}' imports itself, directly or through others."
            )
        if len(chain) >= MAX_IMPORT_DEPTH:
            return MacroFile(()), at_import(
                f"more than {MAX_IMPORT_DEPTH} macro files import each other in a row."
            )
        file = self._file(path, chain)
        if not file.problems:
            return file, []
        return file, [
            *file.problems,
            *at_import(f"the macro file can't be used: {replace(file.problems[0], hint=None)}"),
        ]

    def _file(self, path: str, chain: tuple[str, ...]) -> MacroFile:
        if path not in self._checked:
            self._checked[path] = self._check(path, self._files[path], (*chain, path))
        return self._checked[path]

    def _check(self, path: str, text: str, chain: tuple[str, ...]) -> MacroFile:
        problems, _, tree = jinja.checked(text, None)
        if tree is None:
            return MacroFile(tuple(problem.at(path, problem.line, problem.column) for problem in problems))
        problems += _outside_macros(tree)
        found, macros = self.template(tree, text, chain)
        inner = [problem for problem in found if problem.file]
        own = sorted(
            [*problems, *(problem for problem in found if not problem.file)], key=lambda it: it.line or 0
        )
        placed = [problem.at(path, problem.line, problem.column) for problem in own]
        constants = {name: None for node in tree.body for name in _assigned(node)}
        at_top = {node.name for node in tree.body if isinstance(node, nodes.Macro)}
        at_top |= {
            alias for node in tree.body if isinstance(node, nodes.FromImport) for _, alias in names_of(node)
        }
        members = {
            name: replace(of, file=path) if of else None for name, of in macros.items() if name in at_top
        }
        public = {name: of for name, of in (constants | members).items() if not name.startswith("_")}
        return MacroFile((*inner, *placed), public)


def _missing(name: str, file: MacroFile, path: str, line: int, column: int | None) -> Iterator[Problem]:
    if file.members is not None and name not in file.members:
        hint = nearest(name, file.members) or f"It has {', '.join(file.members) or 'none'}."
        yield Problem(f"there is no macro '{name}' in '{path}'.", "", line, column, hint)


def _outside_macros(tree: nodes.Template) -> Iterator[Problem]:
    """Yield a problem for what would have no effect in a macro file, or depend on what imports it."""
    for node in tree.body:
        if isinstance(node, nodes.Output) and all(
            isinstance(part, nodes.TemplateData) and _COMMENTS.fullmatch(part.data) for part in node.nodes
        ):
            continue
        if not isinstance(node, _AT_TOP):
            message = "a macro file holds macros, imports, {% set %} and comments; other text is not used."
            yield Problem(message, "", _line_of(node), 1, "Write it in a {% macro %}.")
            return


def _line_of(node: nodes.Node) -> int:
    """Return the line of a node; of its first text that is not blank."""
    if isinstance(node, nodes.Output) and isinstance(first := node.nodes[0], nodes.TemplateData):
        unused = _COMMENTS.match(first.data)
        return first.lineno + (first.data.count("\n", 0, unused.end()) if unused else 0)
    return node.lineno


def _assigned(node: nodes.Node) -> Iterator[str]:
    if isinstance(node, nodes.Assign | nodes.AssignBlock):
        target = node.target
        yield from (
            name.name
            for name in ([target] if isinstance(target, nodes.Name) else target.find_all(nodes.Name))
        )
