"""Model unit tests: what the SQL of a dataset yields for given rows (docs/unit-tests.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, StringConstraints
from pydantic import Tag as UnionTag

from dataspec.keys import why_no_key
from dataspec.spec.materialization import ColumnName, TargetName

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dataspec.problems import Problem
    from dataspec.spec.model import DatasetSpec
    from dataspec.spec.yaml_reader import Document, Path

MAX_TESTS = 200
"""Maximum number of unit tests of a file."""
OWN_TABLE = "this"
"""The key of ``given`` for the rows that the dataset's own table has before the run."""


def _check_csv_path(path: str) -> str:
    if not path.endswith(".csv"):
        raise ValueError("the file of a fixture is a CSV file, and its name ends in '.csv'.")
    if path.startswith("/") or ":" in path or ".." in path.split("/"):
        raise ValueError("the path must be relative to the YAML and stay inside its folder.")
    if reason := why_no_key(path):
        raise ValueError(f"{reason}.")
    return path


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class FixtureFile(_Strict):
    """The rows of a CSV file."""

    file: Annotated[str, StringConstraints(max_length=500), AfterValidator(_check_csv_path)]
    """Its path, relative to the YAML."""


def _form(fixture: Any) -> str:
    """Return the form of a fixture; the tags have a blank, as no key has."""
    if isinstance(fixture, str):
        return "CSV text"
    return "CSV file" if isinstance(fixture, dict | FixtureFile) else "YAML rows"


Row: TypeAlias = Annotated[dict[ColumnName, Any], Field(min_length=1)]
CsvText = Annotated[str, StringConstraints(min_length=1)]
Fixture = Annotated[
    Annotated[list[Row], UnionTag("YAML rows")]
    | Annotated[CsvText, UnionTag("CSV text")]
    | Annotated[FixtureFile, UnionTag("CSV file")],
    Discriminator(_form),
]
"""Rows: as YAML, as CSV text whose first line has the names of the columns, or in a CSV file."""


class UnitTest(_Strict):
    """One test: the rows that the SQL yields for given ones."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.\-]+$", max_length=100)]
    description: Annotated[str, StringConstraints(max_length=5000)] | None = None
    parameters: dict[str, Any] = {}
    """The parameters of the run."""
    given: dict[TargetName, Fixture] = {}
    """The rows of each table that the SQL reads; of ``this``, those of the dataset's own table."""
    expect: Fixture


class UnitTestFile(_Strict):
    """A file of unit tests, in the folder ``tests`` of a project."""

    dataset: str
    """The name of the dataset."""
    tests: Annotated[list[UnitTest], Field(min_length=1)]


def fixture_files(tests: Sequence[UnitTest]) -> tuple[str, ...]:
    """Return the paths of the CSV files that tests name, without duplicates."""
    fixtures = (fixture for test in tests for fixture in (*test.given.values(), test.expect))
    return tuple(dict.fromkeys(found.file for found in fixtures if isinstance(found, FixtureFile)))


def unit_test_problems(spec: DatasetSpec, tests: Sequence[UnitTest], document: Document) -> Iterator[Problem]:
    """Yield the problems of unit tests that the spec shows without its SQL.

    Args:
        spec: The spec of the dataset.
        tests: Its tests.
        document: The document whose key ``tests`` has them.
    """
    if len(tests) > MAX_TESTS:
        yield document.problem(("tests",), f"'tests' has {len(tests)} entries; {MAX_TESTS} at most.")
    first: dict[str, int] = {}
    for index, test in enumerate(tests):
        at: Path = ("tests", index)
        if first.setdefault(test.name, index) != index:
            yield document.problem(
                (*at, "name"), f"two tests have the name '{test.name}'.", hint="Give each its own."
            )
        if OWN_TABLE in test.given and spec.target is None:
            message = "'this' is the table of a 'materialization', and the dataset has none."
            hint = "Give the table's rows under its name."
            yield document.problem((*at, "given", OWN_TABLE), message, hint=hint, at_key=True)
