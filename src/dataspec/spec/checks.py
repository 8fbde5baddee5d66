"""Model the key ``checks`` of a spec: what the rows of a run must be (docs/checks.md)."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from dataspec.spec.materialization import ColumnName, TargetName, unknown_column

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dataspec.problems import Problem
    from dataspec.spec.model import DatasetSpec
    from dataspec.spec.yaml_reader import Document, Path

MAX_CHECKS = 200
"""Maximum number of checks of a spec, since one statement has them all."""

CheckKind: TypeAlias = Literal[
    "not_null", "unique", "accepted_values", "relationships", "row_count", "expression", "sql"
]
KINDS: tuple[CheckKind, ...] = (
    "not_null",
    "unique",
    "accepted_values",
    "relationships",
    "row_count",
    "expression",
    "sql",
)
SQL_KEYS = ("where", "expression", "sql")
"""The keys of a check that hold SQL, as templates."""
Severity: TypeAlias = Literal["error", "warn"]

CheckName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.\-]+$", max_length=100)]
Sql = Annotated[str, StringConstraints(min_length=1)]
Columns = Annotated[list[ColumnName], Field(min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class AcceptedValues(_Strict):
    """The values that a column may have, beside null."""

    column: ColumnName
    values: Annotated[list[Any], Field(min_length=1)]


class Relationship(_Strict):
    """A column whose values another table has."""

    column: ColumnName
    to: TargetName
    """The other table."""
    field: ColumnName
    """The column of the other table."""


class RowCount(_Strict):
    """How many rows there may be."""

    min: Annotated[int, Field(ge=0)] | None = None
    max: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _has_a_bound(self) -> RowCount:
        if self.min is None and self.max is None:
            raise ValueError("give 'min', 'max' or both.")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"'min' is {self.min:,}, more than 'max', {self.max:,}.")
        return self


class Check(_Strict):
    """One check: exactly one of :data:`KINDS`, and what it does with rows that fail."""

    name: CheckName | None = None
    severity: Severity = "error"
    where: Sql | None = None
    """A condition; rows for which it is not true are not checked."""
    not_null: Columns | None = None
    unique: Columns | None = None
    accepted_values: AcceptedValues | None = None
    relationships: Relationship | None = None
    row_count: RowCount | None = None
    expression: Sql | None = None
    sql: Sql | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Check:
        given = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            found = f", not {' and '.join(given)}" if given else ""
            raise ValueError(f"give exactly one of {', '.join(KINDS)}{found}.")
        return self

    @property
    def kind(self) -> CheckKind:
        """Which kind of check it is."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the dataset that it names outside its SQL."""
        several = self.not_null or self.unique
        one = self.accepted_values or self.relationships
        return tuple(several or ((one.column,) if one else ()))

    def column_places(self, at: Path) -> Iterator[tuple[Path, str]]:
        """Yield each of these columns with its YAML path, below that of the check."""
        for number, column in enumerate(self.columns):
            yield (*at, self.kind, number if self.not_null or self.unique else "column"), column


def check_names(checks: Sequence[Check]) -> tuple[str, ...]:
    """Return the name of each check: its own, or one made of its kind and columns that no other check has."""
    taken = Counter(check.name for check in checks if check.name)
    names = []
    for check in checks:
        base = "_".join((check.kind, *check.columns))
        name, number = check.name or base, 1
        while not check.name and taken[name]:
            number += 1
            name = f"{base}_{number}"
        taken[name] += 1
        names.append(name)
    return tuple(names)


def check_problems(spec: DatasetSpec, document: Document) -> Iterator[Problem]:
    """Yield the problems of the checks that the spec shows without its SQL."""
    if len(spec.checks) > MAX_CHECKS:
        message = f"'checks' has {len(spec.checks)} entries; {MAX_CHECKS} at most."
        yield document.problem(("checks",), message)
    first: dict[str, int] = {}
    for index, check in enumerate(spec.checks):
        at: Path = ("checks", index)
        if check.name is not None and first.setdefault(check.name, index) != index:
            message = f"two checks have the name '{check.name}'."
            yield document.problem((*at, "name"), message, hint="Give each its own.")
        for path, column in check.column_places(at):
            yield from unknown_column(spec, column, document, path)
        if check.accepted_values is not None:
            yield from _value_problems(check.accepted_values.values, document, at)


def _value_problems(values: Sequence[Any], document: Document, at: Path) -> Iterator[Problem]:
    kinds = [_kind_of(value) for value in values]
    for number, (value, kind) in enumerate(zip(values, kinds, strict=True)):
        path = (*at, "accepted_values", "values", number)
        if value is None:
            message = "null is no accepted value: it always passes."
            yield document.problem(path, message, hint="Add a check 'not_null', or remove it.")
        elif kind is None:
            yield document.problem(path, f"expected text, a number, true or false, got {value!r}.")
        elif kinds[0] is not None and kind != kinds[0]:
            message = f"values of mixed types: {value!r} is {kind}, and {values[0]!r} is {kinds[0]}."
            yield document.problem(path, message, hint="Put texts in quotes.")


def _kind_of(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, str):
        return "text"
    is_number = isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
    return "a number" if is_number else None
