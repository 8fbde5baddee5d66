"""Read and validate a Dataset Spec together with its SQL files.

The same checks run in the command line, on the server, and where DAGs are built.
"""

from __future__ import annotations

from difflib import get_close_matches
from itertools import chain
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from dataspec.errors import InvalidSpec
from dataspec.parameters import PARAMETER_TYPES
from dataspec.problems import first_of, in_reading_order, nearest
from dataspec.spec.checks import Check
from dataspec.spec.dialects import known_dialects
from dataspec.spec.materialization import ViewForm
from dataspec.spec.model import (
    MAX_SQL_FILES,
    RUN_TIMES,
    TARGET_NAMES,
    DatasetSpec,
    Execution,
    Parameter,
    SqlDependency,
    Statement,
)
from dataspec.spec.parse import parse_document
from dataspec.spec.sql_texts import SqlPlaces, check_texts, condition_texts, sql_texts
from dataspec.spec.yaml_reader import read_document
from dataspec.sql.template.render import check_template, uses_files
from dataspec.sql.values.seeds import MAX_INLINE_BYTES, is_large, is_seed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from dataspec.problems import Problem
    from dataspec.spec.sql_texts import SqlText
    from dataspec.spec.yaml_reader import Document, Path

MAX_SQL_BYTES = 1024 * 1024
"""Maximum size of a SQL file."""

_STATEMENTS = ("pre_statements", "post_statements")
_LEFT_OUT = {"name": "left_out", "sql": "select 1"}
"""Replaces an invalid statement, so that the statements after it keep their index; its name, any other entry."""
_ANY_ROWS = {"row_count": {"min": 0}}
"""Replaces an invalid check."""


def check_spec(body: bytes, files: Mapping[str, str], *, file: str) -> DatasetSpec:
    """Read and validate a Dataset Spec with its SQL: every file exists and is a valid template.

    Args:
        body: The YAML file's bytes.
        files: The text of each SQL file, by its path in the spec.
        file: The YAML file's name, for problems.

    Raises:
        InvalidSpec: With all problems, each at its line and column.
    """
    return check_document(read_document(body, file), files)


def check_document(document: Document, files: Mapping[str, str]) -> DatasetSpec:
    """Validate a document with its SQL, like :func:`check_spec`."""
    try:
        spec = parse_document(document)
    except InvalidSpec as error:
        part = sql_part(document)
        templates = template_problems(part, files, document) if part else ()
        problems = first_of(chain(error.problems, templates))
        raise InvalidSpec(in_reading_order(problems, document.file)) from None
    if problems := sql_file_problems(spec, files, document):
        raise InvalidSpec(problems)
    return spec


def sql_file_problems(spec: DatasetSpec, files: Mapping[str, str], document: Document) -> list[Problem]:
    """Return the problems of a valid spec's SQL: missing files, invalid templates."""
    wrong = (_missing_files, _shared_file_problems, _seed_problems, template_problems)
    return first_of(chain.from_iterable(found(spec, files, document) for found in wrong))


def _missing_files(spec: DatasetSpec, files: Mapping[str, str], document: Document) -> Iterator[Problem]:
    for path, named in file_places(spec):
        if named not in files:
            message = f"the SQL file '{named}' does not exist beside the YAML."
            yield document.problem(path, message, hint=nearest(named, files))
        elif len(files[named].encode()) > MAX_SQL_BYTES:
            size = len(files[named].encode()) // 1024
            yield document.problem(
                path, f"the SQL file '{named}' has {size:,} KiB; at most 1,024 are allowed."
            )
        elif not files[named].strip():
            yield document.problem(path, f"the SQL file '{named}' is empty.")


def _shared_file_problems(
    spec: DatasetSpec, files: Mapping[str, str], document: Document
) -> Iterator[Problem]:
    """Yield a problem for a path that means two files, and for too many files."""
    used = used_files(spec, files)
    for path, named in file_places(spec):
        if named in used:
            message = (
                f"'{named}' is a SQL file beside the YAML and a file of the project. Rename one of them."
            )
            yield document.problem(path, message)
    if len(used) + len(spec.files) > MAX_SQL_FILES:
        message = f"the spec uses {len(used) + len(spec.files):,} files; at most {MAX_SQL_FILES} are allowed."
        yield document.problem((), message)


def _seed_problems(spec: DatasetSpec, files: Mapping[str, str], document: Document) -> Iterator[Problem]:
    """Yield a problem for each text that reads a large seed, and is sent outside the session that loads it."""
    for text in _all_texts(spec, files):
        if text.kind == "condition":
            where = "'depends_on', which is asked before a run"
        elif text.kind == "query" and isinstance(spec.materialization, ViewForm):
            where = "a view, which is read after the run"
        else:
            continue
        for path in used_files(spec, files, only=text):
            if is_seed(path) and is_large(files.get(path, "")):
                message = f"the seed '{path}' can't be used in {where}: a run loads it for itself alone."
                hint = (
                    f"Build a table of it first: a seed of up to {MAX_INLINE_BYTES // 1024} KiB needs none."
                )
                yield document.problem(text.path, message, hint=hint)


def used_files(
    spec: DatasetSpec,
    files: Mapping[str, str],
    read: Callable[[str], str | None] | None = None,
    *,
    only: SqlText | None = None,
) -> dict[str, str | None]:
    """Return the files of the project that a spec's SQL uses: macros, what these import, and seeds; None for missing ones.

    Args:
        spec: The spec.
        files: The text of each SQL file, by its path in the spec.
        read: Returns the text of a file of the project, None where there is none; without it they are in ``files``.
        only: The only text to look at.
    """
    texts = (only,) if only else _all_texts(spec, files)
    using = [text.sql for text in texts if uses_files(text.sql)]
    if not using:
        return {}
    from dataspec.sql.template.macro_files import used_shared_files  # loads Jinja

    return used_shared_files(using, read or files.get)


def file_places(spec: DatasetSpec) -> Iterator[tuple[Path, str]]:
    """Yield the YAML path of each key that names a SQL file, with the file's path."""
    if spec.query_file is not None:
        yield ("query_file",), spec.query_file
    for key in ("pre_statements", "post_statements"):
        for index, statement in enumerate(getattr(spec, key)):
            if statement.file is not None:
                yield (key, index, "file"), statement.file


def template_problems(spec: DatasetSpec, files: Mapping[str, str], document: Document) -> Iterator[Problem]:
    """Yield the problems of a spec's SQL templates; missing files are skipped."""
    places = SqlPlaces(document)
    for text, problems, _ in checked_templates(spec, files):
        yield from (places.placed(problem, text) for problem in problems)


def checked_templates(
    spec: DatasetSpec, files: Mapping[str, str]
) -> Iterator[tuple[SqlText, list[Problem], frozenset[str] | None]]:
    """Yield each SQL text of a spec, its problems as a template, and the names that it uses.

    After the SQL of a run come the SQL entries of ``depends_on``, and the SQL in ``checks``. The names are None for a
    template with a syntax error.
    """
    for text in _all_texts(spec, files):
        problems, names = check_template(text.sql, _known_names(spec, text), file="", shared=text.shared)
        yield text, problems, names


def _all_texts(spec: DatasetSpec, files: Mapping[str, str]) -> tuple[SqlText, ...]:
    return (*sql_texts(spec, files), *condition_texts(spec, files), *check_texts(spec, files))


def _known_names(spec: DatasetSpec, text: SqlText) -> list[str]:
    """Return the names that a text may use; the query of a view has no values of a run."""
    if text.kind == "query" and isinstance(spec.materialization, ViewForm):
        return []
    own = TARGET_NAMES if spec.materialization and text.kind not in {"condition", "check"} else frozenset()
    if text.kind == "check":
        own = frozenset({"this"})
    return [*(parameter.name for parameter in spec.parameters), *sorted(RUN_TIMES), *sorted(own)]


def sql_part(document: Document) -> DatasetSpec | None:
    """Return a spec with the usable SQL, parameters and connection of an invalid document.

    Returns:
        The spec, for checks of its SQL alone; None where the parameters or the dialect of the SQL
        are unknown, since its problems might then be false.
    """
    data = document.data
    if not isinstance(data, dict):
        return None
    parameters, execution = _parameters(data.get("parameters", [])), data.get("execution", {})
    if parameters is None or not _is(Execution, execution) or not _is_known(execution.get("dialect")):
        return None
    part: dict[str, Any] = {"name": "unnamed", "type": "Dataset", "owner": "nobody@example.com"}
    part |= {"parameters": parameters, "execution": execution}
    for key in ("name", "query_file", "query_statement"):
        if key in data and _is(DatasetSpec, part | {key: data[key]}):
            part[key] = data[key]
    for key in _STATEMENTS:
        if isinstance(found := data.get(key), list):
            part[key] = [item if _is(Statement, item) else _LEFT_OUT for item in found]
    if isinstance(found := data.get("depends_on"), list):
        part["depends_on"] = [item if _is(SqlDependency, item) else _LEFT_OUT["name"] for item in found]
    if isinstance(found := data.get("checks"), list):
        part["checks"] = [item if _is(Check, item) else _ANY_ROWS for item in found]
    return DatasetSpec.model_validate(part)


def _parameters(found: Any) -> list[Any] | None:
    """Return the parameters, invalid ones repaired; None where a name is missing or invalid."""
    if not isinstance(found, list):
        return None
    parameters = []
    for item in found:
        if not _is(Parameter, item):
            item = _repaired(item) if isinstance(item, dict) else {}  # noqa: PLW2901
            if not _is(Parameter, item):
                return None
        parameters.append(item)
    return parameters


def _repaired(parameter: dict[Any, Any]) -> dict[str, Any]:
    """Return a parameter with its name and the nearest valid type alone."""
    meant = get_close_matches(str(parameter.get("type")), PARAMETER_TYPES, n=1)
    return {"name": parameter.get("name"), "type": meant[0] if meant else "string"}


def _is_known(dialect: str | None) -> bool:
    return dialect is None or dialect in known_dialects()


def _is(model: type[BaseModel], data: Any) -> bool:
    try:
        model.model_validate(data)
    except ValidationError:
        return False
    return True


MAX_SQL_BYTES = 1024 * 1024
