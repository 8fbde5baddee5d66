"""Translate the template of a dbt model into one of a Dataset Spec."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from jinja2 import TemplateError, nodes

from dataspec.errors import DliError
from dataspec.sql.template.render import render
from dataspec.sql.values.marked_text import TableName
from dli.dbt.sql.values import END, START, THIS, NotKnown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dli.dbt.sql.renderer import Renderer
    from dli.dbt.sql.shared_macros import SharedMacros

_TIMES = ("partition_start", "partition_end")
_SAMPLES = {START: "2024-01-15", END: "2024-01-16"}
_OF_JINJA = frozenset(
    {"loop", "range", "true", "false", "none", "True", "False", "None", "namespace", "dict"}
)
_KEPT_BLOCKS = frozenset({"for", "endfor", "if", "elif", "else", "endif", "set", "endset"})
_MARKS = re.compile(r"\{[{%#]")
_ASKS = re.compile(r"\bis_incremental\s*\(\s*\)")
_BLANKS = re.compile(r"\s+")
_BLANK_LINES = re.compile(r"\n(?:[ \t]*\n){2,}")


@dataclass(frozen=True, kw_only=True)
class Translated:
    """A template of a Dataset Spec."""

    sql: str
    tables: tuple[str, ...] = ()
    """The tables that it names."""
    macros: tuple[str, ...] = ()
    """The macros of the project that it calls."""
    note: str | None = None
    """What is lost; None where nothing is."""


class _NotKept(Exception):
    """A template has a part that can't stay as it is."""


@dataclass
class Translator:
    """Translates the templates of a project.

    A template keeps its conditions, loops and macros where ours know them too. Otherwise it is rendered.
    """

    renderer: Renderer
    shared: SharedMacros
    dialect: str | None

    def ways(self, text: str, package: str, *, incremental: bool) -> Iterator[Translated]:
        """Yield the translations of a template, the nearest one first.

        Args:
            text: The template.
            package: The package whose macros it sees.
            incremental: Whether its table may be there already when it is rendered.

        Raises:
            NotKnown: Where there is none, with the reason.
        """
        rendered = self.rendered(text, package, incremental=incremental)
        with suppress(_NotKept, DliError):
            kept = self.kept(text, package, incremental=incremental)
            if self._renders_alike(kept, text, package, incremental=incremental):
                yield kept
        yield rendered

    def _renders_alike(self, kept: Translated, text: str, package: str, *, incremental: bool) -> bool:
        """Return whether a translation renders to the same SQL as dbt's template, but for blanks."""
        table, shared = self.renderer.table, self.shared.files(kept.macros)
        for exists in (False, True) if incremental else (False,):
            theirs = self.renderer.render(text, package=package, incremental=exists)
            for mark, value in _SAMPLES.items():
                theirs = theirs.replace(mark, value)
            theirs = theirs.replace(THIS, table)
            values = {
                "this": TableName(table),
                "table_exists": exists,
                **dict(zip(_TIMES, _SAMPLES.values(), strict=True)),
            }
            ours = render(kept.sql, values, dialect=self.dialect, file="", shared=shared).sql
            if _BLANKS.sub(" ", ours).strip() != _BLANKS.sub(" ", theirs).strip().rstrip(";").rstrip():
                return False
        return True

    def rendered(self, text: str, package: str, *, incremental: bool) -> Translated:
        """Return a template rendered; with a condition where ``is_incremental()`` makes a difference."""
        self.renderer.tables, self.renderer.asked_incremental = {}, False
        first = self.renderer.render(text, package=package)
        if incremental and self.renderer.asked_incremental:
            again = self.renderer.render(text, package=package, incremental=True)
            sql = _joined(as_template(first), as_template(again))
        else:
            sql = as_template(first)
        return Translated(sql=_tidy(sql), tables=tuple(self.renderer.tables))

    def kept(self, text: str, package: str, *, incremental: bool) -> Translated:
        """Return a template with its blocks as they are."""
        self.renderer.tables = {}
        called: dict[str, None] = {}
        local: set[str] = set()
        written: list[str] = []
        segments = list(self._segments(text))
        for number, (kind, source) in enumerate(segments):
            if kind == "variable":
                written.append(self._output(source, package, local, called))
                if not written[-1]:  # the line of config() goes as well
                    segments[number + 1 :] = _without_line_break(segments[number + 1 :])
            elif kind == "block":
                following = segments[number + 1][1] if number + 1 < len(segments) else ""
                before = "".join(written).rpartition("\n")[2]
                block = self._block(source, local, incremental=incremental)
                ends_line = before.strip() and following.startswith("\n") and block.endswith("%}")
                keeps = ends_line and not block.endswith(("-%}", "+%}"))
                written.append(f"{block[:-2]}+%}}" if keeps else block)
            elif kind == "data":
                written.append(source)
            elif kind == "raw":
                raise _NotKept
        imports = self.shared.imports(called)
        sql = _tidy("".join(written))
        return Translated(sql=imports + sql, tables=tuple(self.renderer.tables), macros=tuple(called))

    def _segments(self, text: str) -> Iterator[tuple[str, str]]:
        """Yield the parts of a template: data, ``{{ … }}``, ``{% … %}`` and comments."""
        kind, parts = "data", []
        try:
            tokens = list(self.renderer.macros.environment.lex(text))
        except TemplateError as error:
            raise NotKnown(f"Jinja says: {error}") from None
        for _, sign, value in tokens:
            if sign == "data":
                yield "data", value
            elif sign in {"variable_begin", "block_begin", "comment_begin", "raw_begin"}:
                kind, parts = sign.removesuffix("_begin"), [value]
            else:
                parts.append(value)
                if sign == f"{kind}_end":
                    yield kind, "".join(parts)

    def _output(self, source: str, package: str, local: set[str], called: dict[str, None]) -> str:
        """Return what stands for ``{{ … }}``: the text that it renders to, or itself."""
        tree = self.renderer.macros.environment.parse(source.strip())
        used = _names_in(tree)
        if used & (local | {"loop"}):
            if used - local - _OF_JINJA:
                raise _NotKept
            return source
        rendered = self.renderer.render(source, package=package)
        if "is_incremental" in used or self._changes(source, package, rendered):
            raise _NotKept
        if (name := self.shared.callable(tree, rendered)) is not None:
            called[name] = None
            return source
        return as_template(rendered)

    def _changes(self, source: str, package: str, rendered: str) -> bool:
        """Return whether a macro in it asks ``is_incremental()``."""
        return self.renderer.render(source, package=package, incremental=True) != rendered

    def _block(self, source: str, local: set[str], *, incremental: bool) -> str:
        tokens = [
            (sign, value)
            for _, sign, value in self.renderer.macros.environment.lex(source)
            if sign not in {"whitespace", "block_begin", "block_end"}
        ]
        keyword = tokens[0][1] if tokens else ""
        if keyword not in _KEPT_BLOCKS:
            raise _NotKept
        text = source
        if _ASKS.search(source):
            if not incremental:
                raise _NotKept
            text = _ASKS.sub("table_exists", source)
        names = set(_loaded_names(tokens[1:])) - {"is_incremental"}
        if keyword in {"set", "for"}:
            cut = next((at for at, (_, value) in enumerate(tokens) if value in {"=", "in"}), len(tokens))
            local |= {value for sign, value in tokens[1:cut] if sign == "name"}
            names = set(_loaded_names(tokens[cut:]))
        if names - local - _OF_JINJA:
            raise _NotKept
        return text


_WORDS = frozenset(
    {"and", "or", "not", "in", "is", "if", "else", "recursive", "defined", "none", "true", "false"}
)


def _loaded_names(tokens: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Yield the names in an expression; not those of attributes, filters, tests and keywords."""
    before = ""
    for number, (sign, value) in enumerate(tokens):
        following = tokens[number + 1][1] if number + 1 < len(tokens) else ""
        is_keyword = following == "=" and before in {"(", ","}
        if sign == "name" and before not in {".", "|", "is"} and value not in _WORDS and not is_keyword:
            yield value
        before = value


def _names_in(tree: nodes.Template) -> set[str]:
    return {node.name for node in tree.find_all(nodes.Name) if node.ctx == "load"}


def _without_line_break(segments: list[tuple[str, str]]) -> list[tuple[str, str]]:
    if segments and segments[0][0] == "data":
        return [("data", segments[0][1].removeprefix("\n")), *segments[1:]]
    return segments


def as_template(rendered: str) -> str:
    """Return rendered text as a template: only the table itself stays a variable."""
    if _MARKS.search(rendered):
        raise NotKnown("its SQL holds '{{', '{%' or '{#'")
    names = {THIS: "this", **dict(zip(_SAMPLES, _TIMES, strict=True))}
    for mark, name in names.items():
        rendered = rendered.replace(mark, f"{{{{ {name} }}}}")
    return rendered


def _joined(first: str, again: str) -> str:
    """Return two texts as one template: lines that differ stand in a condition on ``table_exists``."""
    one, other = first.splitlines(), again.splitlines()
    lines: list[str] = []
    for kind, begin, end, from_, to in SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        if kind == "equal":
            lines += one[begin:end]
            continue
        without = [line for line in one[begin:end] if line.strip()]
        with_table = [line for line in other[from_:to] if line.strip()]
        if without or with_table:
            lines += _condition(without, with_table)
    return "\n".join(lines) + "\n"


def _condition(without: list[str], with_table: list[str]) -> list[str]:
    if not with_table:
        return ["{% if not table_exists %}", *without, "{% endif %}"]
    otherwise = ["{% else %}", *without] if without else []
    return ["{% if table_exists %}", *with_table, *otherwise, "{% endif %}"]


def _tidy(sql: str) -> str:
    lines = "\n".join(line.rstrip() for line in sql.splitlines())
    return _BLANK_LINES.sub("\n\n", lines).strip().rstrip(";").rstrip() + "\n"
