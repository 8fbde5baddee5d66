"""The environment variables of Airflow's parts and of Basecamp."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from basecamp.dev.ports import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from basecamp.dev.home import Home
    from basecamp.dev.keys import Keys

PARALLEL_TASKS = 4

# Without bytecode on disk each part would compile Airflow anew, for seconds, at each start.
_OF_ANOTHER_PYTHON = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE")
_DECIDED_HERE = ("BASECAMP_STORE_URL", "BASECAMP_AIRFLOW_")
"""Settings of Basecamp that are not the caller's to make, by how their names begin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What a `basecamp dev` runs with."""

    home: Home
    server_port: int
    airflow_port: int
    store_url: str
    connections: Mapping[str, str]
    """Airflow's connections, by their ids, in Airflow's JSON."""
    keys: Keys

    @property
    def server_url(self) -> str:
        """Where Basecamp listens."""
        return f"http://{LOOPBACK}:{self.server_port}"

    @property
    def airflow_url(self) -> str:
        """Where Airflow's api-server listens."""
        return f"http://{LOOPBACK}:{self.airflow_port}"

    @property
    def database(self) -> Path:
        """Airflow's database."""
        return self.home.airflow / "airflow.db"

    def airflow_environ(self, outer: Mapping[str, str], bin_folder: Path) -> dict[str, str]:
        """Return the environment of Airflow's parts.

        Settings of another Airflow in the caller's shell are left out; its connections
        and variables (``AIRFLOW_CONN_…``, ``AIRFLOW_VAR_…``) are kept. Basecamp's own don't
        reach Airflow: they hold the secrets of channels (decisions 5).
        """
        kept = {
            name: value
            for name, value in outer.items()
            if name not in _OF_ANOTHER_PYTHON and not name.startswith(("AIRFLOW__", "BASECAMP_"))
        }
        kept["PATH"] = os.pathsep.join(filter(None, (str(bin_folder), outer.get("PATH"))))
        connections = {f"AIRFLOW_CONN_{name.upper()}": value for name, value in self.connections.items()}
        own = {
            f"AIRFLOW__{section}__{key}".upper(): value for (section, key), value in self._settings().items()
        }
        return _straight(kept | connections | own | {"AIRFLOW_HOME": str(self.home.airflow)})

    def basecamp_environ(self, outer: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of ``basecamp serve``."""
        kept = {name: value for name, value in outer.items() if not name.startswith(_DECIDED_HERE)}
        shown = {"BASECAMP_PUBLIC_URL": self.server_url}
        own = {
            "BASECAMP_STORE_URL": self.store_url,
            "BASECAMP_AIRFLOW_URL": self.airflow_url,
            "BASECAMP_AIRFLOW_AUTH": "none",
        }
        return _straight(shown | kept | own)

    def _settings(self) -> dict[tuple[str, str], str]:
        return self._core() | self._scheduling() | self._parsing() | self._serving() | self._logging()

    def _core(self) -> dict[tuple[str, str], str]:
        return {
            ("core", "executor"): "LocalExecutor",
            ("core", "parallelism"): str(PARALLEL_TASKS),
            ("core", "load_examples"): "False",
            ("core", "dags_are_paused_at_creation"): "False",
            ("core", "max_consecutive_failed_dag_runs_per_dag"): "0",
            # By default a spec that changes twice within half a minute waits for the rest of it.
            ("core", "min_serialized_dag_update_interval"): "0",
            ("core", "fernet_key"): self.keys.fernet,
            ("core", "simple_auth_manager_all_admins"): "True",
            ("core", "execution_api_server_url"): f"{self.airflow_url}/execution/",
            # The default asks the name service, which takes seconds on a laptop without one.
            ("core", "hostname_callable"): "socket.gethostname",
            ("database", "sql_alchemy_conn"): f"sqlite:///{self.database}",
            ("usage_data_collection", "enabled"): "False",
        }

    def _scheduling(self) -> dict[tuple[str, str], str]:
        return {
            # With the defaults of 1 s and 5 s an empty task takes twice as long.
            ("scheduler", "scheduler_idle_sleep_time"): "0.1",
            ("workers", "min_heartbeat_interval"): "1",
            # A task that a machine's sleep or a kill cut off is seen after a minute, not five.
            ("scheduler", "task_instance_heartbeat_timeout"): "60",
            ("scheduler", "orphaned_tasks_check_interval"): "30",
        }

    def _parsing(self) -> dict[tuple[str, str], str]:
        bundle = {
            "name": "datasets",
            "classpath": "dli_airflow.bundle.DatasetBundle",
            "kwargs": {"store_url": self.store_url, "base_url": self.server_url, "refresh_interval": 1},
        }
        return {
            ("dag_processor", "dag_bundle_config_list"): json.dumps([bundle]),
            ("dag_processor", "dag_bundle_storage_path"): str(self.home.airflow / "bundles"),
            ("dag_processor", "bundle_refresh_check_interval"): "1",
            ("dag_processor", "min_file_process_interval"): "600",
        }

    def _serving(self) -> dict[tuple[str, str], str]:
        return {
            ("api", "host"): LOOPBACK,
            ("api", "port"): str(self.airflow_port),
            ("api", "base_url"): self.airflow_url,
            ("api", "workers"): "1",
            ("api", "secret_key"): self.keys.session,
            ("api_auth", "jwt_secret"): self.keys.jwt,
        }

    def _logging(self) -> dict[tuple[str, str], str]:
        folder = self.home.logs / "airflow"
        return {
            ("logging", "base_log_folder"): str(folder),
            ("logging", "dag_processor_child_process_log_directory"): str(folder / "dag_processor"),
            ("logging", "colored_console_log"): "False",
        }


def _straight(environ: Mapping[str, str]) -> dict[str, str]:
    """Keep a machine's HTTP proxy out of what is said on loopback."""
    direct = [name for name in (environ.get("NO_PROXY"), environ.get("no_proxy")) if name]
    exceptions = ",".join(dict.fromkeys([*direct, LOOPBACK, "localhost"]))
    return {**environ, "NO_PROXY": exceptions, "no_proxy": exceptions}
