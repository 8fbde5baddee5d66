"""From a file's bytes to a Dataset Spec, or to every problem in it with its place.

The same checks run on a person's machine, on the server, and where DAGs are built.
"""

from __future__ import annotations

from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel, ValidationError

from dataspec.errors import InvalidSpec
from dataspec.parameters.resolve import EXECUTION_DATE
from dataspec.problems import Problem, first_of, in_reading_order, nearest
from dataspec.spec.model import MAX_SQL_FILES, RESERVED_PARAMETERS, DatasetSpec
from dataspec.spec.partial import sql_part
from dataspec.spec.yaml_reader import MAX_YAML_BYTES, Document, Path, read_document

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic_core import ErrorDetails

    from dataspec.sql.sql_sources import SqlText

__all__ = ["MAX_SQL_BYTES", "MAX_YAML_BYTES", "check_spec", "parse_spec"]

MAX_SQL_BYTES = 1024 * 1024
_EXPECTED = {
    "string_type": "expected text",
    "int_type": "expected a whole number",
    "bool_type": "expected true or false",
    "list_type": "expected a list",
    "dict_type": "expected keys and values",
    "model_type": "expected keys and values",
    "model_attributes_type": "expected keys and values",
}


def parse_spec(body: bytes, *, file: str) -> DatasetSpec:
    """Read and check one Dataset Spec.

    Args:
        body: The YAML file's bytes.
        file: The file's name, for problems.

    Raises:
        InvalidSpec: With every problem found, each at its line and column.
    """
    return parse_document(read_document(body, file))


def parse_document(document: Document) -> DatasetSpec:
    """Check a document that was read, as :func:`parse_spec` does."""
    if not isinstance(document.data, dict):
        raise InvalidSpec([document.problem((), "a Dataset Spec is a mapping of keys to values.")])
    try:
        spec = DatasetSpec.model_validate(document.data)
    except ValidationError as error:
        problems = first_of(_placed(details, document) for details in error.errors(include_url=False))
        raise InvalidSpec(sorted(problems, key=lambda p: (p.line or 0, p.column or 0))) from None
    if problems := first_of(_spanning_problems(spec, document)):
        raise InvalidSpec(problems)
    return spec


def _placed(details: ErrorDetails, document: Document) -> Problem:
    path = _path_in(document.data, details["loc"])
    if details["type"] == "extra_forbidden":
        key = str(details["loc"][-1])
        known = _known_keys(path[:-1], document.data)
        hint = nearest(key, known) or f"Known keys here: {', '.join(known)}."
        return document.problem(path, f"unknown key '{key}'.", hint=hint, at_key=True)
    if details["type"] == "missing":
        where = f" in '{_dotted(path)}'" if path else ""
        return document.problem(path, f"the key '{details['loc'][-1]}' is missing{where}.", at_key=True)
    return document.problem(path, f"'{_dotted(path)}': {_message(details)}", hint=_hint(details))


def _path_in(data: Any, loc: tuple[int | str, ...]) -> Path:
    """Return the part of an error's location that exists in the data; unions add names that don't."""
    path: list[int | str] = []
    for step in loc:
        if isinstance(data, dict) and step in data:
            data = data[str(step)]
        elif isinstance(data, list) and isinstance(step, int) and step < len(data):
            data = data[step]
        else:
            continue
        path.append(step)
    return tuple(path)


def _dotted(path: Path) -> str:
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    return text.lstrip(".") or "the document"


def _message(details: ErrorDetails) -> str:
    kind, given = details["type"], details["input"]
    if expected := _EXPECTED.get(kind):
        return f"{expected}, got {given!r}."
    if kind in {"value_error", "assertion_error"}:
        return str(details["ctx"]["error"])
    if kind in {"literal_error", "enum"}:
        return f"{given!r} is not one of {details['ctx']['expected'].replace(' or ', ', ')}."
    if kind == "union_tag_invalid":
        return f"the type '{details['ctx']['tag']}' is not one of {details['ctx']['expected_tags']}."
    if kind == "union_tag_not_found":
        return "the key 'type' is missing."
    if kind == "string_pattern_mismatch":
        return _pattern_message(str(given), details["ctx"]["pattern"])
    text = details["msg"]
    return f"{text[0].lower()}{text[1:]}, got {given!r}."


def _pattern_message(given: str, pattern: str) -> str:
    if "@[^@" in pattern:
        return f"'{given}' is not an e-mail address."
    if pattern.startswith("^@"):
        return f"'{given}' is not a team; write \"@name\", in quotes."
    if pattern.startswith("^https"):
        return f"'{given}' is not an http or https URL."
    return f"'{given}' is not a name; use letters, digits and '_', and begin with a letter."


def _hint(details: ErrorDetails) -> str | None:
    given = details["input"]
    if details["type"] == "bool_type" and str(given).lower() in {"yes", "on", "no", "off", "y", "n"}:
        return f"Write {'true' if str(given).lower() in {'yes', 'on', 'y'} else 'false'}."
    if details["type"] == "string_type" and isinstance(given, int | float):
        return f'Put it in quotes: "{given}".'
    if details["type"] in {"literal_error", "enum"} and isinstance(given, str):
        known = [word.strip("' ") for word in details["ctx"]["expected"].replace(" or ", ",").split(",")]
        return nearest(given, known)
    if details["type"] == "union_tag_invalid":
        known = [word.strip("' ") for word in details["ctx"]["expected_tags"].split(",")]
        return nearest(str(details["ctx"]["tag"]), known)
    return None


def _known_keys(path: Path, data: Any) -> list[str]:
    """Return the keys that the model has at a path, in its order."""
    models: list[type[BaseModel]] = [DatasetSpec]
    for step in path:
        data = data[step]
        if isinstance(step, str):
            fields = [info for model in models for key, info in _fields(model) if key == step]
            models = [model for info in fields for model in _models_in(info.annotation)]
    if isinstance(data, dict) and len(models) > 1:
        fitting = [m for m in models if data.get("type") in get_args(m.model_fields["type"].annotation)]
        models = fitting or models
    return list(dict.fromkeys(key for model in models for key, _ in _fields(model)))


def _fields(model: type[BaseModel]) -> Iterator[tuple[str, Any]]:
    for name, info in model.model_fields.items():
        yield info.alias or name, info


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)


def _spanning_problems(spec: DatasetSpec, document: Document) -> Iterator[Problem]:
    """Yield the problems that more than one key makes."""
    if (spec.query_file is None) == (spec.query_statement is None):
        path: Path = ("query_statement",) if spec.query_file else ()
        yield document.problem(path, "give exactly one of 'query_file' and 'query_statement'.", at_key=True)
    if len(spec.files) > MAX_SQL_FILES:
        message = f"the spec names {len(spec.files):,} SQL files; at most {MAX_SQL_FILES} are allowed."
        yield document.problem((), message)
    seen: dict[str, int] = {}
    for index, parameter in enumerate(spec.parameters):
        at: Path = ("parameters", index, "name")
        if parameter.name in seen:
            yield document.problem(at, f"the parameter '{parameter.name}' is defined twice.")
        seen[parameter.name] = index
        if parameter.name == EXECUTION_DATE and parameter.type not in {"string", "date"}:
            message = f"'execution_date' is a date; its type is 'date' or 'string', not '{parameter.type}'."
            yield document.problem(("parameters", index, "type"), message)
        elif spec.schedule and parameter.must_be_given and parameter.name != EXECUTION_DATE:
            message = f"a scheduled run can't give '{parameter.name}': it is required and has no default."
            yield document.problem(at, message, hint="Give it a default, or remove the schedule.")
    for index, upstream in enumerate(spec.depends_on):
        if upstream == spec.name:
            yield document.problem(("depends_on", index), "a dataset can't depend on itself.")
    yield from _dialect_problems(spec, document)


def _dialect_problems(spec: DatasetSpec, document: Document) -> Iterator[Problem]:
    if spec.execution.dialect is None:
        return
    known = _dialects()
    if spec.execution.dialect not in known:
        message = f"'{spec.execution.dialect}' is not a SQL dialect that is known here."
        hint = nearest(spec.execution.dialect, known) or f"Known: {', '.join(known)}."
        yield document.problem(("execution", "dialect"), message, hint=hint)


@cache
def _dialects() -> tuple[str, ...]:
    from sqlglot.dialects.dialect import Dialects

    return tuple(dialect.value for dialect in Dialects if dialect.value)


def check_spec(body: bytes, files: Mapping[str, str], *, file: str) -> DatasetSpec:
    """Read and check a Dataset Spec with its SQL: every file is there and a sound template.

    Args:
        body: The YAML file's bytes.
        files: The text of each SQL file, by the path that the spec names it with.
        file: The YAML file's name, for problems.

    Raises:
        InvalidSpec: With every problem found, each at its line and column.
    """
    return check_document(read_document(body, file), files)


def check_document(document: Document, files: Mapping[str, str]) -> DatasetSpec:
    """Check a document that was read, with its SQL, as :func:`check_spec` does."""
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
    """Return what is wrong with the SQL of a spec that is sound itself: a file is missing, or no sound template."""
    return first_of(chain(_missing_files(spec, files, document), template_problems(spec, files, document)))


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


def file_places(spec: DatasetSpec) -> Iterator[tuple[Path, str]]:
    """Yield each place of a spec that names a SQL file, and the path that it gives."""
    if spec.query_file is not None:
        yield ("query_file",), spec.query_file
    for key in ("pre_statements", "post_statements"):
        for index, statement in enumerate(getattr(spec, key)):
            if statement.file is not None:
                yield (key, index, "file"), statement.file


def template_problems(spec: DatasetSpec, files: Mapping[str, str], document: Document) -> Iterator[Problem]:
    """Yield what is wrong as templates with the SQL texts of a spec that are there."""
    for text, problems, _ in checked_templates(spec, files):
        for problem in problems:
            yield _in_text(problem, text, document)


def checked_templates(
    spec: DatasetSpec, files: Mapping[str, str]
) -> Iterator[tuple[SqlText, list[Problem], frozenset[str] | None]]:
    """Yield each SQL text of a spec, what is wrong with it as a template, and the names that it uses.

    The names are None for a template that can't be read.
    """
    from dataspec.sql.sql_sources import sql_texts
    from dataspec.sql.template.render import check_template

    known = [*(parameter.name for parameter in spec.parameters), *sorted(RESERVED_PARAMETERS)]
    for text in sql_texts(spec, files):
        problems, names = check_template(text.sql, known, file="")
        yield text, problems, names


def _in_text(problem: Problem, text: SqlText, document: Document) -> Problem:
    if text.file is None:
        from dataspec.sql.source_map import in_yaml

        return problem.at(document.file, *in_yaml(document, text.path, problem.line, problem.column))
    folder = document.file.rpartition("/")[0]
    return problem.at(f"{folder}/{text.file}" if folder else text.file, problem.line, problem.column)
