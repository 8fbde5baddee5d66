"""Unit tests of datasets, as ``dli dataset test`` runs them."""

from __future__ import annotations

import json
import subprocess
import threading
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from dataspec.errors import InvalidUsage
from dli.session import Session
from dli.unit_tests import watching
from dli.unit_tests.collection import planned_tests
from dli.unit_tests.running import run_test
from dli.unit_tests.sources import UnitTestFiles

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from unit.dli.conftest import Dli

HEAD = "name: {name}\ntype: Dataset\nowner: dana@example.com\n"
DAILY = (
    HEAD.format(name="shop.daily")
    + """\
query_statement: |
  select order_day as day, sum(amount) as amount, count(*) as orders
  from shop.orders
  where order_day = date '{{ execution_date }}'
  group by order_day
parameters: [{name: execution_date, type: date}]
materialization: {type: incremental, strategy: replace_partition, partition_column: day}
"""
)
ONLY_THE_DAY = """\
tests:
  - name: only_the_day
    parameters: {execution_date: 2024-01-15}
    given:
      shop.orders:
        - {order_day: 2024-01-14, amount: 7.00}
        - {order_day: 2024-01-15, amount: 10.50}
        - {order_day: 2024-01-15, amount: 4.50}
    expect:
      - {day: 2024-01-15, amount: 15.00}
"""


def write(project: Path, name: str, text: str) -> None:
    path = project / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def outcomes(project: Path, body: str, *, name: str = "a.b") -> dict[str, tuple[str, str | None]]:
    """Run the tests of one dataset in this process; return status and message of each."""
    write(project, f"datasets/{name}.yaml", HEAD.format(name=name) + body)
    session = Session()
    found = session.project.find(name)
    plans = planned_tests(session, [found], UnitTestFiles(session.project))
    return {plan.name: (result.status, result.message) for plan in plans for result in [run_test(plan)]}


@pytest.mark.rule("41.1", "41.5", "41.9", "41.11")
def test_a_test_passes_that_names_only_the_columns_that_matter(dli: Dli, project: Path) -> None:
    write(project, "datasets/daily.yaml", DAILY + ONLY_THE_DAY)
    result = dli("dataset", "test", "shop.daily")
    assert (result.status, result.out) == (0, "PASSED  shop.daily: only_the_day\n")
    assert result.err.startswith("1 passed (")


@pytest.mark.rule("41.10", "41.11", "41.12")
def test_a_difference_is_a_table_and_the_same_in_json_and_junit(dli: Dli, project: Path) -> None:
    wrong = (
        ONLY_THE_DAY.replace("amount: 15.00", "amount: 22.00") + "      - {day: 2024-01-16, amount: null}\n"
    )
    write(project, "datasets/daily.yaml", DAILY + wrong)
    result = dli("dataset", "test")
    assert result.status == 1
    assert result.out == (
        "FAILED  shop.daily: only_the_day (datasets/daily.yaml:12:5)\n"
        "  ROW       day          amount\n"
        "  differs   2024-01-15   22.0 → 15.0\n"
        "  missing   2024-01-16   NULL\n"
    )
    (found,) = json.loads(dli("dataset", "test", "--format", "json").out)
    assert (found["status"], found["line"], found["message"]) == ("failed", 12, "1 row differs, 1 missing.")
    assert found["differences"][0] == {
        "row": "differs",
        "expected": {"day": "2024-01-15", "amount": 22.0},
        "found": {"day": "2024-01-15", "amount": "15.0"},
    }
    root = ET.fromstring(dli("dataset", "test", "--format", "junit").out)
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("1", "1", "0")
    case = root.find("./testsuite[@name='shop.daily']/testcase")
    assert case is not None
    failure = case.find("failure")
    assert (case.get("name"), case.get("file")) == ("only_the_day", "datasets/daily.yaml")
    assert failure is not None
    assert "22.0 → 15.0" in (failure.text or "")


@pytest.mark.rule("41.4", "41.11")
def test_mistakes_are_told_with_their_places_before_any_test_runs(dli: Dli, project: Path) -> None:
    tests = (
        ONLY_THE_DAY
        + """\
  - name: lacks_a_column
    parameters: {execution_date: 2024-01-15}
    given:
      shop.orders: [{order_day: 2024-01-15}]
    expect: []
  - name: other_table
    parameters: {execution_date: 2024-01-15}
    given:
      shop.order: []
    expect: []
  - name: no_parameter
    given: {shop.orders: []}
    expect: []
  - name: wrong_parameter
    parameters: {execution_dat: 2024-01-15}
    given: {shop.orders: []}
    expect: []
  - name: no_such_output
    parameters: {execution_date: 2024-01-15}
    given: {shop.orders: []}
    expect: [{amount: 1, amoun: 2}]
  - name: csv
    parameters: {execution_date: 2024-01-15}
    given:
      shop.orders: |
        order_day,amount
        2024-01-15
    expect: {file: gone.csv}
"""
    )
    write(project, "datasets/daily.yaml", DAILY + tests)
    result = dli("dataset", "test", "shop.daily")
    at = "datasets/daily.yaml"
    assert (result.status, result.out) == (2, "")
    for line in (
        (
            f"{at}:24:7: the rows of 'shop.orders' lack the column 'amount', which the SQL reads ({at}:5:32). "
            "Add it to one row, as null if its value does not matter."
        ),
        f"{at}:29:7: the SQL does not read 'shop.order'. Did you mean 'shop.orders'?",
        f"{at}:28:5: the SQL reads shop.orders, and the test gives no rows of it. Add to 'given': shop.orders: []",
        f"{at}:31:5: missing required parameter: execution_date. Give it under 'parameters'.",
        f"{at}:35:18: unknown parameter 'execution_dat'. Allowed: execution_date. Did you mean 'execution_date'?",
        f"{at}:41:26: the query has no column 'amoun'. Did you mean 'amount'?",
        f"{at}:47:9: the line has 1 field, and the header has 2 fields.",
    ):
        assert line in result.err
    assert dli("dataset", "validate").status == 2
    assert f"{at}:24:7" in dli("dataset", "validate", "shop.daily").err


@pytest.mark.rule("41.1")
def test_the_form_of_tests_is_checked_as_that_of_any_key(dli: Dli, project: Path) -> None:
    body = "query_statement: select 1 as a\n"
    tests = (
        "tests:\n  - name: one\n    expects: []\n  - name: one\n    given: {this: []}\n    expect: [{}]\n"
        "  - name: two\n    given: {x.y: 5}\n    expect: {file: rows.txt}\n"
    )
    write(project, "datasets/a.yaml", HEAD.format(name="a.b") + body + tests)
    err = dli("dataset", "validate").err
    assert "datasets/a.yaml:7:5: unknown key 'expects'. Did you mean 'expect'?" in err
    assert "datasets/a.yaml:12:18: 'tests[2].given.x.y': expected a list, got 5." in err
    assert "its name ends in '.csv'" in err
    twice = tests.replace("expects: []", "expect: []").partition("  - name: two")[0].replace("[{}]", "[]")
    write(project, "datasets/a.yaml", HEAD.format(name="a.b") + body + twice)
    err = dli("dataset", "validate").err
    assert "datasets/a.yaml:8:11: two tests have the name 'one'. Give each its own." in err
    assert "'this' is the table of a 'materialization', and the dataset has none." in err


@pytest.mark.rule("41.7")
def test_the_first_run_and_a_later_one_are_two_tests(project: Path) -> None:
    body = """\
query_statement: |
  select id, amount from shop.orders
  {% if table_exists %}where id > (select max(id) from {{ this }}){% endif %}
materialization: {type: incremental, strategy: append}
tests:
  - name: first
    given: {shop.orders: [{id: 1, amount: 5}, {id: 2, amount: 6}]}
    expect: [{id: 2, amount: 6}, {id: 1, amount: 5}]
  - name: later
    given:
      this: [{id: 1}]
      shop.orders: [{id: 1, amount: 5}, {id: 2, amount: 6}]
    expect: [{id: 2, amount: 6}]
  - name: by_its_name
    given: {a.b: [{id: 2}], shop.orders: [{id: 1, amount: 5}]}
    expect: []
"""
    assert {status for status, _ in outcomes(project, body).values()} == {"passed"}


@pytest.mark.rule("41.4", "41.7")
def test_its_own_table_is_read_only_where_it_is_given(dli: Dli, project: Path) -> None:
    body = "query_statement: 'select id from {{ this }}'\nmaterialization: {type: incremental, strategy: append}\n"
    tests = "tests: [{name: unguarded, expect: []}]\n"
    write(project, "datasets/a.yaml", HEAD.format(name="a.b") + body + tests)
    assert "Guard it with {% if table_exists %}, or give its rows under 'this'." in dli("dataset", "test").err


@pytest.mark.rule("41.2", "41.3")
def test_rows_come_from_yaml_csv_and_files_with_types_of_their_values(project: Path) -> None:
    write(project, "datasets/countries.csv", "code,since\nKR,1948-08-15\nFR,\n")
    write(
        project,
        "datasets/raw.people.yaml",
        HEAD.format(name="raw.people")
        + (
            "query_statement: select 1 as id\nmaterialization: table\n"
            "schema: [{name: id, type: integer}, {name: zip, type: text}]\n"
        ),
    )
    body = """\
query_statement: |
  select p.id, p.zip, length(p.zip) as digits, c.code, date_diff('year', c.since, d.day) as years,
         coalesce(d.note, 'none') as note, upper(e.word) as word
  from raw.people p
  join raw.countries c on c.code = p.country
  join raw.days d on true
  left join raw.empty e on e.id = p.id
materialization: table
tests:
  - name: all_kinds
    given:
      raw.people: [{id: 1, zip: 07541, country: KR}, {id: 2, zip: "2024-01-15", country: FR}]
      raw.countries: {file: countries.csv}
      raw.days: |
        day,note
        2024-01-01,
      raw.empty: []
    expect: |
      id,zip,digits,years,note,word
      2,2024-01-15,10,,none,
      1,07541,5,76,none,
"""
    assert outcomes(project, body) == {"all_kinds": ("passed", None)}


@pytest.mark.rule("41.2")
def test_nested_values_decimals_and_times_are_equal_by_value(project: Path) -> None:
    body = """\
query_statement: |
  select id, price * 2 as price, ratio / 3 as ratio, tags[1] as tag, tags, who.name as name, who, seen
  from raw.events
materialization: table
tests:
  - name: values
    given:
      raw.events:
        - {id: 1, price: 0.1, ratio: 1, tags: [a, b], who: {name: Ann, age: 3}, seen: "2024-01-15T09:00:00+09:00"}
        - {id: 2, price: 0.25}
    expect:
      - {id: 1, price: 0.2, ratio: 0.333333333333, tag: a, tags: [a, b], name: Ann, who: {age: 3, name: Ann}}
      - {id: 2, price: 0.50, ratio: null, tag: null, tags: null, name: null, who: null}
  - name: instant
    given:
      raw.events: [{id: 1, price: 1, ratio: 1, tags: [a], who: {name: A}, seen: "2024-01-15T09:00:00+09:00"}]
    expect: [{seen: "2024-01-15T00:00:00+00:00"}]
"""
    assert {status for status, _ in outcomes(project, body).values()} == {"passed"}


@pytest.mark.rule("41.5")
@pytest.mark.parametrize(
    ("body", "expect"),
    [
        ("query_statement: select id from raw.t\n", "[{id: 1}, {id: 1}]"),
        (
            "query_statement: create or replace table a.b as select id + 1 as id from raw.t\n",
            "[{id: 2}, {id: 2}]",
        ),
        (
            (
                "pre_statements: [{name: make, sql: create table if not exists a.b (id int)}]\n"
                "query_statement: insert into a.b select id from raw.t\n"
                "post_statements: [{name: more, sql: update a.b set id = id * 10}]\n"
            ),
            "[{id: 10}, {id: 10}]",
        ),
        (
            (
                "pre_statements: [{name: temp, sql: create temp table few as select id from raw.t limit 1}]\n"
                "query_statement: select id from few\nmaterialization: table\n"
                "post_statements: [{name: no, sql: create index i on a.b (id)}]\n"
            ),
            "[{id: 1}]",
        ),
    ],
)
def test_what_is_compared_is_what_the_dataset_builds(project: Path, body: str, expect: str) -> None:
    tests = f"tests: [{{name: t, given: {{raw.t: [{{id: 1}}, {{id: 1}}]}}, expect: {expect}}}]\n"
    assert outcomes(project, body + tests) == {"t": ("passed", None)}


@pytest.mark.rule("41.6")
def test_sql_of_another_dialect_is_translated(project: Path) -> None:
    write(project, "seeds/rates.csv", "currency,rate\nEUR,1.1\n")
    write(
        project,
        "macros/money.sql",
        "{% macro cents(c) %}cast({{ c | identifier }} * 100 as int64){% endmacro %}",
    )
    body = """\
execution: {dialect: bigquery, connection: warehouse}
pre_statements: [{name: zone, sql: "SET @@time_zone = 'UTC'"}]
query_statement: |
  {% import 'macros/money.sql' as money %}
  select id, {{ money.cents('amount') }} as cents, safe_divide(amount, r.rate) as usd,
         date_sub(day, interval 1 day) as before, array_length(tags) as tags
  from `lake.shop.orders` cross join {{ seed('rates') }} r
tests:
  - name: t
    given:
      lake.shop.orders: [{id: 1, amount: 2.2, day: 2024-03-01, tags: [a, b]}]
    expect: [{id: 1, cents: 220, usd: 2, before: 2024-02-29, tags: 2}]
"""
    assert outcomes(project, body) == {"t": ("passed", None)}


@pytest.mark.rule("41.3")
def test_a_table_that_the_sql_writes_has_the_types_that_are_expected(project: Path) -> None:
    body = """\
query_statement: insert into a.b select id, day, price from raw.t
tests:
  - name: t
    given:
      a.b: "id,day,price\\n"
      raw.t: [{id: 1, day: 2024-01-15, price: 2.5}]
    expect: [{id: 1, day: 2024-01-15, price: 2.50}]
"""
    assert outcomes(project, body) == {"t": ("passed", None)}


@pytest.mark.rule("41.4")
def test_tables_and_times_that_a_test_lacks_are_named(dli: Dli, project: Path) -> None:
    hourly = """\
query_statement: select * from raw.t where seen >= timestamptz '{{ partition_start }}'
materialization: {type: incremental, strategy: append}
schedule: {cron: "0 * * * *", timezone: Asia/Seoul}
tests:
  - name: when
    given: {raw.t: []}
    expect: []
  - name: hour
    parameters: {execution_date: "2024-01-15T13:00"}
    given: {raw.t: [{seen: "2024-01-15T13:00:00+09:00"}, {seen: "2024-01-15T12:59:00+09:00"}]}
    expect: [{seen: "2024-01-15T04:00:00Z"}]
"""
    write(project, "datasets/a.yaml", HEAD.format(name="a.b") + hourly)
    assert "in the test 'when': 'partition_start' is undefined. Give the test an 'execution_date'." in (
        dli("dataset", "test").err
    )
    begin, end = hourly.index("  - name: when"), hourly.index("  - name: hour")
    write(project, "datasets/a.yaml", HEAD.format(name="a.b") + hourly[:begin] + hourly[end:])
    assert dli("dataset", "test").out == "PASSED  a.b: hour\n"
    insert = "query_statement: insert into a.b select 1\ntests: [{name: t, given: {a.b: []}, expect: []}]\n"
    write(project, "datasets/a.yaml", HEAD.format(name="a.b") + insert)
    assert "the columns of 'a.b' are not known, and the SQL writes it." in dli("dataset", "test").err


@pytest.mark.rule("41.8")
def test_a_table_that_duckdb_can_not_make_is_an_error_of_its_test(project: Path) -> None:
    body = """\
query_statement: select id, day from raw.t
materialization: table
schema: [{name: id, type: integer}, {name: day, type: date}]
tests:
  - name: no_date
    given: {raw.t: [{id: 1, day: "2024-02-30"}]}
    expect: []
"""
    write(
        project,
        "datasets/raw.t.yaml",
        HEAD.format(name="raw.t") + body.partition("tests:")[0].replace("raw.t", "raw.u"),
    )
    status, message = outcomes(project, body)["no_date"]
    assert (status, "the rows of raw.t can't be read: Conversion Error" in (message or "")) == ("error", True)
    body = "query_statement: select 1 as a from temp.x.t\ntests: [{name: t, given: {temp.x.t: []}, expect: []}]\n"
    status, message = outcomes(project, body)["t"]
    assert (status, "the schemas can't be created" in (message or "")) == ("error", True)


@pytest.mark.rule("41.8")
def test_a_test_sees_nothing_but_its_own_tables(project: Path) -> None:
    write(project, "rows.csv", "id\n1\n")
    body = "query_statement: select * from read_csv('rows.csv')\ntests: [{name: t, expect: []}]\n"
    status, message = outcomes(project, body)["t"]
    assert (status, "datasets/a.b.yaml:4" in (message or "")) == ("error", True)
    assert "disabled" in (message or "")


def test_an_error_of_the_sql_has_its_place(project: Path) -> None:
    body = "query_statement: |\n  select id,\n    nope(id) as x\n  from raw.t\nmaterialization: table\n"
    tests = "tests: [{name: t, given: {raw.t: [{id: 1}]}, expect: []}]\n"
    status, message = outcomes(project, body + tests)["t"]
    assert status == "error"
    assert (message or "").startswith("datasets/a.b.yaml:6:")


@pytest.mark.rule("41.4", "41.13")
def test_files_of_tests_belong_to_their_datasets(dli: Dli, project: Path) -> None:
    write(project, "datasets/daily.yaml", DAILY)
    other = "query_statement: select 1 as a\ntests: [{name: one, expect: {file: one.csv}}]\n"
    write(project, "datasets/other.yaml", HEAD.format(name="shop.other") + other)
    write(project, "datasets/one.csv", "a\n1\n")
    write(project, "tests/more/daily.yaml", "dataset: shop.daily\n" + ONLY_THE_DAY)
    write(project, "tests/of_python.yaml", "cases: [1, 2]\n")
    assert dli("dataset", "test", "shop.daily").out == "PASSED  shop.daily: only_the_day\n"
    subprocess.run(["git", "init", "-q", "-b", "main"], check=True)
    subprocess.run(["git", "add", "."], check=True)
    git = ["git", "-c", "user.name=d", "-c", "user.email=d@example.com", "commit", "-q", "-m", "all"]
    subprocess.run(git, check=True)
    assert dli("dataset", "test", "--changed").out == ""
    wrong = ONLY_THE_DAY.replace("15.00", "1")
    write(project, "tests/more/daily.yaml", "dataset: shop.daily\n" + wrong)
    assert dli("dataset", "test", "--changed").status == 1
    write(project, "datasets/one.csv", "a\n2\n")
    assert "shop.other: one" in dli("dataset", "test", "--changed").out
    write(project, "datasets/one.csv", "a\n1\n")
    assert dli("dataset", "test", "--select", "shop.*", "--exclude", "shop.daily").status == 0
    write(project, "tests/lost.yaml", "dataset: shop.dayly\n" + ONLY_THE_DAY)
    for command in ("test", "validate"):
        result = dli("dataset", command)
        assert result.status == 2
        assert (
            "tests/lost.yaml:1:10: this project has no dataset 'shop.dayly'. Did you mean 'shop.daily'?"
            in result.err
        )


@pytest.mark.rule("41.11")
def test_no_tests_at_all_are_told(dli: Dli, project: Path) -> None:
    write(project, "datasets/daily.yaml", DAILY)
    assert dli("dataset", "test").status == 3
    assert dli("dataset", "test", "shop.daily").status == 3
    assert dli("dataset", "test", "--select", "shop.*").status == 0
    assert dli("dataset", "test", "shop.dayly").status == 3


@pytest.mark.rule("41.14")
def test_watching_runs_the_tests_again_also_after_an_error(
    dli: Dli, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(project, "datasets/daily.yaml", DAILY)

    def changes(_root: Path) -> Iterator[list[str]]:
        write(project, "datasets/daily.yaml", DAILY + ONLY_THE_DAY)
        yield ["datasets/daily.yaml"]

    monkeypatch.setattr(watching, "changes", changes)
    result = dli("dataset", "test", "--watch")
    assert "This project has no unit tests." in result.err
    assert "Changed: datasets/daily.yaml" in result.err
    assert result.out == "PASSED  shop.daily: only_the_day\n"


@pytest.mark.rule("41.14")
def test_a_changed_file_is_noticed(project: Path) -> None:
    changes = watching.changes(project)
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.extend(next(changes)), daemon=True)
    thread.start()
    for number in range(600):
        write(project, "datasets/daily.yaml", f"{DAILY}# {number}\n")
        write(project, "notes.txt", "not watched")
        thread.join(timeout=0.2)
        if not thread.is_alive():
            break
    assert found == ["datasets/daily.yaml"]


def test_watching_without_its_library_says_what_to_install(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "watchfiles", None)
    with pytest.raises(InvalidUsage, match="--watch needs a library"):
        next(watching.changes(project))
