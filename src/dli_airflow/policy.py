"""The cluster policy that notes the DAGs that the factory did not build (the entry point ``airflow.policy``).

Airflow calls it for each DAG that it parses, in any file or bundle. It changes and refuses no DAG; it notes
their ids on this machine (:mod:`dli_airflow.mirror.other_dags`).
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from airflow.configuration import conf
from airflow.policies import hookimpl

from dli_airflow.mirror.other_dags import OtherDags
from dli_airflow.mirror.settings import MirrorSettings

log = logging.getLogger(__name__)

_OPERATOR = "dli_airflow.operator"
_BUNDLE = "dli_airflow.bundle.DatasetBundle"
_SECTION = "dag_processor"


@hookimpl
def dag_policy(dag: Any) -> None:
    """Note a DAG that the factory did not build; an error here never keeps the DAG from loading."""
    try:
        if all(type(task).__module__ != _OPERATOR for task in dag.tasks):
            for folder in mirrors():
                OtherDags(folder).note(dag.dag_id, dag.fileloc, bundle_of(dag.fileloc))
    except Exception as error:  # noqa: BLE001 - a foreign DAG must load whatever happens here
        log.debug("The DAG %s could not be noted: %s", dag.dag_id, error)


def mirrors() -> Iterator[Path]:
    """Yield the folders of this machine's mirrors: one for each dataset bundle, and the one of the DAG files."""
    for bundle in _bundles():
        if bundle.get("classpath") == _BUNDLE:
            yield _storage() / str(bundle["name"])
    if os.environ.get("DLI_STORE_URL"):
        yield MirrorSettings.from_environment(os.environ).folder


def bundle_of(file: str) -> str | None:
    """Return the bundle whose folder contains a file; None on Airflow 2, which has no bundles."""
    folders = {str(bundle["name"]): _folder(bundle) for bundle in _bundles()}
    holding = [name for name, folder in folders.items() if Path(file).is_relative_to(folder)]
    return max(holding, key=lambda name: len(folders[name].parts), default=None)


def _folder(bundle: Mapping[str, Any]) -> Path:
    """Return a bundle's folder: that of a local bundle is configured, others are in Airflow's storage."""
    if str(bundle.get("classpath")).endswith(".LocalDagBundle"):
        return Path((bundle.get("kwargs") or {}).get("path") or conf.get("core", "dags_folder"))
    return _storage() / str(bundle["name"])


def _bundles() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(
        conf.get(_SECTION, "dag_bundle_config_list", fallback=None) or "[]"
    )
    return found


def _storage() -> Path:
    root = conf.get(_SECTION, "dag_bundle_storage_path", fallback=None)
    return Path(root or Path(tempfile.gettempdir(), "airflow", "dag_bundles"))
