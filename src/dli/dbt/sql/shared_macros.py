"""Turn the macros of a dbt project into macro files, where they hold data and names alone."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import TYPE_CHECKING

from jinja2 import nodes

from dataspec.errors import DliError
from dataspec.keys import MACRO_FOLDER
from dataspec.problems import Problem
from dataspec.sql.template.render import check_template, render

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dli.dbt.sql.renderer import Renderer

_MACRO = re.compile(r"\{%-?\s*macro\s+(\w+)\s*\((.*?)\)\s*-?%\}(.*?)\{%-?\s*endmacro\s*-?%\}", re.DOTALL)
_DISPATCH = re.compile(
    r"^\s*\{\{-?\s*(?:return\s*\(\s*)?adapter\.dispatch\(\s*['\"](\w+)['\"].*?\)\s*\(.*?\)\s*\)?\s*-?\}\}\s*$",
    re.DOTALL,
)
_ARGUMENT = re.compile(r"\{\{(-?)\s*(\w+)\s*(-?)\}\}")
_BLANKS = re.compile(r"\s+")
_NUMBER = re.compile(r"(\w+)\s*=\s*-?\d")


class SharedMacros:
    """The macros of the project that became macros of our own.

    A call stays a call where it renders to the same SQL as dbt's macro; elsewhere its SQL takes its place.

    Args:
        sources: The text of each macro file of the project.
        renderer: Finds the variant of a macro for the adapter.
        dialect: The dialect of the SQL.
    """

    def __init__(self, sources: Mapping[str, str], renderer: Renderer, dialect: str | None) -> None:
        self._dialect = dialect
        found: dict[str, tuple[str, str]] = {}
        self._files: dict[str, str] = {}
        self._places: dict[str, tuple[str, int]] = {}
        for path, text in sources.items():
            for match in _MACRO.finditer(text):
                found[match[1]] = match[2].strip(), match[3]
                self._places[match[1]] = path, text.count("\n", 0, match.start()) + 1
                self._files[match[1]] = f"{MACRO_FOLDER}{PurePath(path).name}"
        self._texts: dict[str, str] = {}
        for name, (signature, body) in found.items():
            if (dispatched := _DISPATCH.match(body)) is not None:
                variants = (f"{prefix}__{dispatched[1]}" for prefix in (renderer.macros.adapter, "default"))
                variant = next((one for one in variants if one in found), name)
                signature, body = found[variant]  # noqa: PLW2901 - the variant stands for it
            text = f"{{% macro {name}({signature}) -%}}\n{_named(body, _NUMBER.findall(signature)).strip()}\n{{%- endmacro %}}\n"
            if "__" not in name and self._is_valid(text):
                self._texts[name] = text

    def _is_valid(self, text: str) -> bool:
        problems, names = check_template(text, (), file="")
        return not problems and names is not None

    def callable(self, tree: nodes.Template, rendered: str) -> str | None:
        """Return the macro that ``{{ … }}`` calls, if ours renders to the same SQL; None otherwise."""
        outputs = [node for node in tree.body if isinstance(node, nodes.Output)]
        call = outputs[0].nodes[0] if len(outputs) == 1 and len(outputs[0].nodes) == 1 else None
        if not isinstance(call, nodes.Call) or not isinstance(call.node, nodes.Name):
            return None
        name = call.node.name
        if name not in self._texts or any(True for _ in call.find_all(nodes.Name) if _.name != name):
            return None
        return name if self._renders(name, call, rendered) else None

    def _renders(self, name: str, call: nodes.Call, rendered: str) -> bool:
        source = _source_of(name, call)
        if source is None:
            return False
        path = self._files[name]
        sql = f"{{% from '{path}' import {name} %}}{{{{ {source} }}}}"
        shared = {path: self._texts[name]}
        try:
            ours = render(sql, {}, dialect=self._dialect, file="", shared=shared).sql
        except DliError:
            return False
        return _BLANKS.sub(" ", ours).strip() == _BLANKS.sub(" ", rendered).strip()

    def written_out(self, name: str) -> Problem:
        """Return the note that the SQL of a macro stands where it was called."""
        file, line = self._places[name]
        message = f"the macro '{name}' was not turned: its SQL stands where it was called."
        return Problem(message, file, line, 1, severity="warning")

    def imports(self, called: Iterable[str]) -> str:
        """Return the lines that import macros."""
        files: dict[str, list[str]] = {}
        for name in sorted(called):
            files.setdefault(self._files[name], []).append(name)
        return "".join(f"{{% from '{path}' import {', '.join(names)} %}}\n" for path, names in files.items())

    def files(self, called: Iterable[str]) -> dict[str, str]:
        """Return the macro files with the macros that are called: text by path."""
        files: dict[str, list[str]] = {}
        for name in sorted(set(called)):
            files.setdefault(self._files[name], []).append(self._texts[name])
        return {path: "\n".join(texts) for path, texts in files.items()}


def _source_of(name: str, call: nodes.Call) -> str | None:
    """Return a call with constants, written again; None if it has others."""
    try:
        given = [repr(node.as_const()) for node in call.args]
        given += [f"{node.key}={node.value.as_const()!r}" for node in call.kwargs]
    except nodes.Impossible:
        return None
    return f"{name}({', '.join(given)})"


def _named(body: str, numbers: Sequence[str]) -> str:
    """Return a macro's body with arguments outside quotes as names, unless they are numbers."""
    parts: list[str] = []
    end = 0
    for match in _ARGUMENT.finditer(body):
        parts.append(body[end : match.start()])
        in_quotes = "".join(parts).count("'") % 2
        is_data = in_quotes or match[2] in numbers
        name = match[0] if is_data else f"{{{{{match[1]} {match[2]} | identifier {match[3]}}}}}"
        parts.append(name)
        end = match.end()
    return "".join((*parts, body[end:]))
