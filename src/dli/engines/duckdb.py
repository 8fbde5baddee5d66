"""DuckDB, in this process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataspec.engines.addresses import MEMORY
from dataspec.engines.duckdb_file import DuckDBFile
from dli.engines.driver import DriverEngine
from dli.paths import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from dataspec.engines.addresses import Address


class DuckDBEngine(DriverEngine):
    """A DuckDB file, which runs take in turns, or a database in memory."""

    title = "DuckDB"
    conn_type = "duckdb"
    driver = "duckdb"
    extra = "local"

    def __init__(self, name: str, address: Address, waiting: Callable[[str], None]) -> None:
        super().__init__(name, address)
        options = dict(address.options)
        read_only = str(options.pop("read_only", "")).lower() in {"1", "true", "yes"}
        self._file = DuckDBFile(
            address.database or MEMORY,
            f"dli dataset run (process {os.getpid()})",
            lambda holder: waiting(f"Waiting for {self.place}, held by {holder}."),
            read_only=read_only,
            config=options,
        )

    @property
    def place(self) -> str:
        """Its file, as the reader would write it."""
        database = self.address.database or MEMORY
        return f"DuckDB, {'in memory' if database == MEMORY else shown(Path(database))}"

    def set_autocommit(self, conn: Any, autocommit: bool) -> None:
        """Do nothing: DuckDB commits each statement by itself, until a ``BEGIN``."""

    def stop_waiting(self) -> None:
        """End a wait for the file; it may be called from another thread."""
        self._file.stop_waiting()

    def _connect(self, driver: Any) -> Any:  # noqa: ARG002 - the file loads it
        return self._file.connect()
