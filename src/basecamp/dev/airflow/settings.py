"""Airflow's settings for one machine that develops: quick to start a run, quick to see a change.

By section and key, as in ``airflow.cfg``. Each line takes its own; those of both come first.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from basecamp.dev.lines import AIRFLOW_2
from basecamp.dev.processes.ports import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Mapping

    from basecamp.dev.configuration import Configuration

    Settings = Mapping[tuple[str, str], str]

PARALLEL_TASKS = 4


def airflow_settings(configuration: Configuration) -> Settings:
    """Return the settings of the configuration's line."""
    of_line = _of_airflow_2 if configuration.home.line == AIRFLOW_2 else _of_airflow_3
    return {**_common(configuration), **of_line(configuration)}


def _common(configuration: Configuration) -> Settings:
    return {
        ("core", "executor"): "LocalExecutor",
        ("core", "parallelism"): str(PARALLEL_TASKS),
        ("core", "load_examples"): "False",
        ("core", "dags_are_paused_at_creation"): "False",
        ("core", "max_consecutive_failed_dag_runs_per_dag"): "0",
        # By default a spec that changes twice within half a minute waits for the rest of it.
        ("core", "min_serialized_dag_update_interval"): "0",
        ("core", "fernet_key"): configuration.keys.fernet,
        # The default asks the name service, which takes seconds on a laptop without one.
        ("core", "hostname_callable"): "socket.gethostname",
        ("database", "sql_alchemy_conn"): configuration.airflow_database,
        # Basecamp lists all DAGs in large pages (docs/airflow.md, "Many datasets").
        ("api", "maximum_page_limit"): "2000",
        ("usage_data_collection", "enabled"): "False",
        # With the default of 1 s an empty task takes twice as long; with 0.1 s an idle scheduler takes a quarter of a core.
        ("scheduler", "scheduler_idle_sleep_time"): "0.25",
        ("scheduler", "orphaned_tasks_check_interval"): "30",
        ("logging", "base_log_folder"): str(configuration.home.logs / "airflow"),
        ("logging", "colored_console_log"): "False",
    }


def _of_airflow_3(configuration: Configuration) -> Settings:
    bundle = {
        "name": "datasets",
        "classpath": "dli_airflow.bundle.DatasetBundle",
        "kwargs": {
            "store_url": configuration.store_url,
            "base_url": configuration.server_url,
            "refresh_interval": 1,
        },
    }
    processor_logs = configuration.home.logs / "airflow" / "dag_processor"
    return {
        ("core", "simple_auth_manager_all_admins"): "True",
        ("core", "execution_api_server_url"): f"{configuration.airflow_url}/execution/",
        ("workers", "min_heartbeat_interval"): "1",
        # A task that a machine's sleep or a kill cut off is seen after a minute, not five.
        ("scheduler", "task_instance_heartbeat_timeout"): "60",
        ("dag_processor", "dag_bundle_config_list"): json.dumps([bundle]),
        ("dag_processor", "dag_bundle_storage_path"): str(configuration.home.airflow / "bundles"),
        ("dag_processor", "bundle_refresh_check_interval"): "1",
        ("dag_processor", "min_file_process_interval"): "600",
        ("api", "host"): LOOPBACK,
        ("api", "port"): str(configuration.airflow_port),
        ("api", "base_url"): configuration.airflow_url,
        ("api", "workers"): "1",
        ("api", "secret_key"): configuration.keys.session,
        ("api_auth", "jwt_secret"): configuration.keys.jwt,
        ("logging", "dag_processor_child_process_log_directory"): str(processor_logs),
    }


def _of_airflow_2(configuration: Configuration) -> Settings:
    logs = configuration.home.logs / "airflow"
    return {
        ("core", "dags_folder"): str(configuration.dags_folder),
        # Basecamp asks which version of a DAG is loaded: the webserver is not to answer from memory.
        ("core", "min_serialized_dag_fetch_interval"): "0",
        # How long a task may go on after SIGTERM; its query is cancelled within a second or not at all.
        ("core", "killed_task_cleanup_time"): "5",
        ("scheduler", "job_heartbeat_sec"): "1",
        ("scheduler", "scheduler_zombie_task_threshold"): "60",
        ("scheduler", "min_file_process_interval"): "600",
        ("scheduler", "dag_dir_list_interval"): "30",
        ("scheduler", "child_process_log_directory"): str(logs / "scheduler"),
        ("logging", "dag_processor_manager_log_location"): str(logs / "dag_processor_manager.log"),
        ("webserver", "web_server_host"): LOOPBACK,
        ("webserver", "web_server_port"): str(configuration.airflow_port),
        ("webserver", "base_url"): configuration.airflow_url,
        ("webserver", "secret_key"): configuration.keys.session,
        ("webserver", "workers"): "2",
        ("webserver", "config_file"): str(configuration.webserver_file),
        # A user's name and password where they are given; else the rights of the public role.
        ("api", "auth_backends"): "airflow.api.auth.backend.basic_auth,airflow.api.auth.backend.default",
    }
