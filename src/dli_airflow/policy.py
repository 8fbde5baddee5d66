"""The cluster policy that notes every DAG that is not the factory's (the entry point ``airflow.policy``).

Airflow calls it for each DAG that it parses, in whichever file or bundle. It changes no DAG and
refuses none: it says on this machine which ids others use (:mod:`dli_airflow.other_dags`).
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.configuration import conf
from airflow.policies import hookimpl

from dli_airflow.dag_files import FileSettings
from dli_airflow.other_dags import OtherDags

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger(__name__)

_OPERATOR = "dli_airflow.operator"
_BUNDLE = "dli_airflow.bundle.DatasetBundle"
_SECTION = "dag_processor"


@hookimpl
def dag_policy(dag: Any) -> None:
    """Note a DAG that is not the factory's; whatever goes wrong, the DAG loads."""
    try:
        if all(type(task).__module__ != _OPERATOR for task in dag.tasks):
            for folder in mirrors():
                OtherDags(folder).note(dag.dag_id, dag.fileloc)
    except Exception as error:  # noqa: BLE001 - nobody's DAG may fail for ours
        log.debug("The DAG %s could not be noted: %s", dag.dag_id, error)


def mirrors() -> Iterator[Path]:
    """Yield the folders in which this machine mirrors stores: of each bundle, and of the DAG files."""
    root = conf.get(_SECTION, "dag_bundle_storage_path", fallback=None)
    bundles = json.loads(conf.get(_SECTION, "dag_bundle_config_list", fallback=None) or "[]")
    for name in (bundle["name"] for bundle in bundles if bundle.get("classpath") == _BUNDLE):
        yield Path(root or Path(tempfile.gettempdir(), "airflow", "dag_bundles")) / name
    if os.environ.get("DLI_STORE_URL"):
        yield FileSettings.from_environment(os.environ).folder
