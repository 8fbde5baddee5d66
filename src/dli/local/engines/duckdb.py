"""DuckDB, in this process."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataspec.engines.addresses import MEMORY
from dataspec.engines.duckdb_file import DuckDBFile
from dataspec.file_lock import LockStopped
from dli.local.engines.driver import DriverEngine
from dli.project.paths import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from dataspec.engines.addresses import EngineAddress
    from dataspec.engines.duckdb_file import LockedConnection


class _Opening:
    """A connection that is being made in a thread of its own."""

    def __init__(self, file: DuckDBFile) -> None:
        self._file = file
        self._connection: LockedConnection | None = None
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._open, name="dli-opening", daemon=True)
        self._thread.start()

    def _open(self) -> None:
        try:
            self._connection = self._file.connect()
        except Exception as error:  # noqa: BLE001 - raised where the connection is asked for
            self._error = error

    def taken(self) -> LockedConnection:
        """Return the connection once it is made, for others to close; raises what making it raised."""
        self._thread.join()
        if self._connection is None:
            raise self._error or LockStopped
        connection, self._connection = self._connection, None
        return connection

    def close(self) -> None:
        """Close the connection if nobody took it."""
        self._file.stop_waiting()
        self._thread.join()
        if self._connection is not None:
            self._connection.close()


class DuckDBEngine(DriverEngine):
    """A DuckDB file, which runs take in turns, or a database in memory."""

    title = "DuckDB"
    conn_type = "duckdb"
    driver = "duckdb"
    extra = "local"

    def __init__(self, name: str, address: EngineAddress, waiting: Callable[[str], None]) -> None:
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
        self._opening: _Opening | None = None

    @property
    def place(self) -> str:
        """Its file, as the reader would write it."""
        database = self.address.database or MEMORY
        return f"DuckDB, {'in memory' if database == MEMORY else shown(Path(database))}"

    def set_autocommit(self, conn: Any, autocommit: bool) -> None:
        """Do nothing: DuckDB commits each statement by itself, until a ``BEGIN``."""

    def open_early(self) -> None:
        """Begin to open the file, if there is one: DuckDB takes a while, and lets others work meanwhile."""
        if self.address.database and Path(self.address.database).is_file():
            self._load()
            self._opening = _Opening(self._file)

    def close(self) -> None:
        """Close what was opened early and not used."""
        if self._opening is not None:
            self._opening.close()

    def stop_waiting(self) -> None:
        """End a wait for the file; it may be called from another thread."""
        self._file.stop_waiting()

    def _connect(self, driver: Any) -> Any:  # noqa: ARG002 - the file loads it
        opening, self._opening = self._opening, None
        return self._file.connect() if opening is None else opening.taken()
