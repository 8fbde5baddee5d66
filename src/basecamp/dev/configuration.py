"""The environment variables of Airflow's parts and of Basecamp."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from basecamp.dev.airflow.keys import Keys
from basecamp.dev.airflow.settings import airflow_settings
from basecamp.dev.home import Home
from basecamp.dev.lines import AIRFLOW_2
from basecamp.dev.processes.ports import LOOPBACK
from dataspec.sql.dialects import dialect_of

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
    database_url: str | None = field(default=None, repr=False)
    """Airflow's database, with its password; SQLite in the home if there is none."""

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
        """Airflow's SQLite file, where no other database is named."""
        return self.home.airflow / "airflow.db"

    @property
    def airflow_database(self) -> str:
        """The address of Airflow's database."""
        return self.database_url or f"sqlite:///{self.database}"

    @property
    def dags_folder(self) -> Path:
        """Where Airflow 2 has its DAG files."""
        return self.home.airflow / "dags"

    @property
    def webserver_file(self) -> Path:
        """The settings of Airflow 2's page."""
        return self.home.airflow / "webserver_config.py"

    def airflow_environ(self, outer: Mapping[str, str], bin_folder: Path) -> dict[str, str]:
        """Return the environment of Airflow's parts.

        Settings of another Airflow in the caller's shell are left out; its connections
        and variables (``AIRFLOW_CONN_…``, ``AIRFLOW_VAR_…``) are kept. Basecamp's own don't
        reach Airflow: they hold the secrets of channels (specification 25.11).
        """
        kept = {
            name: value
            for name, value in outer.items()
            if name not in _OF_ANOTHER_PYTHON and not name.startswith(("AIRFLOW__", "BASECAMP_"))
        }
        kept["PATH"] = os.pathsep.join(filter(None, (str(bin_folder), outer.get("PATH"))))
        connections = {f"AIRFLOW_CONN_{name.upper()}": value for name, value in self.connections.items()}
        own = {
            f"AIRFLOW__{section}__{key}".upper(): value
            for (section, key), value in airflow_settings(self).items()
        }
        return _straight(kept | connections | own | self._store() | {"AIRFLOW_HOME": str(self.home.airflow)})

    def _store(self) -> dict[str, str]:
        """Return what leads the DAG files of Airflow 2 to the store; on Airflow 3 the bundle's arguments do."""
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
        kept = {name: value for name, value in outer.items() if not name.startswith(_DECIDED_HERE)}
        shown = {"BASECAMP_PUBLIC_URL": self.server_url}
        own = {
            "BASECAMP_STORE_URL": self.store_url,
            "BASECAMP_AIRFLOW_URL": self.airflow_url,
            "BASECAMP_AIRFLOW_AUTH": "none",
        }
        return _straight(shown | self._dialects() | kept | own)

    def _dialects(self) -> dict[str, str]:
        """Return what tells Basecamp the dialects of the connections, which Airflow has from its environment.

        A name that no spec can hold is none that Basecamp has to know.
        """
        kinds = {
            name: json.loads(value)["conn_type"]
            for name, value in self.connections.items()
            if not {",", "="} & set(name)
        }
        known = [f"{name}={dialect}" for name, kind in kinds.items() if (dialect := dialect_of(kind))]
        return {"BASECAMP_DIALECTS": ",".join(known)}


def _straight(environ: Mapping[str, str]) -> dict[str, str]:
    """Keep a machine's HTTP proxy out of what is said on loopback."""
    direct = [name for name in (environ.get("NO_PROXY"), environ.get("no_proxy")) if name]
    exceptions = ",".join(dict.fromkeys([*direct, LOOPBACK, "localhost"]))
    return {**environ, "NO_PROXY": exceptions, "no_proxy": exceptions}
