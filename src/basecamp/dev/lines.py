"""The lines of Airflow that `basecamp dev` can run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

from dataspec.errors import InvalidUsage


@dataclass(frozen=True, slots=True)
class Line:
    """One line of Airflow: what is installed of it, and what it needs."""

    name: str
    health_path: str
    """Where its API tells how its parts are."""
    suffix: str = ""
    """Of the folders in a home that hold what is of this line alone."""
    python_before: tuple[int, int] = (4, 0)
    """The first version of Python that it does not run on."""
    runs_on_sqlite: bool = True
    """Whether it runs several tasks at a time on SQLite."""

    @property
    def lock_file(self) -> Traversable:
        """The file that names every package of the environment."""
        return files("basecamp.dev") / f"airflow-{self.name}.lock"

    @property
    def version(self) -> str:
        """The version of Airflow that the lock file names."""
        found = re.search(r"^apache-airflow==([\w.]+)", self.lock_file.read_text(), re.MULTILINE)
        return found[1] if found else self.name

    def check(self, *, has_database: bool) -> None:
        """Make sure that it can run here.

        Raises:
            InvalidUsage: When it needs a database that is not named.
        """
        if not (self.runs_on_sqlite or has_database):
            raise InvalidUsage(
                f"Airflow {self.name} needs a PostgreSQL database: on SQLite it runs one task at a time, slowly.",
                detail="Name an empty one: --airflow-database postgresql://user:password@127.0.0.1/airflow",
            )


AIRFLOW_3 = Line("3.3", "/api/v2/monitor/health")
AIRFLOW_2 = Line("2.11", "/api/v1/health", "-2.11", python_before=(3, 13), runs_on_sqlite=False)

LINES = {line.name: line for line in (AIRFLOW_3, AIRFLOW_2)}
