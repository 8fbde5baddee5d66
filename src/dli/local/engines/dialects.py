"""The SQL dialects of the connections of this machine, for SQL that says none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dataspec.engines.addresses import EngineAddress
from dataspec.errors import InvalidSettings
from dataspec.spec.names import DEFAULT_CONNECTION
from dataspec.sql.dialects import ConnectionDialect, dialect_of

if TYPE_CHECKING:
    from dli.config.settings import Settings


def dialects_here(settings: Settings) -> dict[str, ConnectionDialect]:
    """Return the dialect of each connection that can be read here, and of the default one, by their names."""
    found = {name: _dialect(name, settings) for name in settings.connection_names()}
    known = {name: ConnectionDialect(dialect) for name, dialect in found.items() if dialect is not None}
    if DEFAULT_CONNECTION not in found:
        known[DEFAULT_CONNECTION] = ConnectionDialect("duckdb", defined=False)
    return known


def _dialect(name: str, settings: Settings) -> str | None:
    try:
        connection = settings.connection(name)
        return connection and dialect_of(
            EngineAddress.read(connection.url, connection.options, settings.root).kind
        )
    except (InvalidSettings, ValueError):
        return None  # who needs the connection is told
