"""``dli dataset show --columns``, from the project and from the server."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest

from dataspec.isolation import Limits
from dataspec.models import DatasetLineage
from dli.project import isolated
from unit.dli.basecamp import Basecamp
from unit.dli.conftest import Dli

HEAD = "type: Dataset\nowner: dana@example.com\nexecution: {dialect: duckdb}\n"
SPECS = {
    "sales.orders": "query_statement: create or replace table sales.orders as select id, amount, day from raw.orders\n",
    "sales.daily": """\
query_statement: |
  create or replace table sales.daily as
  select day, sum(amount * r.rate) as total, count(*) as n, max(note) as note
  from sales.orders join raw.rates r using (day) join raw.notes using (day)
  group by day
schema:
  - {name: day, type: date, description: The day of the order.}
  - {name: total, type: bigint}
  - {name: n, type: bigint}
""",
    "sales.copy": "query_statement: create or replace table sales.copy as select * from sales.orders\n",
}
DAILY = """\
COLUMN   TYPE     FROM                                                                DESCRIPTION
day      date     raw.notes.day, raw.rates.day, sales.orders.day                      The day of the order.
total    bigint   raw.rates.rate, sales.orders.amount
n        bigint   no column
note              unknown: It is not certain of which table 'note' is a column.
"""


@pytest.fixture(autouse=True)
def shop(project: Path) -> None:
    for name, spec in SPECS.items():
        (project / "datasets" / f"{name}.yaml").write_text(f"name: {name}\n{HEAD}{spec}")


@pytest.mark.rule("22.44")
@pytest.mark.parametrize("named", ["sales.daily", "datasets/sales.daily.yaml"])
def test_each_column_is_listed_with_where_it_comes_from(dli: Dli, named: str) -> None:
    result = dli("dataset", "show", named, "--columns")
    assert result.status == 0
    assert [" ".join(line.split()) for line in result.out.splitlines()] == [
        " ".join(line.split()) for line in DAILY.splitlines()
    ]


@pytest.mark.rule("22.44", "10.18")
def test_a_star_is_expanded_by_the_other_datasets_of_the_project(dli: Dli, project: Path) -> None:
    result = dli("dataset", "show", "sales.copy", "--columns")
    assert [line.split()[0] for line in result.out.splitlines()] == ["COLUMN", "id", "amount", "day"]
    (project / "datasets" / "sales.orders.yaml").unlink()
    result = dli("dataset", "show", "sales.copy", "--columns")
    assert result.err == "Warning: It may have other columns. The columns of sales.orders are not known.\n"
    assert result.status == 0


@pytest.mark.rule("22.44", "32.25")
def test_the_server_tells_the_same_of_registered_datasets(dli: Dli, basecamp: Basecamp) -> None:
    for name, spec in SPECS.items():
        basecamp.put_code(name, f"name: {name}\n{HEAD}{spec}")
    for name in SPECS:
        here = json.loads(dli("dataset", "show", name, "--columns", "-f", "json").out)
        there = json.loads(dli("dataset", "show", name, "--columns", "--registered", "-f", "json").out)
        assert set(here) == {field.name for field in fields(DatasetLineage)}
        assert (here["source_type"], there["source_type"]) == (None, "code")
        for key in ("name", "reads", "writes", "columns", "unknown"):
            assert here[key] == there[key]
    assert here["columns"][0] == {
        "name": "id",
        "type": None,
        "description": None,
        "sources": [{"table": "sales.orders", "column": "id"}],
        "unknown": None,
    }
    human = dli("dataset", "show", "sales.copy", "--columns", "--registered", "--source", "code").out
    assert human == dli("dataset", "show", "sales.copy", "--columns").out


@pytest.mark.rule("10.19")
def test_a_query_that_takes_too_long_is_not_known_and_the_command_ends(
    dli: Dli, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolated, "LIMITS", Limits(cpu_seconds=0.05))
    steps = "".join(f",\nq{step} as (select * from q{step - 1})" for step in range(1, 400))
    sql = f"with q0 as (select a, b, c from t){steps}\nselect * from q399"
    (project / "datasets" / "long.sql").write_text(sql)
    (project / "datasets" / "long.yaml").write_text(f"name: long\n{HEAD}query_file: long.sql\n")
    result = dli("dataset", "show", "long", "--columns", "-f", "json")
    assert result.status == 0
    assert json.loads(result.out)["unknown"].startswith("Not known: it took")


@pytest.mark.rule("22.44")
def test_columns_are_those_of_the_current_spec(dli: Dli) -> None:
    for other in (["--sql"], ["--version", "abc"]):
        assert dli("dataset", "show", "sales.daily", "--columns", *other).status == 2
    assert dli("dataset", "show", "sales.none", "--columns").status == 3
