"""DuckDB, which runs in this process."""

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
    from collections.abc import Callable, Sequence

    from dataspec.engines.addresses import EngineAddress
    from dataspec.engines.duckdb_file import LockedConnection


class _Opening:
    """A connection that is opened in its own thread."""

    def __init__(self, file: DuckDBFile) -> None:
        self._file = file
        self._connection: LockedConnection | None = None
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._open, name="dli-opening", daemon=True)
        self._thread.start()

    def _open(self) -> None:
        try:
            self._connection = self._file.connect()
        except Exception as error:  # noqa: BLE001 - raised in taken()
            self._error = error

    def taken(self) -> LockedConnection:
        """Wait for the connection and return it; the caller closes it. Raises the error of opening it."""
        self._thread.join()
        if self._connection is None:
            raise self._error or LockStopped
        connection, self._connection = self._connection, None
        return connection

    def close(self) -> None:
        """Close the connection, unless it was taken."""
        self._file.stop_waiting()
        self._thread.join()
        if self._connection is not None:
            self._connection.close()


class DuckDBEngine(DriverEngine):
    """A DuckDB file, which one run at a time can use, or a database in memory."""

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
        self._keeps = False
        self._kept: LockedConnection | None = None
        """The connection that several runs share."""

    @property
    def place(self) -> str:
        """The file's path, relative to the current folder."""
        database = self.address.database or MEMORY
        return f"DuckDB, {'in memory' if database == MEMORY else shown(Path(database))}"

    @property
    def exclusive(self) -> str | None:
        """The file, unless runs only read it."""
        return None if self._file.shared else self._file.database

    def set_autocommit(self, conn: Any, autocommit: bool) -> None:
        """Do nothing: DuckDB commits each statement by itself, until a ``BEGIN``."""

    def attach(self, connection: LockedConnection, catalogs: Sequence[str]) -> None:
        """Attach ``<catalog>.duckdb``, beside the database, for each catalog that is not attached."""
        connection.attach(catalogs)

    def open_early(self) -> None:
        """Start to open an existing file in a thread, while the spec is checked."""
        if self.address.database and Path(self.address.database).is_file():
            self._load()
            self._opening = _Opening(self._file)

    def keep_open(self) -> None:
        """Keep the file open from the next run on, which saves each run its opening and a checkpoint."""
        self._keeps = True

    def close(self) -> None:
        """Close what was opened early and not used, and what was kept open."""
        if self._opening is not None:
            self._opening.close()
        kept, self._kept, self._keeps = self._kept, None, False
        if kept is not None:
            kept.close()

    def stop_waiting(self) -> None:
        """Stop waiting for the file; may be called from another thread."""
        self._file.stop_waiting()

    def _connect(self, driver: Any) -> Any:  # noqa: ARG002 - DuckDBFile loads the driver
        opening, self._opening = self._opening, None
        if not self._keeps:
            return self._file.connect() if opening is None else opening.taken()
        self._kept = self._kept or self._file.connect()
        return self._kept.lent()
