"""Airflow's connections: the project's, as its ``dli.yaml`` names them, and the default one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from dataspec.errors import InvalidSettings, InvalidSpec
from dataspec.spec import DEFAULT_CONNECTION
from dataspec.yaml_document import Document, read_document

if TYPE_CHECKING:
    from collections.abc import Mapping

PROJECT_FILE = "dli.yaml"

_VARIABLE = re.compile(r"\$(?:\$|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\})")
_PATHS = frozenset({"file_search_path", "extension_directory", "temp_directory", "home_directory"})


def airflow_connections(folder: Path, warehouse: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Return every connection in Airflow's JSON, by its id.

    Args:
        folder: The project's folder; a ``dli.yaml`` in it is read.
        warehouse: The DuckDB file of ``dli_default``, unless the project says another.
        environ: For ``${VAR}`` in the project's file.

    Raises:
        InvalidSettings: When ``connections:`` of that file can't be used; says where.
    """
    default = {"conn_type": "duckdb", "host": str(warehouse)}
    found = {DEFAULT_CONNECTION: default} | _Project(folder, environ).connections()
    return {name: json.dumps(connection) for name, connection in found.items()}


class _Project:
    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self._folder = folder
        self._environ = environ

    def connections(self) -> dict[str, dict[str, Any]]:
        file = self._folder / PROJECT_FILE
        if not file.exists():
            return {}
        try:
            document = read_document(file.read_bytes(), str(file))
        except InvalidSpec as error:
            raise InvalidSettings(f"{PROJECT_FILE} can't be read.", detail=error.detail) from None
        declared = document.data.get("connections") if isinstance(document.data, dict) else None
        if declared is None:
            return {}
        if not isinstance(declared, dict):
            raise _wrong(document, ("connections",), "write a mapping of names to connections.")
        return {name: self._connection(document, name, entry) for name, entry in declared.items()}

    def _connection(self, document: Document, name: str, entry: Any) -> dict[str, Any]:
        place = ("connections", name)
        if not isinstance(entry, dict) or not isinstance(entry.get("url"), str):
            raise _wrong(document, place, "a connection needs a 'url', such as duckdb:///warehouse.duckdb.")
        options = entry.get("options") or {}
        if not isinstance(options, dict):
            raise _wrong(document, (*place, "options"), "options must be a mapping.")
        try:
            url = self._expanded(entry["url"])
            texts = {
                key: self._expanded(value) if isinstance(value, str) else value
                for key, value in options.items()
            }
            return self._duckdb(url, texts) if url.startswith("duckdb:") else _other(url, texts)
        except KeyError as missing:
            raise _wrong(document, place, f"the variable {missing.args[0]} is not set.") from None
        except ValueError as error:
            raise _wrong(document, (*place, "url"), f"not a URL: {error}.") from None

    def _duckdb(self, url: str, options: dict[str, Any]) -> dict[str, Any]:
        path = unquote(urlsplit(url).path)[1:]
        database = path if path in {"", ":memory:"} else self._absolute(path)
        config = {
            key: ",".join(map(self._absolute, value.split(","))) if key in _PATHS else value
            for key, value in options.items()
        }
        return {"conn_type": "duckdb", "host": database, "extra": {"config": config}}

    def _absolute(self, path: str) -> str:
        """Make a path of the project's file one that Airflow finds from where it runs."""
        return str((self._folder / path.strip()).resolve())

    def _expanded(self, text: str) -> str:
        """Fill in ``${VAR}`` and ``${VAR:-default}``, as `dli` does; ``$$`` stands for one ``$``."""

        def value(match: re.Match[str]) -> str:
            name, default = match["name"], match["default"]
            if name is None:
                return "$"
            return self._environ.get(name) or default or ("" if default is not None else self._environ[name])

        return _VARIABLE.sub(value, text)


def _other(url: str, options: dict[str, Any]) -> dict[str, Any]:
    parts = urlsplit(url)
    connection = {
        "conn_type": "postgres" if parts.scheme == "postgresql" else parts.scheme.replace("-", "_"),
        "host": parts.hostname,
        "login": parts.username and unquote(parts.username),
        "password": parts.password and unquote(parts.password),
        "schema": unquote(parts.path[1:]) or None,
        "port": parts.port,
        "extra": dict(parse_qsl(parts.query)) | options,
    }
    return {key: value for key, value in connection.items() if value}


def _wrong(document: Document, path: tuple[str, ...], message: str) -> InvalidSettings:
    return InvalidSettings(f"{PROJECT_FILE} can't be used.", detail=str(document.problem(path, message)))
