"""``dli import dbt``: packages, versions, aliases, hooks, tests of sources, odd seeds."""

from __future__ import annotations

import duckdb
import pytest

from unit.dli.dbt.importing_here import Imported, dli, import_files, spec_of, sql_of
from unit.dli.dbt.odd_project import FILES


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Imported:
    """The odd project, imported into a new project."""
    return import_files(FILES, tmp_path_factory.mktemp("odd"))


@pytest.mark.rule("39.1")
def test_the_specs_are_valid_and_run(odd: Imported) -> None:
    status, told = dli("dataset", "validate", "--path", str(odd.project))
    assert status == 0, told
    with duckdb.connect(str(odd.project / "warehouse.duckdb")) as warehouse:
        warehouse.execute("create schema raw; create schema shop")
        rows = "(3, 'bread', 7), (4, 'cake', 8), (5, 'bread', 9), (6, 'bread', 2), (1, 'cake', 99)"
        warehouse.execute(
            f"create table raw.sales as select * from (values {rows}) as v (id, product, amount)"
        )
        times = "(1, timestamp '2024-01-14 10:00:00'), (2, timestamp '2024-01-15 10:00:00')"
        warehouse.execute(f"create table raw.events as select * from (values {times}) as v (id, happened_at)")
    day = ("-p", "execution_date=2024-01-15")
    status, told = dli("dataset", "run", "--all", "--path", str(odd.project), *day)
    assert status == 0, told
    with duckdb.connect(str(odd.project / "warehouse.duckdb"), read_only=True) as warehouse:
        last = warehouse.execute("select * from shop.last order by product").fetchall()
        prices = warehouse.execute("select product, price::varchar, typeof(price) from odd.prices").fetchall()
        batch = warehouse.execute("select id from shop.batches").fetchall()
        nothing = warehouse.execute("select * from odd.nothing").fetchall()
        listed = warehouse.execute("select id, amount from shop.lists order by id").fetchall()
    assert last == [("bread", 2, 1), ("cake", 1, 1)]
    assert sorted(prices) == [("bread", "3.50", "DECIMAL(10,2)"), ("cake", None, "DECIMAL(10,2)")]
    assert nothing == []
    assert batch == [(2,)]
    assert listed == [(3, 7), (4, 8), (5, 9)]


@pytest.mark.rule("39.2")
def test_names_schemas_aliases_and_versions_are_those_of_dbt(odd: Imported) -> None:
    sales = spec_of(odd.project, "shop.sales")
    assert sales["materialization"] == {"type": "table", "table": "shop.all_sales"}
    assert sales["pre_statements"] == [
        {"name": "pre_hook 1", "sql": "create table if not exists shop.log (n int)"}
    ]
    assert spec_of(odd.project, "odd.one")["materialization"] == "view"
    assert spec_of(odd.project, "shop.last")["depends_on"] == ["shop.report_v2", "odd.one"]
    report = spec_of(odd.project, "shop.report_v2")
    assert (report["owner"], report["depends_on"]) == ("finance@example.com", ["shop.middle"])
    assert report["schema"][0] == {"name": "product", "type": "varchar", "description": "What was sold."}
    assert not list(odd.project.glob("**/*off*"))


@pytest.mark.rule("39.2")
def test_variables_and_the_macros_of_packages_are_written_out(odd: Imported) -> None:
    assert "where amount > 5 and id > 2\n" in sql_of(odd.project, "shop.sales")
    assert sql_of(odd.project, "shop.lists") == "select id, amount\nfrom shop.all_sales\n"


@pytest.mark.rule("39.4")
def test_tests_of_a_source_are_checks_of_the_dataset_that_reads_it_first(odd: Imported) -> None:
    checks = spec_of(odd.project, "shop.sales")["checks"]
    assert [check["name"] for check in checks] == [
        "source_sales_unique_id",
        "source_sales_not_null_id",
        "source_sales_relationships_product",
    ]
    assert {check["severity"] for check in checks} == {"warn"}
    assert checks[1]["sql"] == "select * from raw.sales where id is null"
    assert "odd.prices" in spec_of(odd.project, "shop.sales")["depends_on"]


@pytest.mark.rule("39.6")
@pytest.mark.parametrize(
    "told",
    [
        "models/middle.sql:1:1: an ephemeral model became a view",
        "models/replaced.sql:1:1: the model 'replaced' was not turned: the strategy 'insert_overwrite' has no",
        "the test 'not_null' of the column 'id' was not turned: no model reads the source.",
        "models/report_v1.sql:1:1: the column 'gone' was left out: the query does not yield it.",
        "the freshness of the source 'till.sales' was not turned.",
        "snapshots/kept.sql:1:1: snapshots have no counterpart in a spec, so these were not turned: kept.",
        "models/broken.yml:2:1: no valid YAML:",
    ],
)
def test_what_has_no_counterpart_is_told(odd: Imported, told: str) -> None:
    assert told in odd.told


@pytest.mark.rule("39.11")
def test_a_model_in_batches_replaces_the_partition_of_a_run(odd: Imported) -> None:
    spec = spec_of(odd.project, "shop.batches")
    assert spec["parameters"] == [{"name": "execution_date", "type": "date"}]
    assert spec["materialization"]["strategy"] == "replace_partition"
    assert spec["materialization"]["partition_column"] == "happened_at"
    assert "happened_at >= cast('{{ partition_start }}' as timestamp)" in sql_of(odd.project, "shop.batches")
