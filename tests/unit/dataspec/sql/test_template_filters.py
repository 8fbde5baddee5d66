from __future__ import annotations

import json
import subprocess
import sys
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataspec.errors import InvalidTemplate
from dataspec.sql.template.filters import add_days, add_months, format_date, start_of
from dataspec.sql.template.render import check_template, render

DAY = "2024-01-31"
TIME = "2024-01-31T22:30:00+00:00"


def result(expression: str, **values: Any) -> str:
    return render(f"'{{{{ {expression} }}}}'", values, dialect="duckdb", file="q.sql").sql.strip("'")


def refusal(sql: str, **values: Any) -> str:
    with pytest.raises(InvalidTemplate) as caught:
        render(sql, values, dialect="duckdb", file="q.sql")
    assert caught.value.detail is not None
    return caught.value.detail


@pytest.mark.rule("9.10")
@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("d | add_days(1)", "2024-02-01"),
        ("d | add_days(-31)", "2023-12-31"),
        ("t | add_days(1)", "2024-02-01T22:30:00+00:00"),
        ("t | add_hours(2)", "2024-02-01T00:30:00+00:00"),
        ("d | add_months(1)", "2024-02-29"),
        ("d | add_months(-2)", "2023-11-30"),
        ("d | add_months(11)", "2024-12-31"),
        ("t | add_months(1)", "2024-02-29T22:30:00+00:00"),
        ("d | start_of('day')", DAY),
        ("d | start_of('week')", "2024-01-29"),
        ("d | start_of('month')", "2024-01-01"),
        ("d | add_months(4) | start_of('quarter')", "2024-04-01"),
        ("d | start_of('year')", "2024-01-01"),
        ("t | start_of('day')", "2024-01-31T00:00:00+00:00"),
        ("t | start_of('month')", "2024-01-01T00:00:00+00:00"),
        ("d | format_date('%Y%m%d')", "20240131"),
        ("t | format_date('%Y/%m/%d %H:%M:%S %%')", "2024/01/31 22:30:00 %"),
        ("d | format_date('%G-W%V')", "2024-W05"),
        ("t | in_timezone('Asia/Seoul')", "2024-02-01T07:30:00+09:00"),
        ("t | in_timezone('Asia/Seoul') | start_of('day')", "2024-02-01T00:00:00+09:00"),
        ("'2024-07-01T00:00:00Z' | in_timezone('America/New_York')", "2024-06-30T20:00:00-04:00"),
        ("'2024-01-31 22:30' | add_days(1)", "2024-02-01T22:30:00"),
        ("[d] | map('add_days', 1) | first", "2024-02-01"),
    ],
)
def test_a_date_gives_a_date_and_a_time_gives_a_time(expression: str, expected: str) -> None:
    assert result(expression, d=DAY, t=TIME) == expected


@pytest.mark.rule("9.10")
@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("'2024-13-01' | add_days(1)", "'2024-13-01' is not a date such as 2024-01-15."),
        ("'2024-01-15T25:00' | add_days(1)", "'2024-01-15T25:00' is not a time such as 2024-01-15T09:00:00."),
        ("none | add_days(1)", "null is not a date such as 2024-01-15."),
        ("20240115 | add_days(1)", "20240115 is not a date such as 2024-01-15."),
        ("d | add_days('1')", "add_days takes a whole number, not '1'."),
        ("d | add_days(true)", "add_days takes a whole number, not True."),
        ("d | add_days(1.5)", "add_days takes a whole number, not 1.5."),
        ("d | add_days", "the filter 'add_days' is written add_days(7)."),
        ("d | add_days(1, 2)", "the filter 'add_days' is written add_days(7)."),
        ("d | add_days(9999999)", "the result for '2024-01-31' is outside the years 1 to 9999."),
        ("d | add_days(10 ** 30)", "the result for '2024-01-31' is outside the years 1 to 9999."),
        ("d | add_months(-24300)", "the result for '2024-01-31' is outside the years 1 to 9999."),
        ("d | add_hours(1)", "add_hours takes a time such as 2024-01-15T09:00:00; '2024-01-31' is a date."),
        ("d | start_of('weak')", "'quarter' or 'year', not 'weak'. Did you mean 'week'?"),
        ("d | format_date('%Q')", "format_date has no code '%Q'. The codes are %Y %G %% %y %m"),
        ("d | format_date('%')", "format_date has no code '%'. The codes are"),
        ("d | format_date(1)", "format_date takes text such as '%Y%m%d', not 1."),
        ("d | in_timezone('UTC')", "in_timezone takes a time such as 2024-01-15T09:00:00"),
        ("'2024-01-15T09:00' | in_timezone('UTC')", "which moment '2024-01-15T09:00' is. Give its offset, such as +09:00 or Z."),
        ("t | in_timezone('Asia/Soul')", "'Asia/Soul' is not an IANA time zone. Did you mean 'Asia/Seoul'?"),
        ("t | in_timezone(9)", "in_timezone takes a time zone such as 'Asia/Seoul', not 9."),
        ("'a b' | identifier", "'a b' is not a name such as table or schema.table."),
        ("y | add_days(1)", "'y' is undefined."),
    ],
)  # fmt: skip
def test_invalid_argument_of_a_filter_is_refused_with_a_hint(expression: str, message: str) -> None:
    assert message in refusal(f"select '{{{{ {expression} }}}}'", d=DAY, t=TIME)


@pytest.mark.rule("9.11")
def test_place_of_a_filter_error_is_the_filter() -> None:
    sql = "select 1,\n  '{{ d | add_days(1) }}' and '{{ d | add_days(1) | add_days(x) }}'"
    assert refusal(sql, d=DAY, x="q").startswith(
        f"q.sql:2:{sql.splitlines()[1].rindex('add_days') + 1}: add_days takes"
    )
    assert refusal("{% if d | start_of('x') %}{% endif %}", d=DAY).startswith("q.sql:1:11: ")


@pytest.mark.rule("9.11")
@pytest.mark.parametrize("sql", ["{{ d | add_day(1) }}", "{% if x %}{{ d | add_day(1) }}{% endif %}"])
def test_unknown_filter_is_found_before_a_run_with_the_nearest_name(sql: str) -> None:
    [problem], _ = check_template(f"select\n{sql}", ["d", "x"], file="q.sql")
    assert str(problem) == (
        f"q.sql:2:{sql.index('add_day') + 1}: there is no filter 'add_day'. Did you mean 'add_days'?"
    )
    assert "Filters for dates and names: add_days, " in str(check_template("{{ 1 | zzz }}", [], file="q.sql"))


@pytest.mark.rule("9.10")
def test_result_of_a_filter_is_data() -> None:
    sql = "select '{{ d | format_date(x) }}'"
    assert render(sql, {"d": DAY, "x": "'; drop"}, dialect="duckdb", file="q").sql == "select '''; drop'"
    assert "is not in quotes" in refusal("select {{ d | add_days(1) }}", d=DAY)


@given(st.dates(), st.integers(-800_000, 800_000))
def test_days_are_added_as_the_calendar_does(day: date, days: int) -> None:
    try:
        expected = (day + timedelta(days=days)).isoformat()
    except OverflowError:
        return
    assert add_days(day.isoformat(), days) == expected


@given(st.dates(), st.integers(-1200, 1200))
def test_adding_and_subtracting_months_loses_only_days_of_longer_months(day: date, months: int) -> None:
    try:
        back = date.fromisoformat(add_months(add_months(day.isoformat(), months), -months))
    except ValueError:
        return
    assert (back.year, back.month) == (day.year, day.month)
    assert day.day - 3 <= back.day <= day.day


@given(st.datetimes(), st.sampled_from(["day", "week", "month", "quarter", "year"]))
def test_the_start_of_a_unit_is_its_own_start_and_never_later(moment: datetime, unit: Any) -> None:
    start = start_of(moment.isoformat(), unit)
    assert start_of(start, unit) == start <= moment.isoformat()
    assert format_date(start, "%Y-%m-%dT%H:%M:%S") == start


def test_a_template_is_checked_without_loading_a_sql_parser() -> None:
    code = (
        "import sys, json; from dataspec.sql.template.render import check_template\n"
        "check_template('{{ d | add_days(1) }}', ['d'], file='q')\n"
        "print(json.dumps('sqlglot' in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert json.loads(done.stdout) is False
