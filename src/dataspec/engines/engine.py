"""What a session needs of an engine: Airflow's SQL hooks have it, and so have the engines of ``dli dataset run``."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable


class Engine(Protocol):
    """Connects to one engine by its driver (DB-API 2.0)."""

    conn_type: Any
    """Airflow's name for the kind of connection, such as ``postgres``."""
    supports_autocommit: bool

    def get_conn(self) -> Any:
        """Connect."""
        ...

    def set_autocommit(self, conn: Any, autocommit: bool) -> None:
        """Have each statement committed by itself."""
        ...

    def get_autocommit(self, conn: Any) -> bool:
        """Say whether each statement is committed by itself."""
        ...


@runtime_checkable
class Waiting(Protocol):
    """An engine that may wait before it connects."""

    def stop_waiting(self) -> None:
        """End the wait."""
        ...
