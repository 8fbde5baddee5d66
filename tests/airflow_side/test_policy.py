"""Whatever parses DAGs notes those that are not the factory's, and refuses none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_side.airflow_names import IS_2
from dli_airflow import policy
from dli_airflow.mirror.dag_folder import DagFolder
from dli_airflow.mirror.other_dags import OtherDags
from unit.dli_airflow.catalogs import datasets

try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:
    from airflow.models.dagbag import DagBag

DAG_FILE = '''\
"""A DAG of the company's own, for airflow."""
import datetime
try:
    from airflow.sdk import DAG
except ImportError:
    from airflow import DAG
with DAG("a.b", schedule=None, start_date=datetime.datetime(2024, 1, 1)):
    pass
'''


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of this machine's mirror, as Airflow's processes are told of it."""
    folder = tmp_path / "bundles" / "sets"
    bundles = [
        {
            "name": "company",
            "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
            "kwargs": {},
        },  # the DAGs folder
        {"name": "sets", "classpath": "dli_airflow.bundle.DatasetBundle", "kwargs": {}},
    ]
    monkeypatch.delenv("DLI_STORE_URL", raising=False)
    monkeypatch.setenv("AIRFLOW__CORE__DAGS_FOLDER", str(tmp_path / "dags"))
    if IS_2:
        monkeypatch.setenv("DLI_STORE_URL", "s3://bucket")
        monkeypatch.setenv("DLI_DATASETS_DIR", str(folder))
    else:
        monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH", str(tmp_path / "bundles"))
        monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps(bundles))
    return folder


def load(folder: Path) -> DagBag:
    """Load a folder of DAGs as Airflow does."""
    return DagBag(dag_folder=folder)


@pytest.mark.rule("15.19")
def test_a_dag_that_is_not_the_factorys_is_noted_with_its_file_and_loads(
    tmp_path: Path, mirror: Path
) -> None:
    file = tmp_path / "dags" / "etl.py"
    file.parent.mkdir()
    file.write_text(DAG_FILE)
    assert list(load(file.parent).dags) == ["a.b"]
    place = str(file) if IS_2 else f"{file} in the bundle 'company'"
    assert OtherDags(mirror).among(["a.b"]) == {"a.b": place}


@pytest.mark.rule("15.19")
def test_a_dag_of_the_factory_is_not_noted(tmp_path: Path, mirror: Path) -> None:
    folder = DagFolder(tmp_path / "dags", shards=1, base_url=None)
    folder.write(datasets("a.b"), [])
    assert list(load(tmp_path / "dags").dags) == ["a.b"]
    assert OtherDags(mirror).among(["a.b"]) == {}


@pytest.mark.rule("15.19")
def test_a_dag_that_cannot_be_noted_loads_all_the_same(
    tmp_path: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy, "mirrors", lambda: 1 / 0)
    file = tmp_path / "etl.py"
    file.write_text(DAG_FILE)
    bag = load(file)
    assert (list(bag.dags), bag.import_errors) == (["a.b"], {})
