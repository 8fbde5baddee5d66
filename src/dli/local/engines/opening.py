"""Find the engine of a connection on this machine (specification 23.3)."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

from dataspec.engines.addresses import DEFAULT_FILE, EngineAddress
from dataspec.errors import DliError, InvalidSettings
from dataspec.problems import nearest
from dataspec.spec.dialects import ConnectionDialect, dialect_of_connection
from dataspec.spec.identity import DEFAULT_CONNECTION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dli.config.settings import Settings
    from dli.local.engines.driver import DriverEngine
    from dli.project.project import Project

_ENGINES = {
    "duckdb": ("dli.local.engines.duckdb", "DuckDBEngine"),
    "postgres": ("dli.local.engines.remote", "PostgresEngine"),
    "trino": ("dli.local.engines.remote", "TrinoEngine"),
    "snowflake": ("dli.local.engines.remote", "SnowflakeEngine"),
    "gcpbigquery": ("dli.local.engines.remote", "BigQueryEngine"),
    "databricks": ("dli.local.engines.remote", "DatabricksEngine"),
}
_SCHEMES = ("duckdb", "postgresql", "trino", "snowflake", "bigquery", "databricks")


def open_engine(name: str, settings: Settings, waiting: Callable[[str], None]) -> DriverEngine:
    """Return the engine of a connection, not yet connected.

    Args:
        name: The connection's name, as in ``execution.connection``.
        settings: The project's settings.
        waiting: Called with a message while another process holds the DuckDB file.

    Raises:
        InvalidSettings: When the connection is not defined, or its definition is invalid.
    """
    connection = settings.connection(name)
    if connection is None and name != DEFAULT_CONNECTION:
        raise _unknown(name, settings)
    if connection is None:
        address = EngineAddress.of_file(settings.root / DEFAULT_FILE)
    else:
        try:
            address = EngineAddress.read(connection.url, connection.options, settings.root)
        except ValueError as error:
            raise InvalidSettings(f"{connection.origin}: not a connection's URL: {error}.") from None
    return _engine(name, address, connection.origin if connection else "default", waiting)


@contextmanager
def opened_early(
    project: Project, dataset: str, settings: Settings, waiting: Callable[[str], None]
) -> Iterator[DriverEngine | None]:
    """Return the engine of a dataset, which opens its DuckDB file while the spec is checked.

    Args:
        project: The project.
        dataset: The dataset's name, or the path of its file.
        settings: The project's settings.
        waiting: Called with a message while another process holds the DuckDB file.

    Returns:
        The engine; None if the dataset's connection is unknown.
    """
    engine: DriverEngine | None = None
    with suppress(DliError):  # the check of the spec reports it with the other problems
        if (name := project.connection_of(dataset)) is not None:
            engine = open_engine(name, settings, waiting)
            engine.open_early()
    try:
        yield engine
    finally:
        if engine is not None:
            engine.close()


def dialects_here(settings: Settings) -> dict[str, ConnectionDialect]:
    """Return the SQL dialects by connection, for SQL without ``execution.dialect``."""
    found = {name: _dialect(name, settings) for name in settings.connection_names()}
    known = {name: ConnectionDialect(dialect) for name, dialect in found.items() if dialect is not None}
    if DEFAULT_CONNECTION not in found:
        known[DEFAULT_CONNECTION] = ConnectionDialect("duckdb", defined=False)
    return known


def _engine(name: str, address: EngineAddress, origin: str, waiting: Callable[[str], None]) -> DriverEngine:
    if address.kind not in _ENGINES:
        scheme = address.kind
        hint = nearest(scheme, _SCHEMES) or f"Known engines: {', '.join(_SCHEMES)}."
        raise InvalidSettings(f"{origin}: unknown engine '{scheme}'.", detail=hint)
    module, kind = _ENGINES[address.kind]
    arguments: tuple[Any, ...] = (name, address, waiting) if address.kind == "duckdb" else (name, address)
    engine: DriverEngine = getattr(import_module(module), kind)(*arguments)
    return engine


def _unknown(name: str, settings: Settings) -> InvalidSettings:
    known = settings.connection_names()
    hint = nearest(name, known)
    write = f"Write in dli.yaml:\nconnections:\n  {name}:\n    url: postgresql://USER@HOST/DATABASE"
    return InvalidSettings(
        f"The connection '{name}' is not defined on this machine.",
        detail=f"{hint}\n{write}" if hint else write,
    )


def _dialect(name: str, settings: Settings) -> str | None:
    try:
        connection = settings.connection(name)
        return connection and dialect_of_connection(
            EngineAddress.read(connection.url, connection.options, settings.root).kind
        )
    except (InvalidSettings, ValueError):
        return None  # reported when the connection is used
