"""``dli dataset init --sql``: the spec of a query."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from unit.dli.conftest import Dli

DAILY = """\
select
    ordered_at::date as day,
    product,
    count(*) as orders
from shop.orders
where ordered_at::date = date '{{ execution_date }}'
{% if product %}and product = '{{ product }}'{% endif %}
and amount >= {{ minimum }} and state in ({{ states }})
group by all
"""


@pytest.fixture
def orders(project: Path) -> Path:
    """A project with a table to select from; returns the file of a query outside the folder of the specs."""
    with duckdb.connect(str(project / "warehouse.duckdb")) as warehouse:
        warehouse.execute("create schema shop")
        warehouse.execute(
            "create table shop.orders as select timestamp '2024-01-15 10:00:00' as ordered_at, 'cup' as product, "
            "5 as amount, 'open' as state"
        )
    query = project / "shop.daily.sql"
    query.write_text(DAILY)
    return query


def written(project: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((project / "datasets" / f"dataset.{name}.yaml").read_text())
    return found


@pytest.mark.rule("22.47")
def test_the_spec_of_a_query_has_its_parameters_and_its_columns_with_types_and_runs(
    dli: Dli, project: Path, orders: Path
) -> None:
    made = dli("dataset", "init", "--sql", str(orders), "--partition-column", "day")
    assert made.status == 0, made.err
    assert made.out == "Created: datasets/dataset.shop.daily.yaml\nCreated: datasets/shop.daily.sql\n"
    spec = written(project, "shop.daily")
    assert {one["name"]: one["type"] for one in spec["parameters"]} == {
        "execution_date": "date",
        "minimum": "integer",
        "product": "string",
        "states": "list",
    }
    assert spec["schema"] == [
        {"name": "day", "type": "date"},
        {"name": "product", "type": "varchar"},
        {"name": "orders", "type": "bigint"},
    ]
    assert spec["materialization"] == {
        "type": "incremental",
        "strategy": "replace_partition",
        "partition_column": "day",
    }
    values = ["execution_date=2024-01-15", "minimum=1", "product=cup", "states=open,held"]
    ran = dli("dataset", "run", "shop.daily", *(word for value in values for word in ("-p", value)))
    assert ran.out == "day          product   orders\n2024-01-15   cup       1\n", ran.err


@pytest.mark.rule("22.47")
def test_without_the_tables_the_sql_alone_tells_the_columns(dli: Dli, project: Path) -> None:
    query = project / "datasets" / "rates.sql"
    query.write_text("select cast(day as date) as day, code, rate * 2.5 as rate from raw.rates\n")
    made = dli("dataset", "init", "ref.rates", "--sql", "datasets/rates.sql")
    assert made.out == "Created: datasets/dataset.ref.rates.yaml\n", made.err
    spec = written(project, "ref.rates")
    assert spec["query_file"] == "rates.sql"
    assert spec["schema"][:2] == [{"name": "day", "type": "date"}, {"name": "code"}]
    assert spec["materialization"] == "table"
    assert "parameters" not in spec
    assert dli("dataset", "validate").status == 0


@pytest.mark.rule("22.48")
def test_the_partition_column_is_asked_on_a_terminal(
    dli: Dli, project: Path, orders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = dli("dataset", "init", "--sql", str(orders))
    assert refused.status == 2
    assert (
        "which of its columns has the date of a run?\n       The query has: day, product, orders.\n"
        in refused.err
    )
    assert not list(project.glob("datasets/*"))
    monkeypatch.setattr("dli.commands.dataset.init.is_interactive", lambda: True)
    monkeypatch.setattr("click.prompt", lambda text, default, err: default)
    assert dli("dataset", "init", "--sql", str(orders)).status == 0
    assert written(project, "shop.daily")["materialization"]["partition_column"] == "day"


@pytest.mark.parametrize(
    ("sql", "more", "told"),
    [
        ("select 1 as n", ["--partition-column", "n"], "The query has no partition."),
        (DAILY, ["--partition-column", "dya"], "The query has no column 'dya'."),
        ("select {{ a", [], "q.sql:1"),
        ("select {{ a | nothing }}", [], "there is no filter 'nothing'"),
    ],
)
def test_a_query_that_gives_no_spec_is_told(
    dli: Dli, project: Path, sql: str, more: list[str], told: str
) -> None:
    (project / "q.sql").write_text(sql)
    refused = dli("dataset", "init", "a.b", "--sql", "q.sql", *more)
    assert refused.status == 2
    assert told in refused.err
    assert not list(project.glob("datasets/*"))


def test_sql_that_writes_keeps_its_own_statements(dli: Dli, project: Path) -> None:
    (project / "q.sql").write_text("insert into a.b select 1 as n\n")
    assert dli("dataset", "init", "a.b", "--sql", "q.sql").status == 0
    assert "materialization" not in written(project, "a.b")


def test_a_missing_query_is_told(dli: Dli) -> None:
    refused = dli("dataset", "init", "a.b", "--sql", "nowhere.sql")
    assert refused.status == 3
    assert refused.err.startswith("Error: No such file: nowhere.sql\n")
