"""Parse a YAML file into a Dataset Spec, or report every problem with its line and column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from dataspec.errors import InvalidSpec
from dataspec.parameters import EXECUTION_DATE
from dataspec.problems import Problem, first_of, nearest
from dataspec.schedule.upstream_clock import Followed
from dataspec.spec.checks import check_problems
from dataspec.spec.dialects import known_dialects, unknown_dialect
from dataspec.spec.materialization import materialization_problems
from dataspec.spec.model import MAX_CONDITIONS, MAX_SQL_FILES, DatasetSpec, Dependency
from dataspec.spec.unit_tests import unit_test_problems
from dataspec.spec.yaml_reader import Document, Path, read_document

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic_core import ErrorDetails

M = TypeVar("M", bound=BaseModel)

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
    """Parse and validate one Dataset Spec, without its SQL.

    Args:
        body: The YAML file's bytes.
        file: The file's name, for problems.

    Raises:
        InvalidSpec: With all problems, each at its line and column.
    """
    return parse_document(read_document(body, file))


def parse_document(document: Document) -> DatasetSpec:
    """Validate a document, like :func:`parse_spec`."""
    spec = read_model(document, DatasetSpec, "a Dataset Spec")
    if problems := first_of(_cross_key_problems(spec, document)):
        raise InvalidSpec(problems)
    return spec


def read_model(document: Document, model: type[M], what: str) -> M:
    """Validate a document by a model; also for files that are no specs.

    Args:
        document: The document.
        model: The model, which allows no other keys.
        what: What the file holds, for problems.

    Raises:
        InvalidSpec: With all problems, each at its line and column.
    """
    if not isinstance(document.data, dict):
        raise InvalidSpec([document.problem((), f"{what} is a mapping of keys to values.")])
    try:
        return model.model_validate(document.data)
    except ValidationError as error:
        problems = first_of(_placed(details, document, model) for details in error.errors(include_url=False))
        raise InvalidSpec(sorted(problems, key=lambda p: (p.line or 0, p.column or 0))) from None


def _placed(details: ErrorDetails, document: Document, model: type[BaseModel]) -> Problem:
    path = _path_in(document.data, details["loc"])
    if details["type"] == "extra_forbidden":
        key = str(details["loc"][-1])
        known = _known_keys(path[:-1], document.data, model)
        hint = nearest(key, known) or f"Known keys here: {', '.join(known)}."
        return document.problem(path, f"unknown key '{key}'.", hint=hint, at_key=True)
    if details["type"] == "missing":
        where = f" in '{_dotted(path)}'" if path else ""
        return document.problem(path, f"the key '{details['loc'][-1]}' is missing{where}.", at_key=True)
    return document.problem(path, f"'{_dotted(path)}': {_message(details)}", hint=_hint(details))


def _path_in(data: Any, loc: tuple[int | str, ...]) -> Path:
    """Return the part of an error's location that exists in the data; pydantic adds names of union members."""
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
        key, context = _discriminator(details), details["ctx"]
        return f"the {key} '{context['tag']}' is not one of {context['expected_tags']}."
    if kind == "union_tag_not_found":
        return f"the key '{_discriminator(details)}' is missing."
    if kind == "string_pattern_mismatch":
        return _pattern_message(str(given), details["ctx"]["pattern"])
    text = details["msg"]
    return f"{text[0].lower()}{text[1:]}, got {given!r}."


def _discriminator(details: ErrorDetails) -> str:
    """Return the key whose value chooses among the models of a union."""
    return str(details["ctx"]["discriminator"]).strip("'")


_PARTITION_TYPES = frozenset({"string", "date", "datetime"})
"""The types that ``execution_date`` may have."""
_DISCRIMINATORS = frozenset({"type", "strategy"})
"""The keys whose values choose among the models of a union."""
_MARKED = "only ASCII letters, digits, '_', '.' and '-'"


def _pattern_message(given: str, pattern: str) -> str:
    if "@[^@" in pattern:
        return f"'{given}' is not an e-mail address."
    if pattern.startswith("^@"):
        rule = f"after '@' {_MARKED} are allowed" if given.startswith("@") else 'write "@name", in quotes'
        return f"'{given}' is not a team; {rule}."
    if pattern.startswith("^https"):
        return (
            f"'{given}' is not an http or https URL{'' if given.isascii() else ' of ASCII characters alone'}."
        )
    if pattern.startswith("^[#@]"):
        return f"'{given}' is not a channel; it has 1 to 80 characters, and no space, '@', '#', '<', '>' or '|' within."
    if "]+@" in pattern:
        return f"'{given}' is not an e-mail address{'' if given.isascii() else ' of ASCII characters alone'}."
    if "." in pattern:
        return f"'{given}' is not a name; {_MARKED} are allowed."
    letters = "letters" if given.isascii() else "ASCII letters"
    return f"'{given}' is not a name; use {letters}, digits and '_', and begin with a letter."


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


def _known_keys(path: Path, data: Any, model: type[BaseModel]) -> list[str]:
    """Return the keys that the model allows at a path, in its order."""
    models: list[type[BaseModel]] = [model]
    for step in path:
        data = data[step]
        if isinstance(step, str):
            fields = [info for model in models for key, info in _fields(model) if key == step]
            models = [model for info in fields for model in _models_in(info.annotation)]
    if isinstance(data, dict) and len(models) > 1:
        models = [fitting for fitting in models if _fits(fitting, data)] or models
    return list(dict.fromkeys(key for model in models for key, _ in _fields(model)))


def _fits(model: type[BaseModel], data: dict[str, Any]) -> bool:
    """Return whether a mapping has the keys that a model of a union requires, or its type and strategy."""
    chosen = [(key, info) for key, info in _fields(model) if key in _DISCRIMINATORS]
    if chosen:
        return all(data.get(key) in get_args(info.annotation) for key, info in chosen)
    return all(key in data for key, info in _fields(model) if info.is_required())


def _fields(model: type[BaseModel]) -> Iterator[tuple[str, Any]]:
    for name, info in model.model_fields.items():
        yield info.alias or name, info


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)


def _cross_key_problems(spec: DatasetSpec, document: Document) -> Iterator[Problem]:
    """Yield the problems that involve more than one key."""
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
        if parameter.name == EXECUTION_DATE and parameter.type not in _PARTITION_TYPES:
            message = (
                "'execution_date' names a partition; its type is 'date', 'datetime' or 'string', "
                f"not '{parameter.type}'."
            )
            yield document.problem(("parameters", index, "type"), message)
        elif spec.schedule and parameter.must_be_given and parameter.name != EXECUTION_DATE:
            message = f"a scheduled run can't give '{parameter.name}': it is required and has no default."
            yield document.problem(at, message, hint="Give it a default, or remove the schedule.")
    yield from _dependency_problems(spec, document)
    yield from _clock_problems(spec, document)
    yield from _place_problems(spec, document)
    yield from _deadline_problems(spec, document)
    yield from materialization_problems(spec, document)
    yield from check_problems(spec, document)
    yield from unit_test_problems(spec, spec.tests, document)
    dialect = spec.execution.dialect
    if dialect is not None and dialect not in known_dialects():
        error = unknown_dialect(dialect)
        yield document.problem(("execution", "dialect"), error.title, hint=error.detail)


def _dependency_problems(spec: DatasetSpec, document: Document) -> Iterator[Problem]:
    for index, entry in enumerate(spec.depends_on):
        at: Path = ("depends_on", index)
        name, at = (entry.dataset, (*at, "dataset")) if isinstance(entry, Dependency) else (entry, at)
        if name == spec.name:
            yield document.problem(at, "a dataset can't depend on itself.")
    if len(spec.conditions) > MAX_CONDITIONS:
        message = f"'depends_on' has {len(spec.conditions)} entries with 'sql'; {MAX_CONDITIONS} at most."
        yield document.problem(("depends_on",), message)


def _clock_problems(spec: DatasetSpec, document: Document) -> Iterator[Problem]:
    """Yield the problems of a schedule ``@upstream`` that this spec alone shows."""
    clock = spec.declared_clock
    if not isinstance(clock, Followed):
        return
    at: Path = ("schedule", "cron")
    if not spec.dependencies:
        message = "'@upstream' is the clock of the upstream datasets, and 'depends_on' names none."
        yield document.problem(at, message, hint="Add one, or write a cron expression.")
    elif not clock.upstream:
        message = "'@upstream' needs a dataset in 'depends_on' of which not any partition will do."
        yield document.problem(at, message, hint="An entry with 'partition: latest' sets no clock.")
    if "timezone" in document.data["schedule"]:
        message = "the time zone comes with the clock of the upstream datasets."
        yield document.problem(("schedule", "timezone"), message, hint="Remove 'timezone'.", at_key=True)


def _place_problems(spec: DatasetSpec, document: Document) -> Iterator[Problem]:
    """Yield the keys that the top level and ``schedule`` both have."""
    schedule = document.data.get("schedule") if spec.schedule else None
    for key in ("retry", "notifications"):
        if schedule and key in schedule and key in document.data:
            message = f"'{key}' is at the top level as well; give it once."
            hint = f"Move all of it to '{key}' at the top level."
            yield document.problem(("schedule", key), message, hint=hint, at_key=True)


def _deadline_problems(spec: DatasetSpec, document: Document) -> Iterator[Problem]:
    """Yield the keys of ``deadline`` that mean nothing without a schedule."""
    if spec.deadline is None or spec.schedule is not None:
        return
    for key in ("by", "within_seconds"):
        if getattr(spec.deadline, key) is not None:
            message = (
                f"'{key}' counts from the time at which a scheduled run is due; this spec has no schedule."
            )
            hint = f"Add a schedule, or remove '{key}'."
            yield document.problem(("deadline", key), message, hint=hint, at_key=True)
