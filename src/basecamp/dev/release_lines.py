"""The release lines of Airflow that `basecamp dev` can run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

from dataspec.errors import InvalidUsage


@dataclass(frozen=True, slots=True)
class ReleaseLine:
    """A release line of Airflow: its packages and requirements."""

    name: str
    health_path: str
    """Path of the health check in its API."""
    suffix: str = ""
    """Suffix of this release line's own folders in a home."""
    python_before: tuple[int, int] = (4, 0)
    """First Python version that it does not support."""
    runs_on_sqlite: bool = True
    """Whether it runs tasks in parallel on SQLite."""

    @property
    def lock_file(self) -> Traversable:
        """The lock file of its environment."""
        return files("basecamp.dev") / f"airflow-{self.name}.lock"

    @property
    def version(self) -> str:
        """Airflow's version in the lock file."""
        found = re.search(r"^apache-airflow==([\w.]+)", self.lock_file.read_text(), re.MULTILINE)
        return found[1] if found else self.name

    def check(self, *, has_database: bool) -> None:
        """Check that it can run with the given options.

        Raises:
            InvalidUsage: When it needs a database that the options lack.
        """
        if not (self.runs_on_sqlite or has_database):
            raise InvalidUsage(
                f"Airflow {self.name} needs a PostgreSQL database: on SQLite it runs one task at a time, slowly.",
                detail="Give an empty one: --airflow-database postgresql://user:password@127.0.0.1/airflow",
            )


AIRFLOW_3 = ReleaseLine("3.3", "/api/v2/monitor/health")
AIRFLOW_2 = ReleaseLine("2.11", "/api/v1/health", "-2.11", python_before=(3, 13), runs_on_sqlite=False)

LINES = {line.name: line for line in (AIRFLOW_3, AIRFLOW_2)}
