"""Run `basecamp` on an Airflow that has a folder of DAGs by hand as well: ``dev_with_dags.py FOLDER dev …``."""

from __future__ import annotations

import json
import sys

from basecamp.dev import configuration
from basecamp.main import main

BUNDLES = ("dag_processor", "dag_bundle_config_list")


def with_folder(settings: configuration.Settings, folder: str) -> configuration.Settings:
    """Return Airflow's settings with one more bundle."""
    bundle = {
        "name": "by_hand",
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {"path": folder},
    }
    return {**settings, BUNDLES: json.dumps([*json.loads(settings[BUNDLES]), bundle])}


if __name__ == "__main__":
    folder = sys.argv.pop(1)
    own = configuration.airflow_settings

    def settings(configuration: configuration.Configuration) -> configuration.Settings:
        return with_folder(own(configuration), folder)

    configuration.airflow_settings = settings
    main()
