"""Write a dataset as a contract of the Open Data Contract Standard 3.1 (https://bitol-io.github.io)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from dataspec.spec.checks import check_names
from dataspec.spec.identity import spec_hash
from dataspec.spec.materialization import MergeForm, ReplacePartitionForm, ViewForm
from dataspec.spec.sql_texts import check_texts
from dataspec.sql.checks.check_sql import CheckedTable, CheckWriter
from dataspec.sql.rendering import CHECKED_ROWS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dataspec.spec.checks import Check, RowCount
    from dataspec.spec.model import Column, DatasetSpec
    from dli.project.project import LocalDataset

VERSION = "v3.1.0"
_THIS = re.compile(r"\{\{-?\s*this\s*-?\}\}")
_LOGICAL = {
    "string": ("char", "string", "text", "uuid", "varchar"),
    "timestamp": ("datetime", "timestamp"),
    "date": ("date",),
    "time": ("time",),
    "boolean": ("bool",),
    "integer": ("bigint", "hugeint", "int", "long", "serial", "short", "smallint", "tinyint"),
    "number": ("dec", "double", "float", "money", "num", "real"),
    "array": ("array", "list"),
    "object": ("json", "map", "object", "record", "row", "struct", "variant"),
}
"""The logical types, each with the beginnings of the engines' types that mean it."""


def contract(dataset: LocalDataset, dialect: str | None) -> dict[str, Any]:
    """Return the contract of a valid dataset, with its columns, its checks and its schedule.

    Args:
        dataset: The dataset.
        dialect: The dialect of its SQL.
    """
    spec = dataset.checked()
    found = {
        "apiVersion": VERSION,
        "kind": "DataContract",
        "id": spec.name,
        "name": spec.name,
        "version": spec_hash(dataset.yaml, dataset.sql),
        "status": "active",
        "domain": spec.domains[0] if spec.domains else None,
        "tags": [*spec.tags],
        "description": {"purpose": spec.description} if spec.description else None,
        "team": {"name": spec.team or spec.owner, "members": [{"username": spec.owner, "role": "owner"}]},
        "schema": [_Table(spec, dataset.sql, dialect).as_object()],
        "slaProperties": _schedule(spec),
    }
    return _given(found)


def _given(found: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in found.items() if value not in (None, [], {})}


def _schedule(spec: DatasetSpec) -> list[dict[str, Any]]:
    if spec.schedule is None:
        return []
    cron = spec.schedule.cron
    return [{"property": "frequency", "value": cron, "scheduler": "cron", "schedule": cron}]


class _Table:
    """The table that a dataset builds."""

    def __init__(self, spec: DatasetSpec, files: Mapping[str, str], dialect: str | None) -> None:
        self._spec = spec
        self._name = spec.target or spec.name
        texts = {text.path: _THIS.sub(CHECKED_ROWS, text.sql) for text in check_texts(spec, files)}
        self._writer = CheckWriter(texts, dialect, unsettled=False)
        self._columns: dict[str, dict[str, Any]] = {}
        """The columns by their names in lower case: those of ``schema``, and others that a check names."""
        self._quality: list[dict[str, Any]] = []

    def as_object(self) -> dict[str, Any]:
        """Return the table with its columns and checks."""
        spec, form = self._spec, self._spec.materialization
        for column in spec.columns:
            self._columns[column.name.lower()] = _column(column)
        if isinstance(form, ReplacePartitionForm):
            self._column(form.partition_column).update(partitioned=True, partitionKeyPosition=1)
        for position, name in enumerate(form.unique_key if isinstance(form, MergeForm) else (), start=1):
            self._column(name).update(primaryKey=True, primaryKeyPosition=position)
        for index, (name, check) in enumerate(zip(check_names(spec.checks), spec.checks, strict=True)):
            self._add(index, name, check)
        return _given(
            {
                "name": self._name.rpartition(".")[2],
                "physicalName": self._name,
                "physicalType": "view" if isinstance(form, ViewForm) else "table",
                "logicalType": "object",
                "description": spec.description,
                "properties": [*self._columns.values()],
                "quality": self._quality,
            }
        )

    def _column(self, name: str) -> dict[str, Any]:
        return self._columns.setdefault(name.lower(), {"name": name})

    def _add(self, index: int, name: str, check: Check) -> None:
        """Add a check: a metric of the standard where it has one, else SQL."""
        severity = "warning" if check.severity == "warn" else "error"
        about = {"name": name, "severity": severity}
        if check.where is None and check.not_null:
            for column in check.not_null:
                self._add_to(column, {**about, "metric": "nullValues", "mustBe": 0})
        elif check.where is None and check.unique and len(check.unique) == 1:
            self._add_to(check.unique[0], {**about, "metric": "duplicateValues", "mustBe": 0})
        elif check.where is None and check.unique:
            arguments = {"properties": [*check.unique]}
            self._quality.append({**about, "metric": "duplicateValues", "arguments": arguments, "mustBe": 0})
        elif check.where is None and (accepted := check.accepted_values):
            arguments = {"validValues": [*accepted.values]}
            entry = {**about, "metric": "invalidValues", "arguments": arguments, "mustBe": 0}
            self._add_to(accepted.column, entry)
        elif check.where is None and check.row_count:
            self._quality.append({**about, "metric": "rowCount", **_bounds(check.row_count)})
        else:
            bounds = _bounds(check.row_count) if check.row_count else {"mustBe": 0}
            self._quality.append({**about, "type": "sql", "query": self._query(index, check), **bounds})

    def _add_to(self, column: str, entry: dict[str, Any]) -> None:
        self._column(column).setdefault("quality", []).append(entry)

    def _query(self, index: int, check: Check) -> str:
        checked = CheckedTable(self._writer.table(self._name), ())
        to = check.relationships.to if check.relationships else None
        other = CheckedTable(self._writer.table(to), ()) if to else None
        return self._writer.count(index, check, checked, other)


def _column(column: Column) -> dict[str, Any]:
    is_personal = "pii" in map(str.lower, column.tags)
    return _given(
        {
            "name": column.name,
            "physicalType": column.type,
            "logicalType": _logical_type(column.type or ""),
            "description": column.description,
            "tags": [*column.tags],
            "classification": "restricted" if is_personal else None,
        }
    )


def _logical_type(kind: str) -> str | None:
    lowered = kind.strip().lower()
    if lowered.endswith("[]"):
        return "array"
    if lowered.startswith("interval"):
        return None
    return next((name for name, begins in _LOGICAL.items() if lowered.startswith(begins)), None)


def _bounds(count: RowCount) -> dict[str, Any]:
    if count.min is None:
        return {"mustBeLessOrEqualTo": count.max}
    if count.max is None:
        return {"mustBeGreaterOrEqualTo": count.min}
    return {"mustBe": count.min} if count.min == count.max else {"mustBeBetween": [count.min, count.max]}
