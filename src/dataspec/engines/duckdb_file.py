"""Connect to a DuckDB file that processes use in turns, or to a database in memory."""

from __future__ import annotations

import re
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from dataspec.file_lock import FileLock, LockStopped

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import duckdb

MEMORY = ":memory:"
_RETRY_SECONDS = 0.5
_LOCKED_ELSEWHERE = "Could not set lock on file"
_PER_SESSION = re.compile(r'Could not set option "(?P<name>\w+)" as a global option')


@dataclass
class DuckDBFile:
    """A DuckDB database.

    DuckDB lets one process write to a file. Connections of this class wait for each other by a lock on
    ``<file>.lock``, which readers share.

    Attributes:
        database: The file, ``:memory:``, or MotherDuck's ``md:…``.
        holder: The name of this process, shown to waiting ones.
        waiting: Called with the name of the holder during a wait.
        read_only: Whether the connection only reads.
        config: DuckDB's own settings, by name.
    """

    database: str
    holder: str
    waiting: Callable[[str], None]
    read_only: bool = False
    config: Mapping[str, Any] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)

    def connect(self) -> LockedConnection:
        """Connect; wait until no other process uses the file.

        Raises:
            LockStopped: When :meth:`stop_waiting` was called first.
        """
        lock = self._lock()
        try:
            return self._connect(lock)
        except BaseException:
            if lock is not None:
                lock.release()
            raise

    def stop_waiting(self) -> None:
        """End a wait for the file; it may be called from another thread."""
        self._stop.set()

    @property
    def shared(self) -> bool:
        """Whether several connections can use the database at a time."""
        return self.read_only or not self._is_file

    @property
    def _is_file(self) -> bool:
        return self.database != MEMORY and not self.database.startswith("md:")

    def _lock(self) -> FileLock | None:
        if not self._is_file:
            return None
        lock = FileLock(Path(f"{self.database}.lock"), shared=self.read_only)
        lock.acquire(self.holder, waiting=self.waiting, stop=self._stop)
        return lock

    def _connect(self, lock: FileLock | None) -> LockedConnection:
        import duckdb

        told = False
        shared, of_session = dict(self.config), dict[str, Any]()
        while not self._stop.is_set():
            try:
                connection = duckdb.connect(self.database, read_only=self.read_only, config=shared)
                return LockedConnection(connection, lock, of_session)
            except duckdb.InvalidInputException as error:
                # DuckDB before 1.5 takes file_search_path and others for each session alone.
                refused = _PER_SESSION.search(str(error))
                if refused is None or refused["name"] not in shared:
                    raise
                of_session[refused["name"]] = shared.pop(refused["name"])
            except duckdb.IOException as error:
                if _LOCKED_ELSEWHERE not in str(error):
                    raise
                if not told:
                    self.waiting(str(error))
                told = True
                self._stop.wait(_RETRY_SECONDS)
        raise LockStopped


class LockedConnection:
    """A DuckDB connection that releases the lock on its file when it is closed."""

    autocommit = True

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, lock: FileLock | None, of_session: Mapping[str, Any]
    ) -> None:
        self._connection = connection
        self._lock = lock
        self._of_session = of_session
        self._set(connection)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """Return a cursor, which is a session of its own."""
        cursor = self._connection.cursor()
        self._set(cursor)
        return cursor

    def lent(self) -> LockedConnection:
        """Return a session of its own, whose end leaves this connection open."""
        return LockedConnection(self._connection.cursor(), None, self._of_session)

    def _set(self, session: duckdb.DuckDBPyConnection) -> None:
        for name, value in self._of_session.items():
            session.execute(f"set {name} = ?", [value])

    def attach(self, catalogs: Sequence[str]) -> None:
        """Attach ``<catalog>.duckdb`` for each catalog that is not there; in memory for a database in memory.

        Args:
            catalogs: Names of letters, digits, ``_`` and ``-``.
        """
        listed = (
            "select lower(database_name), path, database_name = current_database() from duckdb_databases()"
        )
        there = self._connection.execute(listed).fetchall() if catalogs else []
        file = next((path for _, path, is_current in there if is_current), None)
        for catalog in catalogs:
            if catalog.lower() not in {name for name, *_ in there}:
                path = str(Path(file).with_name(f"{catalog}.duckdb")).replace("'", "''") if file else MEMORY
                self._connection.execute(f"attach '{path}' as \"{catalog}\"")

    def commit(self) -> None:
        """Commit the transaction, if there is one."""
        import duckdb

        with suppress(duckdb.TransactionException):
            self._connection.commit()

    def close(self) -> None:
        """Close the connection with its cursors, then release the lock."""
        self._connection.close()
        if self._lock is not None:
            self._lock.release()
