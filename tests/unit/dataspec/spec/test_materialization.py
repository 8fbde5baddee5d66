"""The key ``materialization``: its forms, and what is wrong with one, at its place."""

from __future__ import annotations

import pytest

from dataspec.errors import InvalidSpec
from dataspec.spec.materialization import AppendForm, MergeForm, ReplacePartitionForm, TableForm, ViewForm
from dataspec.spec.model import DatasetSpec
from dataspec.spec.parse import parse_spec

HEAD = "name: shop.orders\ntype: Dataset\nowner: e@example.com\nquery_statement: select 1 as id\n"
DATE = "parameters: [{name: execution_date, type: date}]\n"
DAILY = "materialization: {type: incremental, strategy: replace_partition, partition_column: day}\n"


def parsed(more: str) -> DatasetSpec:
    return parse_spec((HEAD + more).encode(), file="a.yaml")


def problems(more: str) -> list[str]:
    with pytest.raises(InvalidSpec) as error:
        parsed(more)
    return [str(problem) for problem in error.value.problems]


@pytest.mark.rule("35.5")
def test_each_form_is_read_and_text_is_short_for_a_type() -> None:
    assert parsed("materialization: table").materialization == TableForm(type="table")
    assert parsed("materialization: {type: view, table: a.b}").materialization == ViewForm(
        type="view", table="a.b"
    )
    assert isinstance(parsed(DAILY + DATE).materialization, ReplacePartitionForm)
    append = parsed("materialization: {type: incremental, strategy: append, on_schema_change: ignore}")
    assert append.materialization == AppendForm(
        type="incremental", strategy="append", on_schema_change="ignore"
    )
    merge = parsed(
        "materialization: {type: incremental, strategy: merge, unique_key: [id], grants: {select: [bi]}}"
    )
    assert isinstance(merge.materialization, MergeForm)
    assert (merge.target, parsed("materialization: {type: table, table: x.y}").target) == (
        "shop.orders",
        "x.y",
    )
    assert (parsed("").materialization, parsed("").target) == (None, None)


@pytest.mark.rule("35.5")
@pytest.mark.parametrize(
    ("more", "problem"),
    [
        (
            "materialization: tabel",
            (
                "a.yaml:5:18: 'materialization': the type 'tabel' is not one of 'table', 'view', 'incremental'. "
                "Did you mean 'table'?"
            ),
        ),
        ("materialization: incremental", "a.yaml:5:18: 'materialization': the key 'strategy' is missing."),
        ("materialization: {strategy: merge}", "a.yaml:5:18: 'materialization': the key 'type' is missing."),
        (
            "materialization: {type: incremental, strategy: merg}",
            (
                "a.yaml:5:18: 'materialization': the strategy 'merg' is not one of 'replace_partition', 'append', "
                "'merge'. Did you mean 'merge'?"
            ),
        ),
        (
            "materialization: {type: incremental, strategy: merge}",
            "a.yaml:5:1: the key 'unique_key' is missing in 'materialization'.",
        ),
        (
            "materialization: {type: incremental, strategy: append, unique_key: [a]}",
            "a.yaml:5:56: unknown key 'unique_key'. Known keys here: table, grants, type, on_schema_change, strategy.",
        ),
        (
            "materialization: {type: table, strategy: merge}",
            "a.yaml:5:32: unknown key 'strategy'. Known keys here: table, grants, type.",
        ),
        ("materialization: 1", "a.yaml:5:18: 'materialization': expected keys and values, got 1."),
        (
            "materialization: view\n" + DATE,
            (
                "a.yaml:6:1: a view has no parameters: it holds the query for all who read it. "
                "Remove 'parameters', or build a table."
            ),
        ),
        (
            DAILY,
            (
                "a.yaml:5:1: 'replace_partition' needs the partition of a run, and no run of this dataset has one. "
                "Declare the parameter 'execution_date', or add a schedule."
            ),
        ),
        (
            DAILY + DATE + "schema: [{name: days, type: date}]",
            "a.yaml:5:85: 'schema' has no column 'day'. Did you mean 'days'?",
        ),
        (
            (
                "materialization: {type: incremental, strategy: merge, unique_key: [id, nr]}\n"
                "schema: [{name: id, type: integer}]"
            ),
            "a.yaml:5:72: 'schema' has no column 'nr'. 'schema' has: id.",
        ),
        (
            DAILY + DATE + "schema: [{name: day, type: date}]\nschedule: {cron: '0 * * * *'}",
            (
                "a.yaml:5:85: 'day' is a date, and the schedule is finer than a day: each run would replace the rows of "
                "the whole day. Use a column with the time, or a daily schedule."
            ),
        ),
    ],
)
def test_what_is_wrong_is_told_at_its_place(more: str, problem: str) -> None:
    assert problems(more) == [problem]


@pytest.mark.rule("35.9")
def test_a_dataset_that_appends_has_retries_only_if_the_spec_sets_them() -> None:
    append = "materialization: {type: incremental, strategy: append}\nschedule: {cron: '0 9 * * *'"
    assert parsed(append + "}").retry.max_attempts == 0
    assert parsed(append + ", retry: {delay_seconds: 5}}").retry.max_attempts == 0
    assert parsed(append + ", retry: {max_attempts: 2}}").retry.max_attempts == 2
    assert parsed("schedule: {cron: '0 9 * * *'}").retry.max_attempts == 1
