"""What the SQL of a spec hangs on, read from one that can't be used: so that its SQL is checked all the same."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from dataspec.errors import InvalidUsage
from dataspec.parameters.types import PARAMETER_TYPES
from dataspec.spec.model import DatasetSpec, Execution, Parameter, Statement

if TYPE_CHECKING:
    from dataspec.spec.yaml_reader import Document

_STATEMENTS = ("pre_statements", "post_statements")
_OF_NO_ACCOUNT = {"name": "left_out", "sql": "select 1"}
"""Stands for a statement that can't be read, so that those after it keep their numbers."""


def sql_part(document: Document) -> DatasetSpec | None:
    """Return a spec with the SQL, the parameters and the connection of a document, whatever else is wrong in it.

    Returns:
        The spec, for checks of its SQL alone; None where it can't be told which parameters or which
        dialect the SQL has, since what is said of it might not be so.
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
            part[key] = [item if _is(Statement, item) else _OF_NO_ACCOUNT for item in found]
    return DatasetSpec.model_validate(part)


def _parameters(found: Any) -> list[Any] | None:
    """Return parameters by their names, each with what is right of it; None if a name can't be told."""
    if not isinstance(found, list):
        return None
    parameters = []
    for item in found:
        if not _is(Parameter, item):
            item = _mended(item) if isinstance(item, dict) else {}  # noqa: PLW2901
            if not _is(Parameter, item):
                return None
        parameters.append(item)
    return parameters


def _mended(parameter: dict[Any, Any]) -> dict[str, Any]:
    """Return a parameter by its name alone, with the type that may be meant."""
    meant = get_close_matches(str(parameter.get("type")), PARAMETER_TYPES, n=1)
    return {"name": parameter.get("name"), "type": meant[0] if meant else "string"}


def _is_known(dialect: str | None) -> bool:
    from dataspec.sql.transpile import check_dialect

    try:
        return dialect is None or check_dialect(dialect) == dialect
    except InvalidUsage:
        return False


def _is(model: type[BaseModel], data: Any) -> bool:
    try:
        model.model_validate(data)
    except ValidationError:
        return False
    return True
