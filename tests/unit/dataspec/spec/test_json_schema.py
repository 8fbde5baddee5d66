from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from dataspec.errors import InvalidSpec
from dataspec.spec.json_schema import COMMAND, dataset_schema, generated_text, schema_text
from dataspec.spec.parse import parse_spec
from dataspec.spec.yaml_reader import read_document
from parameter_cases import CASES, Case
from unit.dataspec.specs import SPEC

REPOSITORY = Path(__file__).parents[4]
SCHEMA = dataset_schema()
HEAD = "name: a\ntype: Dataset\nowner: e@example.com\n"
BARE = f"{HEAD}query_statement: select 1\n"


pytestmark = pytest.mark.xdist_group("JSON schema")


@cache
def validator() -> Any:
    """Return the schema's validator; jsonschema takes a second to load, which each process of the tests would."""
    from jsonschema import Draft202012Validator

    return Draft202012Validator(SCHEMA)


def mistakes(text: str) -> list[str]:
    """Return what the schema finds wrong with a YAML."""
    return [error.message for error in validator().iter_errors(read_document(text.encode(), "a.yaml").data)]


def known_specs() -> Iterator[tuple[str, str]]:
    """Yield every spec of the examples, the documentation and TPC-H."""
    for folder in ("examples", "tests/tpch"):
        for path in sorted((REPOSITORY / folder).rglob("dataset.*.yaml")):
            yield path.name, path.read_text()
    for page in (REPOSITORY / "README.md", REPOSITORY / "docs" / "dataset-spec.md"):
        for block in re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE):
            if "type: Dataset" in block:
                yield page.name, block


KNOWN = list(known_specs())


def test_the_schema_is_one_of_the_draft_that_it_names() -> None:
    validator().check_schema(SCHEMA)
    assert SCHEMA["$schema"] == validator().META_SCHEMA["$id"]


@pytest.mark.rule("2.23")
def test_shipped_schema_is_generated_from_the_model() -> None:
    assert schema_text() == generated_text(), f"write it anew: {COMMAND}"


@pytest.mark.rule("2.18")
def test_every_key_has_a_description_and_unknown_keys_are_refused() -> None:
    for name, model in {"DatasetSpec": SCHEMA, **SCHEMA["$defs"]}.items():
        assert model["additionalProperties"] is False, name
        assert model["description"], name
        for key, part in model["properties"].items():
            assert part["title"] == key
            assert part["description"].endswith("."), f"{name}.{key}"


@pytest.mark.parametrize(("name", "text"), [*KNOWN, ("section 4", SPEC)])
def test_every_spec_of_the_examples_and_of_the_documentation_fits(name: str, text: str) -> None:
    assert mistakes(text) == []


def test_the_examples_and_the_documentation_have_specs() -> None:
    assert {"README.md", "dataset-spec.md", "dataset.tpch.q01.yaml"} < {name for name, _ in KNOWN}


FITTING = [
    "", "team: null\n", "schedule: {cron: '*/5 8-17 * jan,feb mon#1'}\n", "schedule: {cron: 0 0 L * *}\n",
    "schedule: {cron: 0 9 * * *, timezone: America/Argentina/Buenos_Aires}\n",
    "schedule: {cron: 0 9 * * *, timezone: Etc/GMT+9}\n", "depends_on: [a.b-c_d]\n", "query_file: null\n",
    "depends_on: [b]\nschedule: {cron: '@upstream'}\n",
    "depends_on: [{dataset: b}, {dataset: c, partition: previous, timeout_seconds: 60}]\n",
    "depends_on: [b, {sql: select 1, connection: lake, every_seconds: 5, timeout_seconds: 9}]\n",
    "pre_statements: [{name: x, file: sub/x..y.sql}]\n", "tags: [a b, é]\n", "execution: {dialect: bigquery}\n",
    "parameters: [{name: execution_date, type: string, default: '2024-01-15'}]\n",
    "parameters: [{name: x, type: integer, default: '7', choices: [7, '8']}]\n",
    "parameters: [{name: x, type: boolean, default: 'False'}]\n",
    "parameters: [{name: x, type: list, default: 'A,B', choices: [A, B, 1]}]\n",
    "parameters: [{name: x, type: datetime, default: 2024-01-15 10:00}]\n",
]  # fmt: skip


@pytest.mark.rule("2.10", "2.23")
@pytest.mark.parametrize("more", FITTING)
def test_schema_accepts_what_the_parser_accepts(more: str) -> None:
    parse_spec((BARE + more).encode(), file="a.yaml")
    assert mistakes(BARE + more) == []


BROKEN = [
    HEAD, BARE.replace("name: a\n", ""), BARE.replace("Dataset", "dataset"), BARE.replace("e@example.com", "me"),
    *(BARE.replace("name: a\n", f"name: {name}\n") for name in (
        "a..b", ".a", "a.", "a/b", "'a b'", "manual__a", "backfill__a", "a_20240115_093045", "a" * 201, "''")),
    *(BARE + more for more in (
        "query_file: a.sql\n", "ownr: x\n", "team: data\n", "description: 5\n", f"description: {'x' * 5001}\n",
        "tags: x\n", "tags: ['']\n", 'tags: ["a\\tb"]\n', f"tags: [{', '.join('x' * 101)}]\n", f"tags: [{'x' * 101}]\n",
        "schedule: {cron: '@daily'}\n", "depends_on: [{dataset: a b}]\n", "depends_on: [{dataset: b, sql: select 1}]\n", "depends_on: [{sql: ''}]\n",
        "depends_on: [{dataset: b, partition: next}]\n", "depends_on: [{partition: same}]\n",
        "depends_on: [{sql: select 1, every_seconds: 0}]\n", "depends_on: [{dataset: b, timeout_seconds: 0}]\n",
        "depends_on: [a b]\n", "pre_statements: [{name: x}]\n", "pre_statements: [{name: x, sql: a, file: b}]\n",
        "pre_statements: [{name: x, file: ../a.sql}]\n", "pre_statements: [{name: x, file: /a.sql}]\n",
        "pre_statements: [{name: x, file: 'a\\b.sql'}]\n", "pre_statements: [{sql: x}]\n",
        "pre_statements: [{name: x, sql: a, continue_on_error: yes}]\n", "schema: [{type: date}]\n",
        "execution: {dialect: ducks}\n", "execution: {timeout_seconds: 0}\n", "execution: {connection: a b}\n",
        "schedule: {}\n", "schedule: {cron: 0 9 * *}\n", "schedule: {cron: 0 9 * * * *}\n",
        "schedule: {cron: 0 9 * * *, timezone: Asia Seoul}\n", "schedule: {cron: 0 9 * * *, retries: 1}\n",
        "schedule: {cron: 0 9 * * *, retry: {max_attempts: -1}}\n",
        "schedule: {cron: 0 9 * * *, retry: {max_attempts: '3'}}\n",
        "schedule: {cron: 0 9 * * *, notifications: {on_failure: [{type: slak, channel: x}]}}\n",
        "schedule: {cron: 0 9 * * *, notifications: {on_failure: [{type: email, to: []}]}}\n",
        "schedule: {cron: 0 9 * * *, notifications: {on_failure: [{type: webhook, url: ftp://x}]}}\n",
        "parameters: [{name: x}]\n", "parameters: [{name: 1x, type: string}]\n", "parameters: [{name: x, type: text}]\n",
        "parameters: [{name: data_interval_start, type: string}]\n",
        "parameters: [{name: execution_date, type: integer}]\n",
        "parameters: [{name: execution_date, type: string, default: today}]\n",
        "parameters: [{name: x, type: string, choices: []}]\n",
    )),
]  # fmt: skip


@pytest.mark.rule("2.2", "2.5", "2.6", "2.14", "2.15", "2.23")
@pytest.mark.parametrize("text", BROKEN, ids=lambda text: text[-60:])
def test_parser_refuses_what_the_schema_refuses(text: str) -> None:
    with pytest.raises(InvalidSpec):
        parse_spec(text.encode(), file="a.yaml")
    assert mistakes(text)


RIGHT = [case for case in CASES if "-right-" in case.id]
WRONG_TYPE = [
    case
    for case in CASES
    if "-wrong-" in case.id and not isinstance(case.given["x"], str) and "too large" not in (case.title or "")
]


def parameter(case: Case) -> dict[str, Any]:
    spec: Any = read_document(BARE.encode(), "a.yaml").data
    return {**spec, "parameters": [{"name": "x", **case.declared, "default": case.given["x"]}]}


@pytest.mark.parametrize("case", RIGHT, ids=lambda case: case.id)
def test_a_default_that_fits_its_type_fits_the_schema(case: Case) -> None:
    assert list(validator().iter_errors(parameter(case))) == []


@pytest.mark.parametrize("case", WRONG_TYPE, ids=lambda case: case.id)
def test_a_default_of_another_type_does_not_fit_the_schema(case: Case) -> None:
    assert list(validator().iter_errors(parameter(case)))
