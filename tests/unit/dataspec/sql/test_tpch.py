from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from dataspec.spec.model import DatasetSpec
from dataspec.spec.run_values import resolve_run
from dataspec.sql.preview import SqlPreview, preview_sql
from dataspec.sql.rendering import render_statements
from dataspec.sql.validation import check_spec
from tpch.tables import ORDERS, fill, tables

DATASETS = Path(__file__).parents[3] / "tpch" / "datasets"
READS = {
    "q01": "lineitem",
    "q02": "nation part partsupp region supplier",
    "q03": "customer lineitem orders",
    "q04": "lineitem orders",
    "q05": "customer lineitem nation orders region supplier",
    "q06": "lineitem",
    "q07": "customer lineitem nation orders supplier",
    "q08": "customer lineitem nation orders part region supplier",
    "q09": "lineitem nation orders part partsupp supplier",
    "q10": "customer lineitem nation orders",
    "q11": "nation partsupp supplier",
    "q12": "lineitem orders",
    "q13": "customer orders",
    "q14": "lineitem part",
    "q15": "lineitem revenue0 supplier",
    "q16": "part partsupp supplier",
    "q17": "lineitem part",
    "q18": "customer lineitem orders",
    "q19": "lineitem part",
    "q20": "lineitem nation part partsupp supplier",
    "q21": "lineitem nation orders supplier",
    "q22": "customer orders",
}
"""The tables that TPC-H names for each query; the fifteenth reads a view that it makes and drops."""
WRITES = {"q15": ["revenue0"]}


class Query:
    """One of the queries, as a dataset."""

    def __init__(self, name: str) -> None:
        self.file = f"datasets/dataset.tpch.{name}.yaml"
        self.yaml = (DATASETS / f"dataset.tpch.{name}.yaml").read_bytes()
        self.sql = {path.name: path.read_text() for path in DATASETS.glob(f"{name}*.sql")}

    def spec(self) -> DatasetSpec:
        return check_spec(self.yaml, self.sql, file=self.file)

    def preview(self, **given: object) -> SqlPreview:
        spec = self.spec()
        values = resolve_run(spec, given).template
        return preview_sql(spec, self.sql, values, yaml=self.yaml, file=self.file)


pytestmark = pytest.mark.xdist_group("tpch")  # its tables are filled once


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        fill(connection, tmp_path_factory.mktemp("tpch"))
        yield connection


@pytest.mark.rule("9.14")
@pytest.mark.parametrize("name", READS)
def test_each_query_is_a_sound_dataset_that_runs_as_tpch_validates_it(name: str) -> None:
    spec = Query(name).spec()
    assert spec.name == f"tpch.{name}"
    assert not any(parameter.must_be_given for parameter in spec.parameters)


@pytest.mark.rule("10.6")
@pytest.mark.parametrize("name", READS)
def test_the_tables_that_each_query_reads_and_writes_are_those_of_tpch(name: str) -> None:
    preview = Query(name).preview()
    assert preview.reads == READS[name].split()
    assert preview.writes == WRITES.get(name, [])
    assert preview.warnings == []


@pytest.mark.rule("9.14")
@pytest.mark.parametrize("name", READS)
def test_each_query_finds_rows_on_duckdb(name: str, database: duckdb.DuckDBPyConnection) -> None:
    query = Query(name)
    spec = query.spec()
    values = resolve_run(spec, {}).template
    rows = []
    for statement in render_statements(spec, query.sql, values, dialect="duckdb", file=query.file):
        answer = database.execute(statement.sql).fetchall()
        if statement.kind == "query":
            rows = answer
    assert rows
    assert all(any(value is not None for value in row) for row in rows)
    views = database.execute("select count(*) from duckdb_views() where not internal").fetchone()
    assert views == (0,)


def test_what_is_given_takes_the_place_of_what_tpch_validates_with() -> None:
    (sql,) = Query("q12").preview(modes="RAIL,O'Hare", date="1995-02-01").statements
    assert "l_shipmode in ('RAIL', 'O''Hare')" in sql
    assert "l_receiptdate >= date '1995-02-01'" in sql
    assert "l_receiptdate < date '1996-02-01'" in sql
    assert "l_shipdate <= date '1998-09-02'" in Query("q01").preview().statements[0]


def test_the_tables_are_the_same_each_time_and_fit_together() -> None:
    made = tables()
    assert made == tables()
    assert len(made["orders"]) == ORDERS
    stock = {row[:2] for row in made["partsupp"]}
    assert {row[1:3] for row in made["lineitem"]} <= stock
