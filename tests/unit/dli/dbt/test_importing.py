"""``dli import dbt``: a dbt project becomes specs that are valid and build the same rows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from dli.dbt import importing
from unit.dli.dbt.bakery import FILES
from unit.dli.dbt.importing_here import Imported, dli, import_files, spec_of, sql_of, write_files


@pytest.fixture(scope="module")
def bakery(tmp_path_factory: pytest.TempPathFactory) -> Imported:
    """The bakery, imported into a new project."""
    return import_files(FILES, tmp_path_factory.mktemp("bakery"))


@pytest.mark.rule("39.1")
def test_every_spec_is_valid_and_builds_the_rows_of_its_model(bakery: Imported) -> None:
    project, out = bakery.project, bakery.told
    status, validated = dli("dataset", "validate", "--path", str(project))
    assert (status, "Warning" in validated) == (0, False), validated
    for kind, found, turned in (("models", 6, 4), ("seeds", 2, 2), ("unit tests", 1, 1)):
        assert [kind, str(found), str(turned)] in [line.rsplit(maxsplit=2) for line in out.splitlines()]
    status, ran = dli("dataset", "run", "--all", "--path", str(project))
    assert status == 0, ran
    with duckdb.connect(str(project / "warehouse.duckdb"), read_only=True) as warehouse:
        by_kind = warehouse.execute("select * from bakery.sales_by_kind order by sold_on").fetchall()
        log = warehouse.execute("select sale_id, amount, rounded from bakery.stg_sales").fetchall()
    assert [(str(day), float(basic), float(sweet)) for day, basic, sweet, _ in by_kind] == [
        ("2024-01-01", 3.5, 12.0),
        ("2024-01-02", 0.0, 12.0),
    ]
    assert sorted((one, float(amount), float(rounded)) for one, amount, rounded in log) == [
        (1, 3.5, 350.1),
        (2, 12.0, 1200.1),
        (3, 12.0, 1200.1),
    ]


@pytest.mark.rule("39.2")
def test_a_model_keeps_its_loops_its_description_and_its_tags(bakery: Imported) -> None:
    project = bakery.project
    assert "{% for kind in kinds %}" in sql_of(project, "bakery.sales_by_kind")
    spec = spec_of(project, "bakery.customers")
    assert spec["description"] == "One row for each customer."
    assert spec["tags"] == ["nightly", "mart"]
    assert spec["depends_on"] == ["bakery.stg_sales"]
    assert spec["materialization"] == "table"
    assert spec_of(project, "bakery.stg_sales")["tags"] == ["nightly", "till"]
    assert spec_of(project, "bakery.stg_sales")["materialization"] == "view"


@pytest.mark.rule("39.2")
def test_an_incremental_model_becomes_a_merge_that_asks_whether_its_table_is_there(bakery: Imported) -> None:
    project = bakery.project
    spec = spec_of(project, "bakery.sales_log")
    assert spec["materialization"] == {
        "type": "incremental",
        "strategy": "merge",
        "unique_key": ["sale_id"],
        "on_schema_change": "append_columns",
    }
    assert spec["post_statements"] == [{"name": "post_hook 1", "sql": "analyze {{ this }}"}]
    sql = sql_of(project, "bakery.sales_log")
    assert "{% if table_exists %}" in sql
    assert "max(sold_on) from {{ this }}" in sql
    assert "config(" not in sql


@pytest.mark.rule("39.9")
def test_columns_are_described_whole_with_the_text_of_a_docs_block(bakery: Imported) -> None:
    project = bakery.project
    assert spec_of(project, "bakery.sales_log")["schema"] == [
        {"name": "sale_id"},
        {"name": "sold_on"},
        {"name": "amount", "description": "What was paid, in euros."},
    ]
    assert spec_of(project, "bakery.customers")["schema"][0]["tags"] == ["pii"]


@pytest.mark.rule("39.4")
def test_tests_become_checks(bakery: Imported) -> None:
    project = bakery.project
    never = "select sold_on from {{ this }} where sold_on > date '2100-01-01'"
    assert spec_of(project, "bakery.sales_log")["checks"] == [
        {"unique": ["sale_id"], "severity": "warn"},
        {"not_null": ["sale_id", "sold_on"]},
        {"sql": never},
        {"expression": "amount >= 0", "where": "amount is not null"},
    ]
    assert spec_of(project, "bakery.stg_sales")["checks"] == [
        {"accepted_values": {"column": "state", "values": ["open", "closed", "held"]}},
        {"relationships": {"column": "product", "to": "raw.raw_products", "field": "product"}},
    ]


@pytest.mark.rule("39.4")
def test_a_singular_test_is_a_check_of_the_dataset_that_is_built_last(bakery: Imported) -> None:
    project = bakery.project
    (check,) = [one for one in spec_of(project, "bakery.customers")["checks"] if "sql" in one]
    assert check["name"] == "no_free_sales"
    assert "from {{ this }} as c\njoin bakery.stg_sales as s" in check["sql"]


@pytest.mark.rule("39.5")
def test_a_macro_stays_one_where_its_argument_is_a_name_and_is_written_out_elsewhere(
    bakery: Imported,
) -> None:
    project = bakery.project
    sql = sql_of(project, "bakery.stg_sales")
    assert "{% from 'macros/money.sql' import cents %}" in sql
    assert "{{ cents('cents') }} as amount" in sql
    assert "round(cents + 5 / 100.0, 1) as rounded" in sql
    assert "label" in sql_of(project, "bakery.customers")
    assert "{% macro cents(" in (project / "macros" / "money.sql").read_text()


@pytest.mark.rule("39.6")
def test_what_could_not_be_turned_is_told_with_its_place_and_the_reason(bakery: Imported) -> None:
    told = bakery.told
    for place, reason in (
        (
            "models/marts/model.py:1:1",
            "the model 'model' was not turned: it is Python, and a dataset is SQL.",
        ),
        ("models/marts/states.sql:1:1", "'dbt_utils' is undefined"),
        (
            "models/marts/marts.yml:29:13",
            "there is no macro 'dbt_expectations.expect_column_stdev_to_be_between'",
        ),
        (
            "models/marts/marts.yml:40:13",
            "reads bakery.customers, which is built from bakery.stg_sales later",
        ),
        (
            "models/marts/marts.yml:60:5",
            "exposures have no counterpart in a spec, so these were not turned: till_report.",
        ),
    ):
        (line,) = [line for line in told.splitlines() if reason in line]
        assert place in line


@pytest.mark.rule("39.7")
def test_a_second_import_changes_nothing(bakery: Imported, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in bakery.project.rglob("*.yaml")}
    source = write_files(tmp_path / "dbt", FILES)
    status, told = dli("import", "dbt", str(source), "--path", str(bakery.project))
    assert status != 0
    assert "The project has datasets of these names already: bakery.customers, " in told
    assert {path: path.read_bytes() for path in before} == before
    assert sorted(path.name for path in source.iterdir()) == sorted({name.split("/")[0] for name in FILES})


@pytest.mark.rule("39.3")
def test_a_model_that_asks_the_database_is_what_dbt_compiled(tmp_path: Path) -> None:
    model = "{% set last = run_query('select 1').columns[0] %}\nselect {{ last }} as n from {{ ref('stg_sales') }}\n"
    source = write_files(tmp_path / "dbt", FILES | {"models/marts/asks.sql": model})
    _, told = dli("import", "dbt", str(source), "--path", str(tmp_path), "--dry-run")
    assert (
        "models/marts/asks.sql:1:1: the model 'asks' was not turned: 'run_query' asks the database." in told
    )
    stored = '"db"."main"."stg_sales"'
    nodes = {
        "model.bakery.asks": {"compiled_code": f"\nselect 1 as n from {stored}\n"},
        "model.bakery.stg_sales": {"relation_name": stored},
    }
    manifest = {"metadata": {"adapter_type": "duckdb"}, "nodes": nodes}
    (source / "target").mkdir()
    (source / "target" / "manifest.json").write_text(json.dumps(manifest))
    status, told = dli(
        "import", "dbt", str(source), "--path", str(tmp_path), "--manifest", "target/manifest.json"
    )
    assert status == 0, told
    assert sql_of(tmp_path, "bakery.asks") == "select 1 as n from bakery.stg_sales\n"
    assert "the compiled SQL was taken: 'run_query' asks the database." in told


def write_model(folder: Path, sql: str) -> Path:
    (folder / "models").mkdir(parents=True)
    (folder / "dbt_project.yml").write_text("name: hostile\n")
    (folder / "models" / "m.sql").write_text(sql)
    return folder


@pytest.mark.rule("39.8")
def test_a_template_that_reaches_for_python_is_refused(tmp_path: Path) -> None:
    source = write_model(tmp_path / "dbt", "select {{ ''.__class__.__mro__ }}")
    _, told = dli("import", "dbt", str(source), "--path", str(tmp_path))
    assert "the model 'm' was not turned: Jinja says: access to attribute '__class__'" in told
    assert not (tmp_path / "datasets").exists()


@pytest.mark.rule("39.8")
def test_a_template_without_an_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "LIMITS", replace(importing.LIMITS, cpu_seconds=1))
    loop = "{% for i in range(99999) %}{% for j in range(99999) %}{{ var('v', j) }}{% endfor %}{% endfor %}"
    source = write_model(tmp_path / "dbt", loop)
    status, told = dli("import", "dbt", str(source), "--path", str(tmp_path))
    assert status == 2
    assert "can't be read: it took more than" in told
    assert not (tmp_path / "datasets").exists()


def test_a_folder_without_a_dbt_project_is_told(tmp_path: Path) -> None:
    status, told = dli("import", "dbt", str(tmp_path))
    assert status == 3
    assert "It has no dbt_project.yml. Give the folder that has it." in told


@pytest.mark.rule("39.10")
def test_a_unit_test_of_dbt_is_one_here_and_passes(bakery: Imported) -> None:
    (test,) = spec_of(bakery.project, "bakery.customers")["tests"]
    assert test["name"] == "amounts_are_euros"
    assert test["expect"] == [{"customer_id": "ann", "sales": 2}]
    status, told = dli("dataset", "test", "--path", str(bakery.project))
    assert (status, "1 passed" in told) == (0, True), told


@pytest.mark.rule("39.7")
def test_nothing_is_written_into_the_dbt_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(write_model(tmp_path / "dbt", "select 1 as n\n"))
    status, told = dli("import", "dbt", ".")
    assert status == 4
    assert "The specs would be written into the dbt project.\n       Nothing was written." in told
    assert sorted(path.name for path in Path().iterdir()) == ["dbt_project.yml", "models"]


@pytest.mark.rule("39.6")
def test_programs_get_the_same_list_as_json(tmp_path: Path) -> None:
    source = write_model(tmp_path / "dbt", "select {{ target.name }} as n\n")
    _, told = dli("import", "dbt", str(source), "--dry-run", "--path", str(tmp_path), "-f", "json")
    (problem,) = json.loads(told)["problems"]
    assert json.loads(told)["kinds"] == [{"kind": "models", "found": 1, "turned": 0}]
    assert "'target.name' is in dbt's profile: give it by --target" in problem["message"]
    _, told = dli(
        "import", "dbt", str(source), "--target", "1", "--dry-run", "--path", str(tmp_path), "-f", "json"
    )
    assert json.loads(told)["datasets"] == ["hostile.m"]
    assert not (tmp_path / "datasets").exists()


def test_variables_that_are_no_mapping_are_refused(tmp_path: Path) -> None:
    status, told = dli("import", "dbt", str(tmp_path), "--vars", "a=1")
    assert (status, "--vars 'a=1' is no mapping in YAML." in told) == (2, True)


def test_sql_of_another_engine_keeps_its_dialect_and_the_connection_is_told(tmp_path: Path) -> None:
    source = write_model(tmp_path / "dbt", "select cast(1 as text) as n\n")
    (source / "profiles.yml").write_text("hostile: {outputs: {dev: {type: postgres, password: secret}}}\n")
    status, told = dli("import", "dbt", str(source), "--path", str(tmp_path))
    assert status == 0, told
    assert spec_of(tmp_path, "hostile.m")["execution"] == {"dialect": "postgres"}
    assert "the SQL is of postgres, and the connection 'dli_default' is duckdb here." in told
    assert "secret" not in told
