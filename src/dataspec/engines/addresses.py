"""Where an engine is: the ``url`` and ``options`` of a connection in ``dli.yaml``.

`basecamp dev` makes an Airflow connection of them, `dli dataset run` connects by the driver
itself: both read them here, so that a connection means the same in both worlds (specification 23.4).
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
"""The DuckDB file in the project's folder that ``dli_default`` is, unless the project says another."""

_KINDS = {"postgresql": "postgres", "bigquery": "gcpbigquery"}
"""Airflow's names for kinds of connections, where a URL's differs."""
_PATHS = frozenset({"file_search_path", "extension_directory", "temp_directory", "home_directory"})
"""DuckDB's settings that name folders."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """An engine's address, with the options of the connection."""

    kind: str
    """Airflow's name for the kind of connection, such as ``postgres``."""
    host: str | None = None
    login: str | None = None
    password: str | None = field(default=None, repr=False)
    database: str | None = None
    """The URL's path; of DuckDB its file, as an absolute path, or ``:memory:``."""
    port: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Those of the URL's query, then those of ``options``; of DuckDB its settings."""

    @classmethod
    def read(cls, url: str, options: Mapping[str, Any], folder: Path) -> Address:
        """Read a connection.

        Args:
            url: Such as ``duckdb:///warehouse.duckdb`` or ``postgresql://etl@localhost/dev``.
            options: Its options.
            folder: The project's, from which paths of DuckDB's start.

        Raises:
            ValueError: When it is no URL.
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
    def of_file(cls, file: Path) -> Address:
        """Return the address of a DuckDB file."""
        return cls(kind="duckdb", database=str(file.resolve()))

    @classmethod
    def _duckdb(cls, path: str, options: Mapping[str, Any], folder: Path) -> Address:
        file = path.removeprefix("/")
        database = MEMORY if file in {"", MEMORY} else str((folder / file).resolve())
        settings = {
            key: ",".join(str((folder / part.strip()).resolve()) for part in str(value).split(","))
            if key in _PATHS
            else value
            for key, value in options.items()
        }
        return cls(kind="duckdb", database=database, options=settings)
