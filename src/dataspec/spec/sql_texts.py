"""The SQL texts of a spec: in the order in which they run, and where they stand in the user's files."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from dataspec.spec.checks import SQL_KEYS, check_names
from dataspec.spec.model import SqlDependency
from dataspec.spec.yaml_reader import read_document

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dataspec.problems import Problem
    from dataspec.spec.model import DatasetSpec
    from dataspec.spec.yaml_reader import Document, Path

MAX_SQL = 1024 * 1024
"""Maximum number of characters of one rendered SQL text."""

Kind = Literal["pre", "query", "post", "check", "condition", "materialization", "seed"]
"""The kind of a SQL text. No spec contains that of a ``materialization``, around a query whose rows are stored, and of
a ``seed``, which it loads into a table."""

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
    shared: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    """The files of the project that it may use, by their paths in it: macros and seeds."""

    @property
    def is_condition(self) -> bool:
        """Whether it is a condition of a check: a part of a statement."""
        return self.kind == "check" and self.path[-1] != "sql"


def sql_texts(spec: DatasetSpec, files: Mapping[str, str]) -> Iterator[SqlText]:
    """Yield the SQL texts of a spec in the order in which they run; skip missing files.

    Args:
        spec: The spec.
        files: The text of each SQL file, by its path in the spec, and of the project's macro files and seeds, by theirs.
    """
    shared = shared_files(spec, files)
    for index, statement in enumerate(spec.pre_statements):
        yield from _text(statement, files, "pre", ("pre_statements", index), shared)
    if spec.query_statement is not None:
        yield SqlText("query", spec.query_statement, "query", False, None, ("query_statement",), shared)
    elif (file := spec.query_file) is not None and file in files:
        yield SqlText("query", files[file], "query", False, file, ("query_file",), shared)
    for index, statement in enumerate(spec.post_statements):
        yield from _text(statement, files, "post", ("post_statements", index), shared)


def condition_texts(spec: DatasetSpec, files: Mapping[str, str]) -> Iterator[SqlText]:
    """Yield the SQL entries of a spec's ``depends_on``, which run while a run waits."""
    shared = shared_files(spec, files)
    for index, entry in enumerate(spec.depends_on):
        if isinstance(entry, SqlDependency):
            path = ("depends_on", index, "sql")
            yield SqlText(f"depends_on[{index}]", entry.sql, "condition", False, None, path, shared)


def check_texts(spec: DatasetSpec, files: Mapping[str, str]) -> Iterator[SqlText]:
    """Yield the SQL in a spec's ``checks``: queries, and the conditions of ``where`` and ``expression``."""
    shared = shared_files(spec, files)
    for index, (name, check) in enumerate(zip(check_names(spec.checks), spec.checks, strict=True)):
        for key in SQL_KEYS:
            if (sql := getattr(check, key)) is not None:
                yield SqlText(name, sql, "check", False, None, ("checks", index, key), shared)


def shared_files(spec: DatasetSpec, files: Mapping[str, str]) -> dict[str, str]:
    """Return the files of the project among those of a spec."""
    named = spec.files
    return {path: text for path, text in files.items() if path not in named}


def _text(
    statement: Any, files: Mapping[str, str], kind: Kind, path: Path, shared: Mapping[str, str]
) -> Iterator[SqlText]:
    name, on_error = statement.name, statement.continue_on_error
    if statement.sql is not None:
        yield SqlText(name, statement.sql, kind, on_error, None, (*path, "sql"), shared)
    elif statement.file in files:
        file = statement.file
        yield SqlText(name, files[file], kind, on_error, file, (*path, "file"), shared)


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
        """Return a problem of a text with its place in the user's file; one in a macro file has its place."""
        if problem.file in text.shared:
            return problem
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
