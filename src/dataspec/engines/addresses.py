"""Read the ``url`` and ``options`` of a connection in ``dli.yaml`` (specification 23.4).

`basecamp dev` creates an Airflow connection from them, `dli dataset run` connects by the driver; both read them
here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MEMORY = ":memory:"
DEFAULT_FILE = "warehouse.duckdb"
"""The DuckDB file of ``dli_default`` in the project's folder, unless the project names another."""

_KINDS = {"postgresql": "postgres", "bigquery": "gcpbigquery"}
"""Airflow's connection types that differ from the scheme of the URL."""
_PATHS = frozenset({"file_search_path", "extension_directory", "temp_directory", "home_directory"})
"""DuckDB's settings with paths of folders."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineAddress:
    """An engine's address, with the options of the connection."""

    kind: str
    """Airflow's connection type, such as ``postgres``."""
    host: str | None = None
    login: str | None = None
    password: str | None = field(default=None, repr=False)
    database: str | None = None
    """The path of the URL; for DuckDB the absolute path of its file, or ``:memory:``."""
    port: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The options of the URL's query and of ``options``; for DuckDB its settings."""

    @classmethod
    def read(cls, url: str, options: Mapping[str, Any], folder: Path) -> EngineAddress:
        """Return the address of a connection.

        Args:
            url: Such as ``duckdb:///warehouse.duckdb`` or ``postgresql://etl@localhost/dev``.
            options: The connection's options.
            folder: The project's folder, the base of DuckDB's relative paths.

        Raises:
            ValueError: When it is not a URL.
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            # Python's own words quote the URL, in which there may be a password.
            raise ValueError(
                "its host or its port can't be read; encode special letters, as in p%40ss"
            ) from None
        if not parts.scheme or "://" not in url:
            raise ValueError("it begins with the engine, such as duckdb:///warehouse.duckdb")
        every = dict(parse_qsl(parts.query)) | dict(options)
        if parts.scheme == "duckdb":
            return cls._duckdb(unquote(parts.netloc + parts.path), every, folder)
        return cls(
            kind=_KINDS.get(parts.scheme, parts.scheme.replace("-", "_")),
            host=host,
            login=parts.username and unquote(parts.username),
            password=parts.password and unquote(parts.password),
            database=unquote(parts.path[1:]) or None,
            port=port,
            options=every,
        )

    @classmethod
    def of_file(cls, file: Path) -> EngineAddress:
        """Return the address of a DuckDB file."""
        return cls(kind="duckdb", database=str(file.resolve()))

    @classmethod
    def _duckdb(cls, path: str, options: Mapping[str, Any], folder: Path) -> EngineAddress:
        file = path.removeprefix("/")
        database = MEMORY if file in {"", MEMORY} else str((folder / file).resolve())
        settings = {
            key: ",".join(str((folder / part.strip()).resolve()) for part in str(value).split(","))
            if key in _PATHS
            else value
            for key, value in options.items()
        }
        return cls(kind="duckdb", database=database, options=settings)
