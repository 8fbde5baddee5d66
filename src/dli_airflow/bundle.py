"""The DAG bundle of Airflow 3: the store's specs as DAG files on this machine.

The DAG processor refreshes it periodically. A worker refreshes it when an attempt starts: the attempt runs the
version that is effective then.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from airflow.dag_processing.bundles.base import BaseDagBundle

from dli_airflow import factory  # noqa: F401 - loaded once, before this process forks for each parse
from dli_airflow.mirror.store_mirror import StoreMirror

SHARDS = 128


class DatasetBundle(BaseDagBundle):
    """Provides a DAG for each effective dataset of a store.

    The bundle is not versioned: a version would pin retries to an old spec.

    Args:
        store_url: The store's address; defaults to the variable ``DLI_STORE_URL``.
        shards: The number of DAG files that the datasets are distributed over.
        base_url: Basecamp's address, for links; defaults to the variable ``DLI_BASECAMP_URL``.
        clock: Returns the current time in seconds since 1970.
        arguments: The arguments of every bundle, such as ``name`` and ``refresh_interval``.
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
        """Refresh the files; keep the existing ones when the store does not answer.

        Raises:
            DliError: When the store does not answer and no files exist yet.
        """
        self.refresh()
        super().initialize()

    def refresh(self) -> None:
        """Refresh the files from the store, unless another process began a refresh after this call did.

        Raises:
            DliError: When the store does not answer and no files exist yet.
        """
        self._mirror.refresh()
