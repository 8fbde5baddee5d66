"""``dli dataset show --sql`` with parameters and in another dialect."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from unit.dli.basecamp import Basecamp
from unit.dli.conftest import Dli
from unit.dli.specs import CLICKS, spec_of, write_clicks

DATE = "execution_date=2024-01-15"


def show(dli: Dli, *arguments: str) -> str:
    result = dli("dataset", "show", CLICKS, "--sql", *arguments)
    assert result.status == 0, result.err
    return result.out


@pytest.mark.rule("22.22")
def test_with_parameters_the_sql_is_shown_as_it_would_run(dli: Dli, project: Path) -> None:
    write_clicks(project)
    assert show(dli, "-p", DATE) == "select * from clicks where day = '2024-01-15' limit 100\n"
    assert show(dli, "-p", DATE, "-p", "limit=5").endswith("limit 5\n")
    assert "{{ limit }}" in show(dli)


@pytest.mark.rule("22.22")
def test_in_another_dialect(dli: Dli, project: Path) -> None:
    write_clicks(project)
    shown = show(dli, "-p", DATE, "--dialect", "TSQL")
    assert shown.split() == [
        "SELECT",
        "TOP",
        "100",
        "*",
        "FROM",
        "clicks",
        "WHERE",
        "day",
        "=",
        "'2024-01-15'",
    ]


def test_several_statements_are_a_script(dli: Dli, project: Path) -> None:
    before = 'pre_statements: [{name: temp, sql: "create temp table t as select 1; analyze t"}]\n'
    (project / "datasets" / "a.yaml").write_text(spec_of("a.b", more=before))
    result = dli("dataset", "show", "a.b", "--sql", "--dialect", "postgres")
    assert result.out.startswith("-- temp (1 of 2)\nCREATE TEMPORARY TABLE t AS\n")
    assert result.out.endswith(";\n\n-- query\nSELECT\n  1;\n")
    listed = json.loads(dli("dataset", "show", "a.b", "--sql", "--dialect", "postgres", "-f", "json").out)
    assert [(step["name"], step["kind"]) for step in listed] == [
        ("temp (1 of 2)", "pre"),
        ("temp (2 of 2)", "pre"),
        ("query", "query"),
    ]


def test_what_the_other_dialect_has_no_word_for_is_a_warning(dli: Dli, project: Path) -> None:
    (project / "datasets" / "a.yaml").write_text(spec_of("a.b").replace("select 1", "select [1, 2] as list"))
    result = dli("dataset", "show", "a.b", "--sql", "--dialect", "mysql")
    assert (result.status, result.out) == (0, "SELECT\n  ARRAY(1, 2) AS list\n")
    assert (
        result.err
        == "Warning: The translation to mysql is incomplete: 'query': Arrays are not supported by MySQL\n"
    )


def test_the_registered_spec_is_shown_so_as_well(dli: Dli, project: Path, basecamp: Basecamp) -> None:
    write_clicks(project)
    assert dli("dataset", "register", CLICKS).status == 0
    (project / "datasets" / "daily_clicks.sql").write_text("select 'changed here'")
    assert "from clicks" in show(dli, "-p", DATE, "--registered")
    assert "changed here" in show(dli, "-p", DATE)


def test_what_is_wrong_is_told_with_what_to_do(dli: Dli, project: Path) -> None:
    write_clicks(project)
    cases = {
        ("--sql", "-p", "limit=5"): "Missing required parameter: execution_date",
        ("--sql", "-p", DATE, "--dialect", "snowflak"): "Did you mean 'snowflake'?",
        ("-p", DATE): "-p and --dialect are for --sql.",
        ("--dialect", "mysql"): "-p and --dialect are for --sql.",
    }
    for arguments, said in cases.items():
        result = dli("dataset", "show", CLICKS, *arguments)
        assert (result.status, result.out) == (2, "")
        assert said in result.err


def test_sql_that_does_not_parse_is_told_with_its_place(dli: Dli, project: Path) -> None:
    write_clicks(project)
    (project / "datasets" / "daily_clicks.sql").write_text("select 1;\nselect (1 + from clicks\n")
    result = dli("dataset", "show", CLICKS, "--sql", "-p", DATE, "--dialect", "mysql")
    assert (result.status, result.out) == (2, "")
    assert "datasets/daily_clicks.sql:2:" in result.err
