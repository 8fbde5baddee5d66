"""The settings of a machine's mirror, from the environment of Airflow's processes.

The cluster policy loads this module in every process of Airflow, while Airflow itself is being imported: it
must import nothing of Airflow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dataspec.errors import InvalidSettings

REFRESH_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class MirrorSettings:
    """The store, Basecamp's address and the folder that the DAG files of Airflow 2 use."""

    store_url: str | None
    base_url: str | None
    folder: Path
    """The folder with this machine's copy of the datasets. Processes share it; it may be deleted."""
    refresh_seconds: float
    """Maximum age of the last refresh when Airflow parses a file."""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> MirrorSettings:
        """Read ``DLI_STORE_URL``, ``DLI_BASECAMP_URL``, ``DLI_DATASETS_DIR`` and ``DLI_REFRESH_INTERVAL``.

        Raises:
            InvalidSettings: When the interval is not a number of seconds.
        """
        # Not in a folder for all users of the machine: one of them could make it first, with DAGs of their own.
        folder = (
            environ.get("DLI_DATASETS_DIR") or f"{environ.get('AIRFLOW_HOME') or '~/airflow'}/dli-datasets"
        )
        interval = environ.get("DLI_REFRESH_INTERVAL") or str(REFRESH_SECONDS)
        try:
            seconds = max(float(interval), 0.0)
        except ValueError:
            raise InvalidSettings(
                f"DLI_REFRESH_INTERVAL is '{interval}': write a number of seconds."
            ) from None
        return cls(
            store_url=environ.get("DLI_STORE_URL"),
            base_url=environ.get("DLI_BASECAMP_URL") or None,
            folder=Path(folder).expanduser(),
            refresh_seconds=seconds,
        )
