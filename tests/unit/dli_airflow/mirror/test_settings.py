"""Where a machine of Airflow keeps its copy of the datasets."""

from __future__ import annotations

from pathlib import Path

import pytest

from dli_airflow.mirror.settings import MirrorSettings


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({}, Path.home() / "airflow" / "dli-datasets"),
        ({"AIRFLOW_HOME": "/srv/airflow"}, Path("/srv/airflow/dli-datasets")),
        ({"AIRFLOW_HOME": "/srv/airflow", "DLI_DATASETS_DIR": "/data/dli"}, Path("/data/dli")),
        ({"DLI_DATASETS_DIR": "~/dli"}, Path.home() / "dli"),
    ],
)
def test_the_copy_is_in_a_folder_of_airflows_user(environ: dict[str, str], folder: Path) -> None:
    assert MirrorSettings.from_environment(environ).folder == folder
