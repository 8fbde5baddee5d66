"""The examples of ``docs/sql-templates.md``: a template, the values, and the SQL or the error that comes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dataspec.errors import InvalidTemplate
from dataspec.sql.template.filters import FILTERS
from dataspec.sql.template.render import check_template, render

PAGE = (Path(__file__).parents[4] / "docs" / "sql-templates.md").read_text()
_FENCED = re.compile(
    r"^```sql\n(?P<template>.*?)^```\n```json\n(?P<values>.*?)^```\n"
    r"```(?P<kind>sql|error)\n(?P<result>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_SHARED = dict(re.findall(r"^```(?:sql|csv) (\S+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
_ROW = re.compile(
    r"^\| `(?P<template>'\{\{.*)` \| `(?P<values>\{.*\})` \| `(?P<result>.*)` \|$", re.MULTILINE
)


@dataclass(frozen=True)
class Example:
    """One example: what a reader puts in, and what comes."""

    template: str
    values: str
    result: str
    fails: bool = False

    def outcome(self) -> str:
        """Return the SQL or the error that it really yields."""
        values = json.loads(self.values)
        problems, _ = check_template(self.template, list(values), file="q.sql", shared=_SHARED)
        if problems:
            return "\n".join(map(str, problems))
        try:
            return render(self.template, values, dialect="duckdb", file="q.sql", shared=_SHARED).sql
        except InvalidTemplate as error:
            return str(error.problem)


def examples() -> Iterator[Example]:
    for found in _FENCED.finditer(PAGE):
        template, result = found["template"].rstrip("\n"), found["result"].rstrip("\n")
        yield Example(template, found["values"], result, found["kind"] == "error")
    for found in _ROW.finditer(PAGE):
        yield Example(found["template"].replace(r"\|", "|"), found["values"], found["result"])


EXAMPLES = list(examples())


@pytest.mark.rule("9.1")
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.template[:60])
def test_every_example_of_the_page_is_what_a_reader_gets(example: Example) -> None:
    outcome = example.outcome()
    assert outcome.rstrip("\n") == example.result
    assert outcome.startswith("q.sql:") is example.fails


def test_no_example_of_the_page_is_skipped() -> None:
    assert len(re.findall(r"^```json$", PAGE, re.MULTILINE)) + PAGE.count("| `'{{") == len(EXAMPLES)
    assert len(re.findall(r"^```\w+$", PAGE, re.MULTILINE)) == 3 * len(_FENCED.findall(PAGE))


@pytest.mark.rule("9.10")
def test_every_filter_has_an_example() -> None:
    for name in FILTERS:
        assert any(f"| {name}" in example.template for example in EXAMPLES), name
