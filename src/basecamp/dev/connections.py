"""Airflow's connections: the project's, as its ``dli.yaml`` names them, and the default one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from dataspec.engines.addresses import DEFAULT_FILE, Address
from dataspec.errors import InvalidSettings, InvalidSpec
from dataspec.names import DEFAULT_CONNECTION
from dataspec.variables import expand
from dataspec.yaml_document import Document, read_document

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PROJECT_FILE = "dli.yaml"


def airflow_connections(folder: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Return every connection in Airflow's JSON, by its id.

    Args:
        folder: The project's folder; a ``dli.yaml`` in it is read.
        environ: For ``${VAR}`` in the project's file.

    Raises:
        InvalidSettings: When ``connections:`` of that file can't be used; says where.
    """
    default = _in_airflow(Address.of_file(folder / DEFAULT_FILE))
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
            url = expand(entry["url"], self._environ)
            texts = {
                key: expand(value, self._environ) if isinstance(value, str) else value
                for key, value in options.items()
            }
            return _in_airflow(Address.read(url, texts, self._folder))
        except KeyError as missing:
            raise _wrong(document, place, f"the variable {missing.args[0]} is not set.") from None
        except ValueError as error:
            raise _wrong(document, (*place, "url"), f"not a URL: {error}.") from None


def _in_airflow(address: Address) -> dict[str, Any]:
    """Return a connection in Airflow's words."""
    if address.kind == "duckdb":
        return {"conn_type": "duckdb", "host": address.database, "extra": {"config": address.options}}
    connection = {
        "conn_type": address.kind,
        "host": address.host,
        "login": address.login,
        "password": address.password,
        "schema": address.database,
        "port": address.port,
        "extra": address.options,
    }
    return {key: value for key, value in connection.items() if value}


def _wrong(document: Document, path: tuple[str, ...], message: str) -> InvalidSettings:
    return InvalidSettings(f"{PROJECT_FILE} can't be used.", detail=str(document.problem(path, message)))
