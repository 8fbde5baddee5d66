"""Model the key ``materialization`` of a spec: what a run makes of the rows of its query (docs/materialization.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from dataspec.problems import nearest
from dataspec.schedule.partitions import Grid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dataspec.problems import Problem
    from dataspec.spec.model import DatasetSpec
    from dataspec.spec.yaml_reader import Document, Path

_AT = ("materialization",)

TARGET_PATTERN = r"^[A-Za-z0-9_\-]+(\.[A-Za-z0-9_\-]+)*$"
COLUMN_PATTERN = r"^\w[\w .$\-]*$"
PRIVILEGE_PATTERN = r"^[A-Za-z]+([ _][A-Za-z]+)*$"
GRANTEE_PATTERN = r"^[^\x00-\x1f]{1,200}$"

TargetName = Annotated[str, StringConstraints(pattern=TARGET_PATTERN, max_length=200)]
ColumnName = Annotated[str, StringConstraints(pattern=COLUMN_PATTERN, max_length=200)]
Privilege = Annotated[str, StringConstraints(pattern=PRIVILEGE_PATTERN, max_length=100)]
Grantee = Annotated[str, StringConstraints(pattern=GRANTEE_PATTERN)]
OnSchemaChange = Literal["fail", "append_columns", "ignore"]


class _Form(BaseModel):
    """The keys of every form."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    table: TargetName | None = None
    """The table or view that is built; None for the one with the dataset's name."""
    grants: dict[Privilege, list[Grantee]] = {}
    """Who holds which privilege after a run; privileges that are not named stay as they are."""


class TableForm(_Form):
    """The rows become the table's only rows."""

    type: Literal["table"]


class ViewForm(_Form):
    """The query becomes a view."""

    type: Literal["view"]


class _IncrementalForm(_Form):
    type: Literal["incremental"]
    on_schema_change: OnSchemaChange = "fail"
    """What a run does with columns of the query that the table lacks."""


class ReplacePartitionForm(_IncrementalForm):
    """The rows replace those of the run's partition."""

    strategy: Literal["replace_partition"]
    partition_column: ColumnName


class AppendForm(_IncrementalForm):
    """The rows are added."""

    strategy: Literal["append"]


class MergeForm(_IncrementalForm):
    """The rows replace those with the same key, and the others are added."""

    strategy: Literal["merge"]
    unique_key: Annotated[list[ColumnName], Field(min_length=1)]


def _written_out(given: Any) -> Any:
    """Return the mapping that a text such as ``table`` is short for."""
    return {"type": given} if isinstance(given, str) else given


IncrementalForm: TypeAlias = ReplacePartitionForm | AppendForm | MergeForm
Materialization = Annotated[
    TableForm | ViewForm | Annotated[IncrementalForm, Field(discriminator="strategy")],
    Field(discriminator="type"),
    BeforeValidator(_written_out),
]
"""What a run makes of the rows of the query; a text is short for a form without other keys."""


def materialization_problems(spec: DatasetSpec, document: Document) -> Iterator[Problem]:
    """Yield the problems of a materialization that the spec shows without its SQL."""
    form = spec.materialization
    if isinstance(form, ViewForm) and spec.parameters:
        message = "a view has no parameters: it holds the query for all who read it."
        hint = "Remove 'parameters', or build a table."
        yield document.problem(("parameters",), message, hint=hint, at_key=True)
    for path, column in named_columns(form).items():
        yield from unknown_column(spec, column, document, path)
    if isinstance(form, ReplacePartitionForm):
        yield from _partition_problems(spec, form, document)


def named_columns(form: Materialization | None) -> dict[Path, str]:
    """Return the columns that a materialization names, by their places in the YAML."""
    if isinstance(form, ReplacePartitionForm):
        return {(*_AT, "partition_column"): form.partition_column}
    if isinstance(form, MergeForm):
        return {(*_AT, "unique_key", index): column for index, column in enumerate(form.unique_key)}
    return {}


def _partition_problems(
    spec: DatasetSpec, form: ReplacePartitionForm, document: Document
) -> Iterator[Problem]:
    at = (*_AT, "partition_column")
    if spec.schedule is None and not spec.takes_execution_date:
        message = "'replace_partition' needs the partition of a run, and no run of this dataset has one."
        hint = "Declare the parameter 'execution_date', or add a schedule."
        yield document.problem(_AT, message, hint=hint, at_key=True)
    types = {column.name.lower(): (column.type or "").lower() for column in spec.columns}
    if types.get(form.partition_column.lower()) == "date" and Grid.of(spec.schedule).is_finer_than_a_day:
        message = (
            f"'{form.partition_column}' is a date, and the schedule is finer than a day: "
            "each run would replace the rows of the whole day."
        )
        yield document.problem(at, message, hint="Use a column with the time, or a daily schedule.")


def unknown_column(spec: DatasetSpec, column: str, document: Document, at: Path) -> Iterator[Problem]:
    """Yield the problem of a column that ``schema`` lacks, of a spec that has it."""
    names = [found.name for found in spec.columns]
    if names and column.lower() not in {name.lower() for name in names}:
        hint = nearest(column, names) or f"'schema' has: {', '.join(names)}."
        yield document.problem(at, f"'schema' has no column '{column}'.", hint=hint)
