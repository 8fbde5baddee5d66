from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataspec import errors
from dataspec.errors import DliError

EXIT_STATUSES = {1, 2, 3, 4, 5}


def kinds(base: type[DliError] = DliError) -> Iterator[type[DliError]]:
    for kind in base.__subclasses__():
        if kind.__module__ == errors.__name__:
            yield kind
        yield from kinds(kind)


@pytest.mark.rule("19.10", "20.4")
def test_every_error_has_its_own_code_and_the_specified_statuses() -> None:
    codes = [kind.code for kind in kinds()]
    assert len(codes) == len(set(codes))
    assert {kind.exit_status for kind in kinds()} <= EXIT_STATUSES
    assert all(400 <= kind.http_status < 600 for kind in kinds())


def test_tree_in_the_docstring_names_every_error() -> None:
    assert errors.__doc__ is not None
    named = {word for line in errors.__doc__.splitlines() for word in line.split()}
    assert {kind.__name__ for kind in kinds()} <= named


@pytest.mark.rule("16.6", "19.10")
def test_specified_messages_are_unchanged() -> None:
    assert errors.ServerUnreachable().title == "Cannot connect to server. Check your connection settings."
    assert errors.MissingParameter("execution_date").title == "Missing required parameter: execution_date"
    assert errors.DatasetNotFound("x").title == "Dataset not found. Register first: dli dataset register"
    assert errors.ManagedByCode().title == "This dataset is managed by Code. Modify via Git."
    assert errors.Overridden().title == "This dataset is overridden by Code. Use the Code version."
    assert errors.ManagedByCode().text == (
        "This dataset is managed by Code (GitOps).\n"
        "Modify the YAML in Git and deploy via CI/CD.\n"
        "Only pause/unpause operations are allowed via CLI."
    )


@pytest.mark.rule("19.10")
def test_no_other_package_defines_error_codes() -> None:
    sources = Path(errors.__file__).parents[1].rglob("*.py")
    codes = {
        path
        for path in sources
        if re.search(r"^    (code = \"|http_status = )", path.read_text(), re.MULTILINE)
    }
    assert codes == {Path(errors.__file__)}
