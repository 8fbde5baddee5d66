"""``dli dataset run`` on Trino, by Trino's own client, against a coordinator that speaks its protocol."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripted_engine import ScriptedEngine
from unit.dli.conftest import Dli
from unit.dli.terminal import on_terminal
from unit.dli.trino_coordinator import Coordinator

SPEC = """\
name: shop.numbers
type: Dataset
owner: dana@example.com
execution: {connection: lake, dialect: trino}
pre_statements:
  - name: table
    sql: create table if not exists shop.numbers (n bigint)
query_file: numbers.sql
parameters: [{name: execution_date, type: date}]
"""


@pytest.fixture
def trino(project: Path) -> Iterator[Coordinator]:
    with Coordinator() as coordinator:
        url = f"trino://ann@127.0.0.1:{coordinator.port}/hive/sales"
        (project / "dli.yaml").write_text(f"connections: {{lake: {{url: '{url}'}}}}\n")
        (project / "datasets" / "numbers.yaml").write_text(SPEC)
        yield coordinator


def write(project: Path, sql: str) -> None:
    (project / "datasets" / "numbers.sql").write_text(sql)


@pytest.mark.rule("23.3")
def test_the_statements_go_to_the_catalog_and_schema_of_the_url_and_the_first_rows_come_back(
    dli: Dli, project: Path, trino: Coordinator
) -> None:
    write(project, "insert into shop.numbers select n from t where d = date '{{ execution_date }}';\n")
    result = dli("dataset", "run", "shop.numbers", "-p", "execution_date=2024-01-15", "--limit", "3")
    assert result.status == 0, result.err
    assert trino.statements == [
        "create table if not exists shop.numbers (n bigint)",
        "insert into shop.numbers select n from t where d = date '2024-01-15'",
        "select * from shop.numbers limit 3",
    ]
    assert "shop.numbers: 3 rows written" in result.err
    assert result.out.startswith("n\n0\n1\n2\n")
    said = {key.lower(): value for key, value in trino.queries[0].headers.items()}
    assert (said["x-trino-user"], said["x-trino-catalog"], said["x-trino-schema"]) == ("ann", "hive", "sales")
    assert said["x-trino-source"] == "dli"


def test_the_rows_of_a_query_are_read_to_their_end(dli: Dli, project: Path, trino: Coordinator) -> None:
    write(project, "select n from t")
    result = dli(
        "dataset", "run", "shop.numbers", "-p", "execution_date=2024-01-15", "--limit", "2", "-f", "json"
    )
    assert result.status == 0, result.err
    assert json.loads(result.out)["rows"] == [{"n": 0}, {"n": 1}]
    assert trino.queries[-1].polls == 3


@pytest.mark.rule("23.6")
def test_a_mistake_is_told_at_its_place_in_the_file(dli: Dli, project: Path, trino: Coordinator) -> None:
    write(project, "select\n       no_such\nfrom t\n")
    result = dli("dataset", "run", "shop.numbers", "-p", "execution_date=2024-01-15")
    assert result.status == 1
    assert "datasets/numbers.sql:2:8: " in result.err
    assert "Column 'no_such' cannot be resolved" in result.err


@pytest.mark.rule("23.7")
def test_ctrl_c_cancels_the_query_on_the_coordinator(project: Path, trino: Coordinator) -> None:
    write(project, "select n from endless")
    command = [
        sys.executable,
        "-m",
        "dli",
        "dataset",
        "run",
        "shop.numbers",
        "-p",
        "execution_date=2024-01-15",
    ]
    with subprocess.Popen(command, cwd=project, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 300
        while len(trino.queries) < 2 or trino.queries[1].polls < 2:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        told = process.stderr.read()
        assert process.wait() == 130
    assert trino.queries[1].cancelled
    assert "Traceback" not in told


@pytest.mark.rule("23.12")
def test_on_a_terminal_the_share_that_trino_tells_is_shown(project: Path, trino: Coordinator) -> None:
    write(project, "select n from endless")
    arguments = ["dataset", "run", "shop.numbers", "-p", "execution_date=2024-01-15"]
    seen = on_terminal(arguments, keys=[("25%", "\x03")])
    assert seen.status == 130
    assert trino.queries[1].cancelled


@pytest.mark.rule("35.30", "37.6")
def test_a_partition_is_published_by_one_merge(dli: Dli, project: Path, trino: Coordinator) -> None:
    scripted = ScriptedEngine("trino", ("day", "id", "name"))
    trino.answers = scripted.answer
    (project / "datasets" / "orders.yaml").write_text(
        "name: shop.orders\ntype: Dataset\nowner: dana@example.com\nexecution: {connection: lake}\n"
        "query_statement: select day, id, name from shop.clicks where day = date '{{ execution_date }}'\n"
        "parameters: [{name: execution_date, type: date}]\n"
        "materialization: {type: incremental, strategy: replace_partition, partition_column: day}\n"
    )
    result = dli("dataset", "run", "shop.orders", "-p", "execution_date=2024-01-15", "--limit", "0")
    assert result.status == 0, result.err
    assert "shop.orders: 3 rows written" in result.err
    kinds = [sql.split()[0] for sql in trino.statements if not sql.startswith("select")]
    assert kinds == ["drop", "create", "insert", "merge", "drop"]
    assert 'merge into "lake"."shop"."orders" as target' in trino.statements[-2]


@pytest.mark.rule("35.32")
def test_a_catalog_of_another_connector_is_refused_before_anything_is_written(
    dli: Dli, project: Path, trino: Coordinator
) -> None:
    scripted = ScriptedEngine("trino")
    hive = "the catalog lake has the connector hive"
    trino.answers = lambda sql: [(hive,)] if "system.metadata.catalogs" in sql else scripted.answer(sql)
    (project / "datasets" / "orders.yaml").write_text(
        "name: shop.orders\ntype: Dataset\nowner: dana@example.com\nexecution: {connection: lake}\n"
        "query_statement: select day, id, name from shop.clicks\nmaterialization: table\n"
    )
    result = dli("dataset", "run", "shop.orders")
    assert result.status == 1
    assert f"{hive}; rows are published in catalogs of Iceberg or Delta Lake alone." in result.err
    assert all(sql.startswith("select") for sql in trino.statements)
