"""Configuration of `basecamp dev`: environment variables of Airflow and Basecamp, Airflow's settings and keys."""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from basecamp.dev.home import Home
from basecamp.dev.processes.ports import LOOPBACK
from basecamp.dev.release_lines import AIRFLOW_2
from dataspec.files import write_atomically
from dataspec.spec.dialects import dialect_of_connection

# PYTHONDONTWRITEBYTECODE as well: without bytecode on disk each start would compile Airflow, for seconds.
_PYTHON_VARIABLES = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE")
_OWN_SETTINGS = ("BASECAMP_STORE_URL", "BASECAMP_AIRFLOW_", "BASECAMP_AUTH")
"""Prefixes of Basecamp's settings that `basecamp dev` sets itself; it has no sign-in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """The configuration of a `basecamp dev`."""

    home: Home
    server_port: int
    airflow_port: int
    store_url: str
    connections: Mapping[str, str]
    """Airflow's connections by id, in Airflow's JSON format."""
    keys: Keys
    database_url: str | None = field(default=None, repr=False)
    """URL of Airflow's database, with its password; None for SQLite in the home."""

    @property
    def server_url(self) -> str:
        """Basecamp's URL."""
        return f"http://{LOOPBACK}:{self.server_port}"

    @property
    def airflow_url(self) -> str:
        """URL of Airflow's API server."""
        return f"http://{LOOPBACK}:{self.airflow_port}"

    @property
    def database(self) -> Path:
        """Airflow's SQLite file."""
        return self.home.airflow / "airflow.db"

    @property
    def airflow_database(self) -> str:
        """URL of Airflow's database."""
        return self.database_url or f"sqlite:///{self.database}"

    @property
    def dags_folder(self) -> Path:
        """Airflow 2's folder of DAG files."""
        return self.home.airflow / "dags"

    @property
    def webserver_file(self) -> Path:
        """The settings file of Airflow 2's web interface."""
        return self.home.airflow / "webserver_config.py"

    def airflow_environ(self, outer: Mapping[str, str], bin_folder: Path) -> dict[str, str]:
        """Return the environment of Airflow's components.

        Drops the settings of another Airflow from the user's shell, but keeps its connections and
        variables (``AIRFLOW_CONN_…``, ``AIRFLOW_VAR_…``). Drops Basecamp's settings as well, which
        contain the secrets of channels (specification 25.11).
        """
        kept = {
            name: value
            for name, value in outer.items()
            if name not in _PYTHON_VARIABLES and not name.startswith(("AIRFLOW__", "BASECAMP_"))
        }
        kept["PATH"] = os.pathsep.join(filter(None, (str(bin_folder), outer.get("PATH"))))
        connections = {f"AIRFLOW_CONN_{name.upper()}": value for name, value in self.connections.items()}
        own = {
            f"AIRFLOW__{section}__{key}".upper(): value
            for (section, key), value in airflow_settings(self).items()
        }
        return _without_proxy(
            kept | connections | own | self._store() | {"AIRFLOW_HOME": str(self.home.airflow)}
        )

    def _store(self) -> dict[str, str]:
        """Return the store's settings for Airflow 2's DAG files; on Airflow 3 they are the bundle's arguments."""
        if self.home.line != AIRFLOW_2:
            return {}
        return {
            "DLI_STORE_URL": self.store_url,
            "DLI_BASECAMP_URL": self.server_url,
            "DLI_DATASETS_DIR": str(self.home.airflow / "datasets"),
            "DLI_REFRESH_INTERVAL": "1",
        }

    def basecamp_environ(self, outer: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of ``basecamp serve``."""
        kept = {name: value for name, value in outer.items() if not name.startswith(_OWN_SETTINGS)}
        shown = {"BASECAMP_PUBLIC_URL": self.server_url}
        own = {
            "BASECAMP_STORE_URL": self.store_url,
            "BASECAMP_AIRFLOW_URL": self.airflow_url,
            "BASECAMP_AIRFLOW_AUTH": "none",
        }
        return _without_proxy(shown | self._dialects() | kept | own)

    def _dialects(self) -> dict[str, str]:
        """Return the setting with the SQL dialects of the connections, which Airflow's API does not show.

        Skips names with "," or "=", which no spec can contain.
        """
        kinds = {
            name: json.loads(value)["conn_type"]
            for name, value in self.connections.items()
            if not {",", "="} & set(name)
        }
        known = [
            f"{name}={dialect}" for name, kind in kinds.items() if (dialect := dialect_of_connection(kind))
        ]
        return {"BASECAMP_DIALECTS": ",".join(known)}


def _without_proxy(environ: Mapping[str, str]) -> dict[str, str]:
    """Exclude loopback from the machine's HTTP proxy."""
    direct = [name for name in (environ.get("NO_PROXY"), environ.get("no_proxy")) if name]
    exceptions = ",".join(dict.fromkeys([*direct, LOOPBACK, "localhost"]))
    return {**environ, "NO_PROXY": exceptions, "no_proxy": exceptions}


Settings = Mapping[tuple[str, str], str]


PARALLEL_TASKS = 4


def airflow_settings(configuration: Configuration) -> Settings:
    """Return Airflow's settings by section and key, as in ``airflow.cfg``: quick starts of runs, quick visible changes."""
    of_line = _of_airflow_2 if configuration.home.line == AIRFLOW_2 else _of_airflow_3
    return {**_common(configuration), **of_line(configuration)}


def _common(configuration: Configuration) -> Settings:
    return {
        ("core", "executor"): "LocalExecutor",
        ("core", "parallelism"): str(PARALLEL_TASKS),
        ("core", "load_examples"): "False",
        ("core", "dags_are_paused_at_creation"): "False",
        ("core", "max_consecutive_failed_dag_runs_per_dag"): "0",
        # With the default, the second of two changes within half a minute waits.
        ("core", "min_serialized_dag_update_interval"): "0",
        ("core", "fernet_key"): configuration.keys.fernet,
        # The default uses DNS, which takes seconds on a laptop without a network.
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
        # Detect a task that was killed, or cut off by the machine's sleep, after one minute instead of five.
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
        # The webserver must not answer from its cache when Basecamp asks which version of a DAG is loaded.
        ("core", "min_serialized_dag_fetch_interval"): "0",
        # Time limit of a task after SIGTERM; its query is cancelled within a second or not at all.
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
        # A request without a user name and password gets the public role.
        ("api", "auth_backends"): "airflow.api.auth.backend.basic_auth,airflow.api.auth.backend.default",
    }


@dataclass(frozen=True, slots=True)
class Keys:
    """Airflow's keys; kept, because new ones would invalidate what is encrypted and signed."""

    fernet: str
    """Encrypts connections in Airflow's database."""
    jwt: str
    """Signs the tokens of the API and of tasks."""
    session: str
    """Signs sessions of Airflow's page."""


def kept_keys(file: Path) -> Keys:
    """Return the keys from a file; create the file at the first call."""
    if file.exists():
        return Keys(**json.loads(file.read_text()))
    keys = Keys(
        base64.urlsafe_b64encode(os.urandom(32)).decode(), secrets.token_hex(64), secrets.token_hex(32)
    )
    write_atomically(file, json.dumps(asdict(keys)), mode=0o600)
    return keys
