"""From the name of a connection to the engine that it means on this machine (specification 23.3)."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

from dataspec.engines.addresses import DEFAULT_FILE, EngineAddress
from dataspec.errors import DliError, InvalidSettings
from dataspec.problems import nearest
from dataspec.spec.names import DEFAULT_CONNECTION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dli.config.settings import Settings
    from dli.local.engines.driver import DriverEngine
    from dli.project.project import Project

_ENGINES = {
    "duckdb": ("dli.local.engines.duckdb", "DuckDBEngine"),
    "postgres": ("dli.local.engines.postgres", "PostgresEngine"),
    "trino": ("dli.local.engines.trino", "TrinoEngine"),
    "snowflake": ("dli.local.engines.snowflake", "SnowflakeEngine"),
    "gcpbigquery": ("dli.local.engines.bigquery", "BigQueryEngine"),
    "databricks": ("dli.local.engines.databricks", "DatabricksEngine"),
}
_SCHEMES = ("duckdb", "postgresql", "trino", "snowflake", "bigquery", "databricks")


def open_engine(name: str, settings: Settings, waiting: Callable[[str], None]) -> DriverEngine:
    """Return the engine of a connection; it connects later.

    Args:
        name: What a spec calls it, under ``execution.connection``.
        settings: The project's.
        waiting: Told of whom a DuckDB file has to be waited for.

    Raises:
        InvalidSettings: When the project does not say what the connection is, or not rightly.
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
    """Return the engine of a dataset, which opens its file while the spec is checked.

    Args:
        project: The project.
        dataset: The dataset's name, or the path of its file.
        settings: The project's.
        waiting: Told of whom a DuckDB file has to be waited for.

    Returns:
        The engine; None where the dataset's connection can't be told yet, or is not known here.
    """
    engine: DriverEngine | None = None
    with suppress(DliError):  # whoever checks the spec tells it, beside all else that is wrong
        if (name := project.connection_of(dataset)) is not None:
            engine = open_engine(name, settings, waiting)
            engine.open_early()
    try:
        yield engine
    finally:
        if engine is not None:
            engine.close()


def _engine(name: str, address: EngineAddress, origin: str, waiting: Callable[[str], None]) -> DriverEngine:
    if address.kind not in _ENGINES:
        scheme = address.kind
        hint = nearest(scheme, _SCHEMES) or f"Known here: {', '.join(_SCHEMES)}."
        raise InvalidSettings(f"{origin}: no engine '{scheme}' is known on this machine.", detail=hint)
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
