"""The interface of an engine: Airflow's SQL hooks and the engines of ``dli dataset run`` implement it."""

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
        """Set whether each statement commits on its own."""
        ...

    def get_autocommit(self, conn: Any) -> bool:
        """Tell whether each statement commits on its own."""
        ...


@runtime_checkable
class Waiting(Protocol):
    """An engine that may wait before it connects."""

    def stop_waiting(self) -> None:
        """End the wait."""
        ...
