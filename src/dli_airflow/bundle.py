"""The DAG bundle: the store's specs as DAG files on this machine (Airflow 3).

In the DAG processor it is refreshed again and again; a worker refreshes it when an attempt
starts, so that the attempt runs the version that is effective then.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from airflow.dag_processing.bundles.base import BaseDagBundle

from dli_airflow import factory  # noqa: F401 - loaded here, once, for all the parses that this process forks
from dli_airflow.mirror.store_mirror import StoreMirror

SHARDS = 128


class DatasetBundle(BaseDagBundle):
    """Every effective dataset of a store, as DAGs.

    It is not versioned: a version would pin retries to an old spec.

    Args:
        store_url: The store's address; by default the variable ``DLI_STORE_URL``.
        shards: The number of files that the datasets are spread over.
        base_url: Basecamp's address, for links; by default the variable ``DLI_BASECAMP_URL``.
        clock: The present time in seconds.
        arguments: Those of every bundle: ``name``, ``refresh_interval`` and so on.
    """

    supports_versioning = False

    def __init__(
        self,
        *,
        store_url: str | None = None,
        shards: int = SHARDS,
        base_url: str | None = None,
        clock: Callable[[], float] = time.time,
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        self._mirror = StoreMirror(
            self.base_dir,
            store_url=store_url or os.environ.get("DLI_STORE_URL"),
            shards=shards,
            base_url=base_url or os.environ.get("DLI_BASECAMP_URL") or None,
            clock=clock,
        )

    @property
    def path(self) -> Path:
        """The folder of DAG files."""
        return self._mirror.path

    def get_current_version(self) -> None:
        """Return None: the bundle has no versions."""

    def initialize(self) -> None:
        """Bring the files up to date with the store as it is now, or go on with those of before.

        Raises:
            DliError: When the store does not answer, and there are no files of before.
        """
        self.refresh()
        super().initialize()

    def refresh(self) -> None:
        """Bring the files up to date with the store.

        A refresh by another process serves as well, if it began after this call did.

        Raises:
            DliError: When the store does not answer, and there are no files of before.
        """
        self._mirror.refresh()
