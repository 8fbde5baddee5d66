"""The SQL texts of a spec: in the order in which they run, and where they stand in the user's files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from dataspec.spec.model import SqlDependency
from dataspec.spec.yaml_reader import read_document

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dataspec.problems import Problem
    from dataspec.spec.model import DatasetSpec
    from dataspec.spec.yaml_reader import Document, Path

MAX_SQL = 1024 * 1024
"""Maximum number of characters of one rendered SQL text."""

Kind = Literal["pre", "query", "post", "condition"]

_BLOCK = re.compile(r"\|[0-9+-]*\s*(#.*)?$")
"""The start of a YAML literal block, whose lines follow unchanged."""


@dataclass(frozen=True, slots=True)
class SqlText:
    """One SQL text of a spec, unrendered."""

    name: str
    sql: str
    kind: Kind
    continue_on_error: bool
    file: str | None
    """The SQL file; None for SQL in the YAML itself."""
    path: Path
    """The YAML path of the key that holds the SQL or names its file."""


def sql_texts(spec: DatasetSpec, files: Mapping[str, str]) -> Iterator[SqlText]:
    """Yield the SQL texts of a spec in the order in which they run; skip missing files."""
    for index, statement in enumerate(spec.pre_statements):
        yield from _text(statement, files, "pre", ("pre_statements", index))
    if spec.query_statement is not None:
        yield SqlText("query", spec.query_statement, "query", False, None, ("query_statement",))
    elif spec.query_file is not None and spec.query_file in files:
        yield SqlText("query", files[spec.query_file], "query", False, spec.query_file, ("query_file",))
    for index, statement in enumerate(spec.post_statements):
        yield from _text(statement, files, "post", ("post_statements", index))


def condition_texts(spec: DatasetSpec) -> Iterator[SqlText]:
    """Yield the SQL entries of a spec's ``depends_on``, which run while a run waits."""
    for index, entry in enumerate(spec.depends_on):
        if isinstance(entry, SqlDependency):
            path = ("depends_on", index, "sql")
            yield SqlText(f"depends_on[{index}]", entry.sql, "condition", False, None, path)


def _text(statement: Any, files: Mapping[str, str], kind: Kind, path: Path) -> Iterator[SqlText]:
    name, on_error = statement.name, statement.continue_on_error
    if statement.sql is not None:
        yield SqlText(name, statement.sql, kind, on_error, None, (*path, "sql"))
    elif statement.file in files:
        yield SqlText(name, files[statement.file], kind, on_error, statement.file, (*path, "file"))


@lru_cache(maxsize=8)
def lines_of(text: str) -> list[str]:
    """Return the lines of a text; cached, since each problem of a text needs them."""
    return text.splitlines()


@dataclass(frozen=True, slots=True)
class SqlPlaces:
    """Places of a spec's SQL: in files beside its YAML, and in the YAML itself."""

    document: Document

    @classmethod
    def of(cls, yaml: bytes, file: str) -> SqlPlaces:
        """Return the places of a spec, given its YAML and the YAML's file name."""
        return cls(read_document(yaml, file))

    def file_of(self, text: SqlText) -> str:
        """Return the path of the file that holds a text, relative to the working folder."""
        if text.file is None:
            return self.document.file
        folder = self.document.file.rpartition("/")[0]
        return f"{folder}/{text.file}" if folder else text.file

    def placed(self, problem: Problem, text: SqlText) -> Problem:
        """Return a problem of a text with its place in the user's file."""
        line, column = problem.line, problem.column
        if text.file is None:
            line, column = self._in_yaml(text.path, line, column)
        return problem.at(self.file_of(text), line, column)

    def _in_yaml(self, path: Path, line: int | None, column: int | None) -> tuple[int, int | None]:
        """Return the place in the YAML; the start of the SQL where its lines can't be mapped."""
        begin, at = self.document.position(path)
        lines = lines_of(self.document.text)
        if line is None or not _BLOCK.match(lines[begin - 1][at - 1 :]):
            return begin, at
        below = next((text for text in lines[begin:] if text.strip()), "")
        indent = len(below) - len(below.lstrip(" "))
        return begin + line, column + indent if column else None
