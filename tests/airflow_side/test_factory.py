from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from airflow_side.airflow_names import IS_2, DagSerialization, forget_timetables
from dli_airflow.airflow_api import DAG
from dli_airflow.factory import build_dag, load
from dli_airflow.mirror.broken_dags import BrokenDags
from dli_airflow.mirror.dag_folder import DagFolder, lines_of
from dli_airflow.operator import DatasetOperator
from dli_airflow.timetable import DatasetTimetable
from unit.dli_airflow.catalogs import datasets

FULL = """\
team: "@{team}"
description: Clicks of a day
tags: [nightly]
depends_on: [raw.clicks]
parameters:
  - {{name: execution_date, type: date}}
  - {{name: limit, type: integer, default: 10, choices: [10, 20], description: How many}}
execution: {{connection: lake, timeout_seconds: 90}}
schedule:
  cron: 0 9 * * *
  timezone: Asia/Seoul
  enabled: {enabled}
  retry: {{max_attempts: 3, delay_seconds: 7}}
"""


def dag_of(more: str = "", name: str = "web.clicks", base_url: str | None = None) -> DAG:
    [dataset] = datasets(name, more=more)
    return build_dag(dataset, base_url=base_url, turns=Path("/nowhere"))


def full(*, enabled: bool = True) -> str:
    return FULL.format(team="x" * 99, enabled=str(enabled).lower())


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    DagFolder(tmp_path / "dags", shards=1, base_url=None).write(datasets("a", "b", "c"), [])
    return tmp_path / "dags" / "shard_000.py"


@pytest.fixture
def in_a_worker_for_b(monkeypatch: pytest.MonkeyPatch) -> None:
    # As Airflow's task runner does; its own context manager never takes the variable away again.
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "b")


@pytest.mark.rule("3.3", "15.13")
def test_a_dag_says_what_the_spec_says() -> None:
    dag = dag_of(full())
    assert dag.dag_id == "web.clicks"
    assert dag.description == "Clicks of a day"
    assert isinstance(dag.timetable, DatasetTimetable)
    assert dag.timetable.summary == "0 9 * * * (Asia/Seoul)"
    assert set(dag.tags) == {"source:manual", "team:@" + "x" * 94, "owner:a@example.com", "nightly"}
    task = dag.get_task("run")
    assert isinstance(task, DatasetOperator)
    assert (task.owner, task.retries, task.retry_delay) == ("a@example.com", 3, timedelta(seconds=7))
    assert task.execution_timeout == timedelta(seconds=90)


@pytest.mark.rule("7.2", "12.4")
def test_runs_wait_at_the_task_and_no_setting_of_airflows_pauses_the_dag() -> None:
    dag = dag_of(full())
    assert dag.get_task("run").max_active_tis_per_dag == 1
    assert dag.max_active_runs == 1000
    assert dag.max_consecutive_failed_dag_runs == 0
    assert dag.is_paused_upon_creation is False
    assert dag.catchup is False
    assert IS_2 or dag.disable_bundle_versioning is True


@pytest.mark.rule("7.5")
@pytest.mark.parametrize("more", ["", full(enabled=False)])
def test_without_an_enabled_schedule_no_run_is_ever_due(more: str) -> None:
    dag = dag_of(more)
    assert not dag.timetable.can_be_scheduled


@pytest.mark.rule("8.10")
def test_parameters_never_keep_airflow_from_scheduling_or_starting_a_run() -> None:
    params = dag_of(full()).params
    assert params.validate() == {"execution_date": None, "limit": 10}
    for value in ("many", 1.5, True, [1], {"a": 1}, None):
        assert params.get_param("limit").resolve(value) == value
    assert params.get_param("limit").schema["type"][0] == "integer"
    assert params.get_param("limit").schema["examples"] == [10, 20]
    assert params.get_param("limit").description == "How many (integer; optional; one of 10, 20)"
    assert params.get_param("execution_date").description == "(date; required)"


@pytest.mark.rule("15.13")
def test_the_documents_last_line_tells_the_version_the_source_and_the_key() -> None:
    [dataset] = datasets("web.clicks", more=full())
    dag = build_dag(dataset, base_url="https://basecamp.example.com/", turns=Path("/nowhere"))
    lines = dag.doc_md.splitlines()
    assert lines[-1] == f"spec {dataset.spec_hash} · manual · manual/web.clicks.yaml"
    assert "[web.clicks in Basecamp](https://basecamp.example.com/workflows/web.clicks)" in lines
    assert lines[0] == "Clicks of a day"


def test_without_basecamps_address_there_is_no_link() -> None:
    assert "Basecamp" not in dag_of(full()).doc_md


def test_airflow_can_store_the_dag_and_read_it_back() -> None:
    dag = dag_of(full(), base_url="http://basecamp")
    stored = json.loads(json.dumps(DagSerialization.to_dict(dag)))
    found = DagSerialization.from_dict(stored)
    assert found.timetable.summary == dag.timetable.summary
    assert found.doc_md == dag.doc_md


def test_a_file_of_the_bundle_holds_the_dags_of_its_datasets(shard: Path) -> None:
    module: dict[str, object] = {"__file__": str(shard)}
    exec(shard.read_text(), module)
    assert {name for name, value in module.items() if isinstance(value, DAG)} == {"a", "b", "c"}


@pytest.mark.rule("15.9")
def test_a_worker_builds_the_one_dag_that_it_runs(shard: Path, in_a_worker_for_b: None) -> None:
    assert list(load(str(shard))) == ["b"]


@pytest.mark.rule("15.10")
def test_a_dataset_that_can_not_be_built_hurts_no_other_and_is_noted(shard: Path) -> None:
    lines = lines_of(shard).read_text().splitlines()
    data = json.loads(lines[2])
    assert data["name"] == "b"
    data["spec"]["owner"] = 7
    lines_of(shard).write_text("\n".join([*lines[:2], json.dumps(data), *lines[3:]]))
    assert sorted(load(str(shard))) == ["a", "c"]
    [note] = BrokenDags(shard.parent)
    assert (note.name, note.spec_hash) == ("b", data["spec_hash"])
    assert "owner" in note.reason
    lines_of(shard).write_text("\n".join(lines))
    assert sorted(load(str(shard))) == ["a", "b", "c"]
    assert list(BrokenDags(shard.parent)) == []


@pytest.mark.rule("15.10")
def test_a_dag_that_airflow_could_not_store_hurts_no_other(
    shard: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = lines_of(shard).read_text().splitlines()
    data = json.loads(lines[2])
    data["spec"]["schedule"] = {"cron": "0 9 * * *"}
    lines_of(shard).write_text("\n".join([*lines[:2], json.dumps(data), *lines[3:]]))
    with monkeypatch.context() as half_installed:
        forget_timetables(half_installed)
        assert sorted(load(str(shard))) == ["a", "c"]
    [note] = BrokenDags(shard.parent)
    assert note.name == "b"
    assert "DatasetTimetable" in note.reason
    assert sorted(load(str(shard))) == ["a", "b", "c"]


@pytest.mark.rule("15.9")
def test_parsing_loads_no_sql_parser_no_engine_and_no_store(shard: Path) -> None:
    check = (
        "import sys, runpy; runpy.run_path(sys.argv[1]); "
        "print([m for m in ('sqlglot', 'duckdb', 'obstore', 'airflow.providers.common.sql.hooks.sql') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", check, shard], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
